//! What was promised to clients, and whether it was kept.
//!
//! The rules:
//!
//! 1. No acknowledged grant is lost. Whoever got a refresh token can use it, unless they revoked the grant
//!    or removed the client. Whoever got no answer (a broken connection, 503) goes on with the token they
//!    have, and is never told `invalid_grant` for it. One exception, which is counted: a code whose
//!    redemption got no answer may be spent, and its user signs in again.
//! 2. No false 401. An access token of an answer is good until its grant is revoked. Trouble with the store
//!    may cost a 503, never a 401.
//! 3. A revocation that was acknowledged reaches every replica within [`REACH`]. A replica that has no store
//!    may let in whom it knew for a minute more, and no one that has one does.
//! 4. Nothing is spent twice. A refresh token has one successor, whoever asks and how often; of two who
//!    redeem one code at most one gets a grant, and the grant ends when the other was refused.
//! 5. Entra is asked once for each refresh. With faults it may be asked again for a refresh that got no
//!    answer, for its replica died or lost the store between Entra's answer and the write.
//! 6. Everybody is served in the end: nobody tries in vain for [`PATIENCE`].

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

/// How long an acknowledged revocation may take to reach a replica: what a grant is remembered for, and what a
/// loaded machine takes to say so.
pub(crate) const REACH: Duration = Duration::from_secs(10 + 1);

/// How long somebody tries at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Written by everybody.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    operations: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    unanswered: BTreeMap<String, u64>,
    unanswered_refreshes: u64,
    successors: HashMap<String, String>,
    grants: HashMap<String, String>,
    spent_codes: u64,
    logins_begun_anew: u64,
    /// Whoever waited longest: how long, for what, and how often they tried in vain.
    longest_wait: Option<(Duration, &'static str, u32)>,
    let_in_without_store: u64,
    reach: BTreeMap<&'static str, Vec<Duration>>,
    broken_rules: Vec<String>,
}

impl Ledger {
    /// Somebody has done what they wanted.
    pub(crate) fn operation(&self, kind: &'static str) {
        *self.book().operations.entry(kind).or_default() += 1;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.book().operations.values().sum()
    }

    pub(crate) fn fault(&self, kind: &'static str) {
        *self.book().faults.entry(kind).or_default() += 1;
    }

    /// A promise was not kept.
    pub(crate) fn broken(&self, rule: impl Into<String>) {
        let rule = rule.into();
        println!("BROKEN: {rule}");
        self.book().broken_rules.push(rule);
    }

    /// Somebody has to try again.
    pub(crate) fn unanswered(&self, how: &str) {
        *self.book().unanswered.entry(how.to_owned()).or_default() += 1;
    }

    /// A replica may have asked Entra in vain.
    pub(crate) fn unanswered_refresh(&self) {
        self.book().unanswered_refreshes += 1;
    }

    /// Somebody was served after so long.
    pub(crate) fn waited(&self, time: Duration, what: &'static str, unanswered: u32) {
        let mut book = self.book();
        book.longest_wait = book.longest_wait.max(Some((time, what, unanswered)));
    }

    /// One refresh token was answered with another.
    pub(crate) fn rotated(&self, token: &str, successor: &str, who: usize) {
        let mut book = self.book();
        let known = book.successors.entry(token.to_owned());
        if known.or_insert_with(|| successor.to_owned()) != successor {
            drop(book);
            self.broken(format!(
                "rule 4: client {who}: a refresh token has two successors"
            ));
        }
    }

    /// How many refresh tokens have a successor: each is a refresh that was stored.
    pub(crate) fn rotations(&self) -> u64 {
        self.book().successors.len() as u64
    }

    pub(crate) fn unanswered_refreshes(&self) -> u64 {
        self.book().unanswered_refreshes
    }

    /// A code was answered with a grant.
    pub(crate) fn redeemed(&self, code: &str, refresh_token: &str, who: usize) {
        let before = self
            .book()
            .grants
            .insert(code.to_owned(), refresh_token.to_owned());
        if before.is_some() {
            self.broken(format!("rule 4: client {who}: a code was redeemed twice"));
        }
    }

    /// A code is spent, and nobody has what it got.
    pub(crate) fn code_is_spent(&self) {
        self.book().spent_codes += 1;
    }

    pub(crate) fn login_begun_anew(&self) {
        self.book().logins_begun_anew += 1;
    }

    /// A replica without its store let somebody in whose grant was revoked.
    pub(crate) fn let_in_without_store(&self) {
        self.book().let_in_without_store += 1;
    }

    /// What ended a grant reached a replica within this time.
    pub(crate) fn reached(&self, by: &'static str, time: Duration) {
        self.book().reach.entry(by).or_default().push(time);
    }

    /// Compares what Entra counted with what was stored: exactly where there were no faults.
    pub(crate) fn settle(&self, phase: &str, asked: u64, rotations: u64, unanswered: u64) {
        println!(
            "{phase}: Entra was asked {asked} times for {rotations} refreshes; {unanswered} got no answer"
        );
        if asked < rotations || asked > rotations + unanswered {
            self.broken(format!(
                "rule 5: {phase}: {asked} calls for {rotations} refreshes"
            ));
        }
    }

    /// Whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.book().broken_rules.is_empty()
    }

    /// All of it, for people.
    pub(crate) fn told(&self) -> String {
        let book = self.book();
        let counts = |counts: &mut dyn Iterator<Item = (&str, u64)>| {
            let all: Vec<_> = counts
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            all.join(", ")
        };
        let mut told = String::new();
        let total: u64 = book.operations.values().sum();
        let operations = counts(&mut book.operations.iter().map(|(kind, count)| (*kind, *count)));
        let faults = counts(&mut book.faults.iter().map(|(kind, count)| (*kind, *count)));
        let retries: u64 = book.unanswered.values().sum();
        let unanswered = counts(&mut book.unanswered.iter().map(|(how, count)| (&**how, *count)));
        writeln!(told, "operations: {total}: {operations}").unwrap();
        writeln!(told, "faults: {faults}").unwrap();
        writeln!(told, "retries: {retries}: {unanswered}").unwrap();
        if let Some((time, what, unanswered)) = book.longest_wait {
            let time = time.as_secs_f64();
            writeln!(
                told,
                "longest wait: {time:.1} s for a {what}, with {unanswered} attempts in vain"
            )
            .unwrap();
        }
        writeln!(
            told,
            "codes spent without an answer: {}; logins begun anew: {}",
            book.spent_codes, book.logins_begun_anew
        )
        .unwrap();
        writeln!(
            told,
            "let in by a replica without its store though revoked: {}",
            book.let_in_without_store
        )
        .unwrap();
        for (by, times) in &book.reach {
            let mut times = times.clone();
            times.sort_unstable();
            let (Some(most), Some(median)) = (times.last(), times.get(times.len() / 2)) else {
                continue;
            };
            writeln!(
                told,
                "{by} reached {} replicas: median {:.1} s, longest {:.1} s",
                times.len(),
                median.as_secs_f64(),
                most.as_secs_f64()
            )
            .unwrap();
        }
        for rule in &book.broken_rules {
            writeln!(told, "BROKEN: {rule}").unwrap();
        }
        told
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }
}

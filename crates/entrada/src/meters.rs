//! What is counted and timed, for whoever installs a recorder of the facade [`metrics`].
//!
//! Every name and label stands here, each label with few values: nothing a stranger chooses becomes one.
//! `docs/METRICS.md` says the same to people, and a test holds both against each other.

use std::time::Duration;

use metrics::{Counter, Unit, counter, gauge, histogram};
use tokio::time::Instant;

/// What a metric is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// It grows.
    Counter,
    /// It is now.
    Gauge,
    /// How long something took, in seconds.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, with its unit.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Metric {
    /// A metric of your own, to be described and documented beside these.
    pub const fn new(
        name: &'static str,
        kind: MetricKind,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            labels,
            help,
        }
    }

    /// Tells the recorder that is installed what this is.
    pub fn describe(&self) {
        let unit = if self.name.ends_with("_seconds") {
            Unit::Seconds
        } else if self.name.contains("_bytes") {
            Unit::Bytes
        } else {
            Unit::Count
        };
        match self.kind {
            MetricKind::Counter => metrics::describe_counter!(self.name, unit, self.help),
            MetricKind::Gauge => metrics::describe_gauge!(self.name, unit, self.help),
            MetricKind::Histogram => metrics::describe_histogram!(self.name, unit, self.help),
        }
    }
}

const REGISTRATIONS: &str = "entrada_registrations_total";
const AUTHORIZATIONS: &str = "entrada_authorizations_total";
const CONSENTS: &str = "entrada_consents_total";
const LOGINS: &str = "entrada_logins_total";
const TOKEN_REQUESTS: &str = "entrada_token_requests_total";
const REVOCATIONS: &str = "entrada_revocations_total";
const REPLAYS: &str = "entrada_replays_total";
const RATE_LIMITED: &str = "entrada_rate_limited_total";
const GUARD_ADMITTED: &str = "entrada_guard_admitted_total";
const GUARD_REFUSALS: &str = "entrada_guard_refusals_total";
const ENTRA_REQUESTS: &str = "entrada_entra_requests_total";
const ENTRA_DURATION: &str = "entrada_entra_request_duration_seconds";
const STORE_OPERATIONS: &str = "entrada_store_operations_total";
const STORE_DURATION: &str = "entrada_store_operation_duration_seconds";
const KEY_AGE: &str = "entrada_signing_key_age_seconds";

/// The label of what came of something: `ok`, or the code of an OAuth error.
const OUTCOME: &str = "outcome";

/// All metrics of this crate.
pub const METRICS: &[Metric] = {
    use MetricKind::{Counter, Gauge, Histogram};
    &[
        Metric::new(
            REGISTRATIONS,
            Counter,
            &[OUTCOME],
            "Clients that asked to register",
        ),
        Metric::new(
            AUTHORIZATIONS,
            Counter,
            &[OUTCOME],
            "Visits to the authorization endpoint",
        ),
        Metric::new(
            CONSENTS,
            Counter,
            &["answer"],
            "Consent pages shown, and what became of consent",
        ),
        Metric::new(
            LOGINS,
            Counter,
            &[OUTCOME, "aadsts"],
            "Users who came back from Entra",
        ),
        Metric::new(
            TOKEN_REQUESTS,
            Counter,
            &["grant_type", OUTCOME],
            "Requests for tokens",
        ),
        Metric::new(
            REVOCATIONS,
            Counter,
            &[OUTCOME],
            "Requests to revoke a grant",
        ),
        Metric::new(
            REPLAYS,
            Counter,
            &["what"],
            "Codes and refresh tokens that were used again, which ends their grant",
        ),
        Metric::new(
            RATE_LIMITED,
            Counter,
            &["endpoint", "limit"],
            "Requests over a limit by address",
        ),
        Metric::new(
            GUARD_ADMITTED,
            Counter,
            &["verdict"],
            "Requests the guard let through, by a verdict it recalled or one it reached",
        ),
        Metric::new(
            GUARD_REFUSALS,
            Counter,
            &["reason"],
            "Requests the guard turned away",
        ),
        Metric::new(
            ENTRA_REQUESTS,
            Counter,
            &["kind", OUTCOME],
            "Requests to Entra",
        ),
        Metric::new(
            ENTRA_DURATION,
            Histogram,
            &["kind"],
            "How long Entra took to answer",
        ),
        Metric::new(
            STORE_OPERATIONS,
            Counter,
            &["verb", OUTCOME],
            "What was asked of the store",
        ),
        Metric::new(
            STORE_DURATION,
            Histogram,
            &["verb"],
            "How long the store took",
        ),
        Metric::new(
            KEY_AGE,
            Gauge,
            &[],
            "How long the newest signing key has signed",
        ),
    ]
};

/// Tells the recorder that is installed what the metrics of this crate are.
pub fn describe() {
    METRICS.iter().for_each(Metric::describe);
}

/// What came of something, as a label.
pub(crate) type OutcomeLabel = &'static str;

pub(crate) fn registration(outcome: OutcomeLabel) {
    counter!(REGISTRATIONS, OUTCOME => outcome).increment(1);
}

pub(crate) fn authorization(outcome: OutcomeLabel) {
    counter!(AUTHORIZATIONS, OUTCOME => outcome).increment(1);
}

pub(crate) fn consent(answer: &'static str) {
    counter!(CONSENTS, "answer" => answer).increment(1);
}

pub(crate) fn login(outcome: OutcomeLabel, aadsts: Option<u32>) {
    let aadsts = aadsts.map_or("none", known_aadsts);
    counter!(LOGINS, OUTCOME => outcome, "aadsts" => aadsts).increment(1);
}

pub(crate) fn token_request(grant_type: &'static str, outcome: OutcomeLabel) {
    counter!(TOKEN_REQUESTS, "grant_type" => grant_type, OUTCOME => outcome).increment(1);
}

pub(crate) fn revocation(outcome: OutcomeLabel) {
    counter!(REVOCATIONS, OUTCOME => outcome).increment(1);
}

pub(crate) fn replay(what: &'static str) {
    counter!(REPLAYS, "what" => what).increment(1);
}

pub(crate) fn rate_limited(endpoint: &'static str, limit: &'static str) {
    counter!(RATE_LIMITED, "endpoint" => endpoint, "limit" => limit).increment(1);
}

/// How long the newest signing key has signed.
pub(crate) fn key_age(age: Duration) {
    gauge!(KEY_AGE).set(age.as_secs_f64());
}

/// What a guard counts. Held rather than looked up: a request that is let through takes no lock and
/// allocates nothing for it.
pub(crate) struct GuardMeters {
    pub(crate) recalled: Counter,
    pub(crate) verified: Counter,
}

impl GuardMeters {
    pub(crate) fn new() -> Self {
        Self {
            recalled: counter!(GUARD_ADMITTED, "verdict" => "recalled"),
            verified: counter!(GUARD_ADMITTED, "verdict" => "verified"),
        }
    }

    /// Counts a request that was turned away.
    pub(crate) fn refused(reason: &'static str) {
        counter!(GUARD_REFUSALS, "reason" => reason).increment(1);
    }
}

impl std::fmt::Debug for GuardMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuardMeters")
    }
}

/// A call to something else, being timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    began: Instant,
    what: &'static str,
}

impl Timed {
    /// Begins to time a call of the kind, or with the verb, `what`.
    pub(crate) fn begin(what: &'static str) -> Self {
        Self {
            began: Instant::now(),
            what,
        }
    }

    /// It was Entra, and this came of it.
    pub(crate) fn entra(self, outcome: OutcomeLabel) {
        histogram!(ENTRA_DURATION, "kind" => self.what).record(self.began.elapsed());
        counter!(ENTRA_REQUESTS, "kind" => self.what, OUTCOME => outcome).increment(1);
    }

    /// It was the store, and this came of it.
    pub(crate) fn store(self, outcome: OutcomeLabel) {
        histogram!(STORE_DURATION, "verb" => self.what).record(self.began.elapsed());
        counter!(STORE_OPERATIONS, "verb" => self.what, OUTCOME => outcome).increment(1);
    }
}

/// The numbers of Entra's that an operator can do something about; all others are one label, for anybody
/// can write a number into the address of the callback.
const AADSTS: &[(u32, &str)] = &[
    (16_000, "16000"),
    (50_011, "50011"),
    (50_020, "50020"),
    (50_053, "50053"),
    (50_057, "50057"),
    (50_058, "50058"),
    (50_076, "50076"),
    (50_079, "50079"),
    (50_105, "50105"),
    (50_126, "50126"),
    (50_158, "50158"),
    (53_000, "53000"),
    (53_003, "53003"),
    (65_001, "65001"),
    (65_004, "65004"),
    (70_011, "70011"),
    (90_094, "90094"),
    (90_097, "90097"),
    (700_016, "700016"),
    (7_000_215, "7000215"),
    (7_000_222, "7000222"),
];

fn known_aadsts(number: u32) -> &'static str {
    let known = AADSTS.iter().find(|(known, _)| *known == number);
    known.map_or("other", |(_, label)| label)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");

    #[test]
    fn every_metric_is_documented_and_nothing_else_is() {
        let (_, rest) = DOCUMENT.split_once("\n## The library").unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<_> = rows
            .map(|row| {
                let mut cells = row.split(" | ");
                let name = cells.next().unwrap().trim_end_matches('`');
                let labels = cells.nth(1).unwrap();
                let labels = labels.split('`').skip(1).step_by(2);
                (name, labels.collect::<Vec<_>>())
            })
            .collect();
        let registered = METRICS
            .iter()
            .map(|metric| (metric.name, metric.labels.to_vec()));
        assert_eq!(documented, registered.collect());
    }

    #[test]
    fn names_say_what_they_count() {
        for Metric { name, kind, .. } in METRICS {
            assert!(name.starts_with("entrada_"), "{name}");
            let fits = match kind {
                MetricKind::Counter => name.ends_with("_total"),
                MetricKind::Gauge | MetricKind::Histogram => name.ends_with("_seconds"),
            };
            assert!(fits, "{name}");
        }
    }

    #[test]
    fn a_number_nobody_knows_makes_no_label() {
        assert_eq!(known_aadsts(50_105), "50105");
        for number in [0, 1, 999_999, u32::MAX] {
            assert_eq!(known_aadsts(number), "other");
        }
    }
}

//! A process that is killed at any instant loses nothing it acknowledged.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use entrada::grant::GrantId;
use entrada::platform::Timestamp;
use entrada::secret::{AuthorizationCode, UpstreamState};
use entrada::store::{EmbeddedStore, Entry, RecordKey, Sealed, Store, Taken, Written};
use tokio::task::JoinSet;

const KILLS: u64 = 40;

/// How many tasks of the killed process write at a time.
const WRITERS: u64 = 8;

/// Tells the process that is to be killed which file to write, and what to number its entries from.
const FILE: &str = "ENTRADA_TEST_STORE";
const FIRST: &str = "ENTRADA_TEST_FIRST";

/// How far apart the numbers of two processes, and of two writers in one, begin.
const PER_PROCESS: u64 = 1_000_000;
const PER_WRITER: u64 = 100_000;

/// What a writer does with each number in turn, and says once it was acknowledged.
const STEPS: [&str; 9] = [
    "login", "taken", "code", "spent", "grant 1", "grant 2", "grant 3", "revoked", "early",
];

/// What was acknowledged of each number: how many of the steps.
type Acknowledged = BTreeMap<u64, usize>;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_to_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut acknowledged = Acknowledged::new();
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..KILLS {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        // The first few die while they open the file or before.
        let lines = if kill < 4 { 0 } else { dice % 400 };
        let before = acknowledged.len();
        kill_after(lines, &path, kill * PER_PROCESS, &mut acknowledged);
        assert!(lines == 0 || acknowledged.len() > before);
        check(&path, acknowledged.range(kill * PER_PROCESS..)).await;
    }
    check(&path, acknowledged.range(..)).await;
}

/// Runs a process that writes, and kills it once it has acknowledged `lines` steps.
fn kill_after(lines: u64, path: &Path, first: u64, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::process_to_kill",
            "--ignored",
            "--nocapture",
        ])
        .env(FILE, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut heard = 0;
    let mut line = String::new();
    if lines == 0 {
        child.kill().unwrap();
    }
    while told.read_line(&mut line).unwrap() > 0 {
        // A line without an end was cut by the kill, others come from the test harness.
        if let Some((number, step)) = line.strip_suffix('\n').and_then(|it| it.split_once(": ")) {
            let step = STEPS.iter().position(|name| *name == step).unwrap();
            acknowledged.insert(number.parse().unwrap(), step);
            heard += 1;
            if heard == lines {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs until it is killed: `nothing_acknowledged_is_lost_to_a_kill` starts it"]
async fn process_to_kill() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let first = std::env::var_os(FIRST).map(OsString::into_string);
    let first: u64 = first.unwrap().unwrap().parse().unwrap();
    let store = Arc::new(EmbeddedStore::open(path).unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in (first + writer * PER_WRITER)..(first + (writer + 1) * PER_WRITER) {
                for step in STEPS {
                    take_step(&store, number, step).await;
                    writeln!(io::stdout(), "{number}: {step}").unwrap();
                }
            }
        });
    }
    writers.join_all().await;
}

async fn take_step(store: &EmbeddedStore, number: u64, step: &str) {
    let [state, code, grant, early] = keys(number);
    match step {
        "login" => {
            let written = store.put_new(&state, entry(number, step)).await;
            assert_eq!(written.unwrap(), Written::Yes);
        }
        "taken" => {
            let taken = store.take(&state).await.unwrap();
            assert_eq!(taken, Taken::Fresh(entry(number, "login").sealed));
        }
        "code" => {
            let entry = entry(number, step).naming(named(number));
            let written = store.put_new(&code, entry).await;
            assert_eq!(written.unwrap(), Written::Yes);
        }
        "spent" => {
            let redeemed = store.take(&code).await.unwrap();
            assert_eq!(redeemed, Taken::Fresh(entry(number, "code").sealed));
        }
        "revoked" => store.revoke(&grant, expiry()).await.unwrap(),
        "early" => store.revoke(&early, expiry()).await.unwrap(),
        grant_step => {
            let version = version(grant_step).unwrap();
            let written = store
                .put_version(&grant, version, entry(number, step))
                .await;
            assert_eq!(written.unwrap(), Written::Yes);
        }
    }
}

/// Opens the file again and holds it against what was acknowledged.
async fn check(path: &Path, acknowledged: Range<'_, u64, usize>) {
    let store = Arc::new(EmbeddedStore::open(path).unwrap());
    let mut checks = JoinSet::new();
    for (&number, &step) in acknowledged {
        let store = Arc::clone(&store);
        checks.spawn(async move { check_number(&store, number, step).await });
    }
    checks.join_all().await;
}

/// The step after the last acknowledged one may have been taken too: nobody heard.
async fn check_number(store: &EmbeddedStore, number: u64, last: usize) {
    let [state, code, grant, early] = keys(number);
    let done = |step| last >= place(step);
    let never = |step| last + 1 < place(step);
    let written = store.put_new(&state, entry(number, "login")).await;
    assert_eq!(written.unwrap(), Written::Conflict, "{number}");
    if done("taken") {
        let taken = store.take(&state).await.unwrap();
        assert_eq!(taken, Taken::Spent(None), "{number}");
    }
    let spent = Taken::Spent(Some(named(number)));
    if done("spent") {
        assert_eq!(store.take(&code).await.unwrap(), spent, "{number}");
    }
    if never("code") {
        let redeemed = store.take(&code).await.unwrap();
        assert_eq!(redeemed, Taken::Unknown, "{number}");
    }
    let stored = store.read(&grant).await.unwrap();
    let stored = stored.map(|stored| stored.sealed);
    if done("revoked") {
        assert_eq!(stored, None, "{number}");
        let written = store.put_version(&grant, 4, entry(number, "grant 4")).await;
        assert_eq!(written.unwrap(), Written::Revoked, "{number}");
    } else if done("grant 1") {
        let whole = |step| stored == Some(entry(number, step).sealed);
        let next_was_revoked = last + 1 == place("revoked") && stored.is_none();
        let or_next = STEPS.get(last + 1).is_some_and(|next| whole(next));
        assert!(
            whole(STEPS[last]) || or_next || next_was_revoked,
            "{number}"
        );
    }
    if done("early") {
        let written = store.put_version(&early, 1, entry(number, "grant 1")).await;
        assert_eq!(written.unwrap(), Written::Revoked, "{number}");
    }
}

fn place(step: &str) -> usize {
    STEPS.iter().position(|name| *name == step).unwrap()
}

fn version(step: &str) -> Option<u64> {
    step.strip_prefix("grant ")?.parse().ok()
}

fn expiry() -> Timestamp {
    Timestamp::from_unix(u64::MAX)
}

/// An entry that is torn if a byte of it is missing: as long as a real one.
fn entry(number: u64, step: &str) -> Entry {
    let bytes = format!("{number}: {step}; ").repeat(100);
    Entry::new(Sealed::from_stored(bytes), expiry())
}

fn named(number: u64) -> GrantId {
    GrantId::from_stored(u128::from(number).to_be_bytes())
}

/// Where the login, the code, its grant and the one that is revoked early lie.
fn keys(number: u64) -> [RecordKey; 4] {
    let early = GrantId::from_stored((u128::from(number) | 1 << 127).to_be_bytes());
    [
        RecordKey::request(&UpstreamState::new(number.to_string()).hashed()),
        RecordKey::code(&AuthorizationCode::new(number.to_string()).hashed()),
        RecordKey::grant(&named(number)),
        RecordKey::grant(&early),
    ]
}

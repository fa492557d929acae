//! What each verb of a store costs while it holds few grants and many: nothing may grow with their number.
//!
//! `--store URL` names a store, which should be empty; without it a file and memory are tried. `--grants N,N,…` says how
//! many there shall be each time.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it takes the time, and tells it"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entrada::grant::GrantId;
use entrada::platform::{Clock as _, SecureRandom as _, SystemClock, SystemRandom, Timestamp};
use entrada::secret::AuthorizationCode;
use entrada::store::{
    Entry, Lease, LeaseHolder, RecordKey, Sealed, Slot, Store, StoreUrl, Taken, Written,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// As long as a sealed grant is, for Entra's tokens are.
const GRANT: usize = 3900;

/// So many at once share the wait for the disk.
const WRITERS: u64 = 256;

/// How often each verb is measured.
const SAMPLES: usize = 2000;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let told = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let grants = told("--grants").unwrap_or_else(|| "1000,100000".to_owned());
    let grants: Vec<u64> = grants
        .split(',')
        .map(|number| number.parse().expect("numbers of grants"))
        .collect();
    let folder = TempDir::new_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
    let file = format!("file:{}", folder.path().join("grants.redb").display());
    let urls = told("--store").map_or_else(|| vec!["memory:".to_owned(), file], |url| vec![url]);
    println!("medians in microseconds, one after the other\n");
    println!(
        "| store | grants | read | next version | store and take | lease and settle | sweep |"
    );
    println!("|---|---|---|---|---|---|---|");
    for url in urls {
        let url: StoreUrl = url.parse().expect("the URL of a store");
        let kind = url.kind();
        let store = url.open().expect("a store");
        let mut filled = 0;
        for grants in &grants {
            fill(&store, filled..*grants).await;
            filled = *grants;
            measure(&store, &format!("{kind:?}"), filled).await;
        }
    }
}

/// The key of the grant with this number.
fn key(number: u64) -> RecordKey {
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes = u128::from(scattered) << 64 | u128::from(number);
    RecordKey::grant(&GrantId::from_stored(bytes.to_be_bytes()))
}

fn flight() -> RecordKey {
    let mut bytes = [0; 32];
    SystemRandom::default().fill(&mut bytes);
    let digest = serde_json::json!(URL_SAFE_NO_PAD.encode(bytes));
    let flight = serde_json::from_value(digest).expect("a digest");
    RecordKey::flight(&flight)
}

fn later() -> Timestamp {
    SystemClock::default().now() + Duration::from_secs(90 * 86_400)
}

fn sealed() -> Sealed {
    let mut bytes = vec![0; GRANT];
    SystemRandom::default().fill(&mut bytes);
    Sealed::from_stored(bytes)
}

async fn fill(store: &Arc<dyn Store>, numbers: std::ops::Range<u64>) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, numbers) = (Arc::clone(store), numbers.clone());
        writers.spawn(async move {
            for number in numbers.filter(|number| number % WRITERS == writer) {
                let slot = Slot::from_stored(later(), 1, None, Some(sealed()));
                let written = store.replace(&key(number), None, slot).await;
                assert_eq!(written.expect("the store works"), Written::Yes);
            }
        });
    }
    writers.join_all().await;
}

async fn measure(store: &Arc<dyn Store>, kind: &str, grants: u64) {
    let mut samples: [Vec<Duration>; 5] = Default::default();
    let [read, next, once, lease, sweep] = &mut samples;
    for at in 0..SAMPLES {
        let key = key(at as u64 * 7919 % grants);
        let begun = Instant::now();
        let stored = store.read(&key).await.expect("the store works");
        read.push(begun.elapsed());
        let version = stored.expect("the grant").version + 1;

        let entry = Entry::new(sealed(), later());
        let begun = Instant::now();
        let written = store.put_version(&key, version, entry).await;
        next.push(begun.elapsed());
        assert_eq!(written.expect("the store works"), Written::Yes);

        let mut drawn = [0; 16];
        SystemRandom::default().fill(&mut drawn);
        let code = AuthorizationCode::new(u128::from_be_bytes(drawn).to_string());
        let code = RecordKey::code(&code.hashed());
        let entry = Entry::new(sealed(), later());
        let begun = Instant::now();
        let written = store.put_new(&code, entry).await.expect("the store works");
        let taken = store.take(&code).await.expect("the store works");
        once.push(begun.elapsed());
        assert!(written == Written::Yes && matches!(taken, Taken::Fresh(_)));

        let (flight, holder) = (flight(), LeaseHolder::generate(&SystemRandom::default()));
        let (term, now) = (Duration::from_secs(10), SystemClock::default().now());
        let begun = Instant::now();
        let leased = store.lease(&flight, holder, term, now).await;
        let settled = store.settle(&flight, holder, None).await;
        lease.push(begun.elapsed());
        assert_eq!(leased.expect("the store works"), Lease::Held);
        assert_eq!(settled.expect("the store works"), Written::Yes);

        if at % 20 == 0 {
            let begun = Instant::now();
            store.sweep(now).await.expect("the store works");
            sweep.push(begun.elapsed());
        }
    }
    print!("| {kind} | {grants} |");
    for mut samples in samples {
        samples.sort();
        let median = samples.get(samples.len() / 2).expect("samples");
        print!(" {} |", median.as_micros());
    }
    println!();
}

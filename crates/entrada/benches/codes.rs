//! Fills a data directory with codes, as if as many people had just signed in, for
//! `bench/load.py` to redeem.
//!
//! Takes the directory, the resource and how many; prints what redeems them, a line of JSON each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyFile, Keys};
use entrada::platform::{Clock as _, SystemClock, SystemRandom};
use entrada::store::EmbeddedStore;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

#[path = "server/records.rs"]
mod records;

use records::{CLIENT_ID, REDIRECT_URI, Records, VERIFIER};

/// How many are written together.
const CROWD: usize = 256;

/// Codes last a minute; these are of the near future, so that there is time to redeem all of them.
const AHEAD: Duration = Duration::from_secs(600);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` runs whatever is here, with an argument of its own.
    let [folder, resource, count] = arguments.as_slice() else {
        return;
    };
    let count = count.parse().expect("a number");
    let runtime = Builder::new_multi_thread().build().expect("a runtime");
    runtime.block_on(fill(Path::new(folder), resource, count));
}

async fn fill(folder: &Path, resource: &str, count: usize) {
    let now = SystemClock::default().now();
    let ring = KeyFile::new(folder.join("keys.json")).load_or_create(
        Algorithm::Es256,
        &SystemRandom::default(),
        now,
    );
    let keys = Keys::new(ring.expect("keys"));
    let store = Arc::new(EmbeddedStore::open(folder.join("grants.redb")).expect("a store"));
    let records = Arc::new(Records::new(store, keys, resource, now + AHEAD).await);
    let mut left = count;
    while left > 0 {
        let crowd = left.min(CROWD);
        left -= crowd;
        let mut written = JoinSet::new();
        for _ in 0..crowd {
            let records = Arc::clone(&records);
            written.spawn(async move { records.code().await });
        }
        written.join_all().await.iter().for_each(|code| print(code));
    }
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn print(code: &str) {
    let redeemed_with = json!({
        "client_id": CLIENT_ID,
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": REDIRECT_URI,
    });
    println!("{redeemed_with}");
}

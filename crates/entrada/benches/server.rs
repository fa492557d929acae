//! What the guard and the token endpoint cost, in one process and with an Entra that costs nothing.
//!
//! With `--ratio` it compares, in turns, the check of a new token with the two things no such
//! check can do without: see `bench/README.md`.

use std::path::Path;
use std::sync::Arc;

use divan::AllocProfiler;
use entrada::jwt::jwks::Algorithm;
use entrada::store::{EmbeddedStore, MemoryStore};
use tempfile::TempDir;

#[path = "server/in_process.rs"]
mod in_process;
#[path = "server/issued.rs"]
mod issued;
#[path = "server/on_behalf_of.rs"]
mod on_behalf_of;
#[path = "server/parts.rs"]
mod parts;
#[path = "server/ratio.rs"]
mod ratio;
#[path = "server/token_endpoint.rs"]
mod token_endpoint;

use in_process::Server;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    if std::env::args().any(|argument| argument == "--ratio") {
        ratio::print();
    } else {
        divan::main();
    }
}

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::EdDsa];

fn memory(algorithm: Algorithm) -> Server {
    Server::new(Arc::new(MemoryStore::new()), algorithm)
}

/// On a real disk, where waiting for it costs something.
fn embedded(algorithm: Algorithm) -> (Server, TempDir) {
    let folder = TempDir::new_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
    let store = EmbeddedStore::open(folder.path().join("store.redb")).expect("a store");
    (Server::new(Arc::new(store), algorithm), folder)
}

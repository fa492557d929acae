//! The check of a new token against its parts, in turns, so that a busy machine slows all alike.

use std::time::{Duration, Instant};

use super::in_process::{NoOp, Server, call, mcp_request};
use super::issued::new_tokens;
use super::parts::{Signature, StoredGrant};
use super::{ALGORITHMS, embedded, memory};

const ROUNDS: usize = 300;
const AT_ONCE: u32 = 20;

/// Prints the ratio for each algorithm and store.
pub(crate) fn print() {
    for algorithm in ALGORITHMS {
        let name = algorithm.as_str();
        report(&format!("{name}, memory store"), &memory(algorithm));
        let (server, _folder) = embedded(algorithm);
        report(&format!("{name}, embedded store"), &server);
    }
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn report(what: &str, server: &Server) {
    let token = new_tokens(server);
    let mut service = server.guarded(NoOp);
    let signature = Signature::of(&token(), server);
    let grant = StoredGrant::of(&token(), server);
    let (mut whole, mut checked, mut read) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let mut requests: Vec<_> = (0..AT_ONCE).map(|_| mcp_request(&token())).collect();
        let each = || requests.pop().map(|request| call(&mut service, request));
        whole = whole.min(time(each));
        checked = checked.min(time(|| signature.check()));
        read = read.min(time(|| grant.read()));
    }
    let ratio = whole.as_secs_f64() / (checked + read).as_secs_f64();
    println!(
        "{what}: new token {whole:?}, signature {checked:?}, grant {read:?}, ratio {ratio:.2}"
    );
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn time<T>(mut work: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..AT_ONCE {
        std::hint::black_box(work());
    }
    start.elapsed() / AT_ONCE
}

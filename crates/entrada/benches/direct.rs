//! What the guard costs a request that carries one of Entra's own access tokens.
//!
//! With `--ratio` it compares, in turns, the check of a new token with the signature no such check
//! can do without: see `bench/README.md`.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use divan::{AllocProfiler, Bencher, black_box};
use mimalloc::MiMalloc;

#[path = "direct/verifier.rs"]
mod verifier;

use verifier::{Bare, Guarded};

const SCOPE: &str = "https://graph.microsoft.com/User.Read";

/// What the gateway has.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

fn main() {
    if std::env::args().any(|argument| argument == "--ratio") {
        ratio::print();
    } else {
        divan::main();
    }
}

mod ratio {
    //! In turns, so that a busy machine slows both alike, and on the same tokens.

    use std::time::{Duration, Instant};

    use super::{Bare, Guarded};

    const ROUNDS: usize = 300;
    const TOKENS: u32 = 100;

    #[expect(clippy::print_stdout, reason = "this is what was asked for")]
    pub(super) fn print() {
        let guarded = Guarded::new();
        let verifier = guarded.verifier();
        let tokens: Vec<_> = (0..TOKENS).map(|_| guarded.token()).collect();
        let bare: Vec<_> = tokens.iter().map(|token| Bare::of(token)).collect();
        let (mut whole, mut signature) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            whole = whole.min(each(&tokens, |token| verifier.verify(token)));
            signature = signature.min(each(&bare, Bare::check));
        }
        let ratio = whole.as_secs_f64() / signature.as_secs_f64();
        println!("RS256: new token {whole:?}, signature {signature:?}, ratio {ratio:.3}");
    }

    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    fn each<T, U>(items: &[T], work: impl Fn(&T) -> U) -> Duration {
        let start = Instant::now();
        for item in items {
            std::hint::black_box(work(item));
        }
        start.elapsed() / TOKENS
    }
}

/// A token the guard has seen before, from the request to the response of a service that does
/// nothing.
#[divan::bench(sample_size = 200)]
fn remembered_token(bencher: Bencher<'_, '_>) {
    let mut guarded = Guarded::new();
    let token = guarded.token();
    guarded.call(Guarded::request(&token));
    bencher
        .with_inputs(|| Guarded::request(&token))
        .bench_local_values(|request| guarded.call(black_box(request)));
}

/// A kept token to a downstream API, for a caller who came with such a token.
#[divan::bench(sample_size = 200)]
fn kept_downstream_token(bencher: Bencher<'_, '_>) {
    let verifier = Guarded::exchanging().verifier();
    let caller = verifier.exchanged(SCOPE);
    bencher.bench_local(|| {
        let token = pin!(caller.downstream_token(black_box(SCOPE)));
        let token = token.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(token, Poll::Ready(Ok(_))));
    });
}

/// The same as below, where the caller's token may be exchanged.
#[divan::bench]
fn new_token_that_may_be_exchanged(bencher: Bencher<'_, '_>) {
    let guarded = Guarded::exchanging();
    let verifier = guarded.verifier();
    bencher
        .with_inputs(|| guarded.token())
        .bench_local_values(|token| verifier.verify(&token));
}

/// A token the guard has not seen before.
#[divan::bench]
fn new_token(bencher: Bencher<'_, '_>) {
    let guarded = Guarded::new();
    let verifier = guarded.verifier();
    bencher
        .with_inputs(|| guarded.token())
        .bench_local_values(|token| verifier.verify(&token));
}

/// The part of that no check can do without.
#[divan::bench]
fn signature_alone(bencher: Bencher<'_, '_>) {
    let bare = Bare::of(&Guarded::new().token());
    bencher.bench_local(|| black_box(&bare).check());
}

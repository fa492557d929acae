//! What the guard costs a request whose token it has seen before.

use divan::{AllocProfiler, Bencher, black_box};

#[path = "guard/remembered.rs"]
mod remembered;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A remembered token, from the request to the response of a service that does nothing.
#[divan::bench]
fn remembered_token(bencher: Bencher<'_, '_>) {
    let mut service = remembered::guarded();
    bencher
        .with_inputs(remembered::request)
        .bench_local_values(|request| remembered::call(&mut service, black_box(request)));
}

/// The part of it no guard can do without: the identity in the request extensions.
#[divan::bench]
fn extension_alone(bencher: Bencher<'_, '_>) {
    let token = remembered::token();
    bencher
        .with_inputs(remembered::request)
        .bench_local_values(|mut request| {
            request.extensions_mut().insert(token.clone());
            black_box(request);
        });
}

//! What a tool waits for a token to a downstream API, of ours: Entra answers at once.

use std::cell::Cell;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use divan::{Bencher, black_box};
use entrada::VerifiedToken;
use entrada::jwt::jwks::Algorithm;
use http::{Request, Response};

use super::in_process::{Server, call, mcp_request};
use super::memory;

const SCOPE: &str = "https://graph.microsoft.com/User.Read";

/// Whoever calls with a token of a new grant, as a tool knows them.
fn caller(server: &Server) -> VerifiedToken {
    let found: Arc<Mutex<Option<VerifiedToken>>> = Arc::default();
    let seen = Arc::clone(&found);
    let mut service = server.guarded(tower::service_fn(async |request: Request<()>| {
        *seen.lock().expect("one at a time") = request.extensions().get().cloned();
        Ok::<_, std::convert::Infallible>(Response::new(()))
    }));
    let token = server.tokens().access_token;
    server
        .block_on(async { tower::Service::call(&mut service, mcp_request(&token)).await })
        .unwrap_or_else(|never| match never {});
    let found = found.lock().expect("one at a time").take();
    found.expect("the guard let it through")
}

/// A token that is kept.
#[divan::bench(sample_size = 200)]
fn kept_token(bencher: Bencher<'_, '_>) {
    let server = memory(Algorithm::Es256);
    let caller = caller(&server);
    let first = server.block_on(async { caller.downstream_token(SCOPE).await });
    first.expect("Entra gives one");
    bencher.bench_local(|| {
        let token = pin!(caller.downstream_token(black_box(SCOPE)));
        let token = token.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(token, Poll::Ready(Ok(_))));
    });
}

/// An exchange from the tool's question to its answer, but for Entra's share.
#[divan::bench]
fn exchange(bencher: Bencher<'_, '_>) {
    let server = memory(Algorithm::Es256);
    let caller = caller(&server);
    let asked = Cell::new(0_u64);
    bencher.bench_local(|| {
        asked.set(asked.get() + 1);
        let scope = format!("api://downstream/scope-{}", asked.get());
        let token = server.block_on(async { caller.downstream_token(&*scope).await });
        token.expect("Entra gives one")
    });
}

/// The guard's part of the same call, to compare with.
#[divan::bench(sample_size = 200)]
fn guard(bencher: Bencher<'_, '_>) {
    let server = memory(Algorithm::Es256);
    let token = server.tokens().access_token;
    let mut service = server.guarded(super::in_process::NoOp);
    call(&mut service, mcp_request(&token));
    bencher
        .with_inputs(|| mcp_request(&token))
        .bench_local_values(|request| call(&mut service, black_box(request)));
}

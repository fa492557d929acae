//! What the guard costs a request that carries one of our own access tokens.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use divan::{Bencher, black_box};
use entrada::VerifiedToken;
use entrada::access_token::TokenFacts;
use entrada::jwt::jwks::Algorithm;
use entrada::oauth::client::ClientId;
use http::{HeaderValue, Request, Response};
use tower::Service as _;

use super::in_process::{NOW, NoOp, Server, Tokens, call, mcp_request, refreshing};
use super::parts::{Signature, StoredGrant};
use super::{ALGORITHMS, embedded, memory};

/// Gives access tokens of one grant, each for the first time: a refresh token that was just
/// replaced is answered again and again.
pub(crate) fn new_tokens(server: &Server) -> impl Fn() -> String {
    let first = server.tokens().refresh_token;
    let again = move || Tokens::read(&server.answer(refreshing(&first))).access_token;
    again();
    again
}

/// A token the guard has seen before.
#[divan::bench(sample_size = 200)]
fn remembered_token(bencher: Bencher<'_, '_>) {
    let server = memory(Algorithm::Es256);
    let token = server.tokens().access_token;
    let mut service = server.guarded(NoOp);
    call(&mut service, mcp_request(&token));
    bencher
        .with_inputs(|| mcp_request(&token))
        .bench_local_values(|request| call(&mut service, black_box(request)));
}

/// The same in an MCP session, which must be the caller's own.
#[divan::bench(sample_size = 200)]
fn remembered_token_in_session(bencher: Bencher<'_, '_>) {
    let server = memory(Algorithm::Es256);
    let token = server.tokens().access_token;
    let session = opened_session(&server, &token);
    let request = || {
        let mut request = mcp_request(&token);
        let headers = request.headers_mut();
        headers.insert("mcp-session-id", session.clone());
        request
    };
    let mut service = server.guarded(NoOp);
    bencher
        .with_inputs(request)
        .bench_local_values(|request| call(&mut service, black_box(request)));
}

/// The id a client gets for a session that the service behind the guard opens.
fn opened_session(server: &Server, token: &str) -> HeaderValue {
    let opens = tower::service_fn(async |_: Request<()>| {
        let opened = Response::builder().header("mcp-session-id", "7d1cbd1e-session");
        opened.body(())
    });
    let opened = pin!(server.guarded(opens).call(mcp_request(token)));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(opened)) = opened.poll(&mut cx) else {
        unreachable!("no store waits to read");
    };
    let id = opened.headers().get("mcp-session-id");
    id.expect("a session").clone()
}

/// The part of that no guard can do without: the identity in the request extensions.
#[divan::bench(sample_size = 200)]
fn extension_alone(bencher: Bencher<'_, '_>) {
    let client_id = ClientId::parse("client").expect("a client id");
    let facts = TokenFacts::new(String::new(), String::new(), client_id, NOW);
    let token = VerifiedToken::assertion(facts);
    bencher
        .with_inputs(|| mcp_request("token"))
        .bench_local_values(|mut request| {
            request.extensions_mut().insert(token.clone());
            black_box(request);
        });
}

fn new_token(bencher: Bencher<'_, '_>, server: &Server) {
    let token = new_tokens(server);
    let mut service = server.guarded(NoOp);
    bencher
        .with_inputs(|| mcp_request(&token()))
        .bench_local_values(|request| call(&mut service, black_box(request)));
}

/// A token the guard has not seen before.
#[divan::bench(args = ALGORITHMS)]
fn new_token_memory(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    new_token(bencher, &memory(algorithm));
}

#[divan::bench(args = ALGORITHMS)]
fn new_token_embedded(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let (server, _folder) = embedded(algorithm);
    new_token(bencher, &server);
}

/// The first part of that: the signature.
#[divan::bench(args = ALGORITHMS)]
fn signature_alone(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let server = memory(algorithm);
    let signature = Signature::of(&server.tokens().access_token, &server);
    bencher.bench_local(|| black_box(&signature).check());
}

fn grant_alone(bencher: Bencher<'_, '_>, server: &Server) {
    let grant = StoredGrant::of(&server.tokens().access_token, server);
    bencher.bench_local(|| black_box(&grant).read());
}

/// The other part: the grant, read and opened.
#[divan::bench]
fn grant_alone_memory(bencher: Bencher<'_, '_>) {
    grant_alone(bencher, &memory(Algorithm::Es256));
}

#[divan::bench]
fn grant_alone_embedded(bencher: Bencher<'_, '_>) {
    let (server, _folder) = embedded(Algorithm::Es256);
    grant_alone(bencher, &server);
}

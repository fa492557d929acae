//! The benchmarks still do what they measure.

use std::sync::Arc;

use entrada::jwt::jwks::Algorithm;
use entrada::store::MemoryStore;

#[path = "../benches/server/in_process.rs"]
mod in_process;

use in_process::{NoOp, Server, Tokens, call, mcp_request, refreshing};

#[test]
fn codes_are_redeemed_tokens_refreshed_and_requests_let_through() {
    let server = Server::new(Arc::new(MemoryStore::new()), Algorithm::Es256);
    let first = server.tokens();
    let second = Tokens::read(&server.answer(refreshing(&first.refresh_token)));
    assert_ne!(first.refresh_token, second.refresh_token);
    let mut guarded = server.guarded(NoOp);
    for token in [&first.access_token, &second.access_token] {
        call(&mut guarded, mcp_request(token));
    }
}

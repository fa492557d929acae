//! What an operator does with a gateway, beside it and from outside.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the shared parts of tests are tests too"
)]

#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/browser.rs"]
mod browser;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/client.rs"]
mod client;
mod command;
mod json;
#[path = "../../../entrada/tests/it/mcp_server.rs"]
mod mcp_server;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/web.rs"]
mod web;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/world.rs"]
mod world;

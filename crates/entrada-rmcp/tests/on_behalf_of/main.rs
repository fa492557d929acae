//! Tools that call an API as their caller: an emulated Entra, the server, a browser and a client.
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
mod direct;
#[path = "../../../entrada/tests/it/mcp_server.rs"]
mod mcp_server;
#[path = "../it/client.rs"]
mod rpc;
mod server;
mod tools;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/web.rs"]
mod web;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/world.rs"]
mod world;

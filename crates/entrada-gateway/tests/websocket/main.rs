//! WebSockets through the gateway, on real sockets: an emulated Entra, a browser and a client.
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
mod ending;
#[path = "../../../entrada/tests/it/log.rs"]
mod log;
#[path = "../../../entrada/tests/it/mcp_server.rs"]
mod mcp_server;
mod passing;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/prover.rs"]
mod prover;
mod refusing;
mod stage;
mod ways;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/web.rs"]
mod web;
#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/world.rs"]
mod world;

//! The emulator, driven through its router: every rule with its `AADSTS` code.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the shared parts of tests are tests too"
)]

mod agents;
mod authorize;
mod b2c;
mod client_auth;
mod clouds;
mod code;
mod conditional_access;
mod consent;
mod continuous_access;
mod control;
mod device;
mod discovery;
mod external_id;
mod federated;
mod graph;
mod hostile;
mod managed_identity;
mod mint;
mod on_behalf_of;
mod pages;
mod refresh;
mod sockets;
mod tokens;
mod world;

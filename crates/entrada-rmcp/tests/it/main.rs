//! An rmcp server behind the guard.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod client;
mod guard;
mod guarded_server;

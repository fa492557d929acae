//! An rmcp server behind the guard.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod bodies;
mod client;
mod guard;
mod guarded_server;
mod handler;
mod socket;
mod step_up;
mod tool_list;
mod vault;

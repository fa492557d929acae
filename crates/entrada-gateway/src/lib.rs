//! The parts of `entrada`, the gateway that puts Microsoft Entra ID in front of an MCP server.
//!
//! The program is `main.rs`; its parts are a library so that tests can hold them one by one, and
//! carry no semver promise. No protocol is in here: OAuth and Entra are the library's, and what an
//! MCP client and an MCP server say to each other goes through unread.

pub mod access_log;
pub mod command;
pub mod config;
pub mod gateway;
pub mod health;
pub mod server;
pub mod signals;
pub mod telemetry;
pub mod upstream;

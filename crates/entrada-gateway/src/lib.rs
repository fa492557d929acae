//! The parts of `entrada`, the program that puts Microsoft Entra ID in front of an MCP server.
//!
//! They are a library so that tests can hold them one by one, and carry no semver promise. No
//! protocol is in here: OAuth and Entra are the library's, and what an MCP client and an MCP server
//! say to each other goes through unread, or, to a child process, as the bytes it is, unless rules, the
//! audit log or a limit have to know what is called.
//!
#![doc = include_str!("../README.md")]

pub mod access_log;
pub mod acme;
pub mod audit;
pub mod called;
pub mod command;
pub mod config;
pub mod control;
mod gate;
pub mod gateway;
pub mod health;
mod live;
pub mod message;
pub mod metrics;
pub mod policy;
pub mod rate;
mod reload;
pub mod route;
mod seats;
pub mod server;
pub mod signals;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod unread;
pub mod upstream;
mod websocket;

//! The MCP server behind us, and the way to it.

mod content;
pub mod error;
pub mod exchange;
pub mod headers;
pub mod http;
pub mod identity;
pub mod target;
mod tls;

pub use crate::upstream::tls::UpstreamError;

//! WebSockets: their opening is read, and of what follows where frames end (RFC 6455).
//!
//! No revision of MCP speaks over one, but some servers do, and others have some besides.

mod closing;
mod frames;
mod handshake;
mod tunnel;

pub(crate) use handshake::{Opening, is_asked_for};
pub(crate) use tunnel::{Ending, Ends, Tunnel};

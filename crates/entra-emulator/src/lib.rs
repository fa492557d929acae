//! A pretend Microsoft Entra ID, for tests and demonstrations.
//!
//! It answers as Entra does, errors included: discovery, keys, authorization with pages a person
//! or a script can fill in, the token grants, v1 and v2 tokens, a little Microsoft Graph. Where
//! Entra leaves the RFCs it leaves them too; [`quirks`] lists the places. A [`Control`] makes it
//! misbehave on demand.
//!
//! ```
//! # use entra_emulator::{Emulator, Options};
//! let emulator = Emulator::new(Options::default());
//! let router = emulator.router(); // drive it in-process, or `emulator.serve(…)` it
//! emulator.control().rotate_keys();
//! # drop::<axum::Router>(router);
//! ```
//!
//! # Security
//!
//! Every key, secret and password in the built-in directory is public, and the control API asks
//! nobody who they are. Listen on loopback only.

mod access_token;
mod authorize;
pub mod builtin;
mod calendar;
mod control;
pub mod directory;
mod discovery;
mod emulator;
mod error;
mod faults;
mod graph;
mod id_token;
mod jwt;
mod keys;
pub mod quirks;
mod random;
mod scope;
mod server;
mod state;
mod token;

pub use crate::control::Control;
pub use crate::directory::Directory;
pub use crate::emulator::{Clock, Emulator, Options};
pub use crate::faults::{Endpoint, Failure, GrantType};
pub use crate::server::{Listen, Running, ServeError};

#![doc = include_str!("../README.md")]

mod access_token;
mod authorize;
mod b2c;
pub mod builtin;
mod calendar;
mod cloud;
mod control;
mod device;
pub mod directory;
mod discovery;
mod emulator;
mod error;
mod faults;
mod graph;
mod id_token;
mod jwt;
mod keys;
mod place;
pub mod quirks;
mod random;
mod refusal;
mod scope;
mod server;
mod state;
mod token;
mod version;

pub use crate::cloud::{Cloud, UnknownCloud};
pub use crate::control::Control;
pub use crate::control::mint::MintError;
pub use crate::control::order::{Signer, TokenOrder};
pub use crate::directory::Directory;
pub use crate::emulator::{Clock, Emulator, Options};
pub use crate::faults::{Endpoint, Failure, GrantType};
pub use crate::refusal::GrantRefusal;
pub use crate::server::{Listen, Running, ServeError};

#![doc = include_str!("../../../README.md")]

pub mod access_token;
pub mod authorization_server;
pub mod entra;
pub mod grant;
pub mod jwt;
pub mod keys;
pub mod oauth;
pub mod on_behalf_of;
pub mod platform;
mod private_file;
pub mod provider;
pub mod resource_server;
pub mod secret;
mod single_flight;
pub mod store;

pub use access_token::VerifiedToken;
pub use on_behalf_of::OnBehalfOf;
pub use platform::Platform;
pub use provider::{AzureConfig, AzureProvider};

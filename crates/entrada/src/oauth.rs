//! OAuth's nouns, each parsed once and right from then on. Pure.

pub(crate) mod challenge;
pub mod claims_request;
pub mod client;
pub mod client_document;
pub mod error;
pub mod issuer;
pub mod metadata;
pub mod params;
pub mod pkce;
pub mod redirect_pattern;
pub mod redirect_uri;
pub mod resource;
pub mod scope;

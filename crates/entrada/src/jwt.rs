//! JSON Web Tokens: keys and `now` are arguments. Pure.
//!
//! Our own few lines over the crypto library rather than a JWT crate: an algorithm that belongs
//! to the key and never to the token, a `typ` that must be named, times that must be there, and
//! keys parsed once (RFC 8725; `docs/adr/0010-own-jose.md`).

pub(crate) mod assertion;
pub mod client_assertion;
pub mod dpop;
pub mod identity_assertion;
pub mod jwks;
pub mod sign;
pub(crate) mod text;
pub mod thumbprint;
pub mod unverified;
pub mod verify;

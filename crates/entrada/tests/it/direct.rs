//! Entra's own tokens at the guard, without an authorization server of ours.

mod groups;
mod metadata;
mod obo;
mod outage;
mod several;
mod steps;
mod tokens;
pub(crate) mod world;

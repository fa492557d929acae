//! The key a family of refresh tokens is bound to.

use serde::{Deserialize, Serialize};

use super::AuthenticatedClient;
use crate::jwt::thumbprint::JwkThumbprint;

/// The key that every refresh token of a grant is of use with alone, if its client is public
/// (RFC 9449 §5): others prove themselves in another way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub(super) struct Binding {
    key: JwkThumbprint,
    /// Whether tokens of the family were given out before, which are bound to nothing.
    late: bool,
}

/// What a client that refreshes has of the key it should have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Holds {
    /// The key, or there is none.
    Key,
    /// Not the key, which every token of the family was always bound to. Whoever it is has a token
    /// that leaked, and it is of no use: nothing need be revoked, and nobody can have it revoked.
    Nothing,
    /// Not the key; it was bound later, and may be a thief's.
    NotTheLater,
}

impl Binding {
    /// What the first token is bound to.
    pub(super) fn first(client: &AuthenticatedClient) -> Option<Self> {
        let key = client.refresh_key()?;
        Some(Self { key, late: false })
    }

    /// What the next token is bound to that `client` is given.
    pub(super) fn next(bound: Option<Self>, client: &AuthenticatedClient) -> Option<Self> {
        let later = || {
            let key = client.refresh_key()?;
            Some(Self { key, late: true })
        };
        bound.or_else(later)
    }

    /// Whether `client` has the key, if there is one.
    pub(super) fn holds(bound: Option<Self>, client: &AuthenticatedClient) -> Holds {
        match bound {
            Some(bound) if client.key() == Some(bound.key) => Holds::Key,
            None => Holds::Key,
            Some(Self { late: false, .. }) => Holds::Nothing,
            Some(Self { late: true, .. }) => Holds::NotTheLater,
        }
    }
}

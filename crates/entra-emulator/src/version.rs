//! Entra's two generations.

/// Which generation an endpoint or a token is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

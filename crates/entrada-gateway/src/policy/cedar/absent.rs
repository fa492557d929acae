//! What there is without the feature `cedar`: no policies.

use std::path::Path;

use entrada::access_token::TokenFacts;

use super::CedarError;
use crate::policy::{Call, Denial};

/// Policies in Cedar; there are none without the feature `cedar`.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no value of it")]
pub enum CedarPolicies {}

impl CedarPolicies {
    /// Reads the policies in the file at `path`.
    ///
    /// # Errors
    ///
    /// [`CedarError::NotBuilt`].
    pub const fn read(_: &Path) -> Result<Self, CedarError> {
        Err(CedarError::NotBuilt)
    }

    /// Whether any of them speaks of groups.
    pub const fn speaks_of_groups(&self) -> bool {
        match *self {}
    }

    pub(in crate::policy) fn decide(
        &self,
        _: Call<'_>,
        _: &str,
        _: &TokenFacts,
    ) -> Result<(), Denial> {
        match *self {}
    }
}

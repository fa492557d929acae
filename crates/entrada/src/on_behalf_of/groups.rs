//! Groups, looked up on behalf of whoever gave a grant.

use async_trait::async_trait;

use super::{DownstreamRequest, OnBehalfOf};
use crate::access_token::{PresentedToken, TokenFacts};
use crate::entra::groups::{GraphAccess, GroupsError, own_path};
use crate::platform::Timestamp;
use crate::secret::EntraAccessToken;

/// Groups are looked up in the name of whoever gave the grant.
#[derive(Debug)]
pub(crate) struct GrantAccess {
    on_behalf_of: OnBehalfOf,
    /// Everything that was consented to at Graph.
    scope: String,
}

impl GrantAccess {
    pub(crate) fn new(on_behalf_of: OnBehalfOf, scope: String) -> Self {
        Self {
            on_behalf_of,
            scope,
        }
    }
}

#[async_trait]
impl GraphAccess for GrantAccess {
    fn path(&self, facts: &TokenFacts) -> Result<String, GroupsError> {
        own_path(facts)
    }

    async fn token(
        &self,
        facts: &TokenFacts,
        _: PresentedToken<'_>,
        _: Timestamp,
    ) -> Result<EntraAccessToken, GroupsError> {
        let request = DownstreamRequest::new(&self.scope);
        let token = self.on_behalf_of.under_grant(facts, request).await;
        let given = token.map_err(|error| GroupsError::Token(Box::new(error)))?;
        Ok(given.token)
    }
}

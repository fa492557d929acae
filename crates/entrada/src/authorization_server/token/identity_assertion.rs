//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` with an ID-JAG (RFC 7523 §2.1; MCP,
//! *Enterprise-Managed Authorization*).

use super::{Issued, TokenError};
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::correlation::CorrelationId;
use crate::grant::{AuthenticatedClient, OwnPrincipal};
use crate::jwt::identity_assertion::{
    ExpectedAssertion, IdentityAssertion, IdentityAssertionError, verify,
};
use crate::jwt::unverified::UnverifiedJwt;
use crate::oauth::params::Params;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::store::Written;

impl AuthorizationServer {
    /// A token for a user another issuer vouches for, to the client it vouched to.
    pub(super) async fn issue_by_assertion(
        &self,
        params: &Params,
        client: &AuthenticatedClient,
        now: Timestamp,
        correlation: &CorrelationId,
    ) -> Result<Issued, TokenError> {
        let presented = params.get("assertion");
        let presented = presented.ok_or(TokenError::Missing("assertion"))?;
        self.is_resource(&self.resources(params)?)?;
        let assertion = self.verified(presented, client, now).await?;
        let scope = self.granted(params, &self.asserted_scope(&assertion))?;
        // Last: what is wrong with the request must not use it up.
        match self.0.store.spend_identity_assertion(&assertion).await? {
            Written::Yes => {}
            Written::Conflict | Written::Revoked => {
                return Err(IdentityAssertionError::Replayed.into());
            }
        }
        let who = OwnPrincipal::asserted(&assertion);
        self.issue_without_login(client, (who, scope), now, correlation)
            .await
    }

    async fn verified(
        &self,
        presented: &str,
        client: &AuthenticatedClient,
        now: Timestamp,
    ) -> Result<IdentityAssertion, TokenError> {
        let jwt = UnverifiedJwt::parse(presented).map_err(IdentityAssertionError::from)?;
        let (issuer, keys) = self.0.issuers.named(&jwt)?;
        let key = keys.key(&jwt, now).await?;
        let config = &self.0.config;
        let expected = ExpectedAssertion {
            issuer,
            audience: config.issuer.as_str(),
            client: client.id(),
            resource: &config.resource,
            key: client.key(),
        };
        Ok(verify(&jwt, &key, &expected, now)?)
    }

    /// What the issuer lets the client do, in our spelling; what is required where it does not say: a
    /// client that named no scope there could else name any here.
    fn asserted_scope(&self, assertion: &IdentityAssertion) -> Scope {
        let policy = &self.0.config.scopes;
        let scope = assertion.scope.as_ref();
        scope.map_or_else(|| policy.required().clone(), |scope| policy.in_short(scope))
    }
}

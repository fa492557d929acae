//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` with an ID-JAG (RFC 7523 §2.1; MCP,
//! *Enterprise-Managed Authorization*).

use super::{Issued, TokenError, granted};
use crate::authorization_server::correlation::CorrelationId;
use crate::authorization_server::{AuthorizationServer, ScopePolicy};
use crate::grant::{AuthenticatedClient, OwnPrincipal};
use crate::jwt::identity_assertion::{
    ExpectedAssertion, IdentityAssertion, IdentityAssertionError, verify,
};
use crate::jwt::unverified::UnverifiedJwt;
use crate::oauth::params::Params;
use crate::oauth::resource::AskedResources;
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
        let asked = self.asked_resources(params)?;
        let assertion = self.verified(presented, (client, &asked), now).await?;
        let resources = &self.0.config.resources;
        let resource = resources.of(&assertion.resource);
        let resource = resource.ok_or(IdentityAssertionError::OtherResource)?;
        let allowed = asserted_scope(&assertion, &resource.scopes);
        let scope = granted(params, &resource.scopes, &allowed)?;
        // Last: what is wrong with the request must not use it up.
        match self.0.store.spend_identity_assertion(&assertion).await? {
            Written::Yes => {}
            Written::Conflict | Written::Revoked => {
                return Err(IdentityAssertionError::Replayed.into());
            }
        }
        let who = OwnPrincipal::asserted(&assertion);
        self.issue_without_login(client, (who, resource, scope), now, correlation)
            .await
    }

    async fn verified(
        &self,
        presented: &str,
        (client, resources): (&AuthenticatedClient, &AskedResources),
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
            resources,
            key: client.key(),
        };
        Ok(verify(&jwt, &key, &expected, now)?)
    }
}

/// What the issuer lets the client do, in our spelling; what is required where it does not say: a
/// client that named no scope there could else name any here.
fn asserted_scope(assertion: &IdentityAssertion, policy: &ScopePolicy) -> Scope {
    let scope = assertion.scope.as_ref();
    scope.map_or_else(|| policy.required().clone(), |scope| policy.in_short(scope))
}

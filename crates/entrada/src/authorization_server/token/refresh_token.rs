//! `grant_type=refresh_token` (RFC 6749 §6).

use super::{Issued, TokenError};
use crate::audit::{Act, Decision};
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::correlation::CorrelationId;
use crate::authorization_server::renewal::RenewalError;
use crate::grant::{AuthenticatedClient, PresentedRefreshToken, RefreshRequest};
use crate::keys::KeyRing;
use crate::oauth::params::Params;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::RefreshToken;
use crate::store::StoreError;

impl AuthorizationServer {
    pub(super) async fn refresh(
        &self,
        params: &Params,
        client: &AuthenticatedClient,
        now: Timestamp,
        correlation: &CorrelationId,
    ) -> Result<Issued, TokenError> {
        let token = params
            .get("refresh_token")
            .ok_or(TokenError::Missing("refresh_token"))?;
        let scope = self.narrower(params)?;
        let request = RefreshRequest::new(scope, self.asked_resources(params)?);
        let authentic = |ring: &KeyRing| {
            PresentedRefreshToken::authenticate(RefreshToken::new(token), ring.sealing())
        };
        let presented = self
            .0
            .keys
            .find(authentic)
            .await
            .map_err(StoreError::from)?;
        let presented = presented.ok_or(TokenError::UnknownRefreshToken)?;
        let rotated = self
            .0
            .renewer
            .rotate(&presented, client, &request, now)
            .await;
        let rotated = rotated.inspect_err(|error| {
            if matches!(error, RenewalError::Replayed) {
                let grant = presented.grant();
                tracing::warn!(
                    correlation_id = %correlation,
                    %grant,
                    "a refresh token was replayed: its grant is revoked"
                );
                let event = self.event(Act::ReplayedRefreshToken, Decision::Allowed);
                let event = event.of_client(client.id(), None).of_grant(grant);
                self.tell(event, correlation);
            }
        })?;
        let grant = &rotated.grant;
        tracing::info!(correlation_id = %correlation, grant = %grant.id(), how = ?rotated.how, "grant refreshed");
        let scope = request.scope.map_or_else(
            || grant.scope().clone(),
            |narrower| narrower.intersection(grant.scope()),
        );
        let lifetime = rotated.access_token_lifetime(self.0.config.lifetimes, now);
        let terms = (scope, Some(rotated.token), lifetime);
        self.issued(grant, client, terms, now)
    }

    /// The scope asked for, in our spelling; what OpenID Connect adds does not count.
    fn narrower(&self, params: &Params) -> Result<Option<Scope>, TokenError> {
        let Some(text) = params.get("scope") else {
            return Ok(None);
        };
        let asked = Scope::parse(text).map_err(|_| TokenError::Scope)?;
        let ours = self.0.config.resources.in_short(&asked);
        Ok((!ours.is_empty()).then_some(ours))
    }
}

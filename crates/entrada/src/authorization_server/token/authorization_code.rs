//! `grant_type=authorization_code` (RFC 6749 §4.1.3).

use super::{Issued, TokenError};
use crate::audit::{Act, Decision};
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::correlation::CorrelationId;
use crate::grant::{AuthenticatedClient, CodeRequest, RefreshTerm};
use crate::oauth::params::Params;
use crate::oauth::resource::AskedResources;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, CodeVerifier, RefreshToken};
use crate::store::{Redeemed, Written};

impl AuthorizationServer {
    pub(super) async fn redeem(
        &self,
        params: &Params,
        client: &AuthenticatedClient,
        now: Timestamp,
        correlation: &CorrelationId,
    ) -> Result<Issued, TokenError> {
        let request = parse(params, self.asked_resources(params)?)?;
        let store = &self.0.store;
        // From here on the code is spent, whatever comes of it.
        let code = match store.redeem_code(&request.code, now).await? {
            Redeemed::Fresh(code) => code,
            Redeemed::Unknown => return Err(TokenError::UnknownCode),
            // RFC 6749 §4.1.2: a second use revokes what the first one got.
            Redeemed::Replayed(grant) => {
                store.revoke_grant(&grant, now).await?;
                tracing::warn!(correlation_id = %correlation, %grant, "a code was replayed: its grant is revoked");
                let event = self.event(Act::ReplayedCode, Decision::Allowed);
                let event = event.of_client(client.id(), None).of_grant(grant);
                self.tell(event, correlation);
                return Err(TokenError::ReplayedCode);
            }
        };
        let token = code.is_refreshable().then(|| {
            let ring = self.0.keys.current();
            RefreshToken::issue(code.grant_id(), ring.sealing(), &*self.0.platform.random)
        });
        let lifetimes = self.0.config.lifetimes;
        let first = token
            .as_ref()
            .map(|token| RefreshTerm::new(token, now + lifetimes.refresh_token));
        let grant = code.redeem(&request, client, first, now)?;
        match store.put_grant(&grant).await? {
            Written::Yes => {}
            // A replay was faster than this write.
            Written::Conflict | Written::Revoked => return Err(TokenError::ReplayedCode),
        }
        tracing::info!(
            correlation_id = %correlation,
            grant = %grant.id(),
            client_id = %grant.client_id(),
            tenant_id = %grant.principal().tenant_id,
            object_id = grant.principal().object_id,
            "grant issued"
        );
        let lifetime = grant.access_token_lifetime(lifetimes, now);
        let scope = grant.scope().clone();
        self.issued(&grant, client, (scope, token, lifetime), now)
    }
}

fn parse(params: &Params, resources: AskedResources) -> Result<CodeRequest, TokenError> {
    let code = params.get("code").ok_or(TokenError::Missing("code"))?;
    let verifier = params
        .get("code_verifier")
        .ok_or(TokenError::Missing("code_verifier"))?;
    let (code, verifier) = (AuthorizationCode::new(code), CodeVerifier::new(verifier));
    let mut request = CodeRequest::new(code, verifier, resources);
    request.redirect_uri = params.get("redirect_uri").map(str::to_owned);
    Ok(request)
}

//! Who signed in.

use std::time::Duration;

use super::authority::Authority;
use super::claims::EntraClaims;
use super::error::EntraError;
use super::trust::Trust;
use crate::access_token::{Claimed, Principal, PrincipalKind, VerifyError};
use crate::jwt::unverified::UnverifiedJwt;
use crate::platform::{Platform, Timestamp};
use crate::secret::{EntraIdToken, Nonce};

/// By how much our clock and Entra's may differ (Microsoft: no more than five minutes).
const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Verifies ID tokens for our app registration (OpenID Connect Core §3.1.3.7).
#[derive(Debug)]
pub(super) struct IdTokenVerifier {
    client_id: String,
    trust: Trust,
}

impl IdTokenVerifier {
    pub(super) fn new(authority: &Authority, client_id: String, platform: Platform) -> Self {
        Self {
            client_id,
            trust: Trust::new(authority, platform),
        }
    }

    /// Verifies `token` and, if there is one, that it answers `nonce`.
    pub(super) async fn verify(
        &self,
        token: &EntraIdToken,
        nonce: Option<&Nonce>,
        now: Timestamp,
    ) -> Result<Principal, EntraError> {
        let jwt = UnverifiedJwt::parse(token.expose());
        let jwt = jwt.map_err(|error| VerifyError::Token(error.into()))?;
        let evidence = self.trust.evidence(&jwt, now).await?;
        let payload = Trust::authentic(&jwt, &evidence).map_err(VerifyError::Token)?;
        let mut claims = EntraClaims::read(payload).map_err(VerifyError::Token)?;
        let tenant_id = self.trust.tenant(claims.said(), &evidence)?;
        if !claims.aud.contains(&self.client_id) {
            return Err(VerifyError::Audience {
                expected: self.client_id.clone(),
                got: Claimed::new(claims.aud.first()),
            }
            .into());
        }
        let times = claims.times().admit(LEEWAY, LEEWAY, now);
        times.map_err(VerifyError::Token)?;
        let answers = |nonce: &Nonce| claims.nonce.as_deref() == Some(nonce.expose());
        // Grants are kept by the user's object id.
        if !nonce.is_none_or(answers) || claims.oid.is_none() {
            return Err(EntraError::WrongLogin);
        }
        Ok(claims.principal(PrincipalKind::User, tenant_id))
    }
}

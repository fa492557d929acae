//! Who signed in.

use std::sync::OnceLock;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::authority::{Authority, IssuerRule};
use super::document;
use super::error::EntraError;
use super::keys::EntraKeys;
use crate::access_token::Principal;
use crate::jwt::jwks::Algorithm;
use crate::jwt::unverified::UnverifiedJwt;
use crate::jwt::verify::{Claims, Expected, ExpectedIssuer, ExpectedType, JwtError, verify};
use crate::platform::{Platform, Timestamp};
use crate::secret::{EntraIdToken, Nonce};

/// By how much our clock and Entra's may differ (Microsoft: no more than five minutes).
const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Verifies ID tokens for our app registration (OpenID Connect Core §3.1.3.7).
#[derive(Debug)]
pub(super) struct IdTokenVerifier {
    client_id: String,
    rule: IssuerRule,
    configuration: Uri,
    discovered: OnceLock<String>,
    keys: EntraKeys,
    platform: Platform,
}

impl IdTokenVerifier {
    pub(super) fn new(authority: &Authority, client_id: String, platform: Platform) -> Self {
        Self {
            client_id,
            rule: authority.issuer_rule(),
            configuration: authority.openid_configuration().clone(),
            discovered: OnceLock::new(),
            keys: EntraKeys::new(authority.jwks_uri().clone(), platform.clone()),
            platform,
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
        let jwt = jwt.map_err(|error| EntraError::IdToken(error.into()))?;
        let kid = jwt.kid().ok_or(EntraError::IdToken(JwtError::UnknownKey))?;
        let key = self.keys.key(kid, now).await?;
        let key = key.ok_or(EntraError::IdToken(JwtError::UnknownKey))?;
        let issuer = match &self.rule {
            IssuerRule::Exactly(issuer) => ExpectedIssuer::Exactly(issuer),
            IssuerRule::PerTenant(template) => ExpectedIssuer::PerTenant(template),
            IssuerRule::Discover => ExpectedIssuer::Exactly(self.discovered().await?),
        };
        let audience = [self.client_id.as_str()];
        let algorithms = [Algorithm::Rs256];
        let mut expected = Expected::new(issuer, &audience, &algorithms, ExpectedType::Jwt);
        expected.leeway = LEEWAY;
        let verified = verify(&jwt, &key, &expected, now).map_err(EntraError::IdToken)?;
        principal(verified.into_claims(), nonce).ok_or(EntraError::WrongLogin)
    }

    /// The issuer that the authority's own discovery document names.
    async fn discovered(&self) -> Result<&str, EntraError> {
        if let Some(issuer) = self.discovered.get() {
            return Ok(issuer);
        }
        let document = document(&self.platform, &self.configuration).await?;
        let document: Document =
            serde_json::from_slice(&document).map_err(|_| EntraError::Malformed)?;
        Ok(self.discovered.get_or_init(|| document.issuer))
    }
}

/// The one member of a discovery document that is needed (OpenID Connect Discovery §3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
}

/// The user a verified ID token names; `None` if it names none, or answers another login.
fn principal(claims: Claims, nonce: Option<&Nonce>) -> Option<Principal> {
    let answered = nonce.is_none_or(|nonce| claims.nonce.as_deref() == Some(nonce.expose()));
    let (tenant_id, object_id) = claims.tid.zip(claims.oid).filter(|_| answered)?;
    Some(Principal {
        tenant_id,
        object_id,
        name: claims.name,
        preferred_username: claims.preferred_username,
        roles: claims.roles,
        groups: claims.groups,
    })
}

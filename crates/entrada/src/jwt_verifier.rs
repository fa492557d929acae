//! [`JwtVerifier`]: access tokens of an issuer that is neither us nor Entra.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::access_token::{
    AccessTokenVerifier, Caller, Claimed, PresentedToken, TokenClaims, TokenFacts, VerifiedToken,
    VerifyError,
};
use crate::jwt::jwks::{Algorithm, Jwks, JwksError, VerificationKey};
use crate::jwt::unverified::UnverifiedOrigin;
use crate::jwt::verify::{Audience, ExpectedType, JwtError, Times, authentic_payload};
use crate::oauth::client::ClientId;
use crate::oauth::issuer::{Issuer, IssuerError, bare_url};
use crate::oauth::scope::Scope;
use crate::platform::{Platform, Timestamp};
use crate::policy::Requirement;
use crate::published::PublishedKeys;
use crate::verdicts::Verdicts;

/// By how much our clock and the issuer's may differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// What may have signed a token; the key decides which it was.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// Verifies access tokens of one more issuer, by its keys (RFC 9068 §4, RFC 8725). Cheap to clone.
///
/// Whom its tokens speak for stands in [`TokenFacts::subject`]; they say nothing in Entra's terms,
/// so requirements of tenants, groups and app roles are met by none of them.
///
/// # Security
///
/// An issuer need not say whether a person or a program calls, so all of its callers count as
/// users, who need the scopes. A key that the issuer no longer publishes is believed for a day
/// more, as Entra's are.
#[derive(Clone, Debug)]
pub struct JwtVerifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: Issuer,
    audience: Vec<String>,
    requirement: Requirement,
    keys: Keys,
    verdicts: Verdicts,
}

#[derive(Debug)]
enum Keys {
    Published(PublishedKeys),
    Inline(Jwks),
}

/// What [`JwtVerifier`] is told.
#[derive(Clone, Debug)]
pub struct JwtVerifierConfig {
    issuer: String,
    audience: Vec<String>,
    keys: KeySource,
    requirement: Requirement,
}

#[derive(Clone, Debug)]
enum KeySource {
    At(String),
    Inline(String),
}

/// Why a [`JwtVerifier`] cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwtVerifierError {
    /// The issuer is none.
    #[error("issuer: {0}")]
    Issuer(#[source] IssuerError),
    /// Nobody is named whom tokens may be for.
    #[error("audience: name this server as the issuer's tokens do")]
    Audience,
    /// The keys are at no URL.
    #[error("jwks_uri: {0}")]
    JwksUri(#[source] IssuerError),
    /// The keys are none.
    #[error("keys: {0}")]
    Keys(#[source] JwksError),
    /// There is no key to verify with.
    #[error("keys: none of them is for RS256, ES256 or EdDSA signatures")]
    NoKey,
    /// A requirement that nobody can meet.
    #[error("requirement: nobody can meet it: {0}")]
    Requirement(String),
}

impl JwtVerifierConfig {
    /// Tokens of `issuer`, whose keys are published at `jwks_uri`.
    pub fn published(issuer: impl Into<String>, jwks_uri: impl Into<String>) -> Self {
        Self::of(issuer.into(), KeySource::At(jwks_uri.into()))
    }

    /// Tokens of `issuer`, whose keys are in this JSON Web Key Set.
    pub fn inline(issuer: impl Into<String>, jwks: impl Into<String>) -> Self {
        Self::of(issuer.into(), KeySource::Inline(jwks.into()))
    }

    fn of(issuer: String, keys: KeySource) -> Self {
        Self {
            issuer,
            audience: Vec::new(),
            keys,
            requirement: Requirement::default(),
        }
    }

    /// The names tokens may call this server by.
    #[must_use]
    pub fn audience(mut self, audience: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.audience = audience.into_iter().map(Into::into).collect();
        self
    }

    /// What every token must have, such as scopes.
    #[must_use]
    pub fn requirement(mut self, requirement: Requirement) -> Self {
        self.requirement = requirement;
        self
    }
}

impl JwtVerifier {
    /// Puts a verifier together. Nothing is asked of the network yet.
    ///
    /// # Errors
    ///
    /// [`JwtVerifierError`]: what cannot be used, and what to change.
    pub fn new(config: JwtVerifierConfig, platform: Platform) -> Result<Self, JwtVerifierError> {
        let issuer = Issuer::parse(&config.issuer).map_err(JwtVerifierError::Issuer)?;
        if config.audience.is_empty() || config.audience.iter().any(String::is_empty) {
            return Err(JwtVerifierError::Audience);
        }
        if let Some(mistake) = config.requirement.mistake() {
            return Err(JwtVerifierError::Requirement(mistake.to_owned()));
        }
        Ok(Self(Arc::new(Inner {
            issuer,
            audience: config.audience,
            requirement: config.requirement,
            keys: Keys::of(config.keys, platform)?,
            verdicts: Verdicts::new(LEEWAY),
        })))
    }
}

impl Keys {
    fn of(source: KeySource, platform: Platform) -> Result<Self, JwtVerifierError> {
        match source {
            KeySource::Inline(json) => {
                let jwks = Jwks::parse(json.as_bytes()).map_err(JwtVerifierError::Keys)?;
                let usable = jwks.iter().any(|key| key.kid().is_some());
                usable
                    .then_some(Self::Inline(jwks))
                    .ok_or(JwtVerifierError::NoKey)
            }
            KeySource::At(url) => {
                let checked = bare_url(&url).map_err(JwtVerifierError::JwksUri)?;
                let uri: Result<Uri, _> = checked.as_str().parse();
                let not_a_url = |_| JwtVerifierError::JwksUri(IssuerError::NotAUrl);
                Ok(Self::Published(PublishedKeys::new(
                    uri.map_err(not_a_url)?,
                    platform,
                )))
            }
        }
    }

    async fn key(&self, kid: &str, now: Timestamp) -> Result<Arc<VerificationKey>, VerifyError> {
        let key = match self {
            Self::Inline(jwks) => jwks.key(kid).cloned().map(Arc::new),
            Self::Published(keys) => {
                let key = keys.key(kid, now).await;
                key.map_err(|error| VerifyError::Unavailable(Box::new(error)))?
            }
        };
        key.ok_or(VerifyError::Token(JwtError::UnknownKey))
    }
}

#[async_trait]
impl AccessTokenVerifier for JwtVerifier {
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        origin.issuer == self.0.issuer.as_str()
    }

    fn recall(&self, presented: PresentedToken<'_>, now: Timestamp) -> Option<VerifiedToken> {
        self.0.verdicts.recall(presented, now)
    }

    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let jwt = presented.jwt().map_err(JwtError::from)?;
        let kid = jwt.kid().ok_or(JwtError::UnknownKey)?;
        let key = self.0.keys.key(kid, now).await?;
        let payload = authentic_payload(&jwt, &key, &ALGORITHMS, ExpectedType::Any)?;
        let mut facts = self.0.judge(payload, now)?;
        facts.claims = TokenClaims::of(jwt.into_payload());
        let token = VerifiedToken::assertion(facts);
        Ok(self.0.verdicts.reach(presented, token, now))
    }
}

/// The claims that are acted upon (RFC 9068 §2.2, RFC 8693 §4.2).
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: Timestamp,
    nbf: Option<Timestamp>,
    iat: Option<Timestamp>,
    sub: String,
    client_id: Option<String>,
    azp: Option<String>,
    scope: Option<Scopes>,
    scp: Option<Scopes>,
    nonce: Option<IgnoredAny>,
    at_hash: Option<IgnoredAny>,
    c_hash: Option<IgnoredAny>,
    cnf: Option<IgnoredAny>,
}

/// Scopes as one string, or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scopes {
    Text(String),
    List(Vec<String>),
}

impl Scopes {
    fn parse(self) -> Result<Scope, JwtError> {
        let text = match self {
            Self::Text(text) => text,
            Self::List(list) => list.join(" "),
        };
        Scope::parse(&text).map_err(|_| JwtError::Claims)
    }
}

impl Inner {
    /// The facts of a token, if all of it holds. Pure.
    fn judge(&self, payload: &[u8], now: Timestamp) -> Result<TokenFacts, VerifyError> {
        let claims: Claims = serde_json::from_slice(payload).map_err(|_| JwtError::Claims)?;
        if claims.iss != self.issuer.as_str() {
            return Err(VerifyError::Issuer {
                expected: self.issuer.to_string(),
                got: Claimed::new(&claims.iss),
            });
        }
        if !self.audience.iter().any(|name| claims.aud.contains(name)) {
            return Err(VerifyError::Audience {
                expected: self.audience.join(" or "),
                got: Claimed::new(claims.aud.first()),
            });
        }
        let times = Times {
            exp: claims.exp,
            nbf: claims.nbf,
            iat: claims.iat,
        };
        times.admit(LEEWAY, LEEWAY, now)?;
        // RFC 8725 §3.12: what only ID tokens have must not pass for an access token.
        if claims.nonce.is_some() || claims.at_hash.is_some() || claims.c_hash.is_some() {
            return Err(VerifyError::IdToken);
        }
        if claims.cnf.is_some() {
            return Err(VerifyError::SenderConstrained);
        }
        let client_id = claims.client_id.or(claims.azp).ok_or(JwtError::Claims)?;
        let client_id = ClientId::parse(&client_id).map_err(|_| JwtError::Claims)?;
        let mut facts = TokenFacts::new(claims.iss, claims.sub, client_id, claims.exp);
        if let Some(scopes) = claims.scope.or(claims.scp) {
            facts.scope = scopes.parse()?;
        }
        match self.requirement.decide(&facts) {
            Ok(()) => Ok(facts),
            Err(shortfall) => Err(VerifyError::Forbidden(Caller::of(&facts), shortfall)),
        }
    }
}

#[cfg(test)]
mod tests;

//! Whose word about users is taken: Entra's issuers, and the keys they sign with.

use std::sync::Arc;

use serde::Deserialize;

use super::authority::Authority;
use super::error::EntraError;
use super::issuer::{Discovered, IssuerRules, Said};
use crate::access_token::VerifyError;
use crate::jwt::jwks::{Algorithm, VerificationKey};
use crate::jwt::unverified::UnverifiedJwt;
use crate::jwt::verify::{ExpectedType, JwtError, authentic_payload};
use crate::platform::{Platform, Timestamp};
use crate::published::{Published, PublishedError, PublishedKeys};

/// What Entra signs with.
const ALGORITHMS: [Algorithm; 1] = [Algorithm::Rs256];

/// The issuers of one authority, and their keys. It is made without asking the network anything.
#[derive(Debug)]
pub(super) struct Trust {
    issuers: IssuerRules,
    keys: PublishedKeys,
    metadata: Option<Published<Discovered>>,
}

/// The authority's word on one token: what is needed to judge it.
#[derive(Debug)]
pub(super) struct Evidence {
    key: Arc<VerificationKey>,
    metadata: Option<Arc<Discovered>>,
}

impl Trust {
    pub(super) fn new(authority: &Authority, platform: Platform) -> Self {
        let issuers = authority.issuers().clone();
        let metadata = issuers.need_discovery().then(|| {
            let issuers = issuers.clone();
            let read = move |document: &[u8], _: Option<&Discovered>, _| {
                let Metadata { issuer } = serde_json::from_slice(document).ok()?;
                issuers.read_metadata(&issuer)
            };
            let uri = authority.openid_configuration().clone();
            Published::new(uri, platform.clone(), read)
        });
        let keys = PublishedKeys::new(authority.jwks_uri().clone(), platform);
        Self {
            issuers,
            keys,
            metadata,
        }
    }

    /// What it takes to judge `jwt`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]: no key has the name it gives, or Entra could not be asked.
    pub(super) async fn evidence(
        &self,
        jwt: &UnverifiedJwt<'_>,
        now: Timestamp,
    ) -> Result<Evidence, EvidenceError> {
        let unknown = || EvidenceError::Token(JwtError::UnknownKey);
        let kid = jwt.kid().ok_or_else(unknown)?;
        if let Some(evidence) = self.at_hand(kid, now) {
            return Ok(evidence);
        }
        // Boxed, for what waits for the network is large, and most tokens do not.
        Box::pin(async {
            let key = self.keys.key(kid, now).await?.ok_or_else(unknown)?;
            let metadata = match &self.metadata {
                Some(metadata) => Some(metadata.get(|_| true, now).await?),
                None => None,
            };
            Ok(Evidence { key, metadata })
        })
        .await
    }

    fn at_hand(&self, kid: &str, now: Timestamp) -> Option<Evidence> {
        let key = self.keys.at_hand(kid, now)?;
        let metadata = match &self.metadata {
            Some(metadata) => Some(metadata.at_hand(|_| true, now)?),
            None => None,
        };
        Some(Evidence { key, metadata })
    }

    /// The issuer the metadata names, once it was read.
    pub(super) async fn issuer(&self, now: Timestamp) -> Option<String> {
        let metadata = self.metadata.as_ref()?.get(|_| true, now).await.ok()?;
        Some(metadata.issuer.clone())
    }

    /// The payload of `jwt`, if the key signed it.
    pub(super) fn authentic<'t>(
        jwt: &'t UnverifiedJwt<'_>,
        evidence: &Evidence,
    ) -> Result<&'t [u8], JwtError> {
        authentic_payload(jwt, &evidence.key, &ALGORITHMS, ExpectedType::Jwt)
    }

    /// The tenant of a token that says `said`.
    pub(super) fn tenant(
        &self,
        said: Said<'_>,
        evidence: &Evidence,
    ) -> Result<String, VerifyError> {
        let metadata = evidence.metadata.as_deref();
        self.issuers.admit(said, evidence.key.issuer(), metadata)
    }

    /// Whether tokens of `issuer` may be among those we judge.
    pub(super) fn may_issue(&self, issuer: &str) -> bool {
        let known = self.metadata.as_ref().and_then(Published::known);
        self.issuers.may_issue(issuer, known.as_deref())
    }
}

/// Why there is no evidence.
#[derive(Debug)]
pub(super) enum EvidenceError {
    /// The token names no key of Entra's.
    Token(JwtError),
    /// Entra's keys or metadata cannot be had.
    Published(PublishedError),
}

impl From<PublishedError> for EvidenceError {
    fn from(error: PublishedError) -> Self {
        Self::Published(error)
    }
}

impl From<EvidenceError> for VerifyError {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Token(error) => Self::Token(error),
            EvidenceError::Published(error) => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<EvidenceError> for EntraError {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Token(error) => VerifyError::Token(error).into(),
            EvidenceError::Published(error) => error.into(),
        }
    }
}

/// The one member of a discovery document that is needed (OpenID Connect Discovery §3).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
}

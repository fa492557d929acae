//! Issuers whose word on who a user is is taken (MCP, *Enterprise-Managed Authorization*).

use std::collections::HashMap;
use std::sync::Arc;

use http::Uri;

use super::token::TokenError;
use crate::jwt::identity_assertion::IdentityAssertionError;
use crate::jwt::jwks::VerificationKey;
use crate::jwt::unverified::UnverifiedJwt;
use crate::jwt::verify::JwtError;
use crate::oauth::issuer::{Issuer, IssuerError, bare_url};
use crate::platform::{Platform, Timestamp};
use crate::published::PublishedKeys;

/// An issuer whose identity assertions (ID-JAG) are taken, and where its keys are.
#[derive(Clone, Debug)]
pub(crate) struct TrustedIssuer {
    issuer: Issuer,
    jwks_uri: Uri,
}

impl TrustedIssuer {
    /// Checks both URLs.
    pub(crate) fn parse(issuer: &str, jwks_uri: &str) -> Result<Self, IssuerError> {
        let url = bare_url(jwks_uri)?;
        Ok(Self {
            issuer: Issuer::parse(issuer)?,
            jwks_uri: url.as_str().parse().map_err(|_| IssuerError::NotAUrl)?,
        })
    }
}

/// All of them, with their keys.
#[derive(Debug)]
pub(super) struct TrustedIssuers(HashMap<String, IssuerKeys>);

/// The keys of one.
#[derive(Clone, Debug)]
pub(super) struct IssuerKeys {
    jwks_uri: Uri,
    published: Arc<PublishedKeys>,
}

impl TrustedIssuers {
    pub(super) fn new(issuers: &[TrustedIssuer], platform: &Platform) -> Self {
        let keys = issuers.iter().map(|trusted| {
            let jwks_uri = trusted.jwks_uri.clone();
            let published = Arc::new(PublishedKeys::new(jwks_uri.clone(), platform.clone()));
            let keys = IssuerKeys {
                jwks_uri,
                published,
            };
            (trusted.issuer.as_str().to_owned(), keys)
        });
        Self(keys.collect())
    }

    /// Keeps the keys that `before` has of issuers that are trusted still, and publish where they did.
    pub(super) fn keeping(mut self, before: &Self) -> Self {
        for (issuer, keys) in &mut self.0 {
            let known = before.0.get(issuer);
            if let Some(known) = known.filter(|known| known.jwks_uri == keys.jwks_uri) {
                keys.clone_from(known);
            }
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The issuer a token says it is of, if it is trusted, and its keys.
    pub(super) fn named(
        &self,
        jwt: &UnverifiedJwt<'_>,
    ) -> Result<(&str, &IssuerKeys), IdentityAssertionError> {
        let origin = jwt.origin();
        let found = origin.and_then(|origin| self.0.get_key_value(&origin.issuer));
        let (issuer, keys) = found.ok_or(IdentityAssertionError::Issuer)?;
        Ok((issuer, keys))
    }
}

impl IssuerKeys {
    /// The key that a token names.
    pub(super) async fn key(
        &self,
        jwt: &UnverifiedJwt<'_>,
        now: Timestamp,
    ) -> Result<Arc<VerificationKey>, TokenError> {
        let unknown = || IdentityAssertionError::Jwt(JwtError::UnknownKey);
        let kid = jwt.kid().ok_or_else(unknown)?;
        let key = self
            .published
            .key(kid, now)
            .await
            .map_err(TokenError::IssuerKeys)?;
        Ok(key.ok_or_else(unknown)?)
    }
}

//! [`MultiAuth`]: several verifiers behind one guard.

use std::sync::Arc;

use async_trait::async_trait;

use crate::access_token::{
    AccessTokenVerifier, Claimed, PresentedToken, VerifiedToken, VerifyError,
};
use crate::jwt::unverified::UnverifiedOrigin;
use crate::jwt::verify::JwtError;
use crate::platform::Timestamp;

/// Takes tokens from several sources: people through [`AzureProvider`](crate::AzureProvider),
/// machines with Entra's own, tokens of several app registrations, or of other issuers.
///
/// Who judges a token is decided by the issuer and the audience it says it has, unverified: the
/// first verifier that is for them. No token is tried on one after the other, so what one refuses
/// no other lets in, and the refusal says why.
#[derive(Clone, Debug)]
pub struct MultiAuth(Arc<[Arc<dyn AccessTokenVerifier>]>);

impl MultiAuth {
    /// Asks the first of `verifiers` that is for a token.
    pub fn new(verifiers: impl IntoIterator<Item = Arc<dyn AccessTokenVerifier>>) -> Self {
        Self(verifiers.into_iter().collect())
    }

    /// `own`, and behind it `others`, if there are any.
    pub(crate) fn first(
        own: Arc<dyn AccessTokenVerifier>,
        others: Vec<Arc<dyn AccessTokenVerifier>>,
    ) -> Arc<dyn AccessTokenVerifier> {
        if others.is_empty() {
            own
        } else {
            Arc::new(Self::new(std::iter::once(own).chain(others)))
        }
    }
}

#[async_trait]
impl AccessTokenVerifier for MultiAuth {
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        self.0.iter().any(|verifier| verifier.is_for(origin))
    }

    fn recall(&self, presented: PresentedToken<'_>, now: Timestamp) -> Option<VerifiedToken> {
        // A verdict was reached by the one verifier that was asked.
        self.0
            .iter()
            .find_map(|verifier| verifier.recall(presented, now))
    }

    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let jwt = presented.jwt().map_err(JwtError::from)?;
        let origin = jwt.origin().ok_or(JwtError::Claims)?;
        let verifier = self.0.iter().find(|verifier| verifier.is_for(&origin));
        match verifier {
            Some(verifier) => verifier.verify(presented, now).await,
            None => Err(VerifyError::UnknownOrigin {
                issuer: Claimed::new(&origin.issuer),
                audience: Claimed::new(origin.audience.as_ref().map_or("", |names| names.first())),
            }),
        }
    }
}

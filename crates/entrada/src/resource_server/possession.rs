//! Whether whoever presents a token has the key it is bound to (RFC 9449 §7).

use axum::extract::OriginalUri;
use http::Request;
use url::Url;

use super::credentials::{Presentation, Scheme, presented};
use super::refusal::Refusal;
use crate::access_token::{Caller, VerifiedToken};
use crate::dpop::{ProofError, Proofs};
use crate::jwt::dpop::{DpopError, ExpectedProof, ProofTarget};
use crate::jwt::thumbprint::JwkThumbprint;

/// What a guard knows of proofs.
#[derive(Debug)]
pub(super) struct Possession {
    /// What judges them, where they are wanted.
    pub(super) proofs: Option<Proofs>,
    required: bool,
    /// The origin as clients know it.
    origin: Url,
}

impl Possession {
    pub(super) fn new(proofs: Option<Proofs>, origin: Url) -> Self {
        Self {
            required: proofs.as_ref().is_some_and(Proofs::are_required),
            proofs,
            origin,
        }
    }

    /// Lets a token be presented as its kind must be: one that is bound to a key with a proof, and no
    /// other so.
    pub(super) fn admit<B>(
        &self,
        token: &VerifiedToken,
        presentation: Presentation,
        request: &Request<B>,
    ) -> Result<(), Refusal> {
        match (presentation.scheme, &token.bound_to) {
            (Scheme::Bearer, None) if !self.required => Ok(()),
            (Scheme::Bearer | Scheme::Dpop, None) => Err(Refusal::UnboundToken(Caller::of(token))),
            // RFC 9449 §7.2: what a thief would try.
            (Scheme::Bearer, Some(_)) => Err(Refusal::BoundToken(Caller::of(token))),
            (Scheme::Dpop, Some(key)) => self
                .prove(*key, presentation, request)
                .map_err(|error| Refusal::Proof(Caller::of(token), error)),
        }
    }

    fn prove<B>(
        &self,
        key: JwkThumbprint,
        presentation: Presentation,
        request: &Request<B>,
    ) -> Result<(), ProofError> {
        let headers = request.headers();
        let proofs = self.proofs.as_ref().ok_or(ProofError::Missing)?;
        // A router in between may have taken the beginning of the path away.
        let path = request.extensions().get::<OriginalUri>();
        let path = path.map_or_else(|| request.uri().path(), |uri| uri.path());
        let target = ProofTarget::on_host_of(&self.origin, path).ok_or(DpopError::Target)?;
        let expected = ExpectedProof::new(request.method().as_str(), &target);
        let (_, token) = presented(headers).map_err(|_| ProofError::Missing)?;
        let expected = expected.with_token(token, key);
        proofs
            .prove(headers, &expected, presentation.at)
            .map(|_| ())
    }
}

//! Whether whoever presents a token has the key it is bound to (RFC 9449 §7).

use axum::extract::OriginalUri;
use http::Request;
use url::Url;

use super::credentials::{Presentation, Scheme, presented};
use super::refusal::Refusal;
use crate::access_token::{Caller, VerifiedToken};
use crate::dpop::{ProofError, Proofs};
use crate::jwt::dpop::{DpopError, ExpectedProof, ProofTarget};

/// What a guard knows of proofs.
#[derive(Debug)]
pub(super) struct Possession {
    /// What judges them, where they are wanted.
    pub(super) proofs: Option<Proofs>,
    /// The origin as clients know it.
    pub(super) origin: Url,
}

impl Possession {
    /// Lets a token be presented as its kind must be: one that is bound to a key with a proof, and no
    /// other so.
    pub(super) fn admit<B>(
        &self,
        token: &VerifiedToken,
        presentation: Presentation,
        request: &Request<B>,
    ) -> Result<(), Refusal> {
        match (presentation.scheme, token.bound_to, &self.proofs) {
            (Scheme::Bearer, None, None) => Ok(()),
            (Scheme::Bearer, None, Some(proofs)) if !proofs.are_required() => Ok(()),
            (Scheme::Bearer | Scheme::Dpop, None, _) => {
                Err(Refusal::UnboundToken(Caller::of(token)))
            }
            // RFC 9449 §7.2: what a thief would try.
            (Scheme::Bearer, Some(_), _) | (Scheme::Dpop, Some(_), None) => {
                Err(Refusal::BoundToken(Caller::of(token)))
            }
            (Scheme::Dpop, Some(_), Some(proofs)) => self
                .prove(proofs, token, presentation, request)
                .map_err(|error| Refusal::Proof(Caller::of(token), error)),
        }
    }

    fn prove<B>(
        &self,
        proofs: &Proofs,
        token: &VerifiedToken,
        presentation: Presentation,
        request: &Request<B>,
    ) -> Result<(), ProofError> {
        let headers = request.headers();
        // A router in between may have taken the beginning of the path away.
        let path = request.extensions().get::<OriginalUri>();
        let path = path.map_or_else(|| request.uri().path(), |uri| uri.path());
        let target = ProofTarget::on_host_of(&self.origin, path).ok_or(DpopError::Target)?;
        let expected = ExpectedProof::new(request.method().as_str(), &target);
        let (Ok((_, written)), Some(key)) = (presented(headers), token.bound_to) else {
            return Err(ProofError::Missing);
        };
        let expected = expected.with_token(written, key);
        proofs
            .prove(headers, &expected, presentation.at)
            .map(|_| ())
    }
}

//! The guard itself.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{AUTHORIZATION, UPGRADE};
use http::{HeaderMap, Request, Response};
use tower::{Layer, Service};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use super::body::ResponseBody;
use super::cors;
use super::credentials::{Presentation, Scheme, credentials, presented};
use super::future::{ResponseFuture, Verdict};
use super::origin::Origins;
use super::possession::Possession;
use super::protection::Protection;
use super::refusal::{Answers, Refusal};
use super::session::SessionBinding;
use super::standing::Standing;
use crate::access_token::{AccessTokenVerifier, Caller, PresentedToken, VerifiedToken};
use crate::dpop::DPOP;
use crate::meters::GuardMeters;
use crate::platform::{Clock, Timestamp};
use crate::policy::Requirement;

/// Puts a guard before a service: see [`RequireBearer`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RequireBearerLayer {
    guard: Arc<Guard>,
}

impl RequireBearerLayer {
    /// A guard that believes `verifier`.
    pub fn new(
        verifier: Arc<dyn AccessTokenVerifier>,
        clock: Arc<dyn Clock>,
        protection: Protection,
    ) -> Self {
        let answers = Answers::new(&protection);
        let requirement = protection.whole_requirement();
        let origins = Origins::new(
            protection.allowed_origins,
            &protection.resource_metadata_url,
        );
        let sessions = protection.session_keys;
        let sessions =
            sessions.map(|keys| SessionBinding::new(keys, &protection.resource_metadata_url));
        let possession = Possession::new(protection.proofs, protection.resource_metadata_url);
        let guard = Guard {
            verifier,
            clock,
            answers,
            origins,
            requirement,
            possession,
            sessions,
            meters: GuardMeters::new(),
        };
        Self {
            guard: Arc::new(guard),
        }
    }
}

impl<S> Layer<S> for RequireBearerLayer {
    type Service = RequireBearer<S>;

    fn layer(&self, inner: S) -> RequireBearer<S> {
        RequireBearer {
            inner,
            guard: Arc::clone(&self.guard),
        }
    }
}

/// Lets requests through to a service if they carry a good access token in the one place for it,
/// the `Authorization` header (RFC 6750 §2.1), and with it a proof if the token is bound to a key
/// (RFC 9449 §7.1).
///
/// The service finds a [`VerifiedToken`] in the request extensions, and neither the token nor a
/// proof of possession in the headers. What is refused carries a [`Refusal`] in the response
/// extensions.
///
/// A token is looked at when a request comes in. A stream that was opened with it goes on after
/// its end, until either side closes. What speaks another protocol from then on can find out by
/// [`Standing`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RequireBearer<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S, B, C> Service<Request<B>> for RequireBearer<S>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
{
    type Response = Response<ResponseBody<C>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> ResponseFuture<S, B> {
        let guard = Arc::clone(&self.guard);
        // MCP transports, *Security Warning*: the origin is looked at before anything else.
        let origin = match guard.origins.admit(request.headers()) {
            Ok(origin) => origin,
            Err(refusal) => return ResponseFuture::refused(guard, None, refusal.into()),
        };
        if origin.is_some() && cors::is_preflight(request.method(), request.headers()) {
            let response = cors::preflight(request.headers());
            return ResponseFuture::answered(guard, origin, response);
        }
        let (scheme, presented) = match guard.credentials(request.headers()) {
            Ok(presented) => presented,
            Err(refusal) => return ResponseFuture::refused(guard, origin, refusal.into()),
        };
        let now = guard.clock.now();
        let presentation = Presentation { scheme, at: now };
        let Some(token) = guard.verifier.recall(presented, now) else {
            let verdict = guard.verdict(presented, now);
            // The clone has not been polled ready, the service has.
            let next = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, next);
            let waiting = (ready, request, presentation);
            return ResponseFuture::verifying(guard, origin, verdict, waiting);
        };
        match guard.admit(&token, presentation, &mut request) {
            Ok(()) => {
                guard.meters.recalled.increment(1);
                let response = self.inner.call(request);
                ResponseFuture::running(guard, origin, token, response)
            }
            Err(refusal) => ResponseFuture::refused(guard, origin, (refusal, scheme)),
        }
    }
}

/// What a guard knows.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) verifier: Arc<dyn AccessTokenVerifier>,
    pub(super) clock: Arc<dyn Clock>,
    answers: Answers,
    origins: Origins,
    pub(super) requirement: Requirement,
    possession: Possession,
    sessions: Option<SessionBinding>,
    pub(super) meters: GuardMeters,
}

impl Guard {
    /// What a request presents; a scheme that is off is none.
    fn credentials<'h>(
        &self,
        headers: &'h HeaderMap,
    ) -> Result<(Scheme, PresentedToken<'h>), Refusal> {
        let presented = credentials(headers)?;
        match (presented.0, &self.possession.proofs) {
            (Scheme::Bearer, _) | (Scheme::Dpop, Some(_)) => Ok(presented),
            (Scheme::Dpop, None) => Err(Refusal::NotBearer),
        }
    }

    /// Lets a request of whoever `token` speaks for through.
    pub(super) fn admit<B>(
        self: &Arc<Self>,
        token: &VerifiedToken,
        presentation: Presentation,
        request: &mut Request<B>,
    ) -> Result<(), Refusal> {
        let now = presentation.at;
        self.possession.admit(token, presentation, request)?;
        if let Err(shortfall) = self.requirement.decide(token) {
            return Err(Refusal::Forbidden(Caller::of(token), shortfall));
        }
        let headers = request.headers_mut();
        if let Some(sessions) = &self.sessions {
            sessions.admit(headers, token)?;
        }
        let lasting = headers.contains_key(UPGRADE).then(|| presented(headers));
        let standing = lasting.and_then(Result::ok);
        let standing = standing.map(|(_, bare)| Standing::new(self, bare, token.expires_at, now));
        // MCP authorization, *Token Handling*: no token of ours is passed on.
        headers.remove(AUTHORIZATION);
        headers.remove(DPOP);
        let extensions = request.extensions_mut();
        extensions.insert(token.clone());
        if let Some(standing) = standing {
            extensions.insert(standing);
        }
        Ok(())
    }

    /// Makes a response of the service fit for whoever `token` speaks for.
    pub(super) fn release(&self, headers: &mut HeaderMap, token: &VerifiedToken) {
        if let Some(sessions) = &self.sessions {
            sessions.tag(headers, token);
        }
        if token.bound_to.is_some() {
            self.give_nonce(headers);
        }
    }

    pub(super) fn refuse(&self, (refusal, scheme): (Refusal, Scheme)) -> Response<Bytes> {
        GuardMeters::refused(refusal.label());
        let mut response = self.answers.refuse(refusal, scheme);
        if scheme == Scheme::Dpop {
            self.give_nonce(response.headers_mut());
        }
        response
    }

    /// What the client's next proof must hold (RFC 9449 §8.2).
    fn give_nonce(&self, headers: &mut HeaderMap) {
        if let Some(proofs) = &self.possession.proofs {
            proofs.give_nonce(headers, self.clock.now());
        }
    }

    fn verdict(self: &Arc<Self>, presented: PresentedToken<'_>, now: Timestamp) -> Verdict {
        let guard = Arc::clone(self);
        let token = Zeroizing::new(presented.expose().to_owned());
        let signed = presented.signed();
        let verified = async move {
            let presented = PresentedToken::with_signed(&token, signed);
            guard.verifier.verify(presented, now).await
        };
        Box::pin(verified.instrument(tracing::debug_span!("guard")))
    }
}

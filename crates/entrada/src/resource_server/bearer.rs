//! The guard itself.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Request, Response};
use tower::{Layer, Service};
use zeroize::Zeroizing;

use super::body::ResponseBody;
use super::cors;
use super::future::{ResponseFuture, Verdict};
use super::origin::Origins;
use super::protection::Protection;
use super::refusal::{Answers, Refusal};
use super::session::SessionBinding;
use crate::access_token::{AccessTokenVerifier, Caller, PresentedToken, VerifiedToken};
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
        let guard = Guard {
            verifier,
            clock,
            answers,
            origins,
            requirement,
            sessions: protection.session_keys.map(SessionBinding::new),
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
/// the `Authorization` header (RFC 6750 §2.1).
///
/// The service finds a [`VerifiedToken`] in the request extensions, and neither the token nor a
/// proof of possession in the headers. What is refused carries a [`Refusal`] in the response
/// extensions.
///
/// A token is looked at when a request comes in. A stream that was opened with it goes on after
/// its end, until either side closes.
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
            Err(refusal) => return ResponseFuture::refused(guard, None, refusal),
        };
        if origin.is_some() && cors::is_preflight(request.method(), request.headers()) {
            let response = cors::preflight(request.headers());
            return ResponseFuture::answered(guard, origin, response);
        }
        let presented = match bearer_token(request.headers()) {
            Ok(presented) => presented,
            Err(refusal) => return ResponseFuture::refused(guard, origin, refusal),
        };
        let now = guard.clock.now();
        let Some(token) = guard.verifier.recall(presented, now) else {
            let verdict = guard.verdict(presented, now);
            // The clone has not been polled ready, the service has.
            let next = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, next);
            return ResponseFuture::verifying(guard, origin, verdict, (ready, request));
        };
        match guard.admit(&token, &mut request) {
            Ok(()) => {
                let response = self.inner.call(request);
                ResponseFuture::running(guard, origin, token, response)
            }
            Err(refusal) => ResponseFuture::refused(guard, origin, refusal),
        }
    }
}

/// What a guard knows.
#[derive(Debug)]
pub(super) struct Guard {
    verifier: Arc<dyn AccessTokenVerifier>,
    clock: Arc<dyn Clock>,
    answers: Answers,
    origins: Origins,
    requirement: Requirement,
    sessions: Option<SessionBinding>,
}

impl Guard {
    /// Lets a request of whoever `token` speaks for through.
    pub(super) fn admit<B>(
        &self,
        token: &VerifiedToken,
        request: &mut Request<B>,
    ) -> Result<(), Refusal> {
        if let Err(shortfall) = self.requirement.decide(token) {
            return Err(Refusal::Forbidden(Caller::of(token), shortfall));
        }
        let headers = request.headers_mut();
        if let Some(sessions) = &self.sessions {
            sessions.admit(headers, token)?;
        }
        // MCP authorization, *Token Handling*: no token of ours is passed on.
        headers.remove(AUTHORIZATION);
        headers.remove(DPOP);
        request.extensions_mut().insert(token.clone());
        Ok(())
    }

    /// Makes a response of the service fit for whoever `token` speaks for.
    pub(super) fn release(&self, headers: &mut HeaderMap, token: &VerifiedToken) {
        if let Some(sessions) = &self.sessions {
            sessions.tag(headers, token);
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> Response<Bytes> {
        self.answers.refuse(refusal)
    }

    fn verdict(self: &Arc<Self>, presented: PresentedToken<'_>, now: Timestamp) -> Verdict {
        let guard = Arc::clone(self);
        let token = Zeroizing::new(presented.expose().to_owned());
        let signed = presented.signed();
        Box::pin(async move {
            let presented = PresentedToken::with_signed(&token, signed);
            guard.verifier.verify(presented, now).await
        })
    }
}

/// The token in the one `Authorization` header (RFC 6750 §2.1).
fn bearer_token(headers: &HeaderMap) -> Result<PresentedToken<'_>, Refusal> {
    let mut presented = headers.get_all(AUTHORIZATION).iter();
    let credentials = match (presented.next(), presented.next()) {
        (None, _) => return Err(Refusal::NoCredentials),
        (Some(credentials), None) => credentials,
        // RFC 6750 §3.1: what repeats a parameter is invalid_request. Nothing less is: clients
        // of two revisions take a 400 for a server that does not know theirs.
        (Some(_), Some(_)) => return Err(Refusal::SeveralCredentials),
    };
    let credentials = std::str::from_utf8(credentials.as_bytes()).ok();
    let (scheme, token) = credentials
        .and_then(|credentials| credentials.split_once(' '))
        .ok_or(Refusal::NotBearer)?;
    let token = token.trim_start_matches(' ');
    // RFC 9110 §11.1: schemes fold case.
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(PresentedToken::new(token))
    } else {
        Err(Refusal::NotBearer)
    }
}

/// `DPoP` (RFC 9449 §4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_bearer_token_is_taken_from_one_header() {
        for (presented, expected) in [
            (vec![], Err("there are no credentials")),
            (vec!["Bearer abc"], Ok("abc")),
            (vec!["bearer abc"], Ok("abc")),
            (vec!["BEARER  abc"], Ok("abc")),
            (vec!["Bearer a b"], Ok("a b")),
            (vec!["Bearer"], Err("the credentials are no bearer token")),
            (vec!["Bearer "], Err("the credentials are no bearer token")),
            (
                vec!["Bearerabc"],
                Err("the credentials are no bearer token"),
            ),
            (
                vec!["Basic YTpi"],
                Err("the credentials are no bearer token"),
            ),
            (vec!["DPoP abc"], Err("the credentials are no bearer token")),
            (vec![""], Err("the credentials are no bearer token")),
            (
                vec!["Bearer abc", "Bearer abc"],
                Err("there is more than one Authorization header"),
            ),
            (
                vec!["Basic YTpi", "Bearer abc"],
                Err("there is more than one Authorization header"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in &presented {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            let found = bearer_token(&headers).map(PresentedToken::expose);
            let found = found.map_err(|refusal| refusal.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{presented:?}");
        }
    }
}

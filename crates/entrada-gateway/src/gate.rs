//! What a call must pass between the guard and its MCP server: limits, and the audit log.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use entrada::VerifiedToken;
use entrada::authorization_server::CorrelationId;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;
use tower::Service;

use crate::access_log::{ClientAddress, Denied};
use crate::audit::{Asked, Audit, NotAudited, Written};
use crate::called::Called;
use crate::metrics;
use crate::policy::gate::Needed;
use crate::rate::{OverLimit, RateLimits, Rates};
use crate::seats::{Concurrency, Seat};
use crate::upstream::http::{Answering, with_caller};

/// Why a call is not let through.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// There were as many as may be.
    OverLimit(OverLimit, Option<Box<Called>>),
    /// It cannot be written down, and must be.
    NotAudited(NotAudited),
}

impl From<NotAudited> for Stopped {
    fn from(error: NotAudited) -> Self {
        Self::NotAudited(error)
    }
}

/// The gate of one route.
#[derive(Debug)]
pub(crate) struct Gate {
    route: Arc<str>,
    limits: Option<Arc<RateLimits>>,
    concurrency: Option<Concurrency>,
    audit: Option<Audit>,
}

impl Gate {
    pub(crate) fn new(route: Arc<str>, rates: Rates, audit: Option<Audit>) -> Self {
        let limits = (rates != Rates::default()).then(|| Arc::new(RateLimits::new(rates)));
        Self {
            route,
            limits,
            concurrency: None,
            audit,
        }
    }

    /// The same, where one user may have `most` requests under way, if there is a limit.
    pub(crate) fn concurrent(self, most: Option<u32>) -> Self {
        let concurrency = most.map(Concurrency::new);
        Self {
            concurrency,
            ..self
        }
    }

    /// The same in the place of `before`: where the limits are the same, nobody begins anew, and what is under
    /// way stays counted.
    pub(crate) fn counting_on(mut self, before: &Self) -> Self {
        self.concurrency = match (self.concurrency, &before.concurrency) {
            (Some(concurrency), Some(before)) => Some(concurrency.counting_on(before)),
            (concurrency, _) => concurrency,
        };
        let rates = |gate: &Self| gate.limits.as_ref().map(|limits| limits.rates());
        if rates(&self) != rates(before) {
            return self;
        }
        let limits = before.limits.clone();
        Self { limits, ..self }
    }

    pub(crate) const fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// What it needs to know of what is called, which only the message tells for sure.
    pub(crate) fn needed(&self) -> Needed {
        let limits_tools = self.limits.as_ref();
        let limits_tools = limits_tools.is_some_and(|limits| limits.limits_tools());
        Needed {
            names: limits_tools || self.audit.is_some(),
            certain: limits_tools,
            arguments: self.audit.as_ref().is_some_and(Audit::tells_arguments),
        }
    }

    /// A seat for `request`, where its caller has no more than so many; or what is answered. It is asked first,
    /// for a body that is read has a seat, too.
    pub(crate) fn seat(
        &self,
        request: &Request<Body>,
    ) -> Result<Option<Seat<u64>>, Box<Response<Body>>> {
        let Some(concurrency) = &self.concurrency else {
            return Ok(None);
        };
        // Who comes without is turned away by what passes requests on.
        let Some(caller) = request.extensions().get::<VerifiedToken>() else {
            return Ok(None);
        };
        match concurrency.begin(caller) {
            Some(seat) => Ok(Some(seat)),
            None => Err(Box::new(with_caller(
                self.too_many_at_once(),
                Some(caller.clone()),
            ))),
        }
    }

    /// Whether every request is let through unseen.
    pub(crate) const fn is_open(&self) -> bool {
        self.limits.is_none() && self.audit.is_none()
    }

    /// Lets `request` through once what is returned has ended well, or answers it. What is let through is
    /// in the audit log before its MCP server hears of it, so that whoever leaves at once is in there too.
    pub(crate) fn pass(
        &self,
        request: &Request<Body>,
    ) -> impl Future<Output = Result<(), Stopped>> + Send + use<> {
        let decided = self.decide(request);
        async move {
            for written in decided? {
                written.wait().await?;
            }
            Ok(())
        }
    }

    fn decide(&self, request: &Request<Body>) -> Result<Vec<Written>, Stopped> {
        // Who comes without is turned away by what passes requests on.
        let Some(caller) = request.extensions().get::<VerifiedToken>() else {
            return Ok(Vec::new());
        };
        let mut calls: Vec<_> = Called::all_of(request).into_iter().map(Some).collect();
        if calls.is_empty() {
            calls.push(None);
        }
        if let Some(limits) = &self.limits {
            let now = Instant::now();
            for called in &calls {
                let admitted = limits.admit(caller, called.as_ref(), now);
                admitted.map_err(|over| Stopped::OverLimit(over, called.clone().map(Box::new)))?;
            }
        }
        let Some(audit) = &self.audit else {
            return Ok(Vec::new());
        };
        let correlation_id = request.extensions().get::<CorrelationId>();
        let address = request.extensions().get::<ClientAddress>();
        let written = calls.iter().map(|called| {
            let asked = Asked {
                caller: Some(caller),
                called: called.as_ref(),
                route: Some(&self.route),
                correlation_id: correlation_id.map(CorrelationId::as_str),
                address: address.map(|address| address.0),
            };
            audit.allow(asked)
        });
        Ok(written.collect::<Result<_, _>>()?)
    }

    fn answer(&self, stopped: Stopped) -> Response<Body> {
        match stopped {
            Stopped::OverLimit(over, called) => self.too_many(over, called.map(|it| *it)),
            Stopped::NotAudited(error) => not_audited(error),
        }
    }

    fn too_many(&self, over: OverLimit, called: Option<Called>) -> Response<Body> {
        metrics::limited(&self.route, over.by);
        let reason = format!("over the rate limit of the {}", over.by);
        tracing::info!(route = &*self.route, by = over.by, "over a rate limit");
        let seconds = over.retry_after.as_secs() + u64::from(over.retry_after.subsec_nanos() > 0);
        let denied = Denied::new(called, "rate_limit", reason);
        too_many_requests("too many requests, try again later\n", seconds, denied)
    }

    fn too_many_at_once(&self) -> Response<Body> {
        metrics::limited(&self.route, "concurrent");
        tracing::info!(
            route = &*self.route,
            "too many requests of one user are under way"
        );
        let denied = Denied::new(None, "concurrency_limit", "too many are under way");
        let sentence = "too many requests under way, try again when some have ended\n";
        // When one of them ends, nobody knows.
        too_many_requests(sentence, 1, denied)
    }
}

/// 429 (RFC 6585 §4).
fn too_many_requests(sentence: &'static str, seconds: u64, denied: Denied) -> Response<Body> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, sentence);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response.extensions_mut().insert(denied);
    response
}

/// A server behind a gate.
#[derive(Clone, Debug)]
pub(crate) struct Admitted<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl<S> Admitted<S> {
    pub(crate) fn new(gate: Gate, inner: S) -> Self {
        let gate = Arc::new(gate);
        Self { gate, inner }
    }

    pub(crate) fn inner(&self) -> &S {
        &self.inner
    }

    pub(crate) fn route(&self) -> &Arc<str> {
        self.gate.route()
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answering>
        + Clone
        + Send
        + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        if self.gate.is_open() {
            return self.inner.call(request);
        }
        let (mut inner, gate) = (self.inner.clone(), Arc::clone(&self.gate));
        let passed = gate.pass(&request);
        Box::pin(async move {
            match passed.await {
                Ok(()) => inner.call(request).await,
                Err(stopped) => {
                    let caller = request.extensions().get().cloned();
                    Ok(with_caller(gate.answer(stopped), caller))
                }
            }
        })
    }
}

/// What is answered where nothing is done that cannot be written.
pub(crate) fn not_audited(error: NotAudited) -> Response<Body> {
    tracing::error!(%error, "request refused");
    let mut response = plain(
        StatusCode::SERVICE_UNAVAILABLE,
        "not possible now, try again later\n",
    );
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

fn plain(status: StatusCode, sentence: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rate::Rate;

    #[test]
    fn limits_count_on_where_they_are_what_they_were() {
        let gate = |most| {
            let user = Some(Rate::new(most, Duration::from_secs(60)));
            let rates = Rates {
                user,
                ..Rates::default()
            };
            Gate::new(Arc::from("/mcp"), rates, None)
        };
        let before = gate(2);
        let counted = |gate: Gate| {
            let limits = gate.counting_on(&before).limits;
            Arc::ptr_eq(&limits.unwrap(), before.limits.as_ref().unwrap())
        };
        assert!(counted(gate(2)));
        assert!(!counted(gate(3)));
    }
}

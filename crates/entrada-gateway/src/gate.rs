//! What a call must pass between the guard and its MCP server: rate limits, and the audit log.

use std::sync::Arc;

use axum::body::Body;
use entrada::VerifiedToken;
use entrada::authorization_server::CorrelationId;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use crate::access_log::{ClientAddress, Denied};
use crate::audit::{Asked, Audit, NotAudited, Written};
use crate::called::Called;
use crate::metrics;
use crate::rate::{OverLimit, RateLimits, Rates};

/// The gate of one route.
#[derive(Debug)]
pub(crate) struct Gate {
    route: Arc<str>,
    limits: Option<RateLimits>,
    audit: Option<Audit>,
}

impl Gate {
    pub(crate) fn new(route: Arc<str>, rates: Rates, audit: Option<Audit>) -> Self {
        let limits = (rates != Rates::default()).then(|| RateLimits::new(rates));
        Self {
            route,
            limits,
            audit,
        }
    }

    pub(crate) const fn route(&self) -> &Arc<str> {
        &self.route
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
    ) -> impl Future<Output = Result<(), Response<Body>>> + Send + use<> {
        let decided = self.decide(request);
        async move {
            let written = decided?;
            written.wait().await.map_err(not_audited)
        }
    }

    fn decide(&self, request: &Request<Body>) -> Result<Written, Response<Body>> {
        // Who comes without is turned away by what passes requests on.
        let Some(caller) = request.extensions().get::<VerifiedToken>() else {
            return Ok(Written::default());
        };
        let called = Called::of(request);
        if let Some(limits) = &self.limits {
            let admitted = limits.admit(caller, called.as_ref(), Instant::now());
            admitted.map_err(|over| self.too_many(over, called.clone()))?;
        }
        let Some(audit) = &self.audit else {
            return Ok(Written::default());
        };
        let correlation_id = request.extensions().get::<CorrelationId>();
        let address = request.extensions().get::<ClientAddress>();
        let asked = Asked {
            caller: Some(caller),
            called: called.as_ref(),
            route: Some(&self.route),
            correlation_id: correlation_id.map(CorrelationId::as_str),
            address: address.map(|address| address.0),
        };
        audit.allow(asked).map_err(not_audited)
    }

    fn too_many(&self, over: OverLimit, called: Option<Called>) -> Response<Body> {
        metrics::limited(&self.route, over.by);
        let reason = format!("over the rate limit of the {}", over.by);
        tracing::info!(route = &*self.route, by = over.by, "over a rate limit");
        let mut response = plain(
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests, try again later\n",
        );
        let seconds = over.retry_after.as_secs() + u64::from(over.retry_after.subsec_nanos() > 0);
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        let denied = Denied::new(called, "rate_limit", reason);
        response.extensions_mut().insert(denied);
        response
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

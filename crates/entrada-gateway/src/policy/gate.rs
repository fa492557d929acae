//! What stands before a server with a policy.

use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use entrada::VerifiedToken;
use entrada::access_token::Shortfall;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tower::Service;

use super::list::{View, filtered};
use super::{Call, Decision, Denial, FilterLists, Outcome, Policy};
use crate::access_log::Denied;
use crate::called::{Called, Calls};
use crate::message::{
    ContentError, Message, MessageError, Messages, Mismatch, arguments, plain_json,
};
use crate::telemetry::WithCauses;
use crate::upstream::error::ForwardError;
use crate::upstream::http::{Answering, with_caller};

/// Lets through what a policy allows. Clones share the policy.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    policy: Arc<Policy>,
    body_limit: usize,
    /// What must be known behind it.
    needed: Needed,
}

/// What must be known behind it of what is called.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Needed {
    /// What it is.
    pub(crate) names: bool,
    /// For sure: what can be read in two ways is refused, as where there are rules.
    pub(crate) certain: bool,
    /// What it is called with, too.
    pub(crate) arguments: bool,
}

/// Why a request is not passed on.
#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error(transparent)]
    Forward(#[from] ForwardError),
    #[error(transparent)]
    Content(#[from] ContentError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("{0}")]
    Mismatch(Mismatch, Option<String>),
    #[error("it is no request of an MCP client: {0}")]
    Method(&'static str),
    #[error("refused by policy")]
    Refused(Decision),
    #[error("an answer cannot be filtered")]
    List(#[source] super::list::ListError),
}

impl Gate {
    /// Stands before a server that is sent no more than `body_limit` bytes at once; nothing, where
    /// `policy` says nothing, unless what comes behind it must know what is called.
    pub(crate) fn new(policy: &Policy, body_limit: u64, needed: Needed) -> Option<Self> {
        (needed.names || !policy.is_empty()).then(|| Self {
            needed,
            policy: Arc::new(policy.clone()),
            body_limit: usize::try_from(body_limit).unwrap_or(usize::MAX),
        })
    }

    /// Whether what cannot be read goes on unread: nothing is decided by it.
    fn is_lenient(&self) -> bool {
        !self.needed.certain && self.policy.is_empty()
    }

    /// Passes `request` on to `server`, if the policy allows it.
    pub(crate) fn pass<S>(self, request: Request<Body>, server: S) -> Answering
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible>
            + Send
            + 'static,
        S::Future: Send,
    {
        Box::pin(async move {
            let caller = request.extensions().get::<VerifiedToken>().cloned();
            let answered = match caller.clone() {
                None => Err(GateError::Forward(ForwardError::Unverified)),
                Some(caller) => self.answer(request, caller, server).await,
            };
            let response = answered.unwrap_or_else(|error| error.into_response(caller.as_ref()));
            Ok(with_caller(response, caller))
        })
    }

    async fn answer<S>(
        self,
        request: Request<Body>,
        caller: VerifiedToken,
        mut server: S,
    ) -> Result<Response<Body>, GateError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = std::convert::Infallible>
            + Send,
        S::Future: Send,
    {
        let (mut parts, body) = request.into_parts();
        let (body, decision, lists) = if parts.method == Method::POST {
            self.judge(&mut parts, body, &caller).await?
        } else if self.is_lenient() {
            (body, Decision::unread(), false)
        } else {
            self.judge_without_message(&parts, &body, &caller)?
        };
        let lists = lists && self.policy.filter_lists != FilterLists::Off;
        if lists {
            let plain = HeaderValue::from_static("identity");
            parts.headers.insert(ACCEPT_ENCODING, plain);
        }
        let request = Request::from_parts(parts, body);
        let mut response = server
            .call(request)
            .await
            .unwrap_or_else(|never| match never {});
        // What the library says is lacking is for the guard to answer.
        if lists && response.extensions().get::<Shortfall>().is_none() {
            let policy = self.policy;
            let view = View { policy, caller };
            response = filtered(response, view).await.map_err(GateError::List)?;
        }
        response.extensions_mut().insert(decision);
        Ok(response)
    }

    /// What becomes of a message; and whether its answer is a list.
    async fn judge(
        &self,
        parts: &mut Parts,
        body: Body,
        caller: &VerifiedToken,
    ) -> Result<(Body, Decision, bool), GateError> {
        match plain_json(&parts.headers) {
            Ok(()) => {}
            Err(_) if self.is_lenient() => return Ok((body, Decision::unread(), false)),
            Err(error) => return Err(error.into()),
        }
        let declared = parts.headers.get(CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > self.body_limit) {
            return Err(ForwardError::TooLarge.into());
        }
        let body = self.collect(body).await?;
        let read = match Messages::read(&body) {
            Ok(read) => read,
            Err(_) if self.is_lenient() => {
                return Ok((Body::from(body), Decision::unread(), false));
            }
            Err(error) => return Err(error.into()),
        };
        let agreed = read.agree_with(&parts.headers);
        if let Err(mismatch) = agreed
            && !self.is_lenient()
        {
            let id = match &*read.messages {
                [only] => only.id.clone(),
                _ => None,
            };
            return Err(GateError::Mismatch(mismatch, id));
        }
        let decision = allowed(self.policy.decide(&read, caller))?;
        let lists = read.messages.iter().any(Message::asks_for_a_list);
        let mut calls: Vec<_> = decision.called.iter().map(called).collect();
        if self.needed.arguments {
            add_arguments(&mut calls, &read, &body);
        }
        parts.extensions.insert(Calls::new(calls));
        Ok((Body::from(body), decision, lists))
    }

    /// What becomes of a request without a message: a stream that is opened, a session that is
    /// ended. A stream may bring the answer to a list that was asked for before.
    fn judge_without_message(
        &self,
        parts: &Parts,
        body: &Body,
        caller: &VerifiedToken,
    ) -> Result<(Body, Decision, bool), GateError> {
        if !matches!(parts.method, Method::GET | Method::DELETE) {
            return Err(GateError::Method(
                "its method is neither POST, GET nor DELETE",
            ));
        }
        if !body.is_end_stream() {
            return Err(GateError::Method("a message comes by POST"));
        }
        if parts.headers.contains_key(UPGRADE) {
            return Err(GateError::Method("it wants another protocol"));
        }
        let call = Call {
            method: parts.method.as_str(),
            item: None,
        };
        let decision = allowed(self.policy.decide_on(&[call], caller))?;
        Ok((Body::empty(), decision, parts.method == Method::GET))
    }

    async fn collect(&self, body: Body) -> Result<Bytes, ForwardError> {
        let whole = Limited::new(body, self.body_limit).collect().await;
        // Fields after the body are left behind, as everywhere.
        whole
            .map(http_body_util::Collected::to_bytes)
            .map_err(|error| ForwardError::of_request(&*error))
    }
}

impl GateError {
    /// Logs the error and makes it an answer, which tells what was decided in its extensions.
    fn into_response(self, caller: Option<&VerifiedToken>) -> Response<Body> {
        let subject = caller.map(|caller| caller.subject.as_str());
        let error = WithCauses::of(&self).to_string();
        match self {
            Self::Forward(error) => error.into_response(None),
            Self::Refused(decision) => refused(decision, subject),
            Self::List(_) => {
                tracing::error!(%error, subject, "not passed on");
                plain(
                    StatusCode::BAD_GATEWAY,
                    "the upstream's answer cannot be used\n",
                )
            }
            Self::Content(_) => {
                tracing::info!(%error, subject, "not passed on");
                let line = format!("{error}\n");
                unread(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, line))
            }
            Self::Message(_) => {
                tracing::info!(%error, subject, "not passed on");
                let line = "the body is no message that everybody reads alike\n";
                unread(plain(StatusCode::BAD_REQUEST, line))
            }
            Self::Method(_) => {
                tracing::info!(%error, subject, "not passed on");
                unread(access_denied(&Denial::Method))
            }
            Self::Mismatch(mismatch, id) => {
                tracing::info!(%error, subject, "not passed on");
                let id = id.and_then(|id| serde_json::from_str(&id).ok());
                unread(mismatched(mismatch, &id.unwrap_or(Value::Null)))
            }
        }
    }
}

fn allowed(decision: Decision) -> Result<Decision, GateError> {
    match decision.outcome {
        Outcome::Allowed => Ok(decision),
        Outcome::InsufficientScope(_) | Outcome::Denied(_) | Outcome::Unread => {
            Err(GateError::Refused(decision))
        }
    }
}

fn refused(decision: Decision, subject: Option<&str>) -> Response<Body> {
    let subject_called = decision.subject().map(ToString::to_string);
    let (rule, reason) = (decision.rule.as_deref(), &decision.outcome);
    let mut response = match &decision.outcome {
        // The guard answers, and writes it in the log.
        Outcome::InsufficientScope(scope) if !scope.is_empty() => {
            tracing::debug!(called = subject_called, rule, %reason, subject, "a rule needs more scopes");
            Shortfall::Scope(scope.clone()).into_response()
        }
        Outcome::Denied(denial) => {
            tracing::info!(called = subject_called, rule, %reason, subject, "refused by policy");
            access_denied(denial)
        }
        Outcome::InsufficientScope(_) | Outcome::Allowed | Outcome::Unread => {
            access_denied(&Denial::Rule)
        }
    };
    let called = decision.subject().map(called);
    let denied = Denied::new(called, "policy", decision.outcome.to_string());
    response.extensions_mut().insert(denied);
    response.extensions_mut().insert(decision);
    response
}

/// Adds what the messages in `body` call things with, where each calls one.
fn add_arguments(calls: &mut [Called], read: &Messages, body: &[u8]) {
    let mut calls = calls.iter_mut();
    for (message, arguments) in read.messages.iter().zip(arguments(body)) {
        let mut its = calls.by_ref().take(Call::all_of(message).count());
        if let Some(call) = its.next() {
            call.arguments = arguments;
        }
        its.for_each(drop);
    }
}

/// What was called, for what comes behind.
fn called(read: &super::Called) -> Called {
    let name = read.item.as_ref().map(|item| item.name.clone());
    Called::new(&read.method, name)
}

/// 403 without a challenge: no authorization helps. Never JSON-RPC, which a client would take for
/// the server's word (OAuth 2.1 §5.3).
fn access_denied(denial: &Denial) -> Response<Body> {
    let body = json!({ "error": "access_denied", "error_description": denial.told() });
    with_json(StatusCode::FORBIDDEN, &body)
}

/// As the server would answer (MCP transports, *Server Validation*).
fn mismatched(mismatch: Mismatch, id: &Value) -> Response<Body> {
    let error = json!({ "code": HEADER_MISMATCH, "message": mismatch.to_string() });
    let body = json!({ "jsonrpc": "2.0", "id": id, "error": error });
    with_json(StatusCode::BAD_REQUEST, &body)
}

const HEADER_MISMATCH: i32 = -32020;

fn with_json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn plain(status: StatusCode, line: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(line.into());
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

fn unread(mut response: Response<Body>) -> Response<Body> {
    let reason = "it can be read in two ways";
    response
        .extensions_mut()
        .insert(Denied::new(None, "unread", reason));
    response.extensions_mut().insert(Decision::unread());
    response
}

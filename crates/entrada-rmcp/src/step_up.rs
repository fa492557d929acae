//! The challenge before a tool is called.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::FromRequestParts as _;
use bytes::Bytes;
use entrada::VerifiedToken;
use entrada::resource_server::ResponseBody;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::{BoxError, Layer, Service};

use crate::hold::{Held, Note, hold};
use crate::refusal::CallRefusal;
use crate::tool_calls::tools_called;
use crate::tool_requirements::ToolRequirements;

/// Puts the challenge before a server: see [`StepUp`].
#[derive(Clone, Debug)]
#[must_use]
pub struct StepUpLayer {
    requirements: ToolRequirements,
    body_limit: usize,
}

impl StepUpLayer {
    pub(crate) fn new(requirements: ToolRequirements) -> Self {
        Self {
            requirements,
            body_limit: 4 * 1024 * 1024,
        }
    }

    /// Reads bodies of up to so many bytes, 4 MiB unless this is said: what is longer is refused
    /// (413), for what is not read cannot be decided.
    pub fn body_limit(self, body_limit: usize) -> Self {
        Self { body_limit, ..self }
    }
}

impl<S> Layer<S> for StepUpLayer {
    type Service = StepUp<S>;

    fn layer(&self, inner: S) -> StepUp<S> {
        StepUp {
            inner,
            layer: self.clone(),
        }
    }
}

/// Lets calls of tools through to a server if their caller may make them, and challenges those whose
/// user must sign in again for what a tool does in their name.
///
/// The guard, [`RequireBearer`](entrada::resource_server::RequireBearer), must stand before it: it
/// says who calls, and turns what is lacking into a challenge that names all scopes the client
/// needs (403 `insufficient_scope`). Without it nobody gets through: 500 `server_error`.
///
/// It looks into what is posted, and passes it on as it came. What a server could read in another
/// way than it was read here, it refuses: 400 `invalid_request`. Nothing else is touched.
///
/// What a server answers to a call of a tool is held back for ten seconds at most, or until its first
/// message: so long a tool can find that its caller's token cannot be exchanged
/// ([`EntraOboToken`](crate::EntraOboToken)), and the answer still be a challenge.
#[derive(Clone, Debug)]
#[must_use]
pub struct StepUp<S> {
    inner: S,
    layer: StepUpLayer,
}

impl<S, B, C> Service<Request<B>> for StepUp<S>
where
    S: Service<Request<B>, Response = Response<C>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + From<Bytes> + Send + 'static,
    C: Body<Data = Bytes, Error: Send> + Send + Unpin,
{
    type Response = Response<ResponseBody<Held<C>>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone has not been polled ready, the service has.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (request, note) = match layer.admit(request).await {
                Ok(admitted) => admitted,
                Err(refusal) => return Ok(refusal.into_response().map(ResponseBody::of_guard)),
            };
            let response = ready.call(request).await?;
            let Some(note) = note else {
                return Ok(response.map(|body| ResponseBody::of_service(Held::new(body))));
            };
            Ok(match hold(response, &note).await {
                Ok(response) => response.map(ResponseBody::of_service),
                Err(shortfall) => {
                    let refusal = CallRefusal::from(shortfall);
                    refusal.into_response().map(ResponseBody::of_guard)
                }
            })
        })
    }
}

impl StepUpLayer {
    /// Lets a request through; one that calls tools with a place to note what is lacking.
    async fn admit<B>(&self, request: Request<B>) -> Result<(Request<B>, Option<Note>), CallRefusal>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + From<Bytes> + Send,
    {
        let (mut parts, body) = request.into_parts();
        let caller = VerifiedToken::from_request_parts(&mut parts, &()).await?;
        if parts.method != Method::POST {
            return Ok((Request::from_parts(parts, body), None));
        }
        let body = self.read(body).await?;
        let tools = tools_called(&body)?;
        self.requirements.decide(&tools, &caller)?;
        let note = (!tools.is_empty()).then(Note::default);
        if let Some(note) = &note {
            parts.extensions.insert(note.clone());
        }
        Ok((Request::from_parts(parts, B::from(body)), note))
    }

    async fn read<B>(&self, body: B) -> Result<Bytes, CallRefusal>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send,
    {
        match Limited::new(body, self.body_limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(CallRefusal::TooLong),
            Err(error) => Err(CallRefusal::Cut(error)),
        }
    }
}

//! Streamable HTTP with sessions: MCP 2024-11-05 to 2025-11-25.

use std::sync::Arc;

use axum::body::Body;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use crate::upstream::stdio::answer::{Asked, Awaited};
use crate::upstream::stdio::channel::{Channel, Destination};
use crate::upstream::stdio::envelope::{Envelope, Kind, string};
use crate::upstream::stdio::error::{Mistake, StdioError, json};
use crate::upstream::stdio::events::Cursor;
use crate::upstream::stdio::mirrored::{Mismatch, PROTOCOL_VERSION, one};
use crate::upstream::stdio::pool::{Owner, Pool, Session};
use crate::upstream::stdio::revision::{WITH_SESSIONS, is_stateless, negotiated};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Answers a `POST` of `messages`.
pub(super) async fn post(
    pool: &Arc<Pool>,
    owner: Owner,
    headers: &HeaderMap,
    messages: &[Envelope<'_>],
) -> Result<Response<Body>, StdioError> {
    if let [only] = messages
        && let Kind::Request { id, method } = only.kind()
        && method == "initialize"
    {
        return initialize(pool, owner, only, id).await;
    }
    // MCP 2025-03-26 lifecycle: it is part of no batch. A child that is shared would begin anew for all.
    if messages.iter().any(is_initialize) {
        return Err(Mistake::invalid("initialize comes alone").into());
    }
    let id = messages.iter().find_map(|message| match message.kind() {
        Kind::Request { id, .. } => Some(*id),
        Kind::Notification { .. } | Kind::Response { .. } => None,
    });
    let session = found(pool, &owner, headers, messages);
    let session = session.map_err(|mistake| mistake.of(id))?;
    let held = session.hold();
    let channel = session.slot.channel(pool).await?;
    let answers = messages.iter().filter(|message| is_request(message));
    let answers = answers.count();
    let stream = (answers > 0).then(|| session.outbox.open(answers));
    let mut asked = Asked::of(Arc::clone(&channel), false);
    for message in messages {
        match (stream, is_request(message)) {
            (Some(stream), true) => {
                let to = destination(&session, stream);
                let number = pool.in_time(channel.ask(message, to)).await;
                // An answer to what was not asked will not come.
                asked.add(number.inspect_err(|_| session.outbox.break_stream(stream))?);
            }
            _ => relay(pool, &session, &channel, message).await?,
        }
    }
    // The session may have ended meanwhile, when these were not yet known.
    if session.outbox.is_closed() {
        channel.leave(&session.outbox);
    }
    let Some(stream) = stream else {
        return Ok(empty(StatusCode::ACCEPTED));
    };
    let awaited = Awaited {
        reader: session.outbox.read(stream),
        asked,
        _held: held.into(),
        resumable: true,
    };
    let (response, _) = awaited.answer(pool.response_timeout()).await?;
    Ok(response)
}

/// Answers a `GET`: the standalone stream, or one that is resumed.
pub(super) fn listen(
    pool: &Pool,
    owner: &Owner,
    headers: &HeaderMap,
) -> Result<Response<Body>, StdioError> {
    let session = found(pool, owner, headers, &[])?;
    let resumed = one(headers, &LAST_EVENT_ID).and_then(|id| Cursor::parse(&id));
    let awaited = Awaited {
        reader: session.outbox.resume(resumed),
        asked: Asked::nothing(),
        _held: session.hold().into(),
        resumable: true,
    };
    Ok(awaited.events(None))
}

/// Answers a `DELETE`: the session ends.
pub(super) fn delete(
    pool: &Pool,
    owner: &Owner,
    headers: &HeaderMap,
) -> Result<Response<Body>, StdioError> {
    let session = found(pool, owner, headers, &[])?;
    pool.end(&session);
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn initialize(
    pool: &Arc<Pool>,
    owner: Owner,
    message: &Envelope<'_>,
    id: &str,
) -> Result<Response<Body>, StdioError> {
    let params = message.params().whole;
    let asked = params.and_then(Initialize::version);
    let session = pool.begin(owner, negotiated(asked.as_deref()), Instant::now())?;
    pool.tend();
    let beginning = Beginning {
        pool,
        session: Some(&session),
    };
    let held = session.hold();
    let started = session.slot.channel(pool).await;
    let mut response = if pool.is_shared() {
        match started {
            Ok(_) => {}
            Err(StdioError::NotOpened(answer)) => {
                return Ok(json(StatusCode::OK, answer_to(id, &answer)));
            }
            Err(error) => return Err(error),
        }
        let opened = session.slot.opened().ok_or(StdioError::Gone)?;
        json(StatusCode::OK, answer_to(id, &opened))
    } else {
        let channel = started?;
        session.slot.opened_by_client(params);
        let stream = session.outbox.open(1);
        let mut asked = Asked::of(Arc::clone(&channel), false);
        let asking = channel.ask(message, destination(&session, stream));
        asked.add(pool.in_time(asking).await?);
        let awaited = Awaited {
            reader: session.outbox.read(stream),
            asked,
            _held: held.into(),
            resumable: true,
        };
        let (response, message) = awaited.answer(pool.response_timeout()).await?;
        if message.is_some_and(|message| is_refusal(&message)) {
            return Ok(response);
        }
        response
    };
    beginning.done();
    if let Ok(id) = HeaderValue::from_str(&session.id) {
        response.headers_mut().insert(SESSION_ID, id);
    }
    Ok(response)
}

/// A session that ends at once if it does not come to be.
struct Beginning<'a> {
    pool: &'a Pool,
    session: Option<&'a Session>,
}

impl Beginning<'_> {
    fn done(mut self) {
        self.session = None;
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.pool.end(session);
        }
    }
}

/// The session a request is of.
fn found(
    pool: &Pool,
    owner: &Owner,
    headers: &HeaderMap,
    messages: &[Envelope<'_>],
) -> Result<Arc<Session>, Mistake> {
    if !headers.contains_key(SESSION_ID) {
        let told = |message: &Envelope<'_>| message.params().protocol_version.and_then(string);
        let told = messages.iter().find_map(told);
        if told.is_some_and(|version| is_stateless(&version)) {
            return Err(Mistake::mismatch(Mismatch::Version));
        }
        return Err(Mistake::invalid("the request has no Mcp-Session-Id"));
    }
    // MCP 2025-06-18 transports: a revision that is not spoken is a bad request.
    if headers.contains_key(PROTOCOL_VERSION) {
        let version = one(headers, &PROTOCOL_VERSION);
        if !version.is_some_and(|version| WITH_SESSIONS.contains(&&*version)) {
            let what = "this MCP-Protocol-Version is not spoken in sessions";
            return Err(Mistake::invalid(what));
        }
    }
    let session = one(headers, &SESSION_ID).and_then(|id| pool.session(&id, owner));
    session.ok_or_else(Mistake::no_session)
}

/// Hands on what wants no answer.
async fn relay(
    pool: &Pool,
    session: &Session,
    channel: &Channel,
    message: &Envelope<'_>,
) -> Result<(), StdioError> {
    match message.kind() {
        Kind::Notification { method } if method == "notifications/cancelled" => {
            let asked = message.params().request_id;
            let number = asked.and_then(|id| Some((id, channel.number_of(id, &session.outbox)?)));
            // Of a request that is answered nothing need be said.
            if let Some((id, number)) = number {
                let written = number.to_string();
                let cancel = channel.say(message.with(&[(id, &written)]));
                pool.in_time(cancel).await?;
                channel.forget(number);
            }
            Ok(())
        }
        Kind::Notification { method } if pool.is_shared() && is_of_one_session(method) => Ok(()),
        // A child that is shared asks nobody.
        Kind::Response { .. } if pool.is_shared() => Ok(()),
        Kind::Request { .. } | Kind::Notification { .. } | Kind::Response { .. } => {
            pool.in_time(channel.say(message.with(&[]))).await
        }
    }
}

/// What a child that is shared was told already, or must not be.
fn is_of_one_session(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "notifications/initialized"
            | "notifications/roots/list_changed"
            | "notifications/progress"
    )
}

fn destination(session: &Session, stream: u64) -> Destination {
    Destination::Client {
        outbox: Arc::clone(&session.outbox),
        stream,
        user: Arc::clone(&session.owner.user),
        listens: false,
    }
}

/// Whether `message` asks for a new session.
pub(super) fn is_initialize(message: &Envelope<'_>) -> bool {
    matches!(message.kind(), Kind::Request { method, .. } if method == "initialize")
}

fn is_request(message: &Envelope<'_>) -> bool {
    matches!(message.kind(), Kind::Request { .. })
}

/// Whether `message` is an error.
fn is_refusal(message: &[u8]) -> bool {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let envelope = Envelope::read(text);
    envelope.is_ok_and(|envelope| matches!(envelope.kind(), Kind::Response { error: Some(_), .. }))
}

/// What the child answered us, as the answer to the request with this `id`.
fn answer_to(id: &str, answer: &str) -> String {
    match Envelope::read(answer) {
        Ok(envelope) => match *envelope.kind() {
            Kind::Response { id: ours, .. } => envelope.with(&[(ours, id)]),
            Kind::Request { .. } | Kind::Notification { .. } => answer.to_owned(),
        },
        Err(_) => answer.to_owned(),
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What concerns us of the parameters of `initialize`.
#[derive(serde::Deserialize)]
struct Initialize {
    #[serde(rename = "protocolVersion")]
    protocol_version: String,
}

impl Initialize {
    fn version(params: &str) -> Option<String> {
        let params: Self = serde_json::from_str(params).ok()?;
        Some(params.protocol_version)
    }
}

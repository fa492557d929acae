//! Streamable HTTP without sessions: MCP 2026-07-28.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;

use crate::upstream::http::OfServer;
use crate::upstream::stdio::answer::{Asked, Awaited};
use crate::upstream::stdio::channel::Destination;
use crate::upstream::stdio::envelope::{Envelope, Kind};
use crate::upstream::stdio::error::{Mistake, StdioError, json};
use crate::upstream::stdio::mirrored::{Mismatch, agree};
use crate::upstream::stdio::pool::{Owner, Pool};
use crate::upstream::stdio::slot::Slot;

/// Answers a `POST` of `message`.
pub(super) async fn post(
    pool: &Arc<Pool>,
    owner: &Owner,
    headers: &HeaderMap,
    message: &Envelope<'_>,
) -> Result<Response<Body>, StdioError> {
    match message.kind() {
        Kind::Response { .. } => {
            Err(Mistake::invalid("a response is of no use in this revision").into())
        }
        Kind::Notification { method } => {
            // What a client would cancel it leaves, and what else it would tell belongs to a session.
            match agree(headers, method, message.params()) {
                Ok(()) | Err(Mismatch::NoVersion) => Ok(accepted()),
                Err(mismatch) => Err(Mistake::mismatch(mismatch).into()),
            }
        }
        Kind::Request { id, method } => {
            agree(headers, method, message.params())
                .map_err(|mismatch| Mistake::mismatch(mismatch).of(Some(id)))?;
            if pool.has_sessions_alone() {
                return Err(Mistake::no_such_era().of(Some(id)).into());
            }
            let slot = pool.stateless(owner, Instant::now())?;
            pool.tend();
            match request(pool, (&slot, owner), message, method).await {
                Err(StdioError::NoSuchEra(answer)) => {
                    pool.leave(&slot);
                    // What did not answer at all may do so the next time.
                    if answer.is_some() {
                        pool.learn_sessions_alone();
                    }
                    Err(Mistake::no_such_era().of(Some(id)).into())
                }
                answered => answered,
            }
        }
    }
}

async fn request(
    pool: &Pool,
    (slot, owner): (&Slot, &Owner),
    message: &Envelope<'_>,
    method: &str,
) -> Result<Response<Body>, StdioError> {
    let held = vec![slot.usage.hold()];
    let channel = slot.channel(pool).await?;
    let outbox = pool.outbox();
    let stream = outbox.open(1);
    let to = Destination::Client {
        outbox: Arc::clone(&outbox),
        stream,
        user: Arc::clone(&owner.user),
        listens: method == "subscriptions/listen",
    };
    let mut asked = Asked::of(Arc::clone(&channel), true);
    asked.add(pool.in_time(channel.ask(message, to)).await?);
    let awaited = Awaited {
        reader: outbox.read(stream),
        asked,
        _held: held,
        resumable: false,
    };
    let (mut response, message) = awaited.answer(pool.response_timeout()).await?;
    if let Some(message) = message {
        let code = std::str::from_utf8(&message).ok().and_then(error_code);
        *response.status_mut() = status_of(code);
        response.extensions_mut().insert(OfServer);
    }
    Ok(response)
}

fn error_code(message: &str) -> Option<i64> {
    match *Envelope::read(message).ok()?.kind() {
        Kind::Response { error, .. } => error,
        Kind::Request { .. } | Kind::Notification { .. } => None,
    }
}

/// The status of an answer with this error, if it is one (MCP 2026-07-28, *Protocol Version Header*).
const fn status_of(error: Option<i64>) -> StatusCode {
    match error {
        Some(-32601) => StatusCode::NOT_FOUND,
        // The message, its headers, the client's capabilities or the revision.
        Some(-32700 | -32600 | -32020 | -32021 | -32022) => StatusCode::BAD_REQUEST,
        Some(_) | None => StatusCode::OK,
    }
}

fn accepted() -> Response<Body> {
    let mut response = json(StatusCode::ACCEPTED, Body::empty());
    response.headers_mut().clear();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_status_their_revision_wants() {
        for (error, expected) in [
            (None, 200),
            (Some(-32601), 404),
            (Some(-32602), 200),
            (Some(-32603), 200),
            (Some(-32600), 400),
            (Some(-32020), 400),
            (Some(-32021), 400),
            (Some(-32022), 400),
            (Some(7), 200),
        ] {
            assert_eq!(status_of(error).as_u16(), expected, "{error:?}");
        }
        assert_eq!(
            error_code(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-5}}"#),
            Some(-5)
        );
        assert_eq!(error_code(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), None);
    }
}

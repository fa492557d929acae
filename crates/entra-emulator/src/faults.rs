//! Misbehaving on demand, and counting.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::{Deserialize, Serialize};

use crate::calendar::timestamp;
use crate::emulator::{Call, Shared};
use crate::error::{ErrorBody, describe, status};

/// A part of the emulator that can be counted, delayed and made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Endpoint {
    /// The authorization endpoint, not the pages after it.
    Authorize,
    /// The token endpoint, whatever the grant type.
    Token,
    /// The token endpoint for one grant type.
    TokenGrant(GrantType),
    /// The key documents.
    Keys,
    /// The metadata documents, instance discovery included.
    Discovery,
    /// Microsoft Graph.
    Graph,
    /// The managed identity endpoints.
    ManagedIdentity,
}

/// A grant type (RFC 6749 §4, §6 and extensions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantType {
    /// `authorization_code`.
    AuthorizationCode,
    /// `refresh_token`.
    RefreshToken,
    /// `client_credentials`.
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer` with `requested_token_use=on_behalf_of`.
    OnBehalfOf,
    /// `password`.
    Password,
    /// `urn:ietf:params:oauth:grant-type:device_code`.
    DeviceCode,
}

/// What happens to a call instead of being answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// This status with a short text.
    Status(u16),
    /// An error body as Entra writes it.
    Error {
        /// The `AADSTS` number.
        aadsts: u32,
        /// The OAuth error.
        error: String,
        /// The finer word, if any.
        #[serde(default)]
        suberror: Option<String>,
        /// The claims challenge, if any: JSON as a string.
        #[serde(default)]
        claims: Option<String>,
    },
    /// Status 429 with `Retry-After` and the text `Too Many Requests`.
    Throttle {
        /// Seconds to wait.
        retry_after: u64,
    },
    /// Status 200 and HTML where JSON belongs.
    Garbage,
    /// The connection is closed without an answer; in-process, the body fails at once.
    Drop,
}

/// Marks a response whose connection is to be closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropped;

#[derive(Debug, Default)]
pub(crate) struct Faults {
    calls: HashMap<Endpoint, u64>,
    failures: Vec<(Endpoint, u64, Failure)>,
    delays: Vec<(Endpoint, u64, Duration)>,
    omissions: Vec<(String, u64)>,
}

impl Faults {
    pub(crate) fn fail_next(&mut self, endpoint: Endpoint, calls: u64, failure: Failure) {
        self.failures.push((endpoint, calls, failure));
    }

    pub(crate) fn delay_next(&mut self, endpoint: Endpoint, calls: u64, delay: Duration) {
        self.delays.push((endpoint, calls, delay));
    }

    pub(crate) fn omit_key_next(&mut self, kid: String, calls: u64) {
        self.omissions.push((kid, calls));
    }

    /// The keys the next key document is to lack. Each order counts every document.
    pub(crate) fn omitted_keys(&mut self) -> HashSet<String> {
        self.omissions.retain(|(_, left)| *left > 0);
        let orders = self.omissions.iter_mut();
        orders
            .map(|(kid, left)| {
                *left -= 1;
                kid.clone()
            })
            .collect()
    }

    pub(crate) fn calls(&self, endpoint: Endpoint) -> u64 {
        self.calls.get(&endpoint).copied().unwrap_or_default()
    }

    pub(crate) fn reset_calls(&mut self) {
        self.calls.clear();
    }

    fn count(&mut self, endpoints: &[Endpoint]) -> (Option<Duration>, Option<Failure>) {
        for endpoint in endpoints {
            *self.calls.entry(*endpoint).or_default() += 1;
        }
        (
            take(&mut self.delays, endpoints),
            take(&mut self.failures, endpoints),
        )
    }
}

// The oldest order for any of `endpoints` is carried out once and forgotten when it is used up.
fn take<T: Clone>(orders: &mut Vec<(Endpoint, u64, T)>, endpoints: &[Endpoint]) -> Option<T> {
    orders.retain(|(_, left, _)| *left > 0);
    let order = orders
        .iter_mut()
        .find(|(endpoint, ..)| endpoints.contains(endpoint))?;
    order.1 -= 1;
    Some(order.2.clone())
}

impl Shared {
    /// Counts a call, waits if it is to be delayed, and answers it if it is to fail.
    pub(crate) async fn admit(&self, endpoints: &[Endpoint], call: &Call) -> Option<Response> {
        let (delay, failure) = self.state().faults.count(endpoints);
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        failure.map(|failure| failure.into_answer(call))
    }
}

impl Failure {
    fn into_answer(self, call: &Call) -> Response {
        match self {
            Self::Status(code) => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
                let text = status.canonical_reason().unwrap_or("Failure");
                (status, text).into_response()
            }
            Self::Error {
                aadsts,
                error,
                suberror,
                claims,
            } => {
                let body = ErrorBody {
                    error_description: describe(aadsts, "Made to fail.", &call.ids, call.now),
                    error_codes: [aadsts],
                    timestamp: timestamp(call.now),
                    trace_id: call.ids.trace.clone(),
                    correlation_id: call.ids.correlation.clone(),
                    error_uri: call.place.error_uri(aadsts),
                    suberror,
                    claims,
                    error,
                };
                (status(&body.error), axum::Json(body)).into_response()
            }
            Self::Throttle { retry_after } => (
                StatusCode::TOO_MANY_REQUESTS,
                [(RETRY_AFTER, retry_after.to_string())],
                "Too Many Requests",
            )
                .into_response(),
            Self::Garbage => (
                [(CONTENT_TYPE, "text/html")],
                "<html><body>Our services aren't available right now</body></html>",
            )
                .into_response(),
            Self::Drop => dropped(),
        }
    }
}

fn dropped() -> Response {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let body = Body::from_stream(stream::iter([Err::<bytes::Bytes, _>(reset)]));
    let mut response = Response::new(body);
    response.extensions_mut().insert(Dropped);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_carried_out_in_turn_and_used_up() {
        let mut faults = Faults::default();
        let refresh = Endpoint::TokenGrant(GrantType::RefreshToken);
        faults.fail_next(refresh, 1, Failure::Garbage);
        faults.fail_next(Endpoint::Token, 2, Failure::Drop);
        let mut call = |endpoints: &[Endpoint]| faults.count(endpoints).1;
        assert_eq!(call(&[Endpoint::Keys]), None);
        assert_eq!(call(&[Endpoint::Token]), Some(Failure::Drop));
        assert_eq!(call(&[Endpoint::Token, refresh]), Some(Failure::Garbage));
        assert_eq!(call(&[Endpoint::Token, refresh]), Some(Failure::Drop));
        assert_eq!(call(&[Endpoint::Token, refresh]), None);
        assert_eq!(faults.calls(Endpoint::Token), 4);
        assert_eq!(faults.calls(refresh), 3);
    }
}

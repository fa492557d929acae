//! Who asks at the token and revocation endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use url::form_urlencoded;

use super::AuthorizationServer;
use crate::grant::AuthenticatedClient;
use crate::oauth::client::{Client, ClientId};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::store::StoreError;

/// Why a client was not authenticated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientAuthError {
    /// Neither the body nor the header names a client.
    #[error("the request names no client")]
    Missing,
    /// No such client is registered.
    #[error("the client is not registered")]
    Unknown {
        /// Whether it used the `Authorization` header, and must be answered in kind.
        basic: bool,
    },
    /// Header and body name different clients, or the header cannot be read.
    #[error("the request names its client in two ways")]
    Ambiguous,
    /// A secret was sent, and none was ever given out.
    #[error("a public client sent a secret")]
    UnexpectedSecret {
        /// Whether it used the `Authorization` header, and must be answered in kind.
        basic: bool,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<&ClientAuthError> for ErrorResponse {
    fn from(error: &ClientAuthError) -> Self {
        let (code, description) = match error {
            ClientAuthError::Missing => (ErrorCode::InvalidClient, "client_id is missing"),
            ClientAuthError::Unknown { .. } => (
                ErrorCode::InvalidClient,
                "the client is not registered: register it again",
            ),
            ClientAuthError::Ambiguous => (
                ErrorCode::InvalidRequest,
                "the client must be named in one way",
            ),
            ClientAuthError::UnexpectedSecret { .. } => (
                ErrorCode::InvalidClient,
                "the client is public: send no secret",
            ),
            ClientAuthError::Store(_) => (ErrorCode::TemporarilyUnavailable, "try again later"),
        };
        Self::new(code, description)
    }
}

impl ClientAuthError {
    /// Whether the answer must carry `WWW-Authenticate: Basic` (RFC 6749 §5.2).
    pub(super) fn wants_basic(&self) -> bool {
        matches!(
            self,
            Self::Unknown { basic: true } | Self::UnexpectedSecret { basic: true }
        )
    }
}

/// What a request says of its client (RFC 6749 §2.3.1).
#[derive(Debug)]
struct Presented {
    id: String,
    secret: bool,
    basic: bool,
}

impl AuthorizationServer {
    /// Authenticates the client of a token or revocation request (OAuth 2.1 §2.4).
    ///
    /// Every client is public, so it is enough to be registered; PKCE and the rotation of refresh
    /// tokens bind what it presents.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        params: &Params,
        now: Timestamp,
    ) -> Result<(AuthenticatedClient, Client), ClientAuthError> {
        let presented = presented(headers, params)?;
        let basic = presented.basic;
        if presented.secret {
            return Err(ClientAuthError::UnexpectedSecret { basic });
        }
        let unknown = || ClientAuthError::Unknown { basic };
        let id = ClientId::parse(&presented.id).map_err(|_| unknown())?;
        let client = self.0.store.client(&id, now).await?.ok_or_else(unknown)?;
        Ok((AuthenticatedClient::assertion(id), client))
    }
}

/// Reads header and body; both may name the client if they agree, as Python's SDK does.
fn presented(headers: &HeaderMap, params: &Params) -> Result<Presented, ClientAuthError> {
    let in_body = params.get("client_id");
    let body_secret = params.get("client_secret").is_some();
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let id = in_body.ok_or(ClientAuthError::Missing)?.to_owned();
        return Ok(Presented {
            id,
            secret: body_secret,
            basic: false,
        });
    };
    let (id, secret) = value
        .to_str()
        .ok()
        .and_then(basic)
        .ok_or(ClientAuthError::Ambiguous)?;
    if body_secret || in_body.is_some_and(|in_body| in_body != id) {
        return Err(ClientAuthError::Ambiguous);
    }
    Ok(Presented {
        id,
        secret: !secret.is_empty(),
        basic: true,
    })
}

/// Id and secret of a `Basic` header, form-decoded as RFC 6749 §2.3.1 wants.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, credentials) = value.split_once(' ')?;
    let decoded = STANDARD.decode(credentials.trim()).ok()?;
    let text = scheme
        .eq_ignore_ascii_case("basic")
        .then(|| String::from_utf8(decoded).ok())??;
    let (id, secret) = text.split_once(':')?;
    let plain = |part: &str| {
        // A single name without a value decodes as itself.
        form_urlencoded::parse(part.replace(['&', '='], "").as_bytes())
            .next()
            .map_or_else(String::new, |(name, _)| name.into_owned())
    };
    Some((plain(id), plain(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: Option<&str>, body: &str) -> Result<(String, bool, bool), String> {
        let mut headers = HeaderMap::new();
        if let Some(credentials) = authorization {
            let value = format!("Basic {}", STANDARD.encode(credentials));
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        presented(&headers, &Params::parse(body.as_bytes()).unwrap())
            .map(|presented| (presented.id, presented.secret, presented.basic))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn clients_are_named_in_one_way() {
        let ok = |id: &str, secret, basic| Ok((id.to_owned(), secret, basic));
        let two_ways = || Err(ClientAuthError::Ambiguous.to_string());
        for (authorization, body, expected) in [
            (None, "client_id=c", ok("c", false, false)),
            (None, "client_id=c&client_secret=", ok("c", false, false)),
            (None, "client_id=c&client_secret=s", ok("c", true, false)),
            (None, "", Err(ClientAuthError::Missing.to_string())),
            (Some("c:"), "", ok("c", false, true)),
            (Some("c%2Bd:s"), "", ok("c+d", true, true)),
            (Some("c:"), "client_id=c", ok("c", false, true)),
            (Some("c:"), "client_id=other", two_ways()),
            (Some("c:s"), "client_secret=s", two_ways()),
            (Some("no colon"), "client_id=c", two_ways()),
        ] {
            assert_eq!(
                read(authorization, body),
                expected,
                "{authorization:?} {body}"
            );
        }
    }
}

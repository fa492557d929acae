//! Who asks at the token and revocation endpoints.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use url::form_urlencoded;

use super::clients::ClientError;
use super::{AuthorizationServer, answer};
use crate::client_documents::{ClientFetchError, ClientKeysError};
use crate::grant::AuthenticatedClient;
use crate::jwt::client_assertion::{self, ASSERTION_TYPE, ClientAssertionError};
use crate::jwt::unverified::UnverifiedJwt;
use crate::oauth::client::{Client, ClientAuthentication, ClientId, ClientKeys};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::secret::McpClientSecret;
use crate::store::{StoreError, Written};

/// When to ask for a client's document again.
const DOCUMENT_RETRY_AFTER: Duration = Duration::from_secs(10);

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
    /// Header and body name different clients, the header cannot be read, or there are two.
    #[error("the request names its client in two ways")]
    Ambiguous,
    /// A secret or an assertion was sent, and the client has none.
    #[error("the client sent a secret or an assertion, and has none")]
    UnexpectedSecret {
        /// Whether it used the `Authorization` header, and must be answered in kind.
        basic: bool,
    },
    /// The client has a secret, and sent another, or none.
    #[error("the client sent another secret than it has, or none")]
    WrongSecret {
        /// Whether it used the `Authorization` header, and must be answered in kind.
        basic: bool,
    },
    /// The client has keys, and did not use them.
    #[error("the client did not prove itself")]
    NoAssertion,
    /// The assertion is of a kind we do not know.
    #[error("client_assertion_type is unknown")]
    AssertionType,
    /// The assertion proves nothing.
    #[error("the client's assertion is of no use")]
    Assertion(#[from] ClientAssertionError),
    /// The client's keys could not be had.
    #[error("the client's keys cannot be had")]
    Keys(#[source] ClientKeysError),
    /// Its document is not believed, or not there.
    #[error(transparent)]
    Document(Arc<ClientFetchError>),
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
                "the client has no secret and no keys: send none",
            ),
            ClientAuthError::WrongSecret { .. } => (
                ErrorCode::InvalidClient,
                "the client must send its client_secret, in one way",
            ),
            ClientAuthError::NoAssertion => (
                ErrorCode::InvalidClient,
                "the client proves itself by private_key_jwt: send a client_assertion",
            ),
            ClientAuthError::AssertionType => (
                ErrorCode::InvalidRequest,
                "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:\
                 jwt-bearer",
            ),
            ClientAuthError::Assertion(_) => (
                ErrorCode::InvalidClient,
                "the client_assertion is not valid, not for this server, or was used before",
            ),
            ClientAuthError::Keys(_) => (
                ErrorCode::TemporarilyUnavailable,
                "the client's keys cannot be had now, try again later",
            ),
            ClientAuthError::Document(error) if error.may_pass() => (
                ErrorCode::TemporarilyUnavailable,
                "the client's document cannot be had now, try again later",
            ),
            ClientAuthError::Document(error) => (ErrorCode::InvalidClient, error.description()),
            ClientAuthError::Store(_) => (ErrorCode::TemporarilyUnavailable, "try again later"),
        };
        Self::new(code, description)
    }
}

impl ClientAuthError {
    /// When to try again, where trying again helps.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(_) => Some(answer::STORE_RETRY_AFTER),
            Self::Document(error) if error.may_pass() => Some(DOCUMENT_RETRY_AFTER),
            Self::Keys(_) => Some(DOCUMENT_RETRY_AFTER),
            Self::Document(_)
            | Self::Missing
            | Self::Unknown { .. }
            | Self::Ambiguous
            | Self::UnexpectedSecret { .. }
            | Self::WrongSecret { .. }
            | Self::NoAssertion
            | Self::AssertionType
            | Self::Assertion(_) => None,
        }
    }

    /// Whether the answer must carry `WWW-Authenticate: Basic` (RFC 6749 §5.2).
    pub(super) fn wants_basic(&self) -> bool {
        matches!(
            self,
            Self::Unknown { basic: true }
                | Self::UnexpectedSecret { basic: true }
                | Self::WrongSecret { basic: true }
        )
    }
}

/// What a request says of its client (RFC 6749 §2.3.1).
#[derive(Debug)]
struct Presented {
    id: String,
    secret: Option<McpClientSecret>,
    basic: bool,
    assertion: Option<String>,
}

impl AuthorizationServer {
    /// Authenticates the client of a token or revocation request (OAuth 2.1 §2.4).
    ///
    /// For a public client it is enough to be known; PKCE and the rotation of refresh tokens bind what
    /// it presents. One whose document names keys must have signed.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        params: &Params,
        now: Timestamp,
    ) -> Result<(AuthenticatedClient, Client), ClientAuthError> {
        let presented = presented(headers, params)?;
        let basic = presented.basic;
        let unknown = || ClientAuthError::Unknown { basic };
        let id = ClientId::parse(&presented.id).map_err(|_| unknown())?;
        let client = self.client(&id, now).await.map_err(|error| match error {
            ClientError::Unknown => unknown(),
            ClientError::Document(error) => ClientAuthError::Document(error),
            ClientError::Store(error) => ClientAuthError::Store(error),
        })?;
        let (secret, assertion) = (presented.secret, presented.assertion);
        match (client.metadata().authentication(), secret, assertion) {
            (ClientAuthentication::None, None, None) => {}
            (ClientAuthentication::None, _, _) => {
                return Err(ClientAuthError::UnexpectedSecret { basic });
            }
            (ClientAuthentication::Secret(known), Some(secret), None)
                if secret.hashed() == *known => {}
            (ClientAuthentication::Secret(_), _, _) => {
                return Err(ClientAuthError::WrongSecret { basic });
            }
            (ClientAuthentication::PrivateKeyJwt(keys), None, Some(assertion)) => {
                self.prove(&id, keys, (&assertion, now)).await?;
            }
            (ClientAuthentication::PrivateKeyJwt(_), _, _) => {
                return Err(ClientAuthError::NoAssertion);
            }
        }
        let authenticated = AuthenticatedClient::assertion(id);
        let authenticated = match client.metadata().authentication() {
            ClientAuthentication::None => authenticated,
            ClientAuthentication::Secret(_) | ClientAuthentication::PrivateKeyJwt(_) => {
                authenticated.confidential()
            }
        };
        Ok((authenticated, client))
    }

    /// Holds an assertion against the client's keys, and uses it up.
    async fn prove(
        &self,
        id: &ClientId,
        keys: &ClientKeys,
        (assertion, now): (&str, Timestamp),
    ) -> Result<(), ClientAuthError> {
        let jwt = UnverifiedJwt::parse(assertion).map_err(ClientAssertionError::from)?;
        let key = self.0.documents.key(keys, jwt.kid()).await;
        let key = key.map_err(ClientAuthError::Keys)?;
        let key = key.ok_or(ClientAssertionError::UnknownKey)?;
        let token_endpoint = self.0.endpoints.url("/token");
        let ours = [self.0.config.issuer.as_str(), &token_endpoint];
        let verified = client_assertion::verify(&jwt, &key, (id, &ours), now)?;
        match self.0.store.spend_assertion(id, &verified).await? {
            Written::Yes => Ok(()),
            Written::Conflict | Written::Revoked => Err(ClientAssertionError::Replayed.into()),
        }
    }
}

/// Reads header and body; both may name the client if they agree, as Python's SDK does.
fn presented(headers: &HeaderMap, params: &Params) -> Result<Presented, ClientAuthError> {
    let in_body = params.get("client_id");
    let body_secret = params.get("client_secret");
    let assertion = params.get("client_assertion");
    if assertion.is_some() && params.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(ClientAuthError::AssertionType);
    }
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = credentials.next() else {
        // RFC 7521 §4.2: an assertion names its client by itself.
        let named =
            || client_assertion::unverified_subject(&UnverifiedJwt::parse(assertion?).ok()?);
        let id = in_body.map(str::to_owned).or_else(named);
        return Ok(Presented {
            id: id.ok_or(ClientAuthError::Missing)?,
            secret: body_secret.map(McpClientSecret::new),
            basic: false,
            assertion: assertion.map(str::to_owned),
        });
    };
    let (id, secret) = value
        .to_str()
        .ok()
        .and_then(basic)
        .ok_or(ClientAuthError::Ambiguous)?;
    let twice = body_secret.is_some() || assertion.is_some() || credentials.next().is_some();
    if twice || in_body.is_some_and(|in_body| in_body != id) {
        return Err(ClientAuthError::Ambiguous);
    }
    Ok(Presented {
        id,
        secret: (!secret.is_empty()).then(|| McpClientSecret::new(secret)),
        basic: true,
        assertion: None,
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
            .map(|presented| (presented.id, presented.secret.is_some(), presented.basic))
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
            (
                Some("c:"),
                "client_assertion=a.b.c&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
                 client-assertion-type%3Ajwt-bearer",
                two_ways(),
            ),
        ] {
            assert_eq!(
                read(authorization, body),
                expected,
                "{authorization:?} {body}"
            );
        }
    }
}

//! One name for one request, on the page and in the log.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::AuthorizationServer;
use crate::platform::SecureRandom;

const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// Names a request, so that a person who reports a page leads to the line in the log.
///
/// Put one into the request's extensions to have yours used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CorrelationId {
    name: String,
    /// Where the request came from, for the audit log.
    address: Option<IpAddr>,
}

/// The text cannot name a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not 1 to 64 letters, digits and dashes")]
#[non_exhaustive]
pub struct CorrelationIdError;

impl CorrelationId {
    /// Takes over a name given elsewhere.
    ///
    /// # Errors
    ///
    /// [`CorrelationIdError`] if it is not 1 to 64 letters, digits and dashes.
    pub fn parse(text: &str) -> Result<Self, CorrelationIdError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self::named(text.to_owned()))
        } else {
            Err(CorrelationIdError)
        }
    }

    /// Draws a new name.
    pub fn generate(random: &dyn SecureRandom) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        let mut hex = String::with_capacity(2 * bytes.len());
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        // Not by the formatter: every request is named.
        hex.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
        Self::named(hex)
    }

    const fn named(name: String) -> Self {
        Self {
            name,
            address: None,
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(super) const fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Names the request, and says so in the response.
pub(super) async fn correlate(
    State(server): State<AuthorizationServer>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request.extensions().get::<CorrelationId>().cloned();
    let mut id = given.unwrap_or_else(|| CorrelationId::generate(&*server.0.platform.random));
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    id.address = peer.map(|ConnectInfo(peer)| {
        let proxies = server.trusted_proxies();
        proxies.client(peer.ip(), request.headers())
    });
    let header = HeaderValue::from_str(id.as_str());
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    if let Ok(value) = header {
        response.headers_mut().entry(HEADER).or_insert(value);
    }
    response
}

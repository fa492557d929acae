//! The real clock, the real dice, the real wire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{Clock, HttpTransport, SecureRandom, Timestamp, TransportError};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an exchange may take from first byte to last.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// How large a response may be: Entra's largest, its key sets, are a tenth of this.
const RESPONSE_LIMIT: usize = 1 << 20;

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door the lint guards"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemRandom;

impl SecureRandom for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).expect("the operating system gives randomness");
    }
}

/// A pooled HTTPS client with a limit on everything.
#[derive(Clone, Debug)]
pub struct SystemHttp {
    client: reqwest::Client,
    response_limit: usize,
}

/// The HTTPS client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the https client: {what}")]
#[non_exhaustive]
pub struct SystemHttpError {
    what: &'static str,
    source: Option<reqwest::Error>,
}

impl From<reqwest::Error> for SystemHttpError {
    fn from(source: reqwest::Error) -> Self {
        Self {
            what: "is the added certificate authority PEM?",
            source: Some(source),
        }
    }
}

impl SystemHttp {
    /// Makes a client that trusts the system's authorities and those in `pem`.
    pub(super) fn trusting(pem: &[u8]) -> Result<Self, SystemHttpError> {
        let builder = Self::builder(pem)?.timeout(EXCHANGE_TIMEOUT);
        Self::built(builder, RESPONSE_LIMIT)
    }

    /// What every client of ours is made of.
    pub(super) fn builder(pem: &[u8]) -> Result<reqwest::ClientBuilder, SystemHttpError> {
        let added = reqwest::Certificate::from_pem_bundle(pem)?;
        // Whoever names a file of authorities would believe them trusted.
        if added.is_empty() && !pem.is_empty() {
            return Err(SystemHttpError {
                what: "there is no certificate (PEM) among the added certificate authorities",
                source: None,
            });
        }
        Ok(reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("entrada/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(added))
    }

    pub(super) fn built(
        builder: reqwest::ClientBuilder,
        response_limit: usize,
    ) -> Result<Self, SystemHttpError> {
        let client = builder.build()?;
        Ok(Self {
            client,
            response_limit,
        })
    }
}

#[async_trait]
impl HttpTransport for SystemHttp {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.exchange(request)
            .await
            .map_err(|source| TransportError { host, source })
    }
}

impl SystemHttp {
    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let mut answer = self
            .client
            .execute(request.try_into()?)
            .await
            .map_err(reqwest::Error::without_url)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            if body.len() + chunk.len() > self.response_limit {
                return Err("the response is too large".into());
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

//! The outside world: time, randomness and the network.
//!
//! Everything the library asks of the world goes through [`Platform`], so that a test can hold the
//! clock, the dice and the wire, and so that no pure function can reach them by accident.

use std::fmt::Debug;
use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

mod public_address;
mod public_web;
mod system;

pub use public_address::is_public;
pub use public_web::{NotPublic, PublicWeb, PublicWebSettings, Resolver, SystemResolver};
pub use system::{SystemClock, SystemHttp, SystemHttpError, SystemRandom};

/// Seconds since the Unix epoch: the `NumericDate` of RFC 7519 §2.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Makes a timestamp from seconds since the Unix epoch.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// Whether this was less than `pause` before `now`, and not after it: clocks are set back, and
    /// what was noted before must not hold until they have caught up.
    pub(crate) fn is_within(self, pause: Duration, now: Self) -> bool {
        now >= self && now.since(self) < pause
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }
}

/// Everything the library asks of the world, in one value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Platform {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub random: Arc<dyn SecureRandom>,
    /// Sends HTTP requests where the configuration says.
    pub http: Arc<dyn HttpTransport>,
    /// Sends HTTP requests where strangers say.
    ///
    /// # Security
    ///
    /// It must lead nowhere but to the public internet ([`PublicWeb`]): whoever may name a URL to us
    /// could else reach what only we can reach.
    pub public_web: Arc<dyn HttpTransport>,
}

impl Platform {
    /// Puts a platform together. It goes nowhere where strangers say; see
    /// [`with_public_web`](Self::with_public_web).
    pub fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn SecureRandom>,
        http: Arc<dyn HttpTransport>,
    ) -> Self {
        Self {
            clock,
            random,
            http,
            public_web: Arc::new(NoWeb),
        }
    }

    /// Sends requests where strangers say, by `public_web`.
    #[must_use]
    pub fn with_public_web(self, public_web: Arc<dyn HttpTransport>) -> Self {
        Self { public_web, ..self }
    }

    /// The same with the one transport in place of the other, for what strangers name is fetched as
    /// everything else is.
    pub(crate) fn among_strangers(&self) -> Self {
        Self {
            http: Arc::clone(&self.public_web),
            ..self.clone()
        }
    }

    /// The operating system's clock and randomness, and a pooled HTTPS client.
    ///
    /// # Errors
    ///
    /// [`SystemHttpError`] if the system's certificate roots cannot be loaded.
    pub fn system() -> Result<Self, SystemHttpError> {
        Self::system_trusting(&[])
    }

    /// Like [`Platform::system`], trusting the certificate authorities in `pem` besides the
    /// system's.
    ///
    /// # Errors
    ///
    /// [`SystemHttpError`] if `pem` is not empty and holds no certificate, or the system's roots cannot be
    /// loaded.
    ///
    /// # Security
    ///
    /// Whoever holds the key of an added authority can pose as Entra.
    pub fn system_trusting(pem: &[u8]) -> Result<Self, SystemHttpError> {
        let public_web = PublicWeb::new(PublicWebSettings {
            certificate_authorities: pem.to_vec(),
            ..PublicWebSettings::default()
        })?;
        let platform = Self::new(
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
            Arc::new(SystemHttp::trusting(pem)?),
        );
        Ok(platform.with_public_web(Arc::new(public_web)))
    }
}

/// Leads nowhere.
#[derive(Debug)]
struct NoWeb;

#[async_trait]
impl HttpTransport for NoWeb {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let host = request.uri().host().unwrap_or_default();
        Err(TransportError::new(host, "this platform has no public web"))
    }
}

/// Tells the time.
pub trait Clock: Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// Gives cryptographically secure random bytes.
///
/// # Security
///
/// Codes, tokens and keys are drawn from here: an implementation an attacker can predict hands
/// over every session. It must not fail quietly; if the system has no randomness it must panic.
pub trait SecureRandom: Debug + Send + Sync {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);
}

/// Sends one HTTP request, following no redirect.
///
/// # Security
///
/// A redirect that is followed carries client secrets and codes to whoever it points at. The
/// implementation must bound time and response size: the peer may be hostile.
#[async_trait]
pub trait HttpTransport: Debug + Send + Sync {
    /// Sends `request` and reads the whole response, up to the transport's size limit.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if no complete response came. An HTTP error status is a response.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError>;
}

/// No complete response came.
#[derive(Debug, thiserror::Error)]
#[error("no complete response from {host}")]
#[non_exhaustive]
pub struct TransportError {
    /// The host asked.
    pub host: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl TransportError {
    /// Says that `host` gave no complete response, and why.
    pub fn new(
        host: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            host: host.into(),
            source: source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_hold_no_certificate_are_refused() {
        for pem in [&b"no certificate"[..], b"\n", b"-----BEGIN KEY-----\n"] {
            let refused = Platform::system_trusting(pem);
            assert!(refused.is_err(), "{}", String::from_utf8_lossy(pem));
        }
        let error = Platform::system_trusting(b"no certificate").unwrap_err();
        assert!(
            error.to_string().contains("no certificate (PEM)"),
            "{error}"
        );
        Platform::system_trusting(&[]).unwrap();
    }

    #[test]
    fn time_saturates() {
        let late = Timestamp::from_unix(u64::MAX);
        assert_eq!(late + Duration::from_secs(1), late);
        assert_eq!(Timestamp::from_unix(1).since(late), Duration::ZERO);
    }
}

//! How often one address, and all together, may come to an endpoint.
//!
//! What is counted is counted by each process for itself, and forgotten when it ends: these limits
//! keep a stranger from wearing the server out, and nothing else rests on them.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use quick_cache::sync::Cache;

use super::client_address::{TrustedProxies, is_forwarded, network_of_one};
use super::correlation::CorrelationId;
use super::pages::{self, Words};
use super::{AuthorizationServer, answer, authorize};
use crate::meters;
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::platform::{Timestamp, is_public};
use crate::quota::Count;

/// How many addresses are counted at once. One that is pushed out begins anew, and whoever has so
/// many is held by what all together may do.
const MOST_ADDRESSES: usize = 10_000;

/// When all together do as much as so many addresses may, each may do less.
const PRESSURE: u32 = 10;

/// How much less that is.
const UNDER_PRESSURE: u32 = 10;

/// All together may do as much as so many addresses.
const MOST_OF_ALL: u32 = 50;

/// Where more register in a day than so many times what one address may in a minute, it is a flood.
const FLOOD: u32 = 100;

/// How many requests one address may make in a minute. All together may make fifty times as many;
/// from ten times as many on each has a tenth of its own, so that a flood from many addresses
/// leaves room for whoever does little.
///
/// An address of IPv6 is its network of 64 bits, for that is what one user has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Registrations: 60. An office that starts its day may be one address. After a hundred times as
    /// many in a day, of all together, one that nobody signs in with is forgotten within the hour.
    pub register: u32,
    /// Requests of a browser that signs in, of which there are three to a login: 600.
    pub authorize: u32,
    /// Requests to the token and the revocation endpoint: 1,200. The servers of a hosted client are
    /// a few addresses for all of its users.
    pub token: u32,
    /// Requests to any of these that are refused: 300. That a proof must hold a nonce
    /// (`use_dpop_nonce`) is no refusal.
    pub failures: u32,
}

impl RateLimits {
    /// No limit, where something before this server has its own.
    pub const NONE: Self = Self {
        register: u32::MAX,
        authorize: u32::MAX,
        token: u32::MAX,
        failures: u32::MAX,
    };
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            register: 60,
            authorize: 600,
            token: 1_200,
            failures: 300,
        }
    }
}

/// There were too many requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Of one address.
    #[error("there were too many requests of one address")]
    Address {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Of one address that were refused.
    #[error("too many requests of one address were refused")]
    Failures {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Of all together.
    #[error("there were too many requests of all together")]
    All {
        /// How long to wait.
        retry_after: Duration,
    },
}

impl LimitError {
    const fn retry_after(&self) -> Duration {
        match self {
            Self::Address { retry_after }
            | Self::Failures { retry_after }
            | Self::All { retry_after } => *retry_after,
        }
    }
}

impl LimitError {
    const fn label(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Failures { .. } => "failures",
            Self::All { .. } => "all",
        }
    }
}

impl From<&LimitError> for ErrorResponse {
    fn from(error: &LimitError) -> Self {
        let description = match error {
            LimitError::Address { .. } | LimitError::Failures { .. } => {
                "too many requests from this address, try again later"
            }
            LimitError::All { .. } => "too many requests, try again later",
        };
        Self::new(ErrorCode::TooManyRequests, description)
    }
}

/// What is counted apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Limited {
    Register,
    Authorize,
    Token,
}

impl Limited {
    const fn label(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Authorize => "authorize",
            Self::Token => "token",
        }
    }
}

/// What was counted.
#[derive(Debug)]
pub(super) struct Limits {
    most: RateLimits,
    trusted_proxies: TrustedProxies,
    counted: Arc<Counted>,
    warned: AtomicBool,
}

/// What came, whatever may.
#[derive(Debug)]
struct Counted {
    of_all: Counts,
    registered: Count,
    of_address: Cache<IpAddr, Arc<Counts>>,
}

/// What somebody did in this minute.
#[derive(Debug, Default)]
struct Counts {
    register: Count,
    authorize: Count,
    token: Count,
    failures: Count,
}

impl Counts {
    const fn of(&self, what: Limited) -> &Count {
        match what {
            Limited::Register => &self.register,
            Limited::Authorize => &self.authorize,
            Limited::Token => &self.token,
        }
    }
}

impl Limits {
    pub(super) fn new(most: RateLimits, trusted_proxies: TrustedProxies) -> Self {
        Self {
            most,
            trusted_proxies,
            counted: Arc::new(Counted {
                of_all: Counts::default(),
                registered: Count::of_a_day(),
                of_address: Cache::new(MOST_ADDRESSES),
            }),
            warned: AtomicBool::new(false),
        }
    }

    /// Counts on where `before` is, whatever may come now: nobody begins anew with a configuration.
    pub(super) fn counting_on(self, before: &Self) -> Self {
        let counted = Arc::clone(&before.counted);
        Self { counted, ..self }
    }

    /// Counts a request, of `address` where that is known, if there may be one more.
    fn admit(
        &self,
        what: Limited,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), LimitError> {
        let of_one = match what {
            Limited::Register => self.most.register,
            Limited::Authorize => self.most.authorize,
            Limited::Token => self.most.token,
        };
        let (of_all, _) = self.counted.of_all.of(what).used(now);
        // Those that are refused below count for nothing: one address is no pressure on the others.
        if let Some(address) = address {
            let counts = self.counts(address);
            let (failures, retry_after) = counts.failures.used(now);
            if failures >= self.most.failures {
                return Err(LimitError::Failures { retry_after });
            }
            let spent = counts.of(what).spend(share(of_one, of_all), now);
            spent.map_err(|retry_after| LimitError::Address { retry_after })?;
        }
        let most = of_one.saturating_mul(MOST_OF_ALL);
        let spent = self.counted.of_all.of(what).spend(most, now);
        spent.map_err(|retry_after| LimitError::All { retry_after })
    }

    /// Counts a registration; whether there were so many that somebody fills the store with them.
    pub(super) fn is_flooded(&self, now: Timestamp) -> bool {
        let most = self.most.register.saturating_mul(FLOOD);
        self.counted.registered.spend(most, now).is_err()
    }

    /// Takes note that a request of `address` was refused.
    fn fail(&self, address: IpAddr, now: Timestamp) {
        // That there were enough already was found when it came in, or it is one of several at once.
        let _ = self.counts(address).failures.spend(u32::MAX, now);
    }

    fn counts(&self, address: IpAddr) -> Arc<Counts> {
        let counts = self
            .counted
            .of_address
            .get_or_insert_with(&network_of_one(address), || {
                Ok::<_, Infallible>(Arc::default())
            });
        counts.unwrap_or_else(|never| match never {})
    }

    /// The address a request is counted for.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let hidden = self.trusted_proxies.is_empty() && is_forwarded(headers) && !is_public(peer);
        if hidden && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                proxy = %peer,
                "requests come through a proxy that is not among the trusted proxies: they are \
                 counted as those of one address"
            );
        }
        self.trusted_proxies.client(peer, headers)
    }
}

/// What one address may do where all together did so much.
const fn share(of_one: u32, of_all: u32) -> u32 {
    if of_all < of_one.saturating_mul(PRESSURE) {
        of_one
    } else {
        of_one.div_ceil(UNDER_PRESSURE)
    }
}

/// Lets a request through if there may be one more, and counts those that are refused.
pub(super) async fn limit(
    State((server, what)): State<(AuthorizationServer, Limited)>,
    Extension(correlation): Extension<CorrelationId>,
    request: Request,
    next: Next,
) -> Response {
    let limits = &server.0.limits;
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = peer.map(|ConnectInfo(peer)| limits.address(peer.ip(), request.headers()));
    let now = server.now();
    if let Err(error) = limits.admit(what, address, now) {
        meters::rate_limited(what.label(), error.label());
        return refuse(&error, what, request.headers(), &correlation);
    }
    let response = next.run(request).await;
    let told = response.extensions().get::<NoFailure>().is_some();
    let failed = response.status().is_client_error() && !told;
    if let (Some(address), true) = (address, failed) {
        limits.fail(address, now);
    }
    response
}

/// Marks a refusal that tells a client how to ask, and is part of asking.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoFailure;

fn refuse(
    error: &LimitError,
    what: Limited,
    headers: &HeaderMap,
    correlation: &CorrelationId,
) -> Response {
    let (answer, retry_after) = (ErrorResponse::from(error), error.retry_after());
    if what != Limited::Authorize || !authorize::wants_html(headers) {
        return answer::uncached(answer::refuse(
            error,
            answer,
            Some(retry_after),
            correlation,
        ));
    }
    answer::log(error, answer.error, correlation);
    let mut page = pages::error(answer.error, TOO_MANY, correlation);
    let seconds = HeaderValue::from(retry_after.as_secs().max(1));
    page.headers_mut().insert(header::RETRY_AFTER, seconds);
    page
}

const TOO_MANY: Words = Words {
    title: "Too many sign-ins at once",
    message: "More was asked of this server, from where you are, than it answers in a minute.",
    advice: pages::UNAVAILABLE.advice,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(of_one: u32) -> Limits {
        let most = RateLimits {
            register: of_one,
            token: of_one,
            ..RateLimits::default()
        };
        Limits::new(most, TrustedProxies::default())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of so many requests are let through.
    fn admitted(limits: &Limits, from: &str, requests: u32) -> usize {
        let now = Timestamp::from_unix(1000);
        let from = Some(address(from));
        let admitted = (0..requests).filter(|_| limits.admit(Limited::Register, from, now).is_ok());
        admitted.count()
    }

    #[test]
    fn each_address_has_its_own_and_ipv6_its_network() {
        let limits = limits(10);
        assert_eq!(admitted(&limits, "192.0.2.1", 50), 10);
        assert_eq!(admitted(&limits, "192.0.2.2", 5), 5);
        assert_eq!(admitted(&limits, "2001:db8::1", 6), 6);
        assert_eq!(admitted(&limits, "2001:db8::2", 6), 4);
        assert_eq!(admitted(&limits, "2001:db8:0:1::1", 6), 6);
    }

    #[test]
    fn endpoints_are_counted_apart_and_minutes_too() {
        let limits = limits(1);
        let from = Some(address("192.0.2.1"));
        let admit = |what, at| limits.admit(what, from, Timestamp::from_unix(at));
        assert_eq!(admit(Limited::Register, 1000), Ok(()));
        assert_eq!(admit(Limited::Token, 1000), Ok(()));
        let retry_after = Duration::from_secs(50);
        let refused = Err(LimitError::Address { retry_after });
        assert_eq!(admit(Limited::Register, 1010), refused);
        assert_eq!(admit(Limited::Register, 1060), Ok(()));
    }

    #[test]
    fn under_pressure_each_has_less_and_whoever_does_little_gets_through() {
        let limits = limits(20);
        let flood: usize = (0..10)
            .map(|n| admitted(&limits, &format!("192.0.2.{n}"), 100))
            .sum();
        assert_eq!(flood, 200);
        assert_eq!(admitted(&limits, "198.51.100.1", 2), 2);
        assert_eq!(admitted(&limits, "198.51.100.1", 2), 0);
        // Many more addresses than that reach what all together may do.
        let flood: usize = (0..=u8::MAX)
            .flat_map(|n| [(1, n), (2, n)])
            .map(|(a, b)| admitted(&limits, &format!("10.0.{a}.{b}"), 100))
            .sum();
        assert_eq!(flood, 1000 - 202);
        let now = Timestamp::from_unix(1000);
        let late = limits.admit(Limited::Register, Some(address("203.0.113.1")), now);
        let retry_after = Duration::from_secs(60);
        assert_eq!(late, Err(LimitError::All { retry_after }));
        assert_eq!(limits.admit(Limited::Token, None, now), Ok(()));
    }

    #[test]
    fn whose_requests_are_refused_again_and_again_waits() {
        let limits = limits(1000);
        let (from, now) = (address("192.0.2.1"), Timestamp::from_unix(1000));
        for _ in 0..300 {
            assert_eq!(limits.admit(Limited::Token, Some(from), now), Ok(()));
            limits.fail(from, now);
        }
        let retry_after = Duration::from_secs(60);
        let refused = Err(LimitError::Failures { retry_after });
        assert_eq!(limits.admit(Limited::Register, Some(from), now), refused);
        let later = now + Duration::from_secs(60);
        assert_eq!(limits.admit(Limited::Register, Some(from), later), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let limits = limits(1);
        for n in 0..(3 * MOST_ADDRESSES) {
            let address = std::net::Ipv4Addr::from(u32::try_from(n).unwrap());
            limits.fail(address.into(), Timestamp::from_unix(1000));
        }
        assert!(limits.counted.of_address.len() <= MOST_ADDRESSES);
    }
}

//! How many connections there may be at a listener, in all and of one address.

use std::net::IpAddr;
use std::time::Duration;

use entrada::authorization_server::{TrustedProxies, network_of_one};
use tokio::time::Instant;

use crate::config::ServerSettings;
use crate::metrics;
use crate::seats::{Seat, Seats};

/// How many connections there may be at a listener. One more is closed at once, before a byte of it is read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// In all.
    pub all: Option<u32>,
    /// Of one address as the connection has it, whatever is said on it; of IPv6 of one network of 64 bits.
    pub per_address: Option<u32>,
    /// Whose addresses are those of many: these may have any number of all.
    pub proxies: TrustedProxies,
}

impl ConnectionLimits {
    /// Those of `settings`, where `proxies` are before us.
    pub(crate) fn of(settings: &ServerSettings, proxies: &TrustedProxies) -> Self {
        Self {
            all: settings.max_connections,
            per_address: settings.max_connections_per_address,
            proxies: proxies.clone(),
        }
    }
}

/// Who may connect to a listener.
#[derive(Debug, Default)]
pub(super) struct Admission {
    addresses: Seats<IpAddr>,
    told_at: Option<Instant>,
}

/// A connection that may be. It counts for as long as this is kept.
#[derive(Debug)]
pub(super) struct Admitted {
    _of_address: Option<Seat<IpAddr>>,
}

impl Admission {
    /// Lets somebody at `peer` in, where `open` connections are there already, or takes note of it.
    pub(super) fn admit(
        &mut self,
        peer: IpAddr,
        open: usize,
        limits: &ConnectionLimits,
    ) -> Option<Admitted> {
        let by = match self.judge(peer.to_canonical(), open, limits) {
            Ok(admitted) => return Some(admitted),
            Err(by) => by,
        };
        metrics::connection_refused(by);
        let now = Instant::now();
        let is_told = |at| now.saturating_duration_since(at) < TELL_EVERY;
        if !self.told_at.is_some_and(is_told) {
            self.told_at = Some(now);
            tracing::warn!(by, peer = %peer, open, "too many connections: those that are one more are closed");
        }
        None
    }

    fn judge(
        &self,
        peer: IpAddr,
        open: usize,
        limits: &ConnectionLimits,
    ) -> Result<Admitted, &'static str> {
        let fits = |most| u32::try_from(open).is_ok_and(|open| open < most);
        if !limits.all.is_none_or(fits) {
            return Err("all");
        }
        let most = limits.per_address;
        let most = most.filter(|_| !limits.proxies.trusts(peer));
        let seat = match most {
            Some(most) => {
                let seat = self.addresses.take(network_of_one(peer), most);
                Some(seat.ok_or("address")?)
            }
            None => None,
        };
        Ok(Admitted { _of_address: seat })
    }
}

/// How often it is told that there are too many.
const TELL_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_and_a_proxy_any_number() {
        let mut limits = ConnectionLimits {
            all: Some(100),
            per_address: Some(2),
            ..ConnectionLimits::default()
        };
        limits.proxies.add("10.0.0.0/8").unwrap();
        let admission = Admission::default();
        let judge = |peer: &str, open| {
            let peer = peer.parse::<IpAddr>().unwrap().to_canonical();
            admission.judge(peer, open, &limits)
        };
        let mut held = Vec::new();
        for (peer, open, expected) in [
            ("192.0.2.7", 0, None),
            ("::ffff:192.0.2.7", 1, None),
            ("192.0.2.7", 2, Some("address")),
            ("192.0.2.8", 2, None),
            // Whoever has one address of IPv6 has all of its network.
            ("2001:db8::1", 3, None),
            ("2001:db8::ffff:2", 4, None),
            ("2001:db8::3", 5, Some("address")),
            ("2001:db8:0:1::1", 5, None),
            ("10.0.0.1", 6, None),
            ("10.0.0.1", 7, None),
            ("10.0.0.1", 8, None),
            ("10.0.0.1", 100, Some("all")),
        ] {
            match judge(peer, open) {
                Ok(admitted) => {
                    assert_eq!(expected, None, "{peer} {open}");
                    held.push(admitted);
                }
                Err(by) => assert_eq!(Some(by), expected, "{peer} {open}"),
            }
        }
        held.clear();
        assert!(judge("192.0.2.7", 0).is_ok());
    }

    #[test]
    fn where_there_is_no_limit_nothing_is_counted() {
        let admission = Admission::default();
        let limits = ConnectionLimits::default();
        let peer = IpAddr::from([192, 0, 2, 7]);
        let _admitted = admission.judge(peer, usize::MAX, &limits).unwrap();
        let nobody = format!("{:?}", Seats::<IpAddr>::default());
        assert_eq!(format!("{:?}", admission.addresses), nobody);
    }
}

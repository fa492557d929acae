//! Where a request comes from, as far as anybody can tell.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies before this server: those whose `X-Forwarded-For` is believed. None by default.
///
/// # Security
///
/// Each must be a proxy that adds the address it was asked from, and that clients cannot be: who is
/// believed chooses whose requests are counted, and whose name stands in the log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The text names no proxies.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustedProxyError {
    /// It is no address.
    #[error("write an IP address such as 10.0.0.4, or a network such as 10.0.0.0/8")]
    Address,
    /// It is everybody's.
    #[error("a network of all addresses would let every client say where it comes from")]
    Everybody,
}

impl TrustedProxies {
    /// Adds a proxy, or a network of them: `10.0.0.4`, `10.0.0.0/8`, `fd00::/8`.
    ///
    /// # Errors
    ///
    /// [`TrustedProxyError`] if it is none, or everybody.
    pub fn add(&mut self, text: &str) -> Result<(), TrustedProxyError> {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let network: Result<IpNet, _> = text.parse();
        let network = network.or_else(|_| address());
        let network = network.map_err(|_| TrustedProxyError::Address)?;
        if network.prefix_len() == 0 {
            return Err(TrustedProxyError::Everybody);
        }
        self.0.push(network);
        Ok(())
    }

    /// Whether there is no proxy.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address of the client, of a request from `peer`: what the nearest proxies that are
    /// trusted, one after another, say they were asked from.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        let lines = headers.get_all(X_FORWARDED_FOR).iter();
        // Each proxy adds its own on the right: what stands left of it, anybody may have written.
        let said = lines
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in said {
            if !self.trusts(nearest) {
                break;
            }
            let Some(address) = address(hop) else { break };
            nearest = address;
        }
        nearest
    }

    /// Whether a proxy that is trusted has this address.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// What one user has of addresses: one, or with IPv6 as many as 64 bits hold (RFC 6177 §2).
pub fn network_of_one(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

/// Whether some proxy says where the request comes from.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR)
}

/// An address as proxies write it; some add the port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let address = bare.unwrap_or(hop).parse().ok();
    let with_port = || {
        let address: std::net::SocketAddr = hop.parse().ok()?;
        Some(address.ip())
    };
    let address: IpAddr = address.or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn trusted(networks: &[&str]) -> TrustedProxies {
        let mut trusted = TrustedProxies::default();
        for network in networks {
            trusted.add(network).unwrap();
        }
        trusted
    }

    #[test]
    fn trusted_proxies_alone_say_where_a_request_comes_from() {
        let (near, far, client) = ("10.0.0.1", "10.0.0.2", "192.0.2.7");
        let v6 = "2001:db8::7";
        for (proxies, peer, lines, expected) in [
            // Nobody is trusted, or the peer is not.
            (&[][..], near, &[client][..], near),
            (&["10.0.0.2"], near, &[client], near),
            (&["10.0.0.0/8"], client, &["198.51.100.1"], client),
            // One proxy, two proxies, two lines.
            (&["10.0.0.1"], near, &[client], client),
            (&["10.0.0.0/8"], near, &["192.0.2.7, 10.0.0.2"], client),
            (&["10.0.0.0/8"], near, &[client, far], client),
            // What the client itself wrote stands on the left.
            (&["10.0.0.1"], near, &["127.0.0.1, 192.0.2.7"], client),
            (
                &["10.0.0.0/8"],
                near,
                &["10.9.9.9, 192.0.2.7,10.0.0.2"],
                client,
            ),
            (&["10.0.0.1"], near, &["192.0.2.1", client], client),
            // The proxy said nothing, or nothing that can be read.
            (&["10.0.0.1"], near, &[], near),
            (&["10.0.0.1"], near, &["unknown"], near),
            (&["10.0.0.1"], near, &["192.0.2.7,"], near),
            (&["10.0.0.0/8"], near, &["192.0.2.7, _x, 10.0.0.2"], far),
            // All are proxies: the farthest.
            (&["10.0.0.0/8"], near, &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // The ways to write an address.
            (&["10.0.0.1"], near, &["192.0.2.7:4711"], client),
            (&["10.0.0.1"], near, &["[2001:db8::7]:4711"], v6),
            (&["10.0.0.1"], near, &["[2001:db8::7]"], v6),
            (&["10.0.0.1"], near, &["2001:db8::7"], v6),
            (
                &["10.0.0.1"],
                "::ffff:10.0.0.1",
                &["::ffff:192.0.2.7"],
                client,
            ),
            (&["fd00::/8"], "fd00::1", &[v6], v6),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
            }
            let found = trusted(proxies).client(peer.parse().unwrap(), &headers);
            assert_eq!(found.to_string(), expected, "{proxies:?} {peer} {lines:?}");
        }
    }

    #[test]
    fn proxies_are_addresses_or_networks_and_not_everybody() {
        let mut trusted = TrustedProxies::default();
        for good in ["10.0.0.4", "10.0.0.0/8", "::1", "fd00::/8"] {
            assert_eq!(trusted.add(good), Ok(()), "{good}");
        }
        for bad in ["", "proxy.internal", "10.0.0.0/33", "10.0.0.4:80", "*"] {
            assert_eq!(trusted.add(bad), Err(TrustedProxyError::Address), "{bad}");
        }
        for all in ["0.0.0.0/0", "::/0"] {
            assert_eq!(trusted.add(all), Err(TrustedProxyError::Everybody), "{all}");
        }
    }
}

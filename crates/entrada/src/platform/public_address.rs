//! Which addresses are public: those that a stranger may have us connect to.
//!
//! The blocks are those of IANA's special-purpose address registries (RFC 6890) that are not
//! globally reachable, as of 2026-11, and a few that lead to a cloud's own services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Not public, of IPv4: the first address and the length of the prefix.
const IPV4: &[(Ipv4Addr, u32)] = &[
    // This network (RFC 791 §3.2).
    (Ipv4Addr::UNSPECIFIED, 8),
    // Private use (RFC 1918).
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by carriers (RFC 6598); one cloud serves its metadata here.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback (RFC 1122 §3.2.1.3).
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's platform services, at an address that is public everywhere else.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Link local (RFC 3927), where most clouds serve their metadata.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // IETF protocol assignments (RFC 6890 §2.1).
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation (RFC 5737).
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // What was the relay of 6to4 (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarks (RFC 2544).
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast (RFC 5771), reserved (RFC 1112 §4), and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Global unicast (RFC 4291 §2.4): all that IANA has given out of IPv6.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Not public, of [`GLOBAL_UNICAST`].
const IPV6: &[(Ipv6Addr, u32)] = &[
    // IETF protocol assignments (RFC 2928); Teredo is looked into before.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation (RFC 3849, RFC 9637).
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Whether `address` is reached over the public internet, and nothing else is.
///
/// An IPv6 address that leads to an IPv4 address is public if that is.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !IPV4.iter().any(|block| contains_v4(*block, address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = embedded(address);
    if embedded.is_empty() {
        return is_public_unicast(address);
    }
    embedded.into_iter().all(is_public_v4)
}

fn is_public_unicast(address: Ipv6Addr) -> bool {
    let special = || IPV6.iter().any(|block| contains_v6(*block, address));
    // An interface behind a tunnel (RFC 5214 §6.1) has both addresses.
    let tunnelled = match address.segments() {
        [.., 0 | 0x200, 0x5efe, high, low] => is_public_v4(from_halves(high, low)),
        _ => true,
    };
    contains_v6(GLOBAL_UNICAST, address) && !special() && tunnelled
}

/// The IPv4 addresses that an IPv6 address leads to, or may.
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    match address.segments() {
        // Compatible and mapped (RFC 4291 §2.5.5), translated (RFC 2765 §2.1), behind the well-known
        // prefix of translators (RFC 6052 §2.1), and 6to4 (RFC 3056 §2).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => vec![from_halves(high, low)],
        // The local prefix of translators (RFC 8215), with IPv4 wherever its length puts it.
        [0x64, 0xff9b, 1, ..] => by_prefix_length(address),
        // Teredo (RFC 4380 §4): the server, and the client, which is written inverted.
        [0x2001, 0, server_high, server_low, .., high, low] => {
            let server = from_halves(server_high, server_low);
            vec![server, from_halves(!high, !low)]
        }
        _ => Vec::new(),
    }
}

/// What a translator may read: RFC 6052 §2.2 leaves out the ninth byte.
fn by_prefix_length(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bytes = address.octets();
    let at = |places: [usize; 4]| {
        Ipv4Addr::from(places.map(|place| bytes.get(place).copied().unwrap_or_default()))
    };
    vec![
        at([6, 7, 9, 10]),
        at([7, 9, 10, 11]),
        at([9, 10, 11, 12]),
        at([12, 13, 14, 15]),
    ]
}

const fn from_halves(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(((high as u32) << 16) | low as u32)
}

const fn contains_v4((first, length): (Ipv4Addr, u32), address: Ipv4Addr) -> bool {
    let mask = u32::MAX << (u32::BITS - length);
    address.to_bits() & mask == first.to_bits()
}

const fn contains_v6((first, length): (Ipv6Addr, u32), address: Ipv6Addr) -> bool {
    let mask = u128::MAX << (u128::BITS - length);
    address.to_bits() & mask == first.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for (address, expected) in [
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("9.255.255.255", true),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("168.63.129.15", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.0.1.0", true),
            ("192.167.255.255", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("168.63.129.16", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.192", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn only_global_unicast_is_public() {
        for (address, expected) in [
            ("2606:4700:4700::1111", true),
            ("2001:4860:4860::8888", true),
            ("2a00::1", true),
            ("3ffe:ffff::1", true),
            ("::", false),
            ("::1", false),
            ("100::1", false),
            ("2001:2::1", false),
            ("2001:20::1", false),
            ("2001:1ff::1", false),
            ("2001:db8::1", false),
            ("3fff::1", false),
            ("4000::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn an_address_that_leads_to_another_is_as_public_as_that() {
        for (address, expected) in [
            ("::ffff:8.8.8.8", true),
            ("::ffff:10.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::8.8.8.8", true),
            ("::10.0.0.1", false),
            ("::ffff:0:8.8.8.8", true),
            ("::ffff:0:127.0.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b:0:1::8.8.8.8", false),
            // 8.8.8.8 wherever one looks.
            ("64:ff9b:1:808:8:808:808:808", true),
            // 10.0.0.1 behind a prefix of 48, 56, 64 and 96 bits.
            ("64:ff9b:1:a00:0:1:808:808", false),
            ("64:ff9b:1:80a:0:1:808:808", false),
            ("64:ff9b:1:808:a:0:108:808", false),
            ("64:ff9b:1:808:8:808:a00:1", false),
            ("2002:808:808::1", true),
            ("2002:a00:1::1", false),
            ("2002:7f00:1::1", false),
            // Teredo: 8.8.8.8 and 9.9.9.9.
            ("2001:0:808:808::f6f6:f6f6", true),
            ("2001:0:a00:1::f6f6:f6f6", false),
            ("2001:0:808:808::f5ff:fffe", false),
            ("2606:4700::5efe:8.8.8.8", true),
            ("2606:4700::5efe:10.0.0.1", false),
            ("2606:4700::200:5efe:192.168.0.1", false),
            ("fe80::5efe:8.8.8.8", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}

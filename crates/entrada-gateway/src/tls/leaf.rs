//! What a certificate says of itself, as far as it matters to whoever shows it (RFC 5280 §4.1).
//!
//! Whether to believe it is not asked here: it is one's own.

use entrada::platform::Timestamp;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::OctetString;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectAltName};
use x509_cert::time::Time;

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// Good from `not_before` to `not_after`.
    pub const fn new(not_before: Timestamp, not_after: Timestamp) -> Self {
        Self {
            not_before,
            not_after,
        }
    }
}

/// A certificate, read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Leaf {
    /// From when until when it is good.
    pub validity: Validity,
    /// The DNS names it is for, in small letters.
    pub names: Vec<String>,
    /// Its number, as it is written.
    pub serial: Vec<u8>,
    /// Which key signed it, where it says so.
    pub authority_key: Option<Vec<u8>>,
}

impl Leaf {
    /// Reads a certificate in DER; none where it is not one.
    pub fn read(der: &[u8]) -> Option<Self> {
        let signed = Certificate::from_der(der).ok()?.tbs_certificate;
        let names = signed.get().ok()?;
        let authority_key: Option<(bool, AuthorityKeyIdentifier)> = signed.get().ok()?;
        let authority_key = authority_key.and_then(|(_, authority)| authority.key_identifier);
        Some(Self {
            validity: Validity::new(
                timestamp(signed.validity.not_before),
                timestamp(signed.validity.not_after),
            ),
            names: names.map_or_else(Vec::new, |(_, names)| dns_names(&names)),
            serial: signed.serial_number.as_bytes().to_vec(),
            authority_key: authority_key.map(OctetString::into_bytes),
        })
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp::from_unix(time.to_unix_duration().as_secs())
}

fn dns_names(SubjectAltName(names): &SubjectAltName) -> Vec<String> {
    let names = names.iter().filter_map(|name| {
        let GeneralName::DnsName(name) = name else {
            return None;
        };
        Some(name.as_str().to_ascii_lowercase())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let names = ["MCP.example.com".to_owned(), "b.example.com".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.serial_number = Some(vec![0x87, 0x65].into());
        params.use_authority_key_identifier_extension = true;
        let authority = KeyPair::generate().unwrap();
        let issuer = Issuer::new(CertificateParams::default(), authority);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &issuer).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_says_from_when_until_when_and_for_whom_it_is_good() {
        for (from, to, expected) in [
            ((1970, 1, 1), (1970, 1, 2), (0, 86_400)),
            ((2000, 2, 29), (2000, 3, 1), (951_782_400, 951_868_800)),
            (
                (2026, 12, 1),
                (2049, 12, 31),
                (1_796_083_200, 2_524_521_600),
            ),
            // From 2050 on they are written another way.
            ((2050, 1, 1), (4096, 1, 1), (2_524_608_000, 67_090_118_400)),
            ((1999, 12, 31), (2100, 3, 1), (946_598_400, 4_107_542_400)),
        ] {
            let leaf = Leaf::read(&made(from, to)).unwrap();
            let validity = leaf.validity;
            let found = (validity.not_before.as_unix(), validity.not_after.as_unix());
            assert_eq!(found, expected, "{from:?} {to:?}");
            assert_eq!(leaf.names, ["mcp.example.com", "b.example.com"]);
            // RFC 9773 §4.1: with the zero that says it is positive.
            assert_eq!(leaf.serial, [0, 0x87, 0x65]);
            assert_eq!(leaf.authority_key.unwrap().len(), 20);
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_read_without_harm() {
        let whole = made((2026, 1, 1), (2027, 1, 1));
        for end in 0..whole.len() {
            assert_eq!(Leaf::read(&whole[..end]), None, "{end}");
        }
        for at in 0..whole.len() {
            for byte in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                // Whatever comes of it, it comes.
                drop(Leaf::read(&changed));
            }
        }
    }
}

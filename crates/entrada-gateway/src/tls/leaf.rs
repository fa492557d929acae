//! What a certificate says of itself, as far as it matters to whoever shows it (RFC 5280 §4.1).
//!
//! Whether to believe it is not asked here: it is one's own.

use entrada::platform::Timestamp;

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
        let mut certificate = Der(Der(der).take(SEQUENCE)?);
        let mut signed = Der(certificate.take(SEQUENCE)?);
        signed.take_if(VERSION);
        let serial = signed.take(INTEGER)?.to_vec();
        signed.take(SEQUENCE)?; // the algorithm
        signed.take(SEQUENCE)?; // the issuer
        let mut validity = Der(signed.take(SEQUENCE)?);
        let validity = Validity::new(time(&mut validity)?, time(&mut validity)?);
        let mut leaf = Self {
            validity,
            names: Vec::new(),
            serial,
            authority_key: None,
        };
        while let Some((tag, value)) = signed.next() {
            if tag == EXTENSIONS {
                leaf.read_extensions(Der(value).take(SEQUENCE)?)?;
            }
        }
        Some(leaf)
    }

    fn read_extensions(&mut self, list: &[u8]) -> Option<()> {
        let mut list = Der(list);
        while !list.0.is_empty() {
            let mut extension = Der(list.take(SEQUENCE)?);
            let id = extension.take(OBJECT_ID)?;
            extension.take_if(BOOLEAN);
            let value = extension.take(OCTETS)?;
            match id {
                SUBJECT_ALT_NAME => self.names = names(Der(value).take(SEQUENCE)?),
                AUTHORITY_KEY_ID => {
                    let mut value = Der(Der(value).take(SEQUENCE)?);
                    self.authority_key = value.take_if(KEY_ID).map(<[u8]>::to_vec);
                }
                _ => {}
            }
        }
        Some(())
    }
}

fn names(list: &[u8]) -> Vec<String> {
    let mut list = Der(list);
    let all = std::iter::from_fn(move || list.next());
    let dns = all.filter(|(tag, _)| *tag == DNS_NAME);
    let text = dns.filter_map(|(_, name)| std::str::from_utf8(name).ok());
    text.map(str::to_ascii_lowercase).collect()
}

/// A time, in either of two ways to write it (RFC 5280 §4.1.2.5).
fn time(from: &mut Der<'_>) -> Option<Timestamp> {
    let (tag, text) = from.next()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (digits, zone) = rest.split_at_checked(10)?;
    let mut pairs = digits.chunks(2).map(number);
    let mut next = || pairs.next().flatten();
    let [month, day, hour, minute, second] = [next()?, next()?, next()?, next()?, next()?];
    if zone != b"Z" || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // What was before 1970 is as much over as what was then.
    let days = days(year, month, day).unwrap_or(0);
    Some(Timestamp::from_unix(
        ((days * 24 + hour) * 60 + minute) * 60 + second,
    ))
}

/// Days from 1970 to a day of the Gregorian calendar, with years that begin in March, so that the day that is
/// not in each comes last.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month > 2 {
        year
    } else {
        year.checked_sub(1)?
    };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    let since_year_0 = year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1;
    since_year_0.checked_sub(719_468)
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// What is left of one value after another (X.690 §8.1).
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value with its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=127 => (usize::from(first), rest),
            // Longer than three bytes is no certificate.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |all, byte| all << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which must be of this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, value)| value)
    }

    /// The next value if it is of this tag.
    fn take_if(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.0.first() == Some(&tag)).then(|| self.take(tag))?
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `dNSName` of RFC 5280 §4.2.1.6.
const DNS_NAME: u8 = 0x82;
/// `keyIdentifier` of RFC 5280 §4.2.1.1.
const KEY_ID: u8 = 0x80;
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> Vec<u8> {
        let names = ["MCP.example.com".to_owned(), "b.example.com".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        params.serial_number = Some(vec![0x12, 0x34].into());
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
            ((1969, 12, 31), (2100, 3, 1), (0, 4_107_542_400)),
        ] {
            let leaf = Leaf::read(&made(from, to)).unwrap();
            let validity = leaf.validity;
            let found = (validity.not_before.as_unix(), validity.not_after.as_unix());
            assert_eq!(found, expected, "{from:?} {to:?}");
            assert_eq!(leaf.names, ["mcp.example.com", "b.example.com"]);
            assert_eq!(leaf.serial, [0x12, 0x34]);
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

    #[test]
    fn a_time_that_is_none_is_refused() {
        for text in [
            &b"\x17\x0d260101000000Z"[..],
            b"\x17\x0d2601010000000",
            b"\x17\x0d261301000000Z",
            b"\x17\x0d260100000000Z",
            b"\x17\x0d26010100000 Z",
            b"\x17\x0b2601010000Z",
            b"\x02\x0d260101000000Z",
        ] {
            let is_one = text == b"\x17\x0d260101000000Z";
            assert_eq!(time(&mut Der(text)).is_some(), is_one, "{text:?}");
        }
    }
}

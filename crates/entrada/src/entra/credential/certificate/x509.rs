//! What we need to know of a certificate (RFC 5280 §4.1).

use super::der::{BIT_STRING, Der, EXPLICIT_0, GENERALIZED_TIME, INTEGER, UTC_TIME};
use crate::platform::Timestamp;

/// A certificate.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    /// The last second of its validity.
    pub(super) not_after: Timestamp,
    /// The public key: for RSA an `RSAPublicKey` (RFC 8017 §A.1.1).
    pub(super) public_key: Vec<u8>,
}

impl Certificate {
    pub(super) fn from_der(der: Vec<u8>) -> Option<Self> {
        let mut outer = Der::new(&der);
        let mut certificate = outer.sequence()?.sequence()?;
        let _version = certificate.take(EXPLICIT_0);
        let _serial_number = certificate.take(INTEGER)?;
        let _signature = certificate.sequence()?;
        let _issuer = certificate.sequence()?;
        let mut validity = certificate.sequence()?;
        let _not_before = validity.any()?;
        let not_after = time(validity.any()?)?;
        let _subject = certificate.sequence()?;
        let mut key_info = certificate.sequence()?;
        let _algorithm = key_info.sequence()?;
        let (unused_bits, public_key) = key_info.take(BIT_STRING)?.split_first()?;
        let public_key = public_key.to_vec();
        let whole = *unused_bits == 0 && outer.is_empty();
        whole.then_some(Self {
            der,
            not_after,
            public_key,
        })
    }
}

/// A time, in one of the two ways certificates write it (RFC 5280 §4.1.2.5).
fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = digits(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (digits(year)?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| digits(rest.get(at..at + 2)?);
    let (month, day) = (two(0)?, two(2)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && rest.len() == 10;
    let seconds = two(4)? * 3600 + two(6)? * 60 + two(8)?;
    let days = in_range.then(|| days_since_1970(year, month, day))??;
    Some(Timestamp::from_unix(days * 86400 + seconds))
}

fn digits(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Days of the Gregorian calendar: years begin in March, so that the odd day is the last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month < 3 {
        (year.checked_sub(1)?, month + 9)
    } else {
        (year, month - 3)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_certificates_write_them() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "270115080000Z", Some(1_800_000_000)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20240229000000Z", Some(1_709_164_800)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "19691231235959Z", None),
            (UTC_TIME, "271315080000Z", None),
            (UTC_TIME, "2701150800Z", None),
            (UTC_TIME, "270115080000", None),
            (UTC_TIME, "27011508000+Z", None),
            (0x02, "270115080000Z", None),
        ] {
            let expected = expected.map(Timestamp::from_unix);
            assert_eq!(time((tag, text.as_bytes())), expected, "{text}");
        }
    }
}

//! A certificate that is near its end, and nobody renewed.

use entrada::platform::Timestamp;

use crate::metrics;
use crate::tls::Validity;

/// How much is left of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Left {
    /// More than a fifth.
    Enough,
    /// A fifth at most: whoever renews it had twice the time it takes.
    Little,
    /// A twentieth at most.
    AlmostNothing,
    /// It is over.
    Nothing,
}

impl Left {
    /// Of what is good so long, at `now`.
    fn of(validity: Validity, now: Timestamp) -> Self {
        let lifetime = validity.not_after.since(validity.not_before);
        let left = validity.not_after.since(now);
        if now > validity.not_after {
            Self::Nothing
        } else if left <= lifetime / 20 {
            Self::AlmostNothing
        } else if left <= lifetime / 5 {
            Self::Little
        } else {
            Self::Enough
        }
    }
}

/// Tells when the certificate that is shown comes near its end, once for each step there.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    told: Option<(Validity, Left)>,
}

impl Expiry {
    /// Looks at the certificate that is shown at `now`, if one is.
    pub(crate) fn look(&mut self, validity: Option<Validity>, now: Timestamp) {
        let Some(validity) = validity else { return };
        metrics::certificate(validity);
        let left = Left::of(validity, now);
        if self.told.replace((validity, left)) == Some((validity, left)) {
            return;
        }
        let seconds_left = validity.not_after.since(now).as_secs();
        match left {
            Left::Enough => {}
            Left::Little => {
                tracing::warn!(
                    seconds_left,
                    "the certificate ends soon and was not renewed"
                );
            }
            Left::AlmostNothing => {
                tracing::error!(
                    seconds_left,
                    "the certificate is about to end and was not renewed"
                );
            }
            Left::Nothing => {
                tracing::error!("the certificate is over: clients refuse to connect");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_left_of_a_certificate() {
        let at = Timestamp::from_unix;
        let validity = Validity::new(at(1000), at(2000));
        for (now, left) in [
            (0, Left::Enough),
            (1000, Left::Enough),
            (1799, Left::Enough),
            (1800, Left::Little),
            (1949, Left::Little),
            (1950, Left::AlmostNothing),
            (2000, Left::AlmostNothing),
            (2001, Left::Nothing),
            (u64::MAX, Left::Nothing),
        ] {
            assert_eq!(Left::of(validity, at(now)), left, "{now}");
        }
    }
}

//! Proof Key for Code Exchange (RFC 7636), with Entra's default for the method.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authorize::request::Parameters;
use crate::directory::app::Platform;
use crate::error::Aadsts;

/// What the client committed itself to (RFC 7636 §4.3).
#[derive(Debug, Clone)]
pub(crate) struct CodeChallenge {
    value: String,
    s256: bool,
}

impl CodeChallenge {
    pub(crate) fn parse(
        parameters: &Parameters,
        platform: Platform,
    ) -> Result<Option<Self>, Aadsts> {
        let Some(value) = parameters.get("code_challenge") else {
            return match platform {
                Platform::Spa => Err(Aadsts::ChallengeRequired),
                Platform::Web | Platform::PublicClient => Ok(None),
            };
        };
        if !(43..=128).contains(&value.len()) {
            return Err(Aadsts::ChallengeSize);
        }
        let s256 = match parameters.get("code_challenge_method") {
            Some("S256") => true,
            None | Some("plain") => false,
            Some(_) => return Err(Aadsts::UnsupportedValue("code_challenge_method")),
        };
        Ok(Some(Self {
            value: value.to_owned(),
            s256,
        }))
    }

    /// Whether `verifier` is what was committed to (RFC 7636 §4.6).
    pub(crate) fn is_met_by(&self, verifier: &str) -> bool {
        if self.s256 {
            URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) == self.value
        } else {
            verifier == self.value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_challenge_method_means_plain() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let parse = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            let parameters = Parameters::new(pairs.collect()).unwrap();
            CodeChallenge::parse(&parameters, Platform::Web)
        };
        let plain = parse(&[("code_challenge", verifier)]).unwrap().unwrap();
        assert!(plain.is_met_by(verifier));
        // RFC 7636 Appendix B.
        let s256 = parse(&[
            (
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            ),
            ("code_challenge_method", "S256"),
        ]);
        let s256 = s256.unwrap().unwrap();
        assert!(s256.is_met_by(verifier) && !s256.is_met_by("x"));
        assert_eq!(
            parse(&[("code_challenge", "short")]).unwrap_err().code(),
            501_491
        );
    }
}

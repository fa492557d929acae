//! Proof Key for Code Exchange: `S256`, and no other method.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::secret::CodeVerifier;

/// An `S256` code challenge (RFC 7636 §4.2).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct CodeChallenge([u8; 32]);

/// The text is not a SHA-256 in base64url without padding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an S256 code challenge")]
#[non_exhaustive]
pub struct CodeChallengeError;

impl CodeChallenge {
    /// Parses a challenge.
    ///
    /// # Errors
    ///
    /// [`CodeChallengeError`] if it is not 32 bytes in base64url (`invalid_request`).
    pub fn parse(text: &str) -> Result<Self, CodeChallengeError> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(CodeChallengeError),
        }
    }

    /// The challenge that `verifier` answers.
    pub fn of(verifier: &CodeVerifier) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, verifier.expose().as_bytes()).as_ref());
        Self(bytes)
    }

    /// Whether `verifier` is the one this challenge was made from (RFC 7636 §4.6).
    pub fn is_answered_by(&self, verifier: &CodeVerifier) -> bool {
        verify_slices_are_equal(&self.0, &Self::of(verifier).0).is_ok()
    }
}

impl TryFrom<String> for CodeChallenge {
    type Error = CodeChallengeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<CodeChallenge> for String {
    fn from(challenge: CodeChallenge) -> Self {
        URL_SAFE_NO_PAD.encode(challenge.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b_holds() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let verifier = CodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let parsed = CodeChallenge::parse(challenge).unwrap();
        assert!(parsed.is_answered_by(&verifier));
        assert!(!parsed.is_answered_by(&CodeVerifier::new(challenge)));
        assert_eq!(String::from(CodeChallenge::of(&verifier)), challenge);
    }

    #[test]
    fn only_digests_are_challenges() {
        for text in [
            "",
            "short",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM",
            &"A".repeat(44),
        ] {
            assert_eq!(
                CodeChallenge::parse(text).unwrap_err(),
                CodeChallengeError,
                "{text}"
            );
        }
    }
}

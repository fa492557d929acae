//! What stands for a public key.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::jwks::Jwk;

/// The SHA-256 thumbprint of a public key (RFC 7638 §3): `jkt` where a token is bound to it
/// (RFC 9449 §6.1).
#[derive(Clone, Copy, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct JwkThumbprint([u8; 32]);

/// The text is no thumbprint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the SHA-256 thumbprint of a key")]
#[non_exhaustive]
pub struct JwkThumbprintError;

impl JwkThumbprint {
    /// Parses a thumbprint as it stands in `jkt` and `dpop_jkt`.
    ///
    /// # Errors
    ///
    /// [`JwkThumbprintError`] if it is not 32 bytes in base64url.
    pub fn parse(text: &str) -> Result<Self, JwkThumbprintError> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(JwkThumbprintError),
        }
    }

    /// The thumbprint of `jwk`; `None` if it is no key of ours to use, or has a member that is not in
    /// its one spelling: a key with two spellings would have two thumbprints.
    pub(crate) fn of(jwk: &Jwk) -> Option<Self> {
        // RFC 7638 §3.2: the required members, in order, without white space.
        let text = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (number(jwk.n.as_ref())?, number(jwk.e.as_ref())?);
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (octets(jwk.x.as_ref())?, octets(jwk.y.as_ref())?);
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            ("OKP", Some("Ed25519")) => {
                let x = octets(jwk.x.as_ref())?;
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
            _ => return None,
        };
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Some(Self(bytes))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Octets in base64url, which has no padding and leaves no bit open (RFC 7515 §2).
fn octets(member: Option<&String>) -> Option<&str> {
    let text = member?.as_str();
    URL_SAFE_NO_PAD.decode(text).ok().map(|_| text)
}

/// A number, in as few octets as it takes (RFC 7518 §6.3.1).
fn number(member: Option<&String>) -> Option<&str> {
    let text = member?.as_str();
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    bytes
        .first()
        .is_some_and(|first| *first != 0)
        .then_some(text)
}

impl fmt::Display for JwkThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for JwkThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwkThumbprint({self})")
    }
}

impl TryFrom<String> for JwkThumbprint {
    type Error = JwkThumbprintError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<JwkThumbprint> for String {
    fn from(thumbprint: JwkThumbprint) -> Self {
        thumbprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(jwk: &str) -> Option<String> {
        let jwk: Jwk = serde_json::from_str(jwk).unwrap();
        JwkThumbprint::of(&jwk).map(|thumbprint| thumbprint.to_string())
    }

    /// The key of RFC 7638 §3.1.
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    #[test]
    fn the_examples_of_the_standards_hold() {
        assert_eq!(
            of(RSA).as_deref(),
            Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        );
        // RFC 8037 appendix A.3.
        let ed25519 =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert_eq!(
            of(ed25519).as_deref(),
            Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
        );
        // RFC 9449 §4.2 and §6.1.
        let p256 = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;
        assert_eq!(
            of(p256).as_deref(),
            Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
        );
    }

    #[test]
    fn a_key_has_one_spelling() {
        let n = r#""n":"0vx7"#;
        assert!(RSA.contains(n));
        for (ours, theirs) in [
            (n, r#""n":"ANL8"#),
            (r#""AQAB""#, r#""AAEAAQ""#),
            (r#""AQAB""#, r#""AQAB=""#),
            (r#""AQAB""#, r#""""#),
            (r#""AQAB""#, r#""AQ AB""#),
            (r#""AQAB""#, r#""AQ\"B""#),
            (r#","e":"AQAB""#, ""),
            (r#""RSA""#, r#""EC""#),
            (r#""RSA""#, r#""oct""#),
        ] {
            assert_eq!(of(&RSA.replace(ours, theirs)), None, "{theirs}");
        }
    }

    #[test]
    fn text_is_read_as_it_is_written() {
        let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        let thumbprint = JwkThumbprint::parse(text).unwrap();
        assert_eq!(thumbprint.to_string(), text);
        let json = serde_json::to_string(&thumbprint).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(
            serde_json::from_str::<JwkThumbprint>(&json).unwrap(),
            thumbprint
        );
        for wrong in [
            "",
            "AA",
            &text[1..],
            &format!("{text}="),
            &format!("{text}AA"),
        ] {
            assert!(JwkThumbprint::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! A token nobody has checked yet.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::text::Text;
use super::verify::Audience;

/// The longest token looked at: Entra's largest, with 200 groups, are about half of this.
const LONGEST: usize = 16 * 1024;

/// A compact JWS whose signature is not checked (RFC 7515 §3.1).
///
/// It gives what choosing a key needs, and nothing else: its claims are out of reach until
/// [`verify`](super::verify::verify) has seen them.
#[derive(Clone)]
pub struct UnverifiedJwt<'a> {
    header: Header,
    pub(super) signing_input: &'a str,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// SHA-256 of the signing input, where it is known.
    pub(super) digest: Option<[u8; 32]>,
}

/// The members of a JOSE header we act upon (RFC 7515 §4.1).
#[derive(Clone, Debug, Deserialize)]
struct Header {
    alg: Word,
    kid: Option<String>,
    typ: Option<Word>,
    crit: Option<IgnoredAny>,
    nonce: Option<IgnoredAny>,
}

/// A word of a header: those that stand in every token need no memory of their own.
#[derive(Clone, Debug)]
struct Word(Cow<'static, str>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Text::deserialize(deserializer)?;
        let common = COMMON.iter().find(|common| **common == &*word);
        Ok(Self(match common {
            Some(common) => Cow::Borrowed(common),
            None => Cow::Owned(word.into_owned()),
        }))
    }
}

/// What `alg` and `typ` mostly are.
const COMMON: [&str; 5] = ["RS256", "ES256", "EdDSA", "JWT", "at+jwt"];

/// The text is no compact JWS we understand.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedJwt {
    /// It is too long to be looked at.
    #[error("the token is too long")]
    TooLong,
    /// It has not three parts in base64url.
    #[error("the token is not three parts in base64url")]
    Parts,
    /// Its header is not a JSON object with an `alg`.
    #[error("the token's header is not understood")]
    Header,
    /// Its header has extensions that must be understood, and are not (RFC 7515 §4.1.11).
    #[error("the token's header demands an extension")]
    Critical,
}

impl<'a> UnverifiedJwt<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// [`MalformedJwt`] if it is no compact JWS (`invalid_token`).
    pub fn parse(token: &'a str) -> Result<Self, MalformedJwt> {
        if token.len() > LONGEST {
            return Err(MalformedJwt::TooLong);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(MalformedJwt::Parts)?;
        let (header, payload) = signing_input.split_once('.').ok_or(MalformedJwt::Parts)?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| MalformedJwt::Parts)
        };
        // A payload with a dot in it fails to decode, so there are exactly three parts.
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| MalformedJwt::Header)?;
        if header.crit.is_some() {
            return Err(MalformedJwt::Critical);
        }
        Ok(Self {
            header,
            signing_input,
            payload,
            signature,
            digest: None,
        })
    }

    /// Saves digesting the signing input again.
    pub(crate) fn with_message_digest(self, digest: [u8; 32]) -> Self {
        Self {
            digest: Some(digest),
            ..self
        }
    }

    /// The claims as they were signed, to keep: see
    /// [`authentic_payload`](super::verify::authentic_payload).
    pub(crate) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// Which key the token says it was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Which algorithm the token says it was signed with.
    pub fn alg(&self) -> &str {
        &self.header.alg.0
    }

    /// What kind of token it says it is (RFC 8725 §3.11).
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_ref().map(|typ| &*typ.0)
    }

    /// Whether the header holds a `nonce`: Microsoft Graph's tokens do, and nobody but Graph can
    /// check their signature.
    pub(crate) fn has_nonce(&self) -> bool {
        self.header.nonce.is_some()
    }

    /// The header once more, read for what not every token has in it.
    pub(super) fn header<T: DeserializeOwned>(&self) -> Option<T> {
        let (header, _) = self.signing_input.split_once('.')?;
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        serde_json::from_slice(&header).ok()
    }

    /// Where the token says it comes from; `None` if it does not say.
    pub fn origin(&self) -> Option<UnverifiedOrigin> {
        serde_json::from_slice(&self.payload).ok()
    }
}

/// Where a token says it comes from and whom it says it is for: good for choosing a verifier, not
/// for believing.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct UnverifiedOrigin {
    /// `iss`
    #[serde(rename = "iss")]
    pub issuer: String,
    /// `aud`
    #[serde(rename = "aud")]
    pub audience: Option<Audience>,
}

impl std::fmt::Debug for UnverifiedJwt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnverifiedJwt")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(token: &str) -> MalformedJwt {
        UnverifiedJwt::parse(token).unwrap_err()
    }

    fn with_header(json: &str) -> String {
        format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn only_compact_jws_parse() {
        let good = with_header(r#"{"alg":"RS256","kid":"1","typ":"JWT"}"#);
        let jwt = UnverifiedJwt::parse(&good).unwrap();
        assert_eq!(
            (jwt.alg(), jwt.kid(), jwt.typ()),
            ("RS256", Some("1"), Some("JWT"))
        );
        assert!(jwt.origin().is_none());
        for token in ["", ".", "..", "a.b", "e30.e30.e30.e30", &format!("{good}=")] {
            assert!(UnverifiedJwt::parse(token).is_err(), "{token}");
        }
        assert_eq!(error(&with_header("[]")), MalformedJwt::Header);
        assert_eq!(error(&with_header(r#"{"kid":"1"}"#)), MalformedJwt::Header);
        assert_eq!(
            error(&with_header(r#"{"alg":"RS256","crit":[]}"#)),
            MalformedJwt::Critical
        );
        assert_eq!(error(&"a".repeat(LONGEST + 1)), MalformedJwt::TooLong);
    }
}

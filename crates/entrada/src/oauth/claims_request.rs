//! What a token is asked to say besides.

use std::fmt;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::challenge::Challenges;

/// The longest request that is passed on; Entra's have a few hundred bytes.
const LONGEST: usize = 8 * 1024;

/// What Entra must make sure of before it issues a token, or what the token must say: the `claims`
/// request parameter (OpenID Connect Core §5.5; Microsoft, *claims challenges*).
///
/// It comes from Entra, or from an API of Microsoft's, and goes back to Entra: JSON whose text
/// nobody else understands.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimsRequest(String);

/// The text is no claims request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a claims request: a JSON object of at most 8 KiB")]
#[non_exhaustive]
pub struct ClaimsRequestError;

impl ClaimsRequest {
    /// Parses a request as Entra's token endpoint writes it: JSON in a string.
    ///
    /// # Errors
    ///
    /// [`ClaimsRequestError`] if it is no JSON object, or too long.
    pub fn parse(json: &str) -> Result<Self, ClaimsRequestError> {
        if json.len() > LONGEST {
            return Err(ClaimsRequestError);
        }
        let object: Map<String, Value> =
            serde_json::from_str(json).map_err(|_| ClaimsRequestError)?;
        let this = Self::of(object);
        // Numbers can come out longer than they went in.
        if this.0.len() > LONGEST {
            return Err(ClaimsRequestError);
        }
        Ok(this)
    }

    /// Parses a request as a `WWW-Authenticate` header holds it: in base64, of either alphabet.
    ///
    /// # Errors
    ///
    /// [`ClaimsRequestError`] if it is not the base64 of a JSON object, or too long.
    pub fn decode(base64: &str) -> Result<Self, ClaimsRequestError> {
        let lenient = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let standard = base64.replace('-', "+").replace('_', "/");
        let decoded = GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(standard);
        let json = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        Self::parse(&json.ok_or(ClaimsRequestError)?)
    }

    /// What an API that turned a token away wants of the next one (Microsoft, *claims challenges*):
    /// the `claims` of its `Bearer` challenge.
    pub fn of_challenge(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        values
            .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
            .flat_map(Challenges::of)
            .filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))
            .find_map(|challenge| Self::decode(challenge.get("claims")?).ok())
    }

    /// Says that a client understands continuous access evaluation (Microsoft, *client
    /// capabilities*).
    pub(crate) fn capable_of_continuous_access_evaluation() -> Self {
        Self(json!({"access_token": {"xms_cc": {"values": ["cp1"]}}}).to_string())
    }

    /// This and `other` in one; where both want the same claim, or both are too long, this is what
    /// counts.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut merged = other.object();
        merge(&mut merged, self.object());
        let merged = Self::of(merged);
        if merged.0.len() > LONGEST {
            return self.clone();
        }
        merged
    }

    /// As a `WWW-Authenticate` header holds it.
    pub fn encode(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&self.0)
    }

    /// As a request parameter holds it: JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(object: Map<String, Value>) -> Self {
        Self(Value::Object(object).to_string())
    }

    fn object(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// Puts `newer` over `into`, member by member.
fn merge(into: &mut Map<String, Value>, newer: Map<String, Value>) {
    for (name, value) in newer {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(into)), Value::Object(newer)) => merge(into, newer),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// Asks for nothing.
impl Default for ClaimsRequest {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl fmt::Display for ClaimsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClaimsRequest {
    type Error = ClaimsRequestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ClaimsRequest> for String {
    fn from(request: ClaimsRequest) -> Self {
        request.0
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const C1: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;

    #[test]
    fn only_json_objects_of_bounded_length_are_requests() {
        assert_eq!(ClaimsRequest::parse(C1).unwrap().as_str(), C1);
        let spaced = ClaimsRequest::parse(" { \"a\" : 1 } ").unwrap();
        assert_eq!(spaced.as_str(), r#"{"a":1}"#);
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST));
        for text in ["", "[]", "1", "null", "{", "\"{}\"", &long] {
            assert!(ClaimsRequest::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn base64_of_either_alphabet_is_read_with_padding_or_without() {
        let json = r#"{"a":"??>>~~"}"#;
        let standard = ClaimsRequest::parse(json).unwrap().encode();
        let url = standard.replace('+', "-").replace('/', "_");
        for text in [&standard, standard.trim_end_matches('='), &url] {
            assert_eq!(ClaimsRequest::decode(text).unwrap().as_str(), json);
        }
        // The documentation's own example.
        let documented =
            "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19";
        assert_eq!(ClaimsRequest::decode(documented).unwrap().as_str(), C1);
        for text in ["", "*", "e30!", "W10="] {
            assert!(ClaimsRequest::decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_challenge_is_found_among_others() {
        let encoded = ClaimsRequest::parse(C1).unwrap().encode();
        for (header, found) in [
            (
                format!(
                    "Bearer realm=\"\", authorization_uri=\"https://l/common/oauth2/authorize\", \
                     error=\"insufficient_claims\", claims=\"{encoded}\""
                ),
                true,
            ),
            (
                format!("PoP nonce=\"x\", Bearer claims=\"{encoded}\""),
                true,
            ),
            (format!("PoP claims=\"{encoded}\""), false),
            (format!("Bearer error=\"claims={encoded}\""), false),
            ("Bearer claims=\"bm90IGpzb24=\"".to_owned(), false),
            ("Bearer".to_owned(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"x\""),
            );
            headers.append(WWW_AUTHENTICATE, header.parse().unwrap());
            let claims = ClaimsRequest::of_challenge(&headers);
            assert_eq!(claims.is_some(), found, "{header}");
            assert!(claims.is_none_or(|claims| claims.as_str() == C1));
        }
    }

    #[test]
    fn requests_are_merged_claim_by_claim() {
        let capable = ClaimsRequest::capable_of_continuous_access_evaluation();
        let challenge = ClaimsRequest::parse(C1).unwrap();
        let both = challenge.and(&capable);
        let read =
            |claims: &ClaimsRequest| -> Value { serde_json::from_str(claims.as_str()).unwrap() };
        assert_eq!(
            read(&both),
            serde_json::json!({"access_token": {
                "acrs": {"essential": true, "value": "c1"},
                "xms_cc": {"values": ["cp1"]},
            }})
        );
        assert_eq!(both.and(&capable), both);
        let other = ClaimsRequest::parse(r#"{"access_token":{"acrs":{"value":"c2"}},"x":1}"#);
        assert_eq!(
            read(&challenge.and(&other.unwrap())),
            serde_json::json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}, "x": 1})
        );
    }
}

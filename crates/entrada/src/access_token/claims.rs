//! What a token says besides the facts everybody needs.

use std::fmt;

use serde_json::{Map, Value};

/// The claims of a verified token, as they were signed.
///
/// They are taken apart when somebody asks: most requests are decided by the
/// [`TokenFacts`](super::TokenFacts) alone.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct TokenClaims(Vec<u8>);

impl TokenClaims {
    /// The claims in `payload`, which a signature vouches for.
    pub(crate) fn of(payload: Vec<u8>) -> Self {
        Self(payload)
    }

    /// The claim called `name`.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.all().remove(name)
    }

    /// All claims.
    pub fn all(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }
}

// Claims name people.
impl fmt::Debug for TokenClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenClaims(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_when_they_are_asked_for() {
        let claims = TokenClaims::of(br#"{"uti":"x","acrs":["c1"]}"#.to_vec());
        assert_eq!(claims.get("uti"), Some(Value::from("x")));
        assert_eq!(claims.get("nothing"), None);
        assert_eq!(claims.all().len(), 2);
        assert!(TokenClaims::default().all().is_empty());
        assert_eq!(format!("{claims:?}"), "TokenClaims(…)");
    }
}

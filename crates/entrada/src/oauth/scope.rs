//! Scopes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One scope (RFC 6749 §3.3).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ScopeToken(String);

/// The text is no scope token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a scope: visible ASCII without quote and backslash")]
#[non_exhaustive]
pub struct ScopeTokenError;

impl ScopeToken {
    /// Parses one scope.
    ///
    /// # Errors
    ///
    /// [`ScopeTokenError`] if a character lies outside the grammar of RFC 6749 §3.3.
    pub fn parse(text: &str) -> Result<Self, ScopeTokenError> {
        let fits = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !text.is_empty() && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ScopeTokenError)
        }
    }

    /// The scope as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of scopes, in the order in which they were first named (RFC 6749 §3.3).
#[derive(Clone, Debug, Default)]
pub struct Scope(Vec<ScopeToken>);

impl Scope {
    /// Parses a list separated by spaces, however many.
    ///
    /// # Errors
    ///
    /// [`ScopeTokenError`] if one of them is no scope (`invalid_scope`).
    pub fn parse(text: &str) -> Result<Self, ScopeTokenError> {
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(ScopeToken::parse)
            .collect()
    }

    /// The scopes.
    pub fn iter(&self) -> impl Iterator<Item = &ScopeToken> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `token` is one of them.
    pub fn contains(&self, token: &ScopeToken) -> bool {
        self.0.contains(token)
    }

    /// Whether all of `needed` are among these.
    pub fn covers(&self, needed: &Self) -> bool {
        needed.iter().all(|token| self.contains(token))
    }

    /// Those that `other` holds too.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter()
            .filter(|token| other.contains(token))
            .cloned()
            .collect()
    }

    /// These, and those of `other` besides.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// Those that `other` does not hold.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.iter()
            .filter(|token| !other.contains(token))
            .cloned()
            .collect()
    }
}

// Sets: the order tells nothing.
impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.covers(other)
    }
}

impl Eq for Scope {}

impl FromIterator<ScopeToken> for Scope {
    fn from_iter<I: IntoIterator<Item = ScopeToken>>(tokens: I) -> Self {
        let mut set = Vec::new();
        for token in tokens {
            if !set.contains(&token) {
                set.push(token);
            }
        }
        Self(set)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for token in &self.0 {
            write!(f, "{separator}{token}")?;
            separator = " ";
        }
        Ok(())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn lists_are_sets() {
        assert_eq!(scope("  b  a b ").to_string(), "b a");
        assert_eq!(scope("a b"), scope("b a"));
        assert_ne!(scope("a b"), scope("a"));
        assert!(scope("").is_empty());
        assert!(scope("a b").covers(&scope("b")));
        assert!(!scope("a").covers(&scope("a b")));
        assert_eq!(scope("a b c").intersection(&scope("c b x")), scope("b c"));
        assert_eq!(scope("a").union(&scope("a b")).to_string(), "a b");
        assert_eq!(scope("a b").without(&scope("a")), scope("b"));
    }

    #[test]
    fn the_grammar_holds() {
        for text in ["a\"b", "a\\b", "a\tb", "a\u{e9}", "a\nb"] {
            assert_eq!(Scope::parse(text).unwrap_err(), ScopeTokenError, "{text:?}");
        }
        assert!(ScopeToken::parse("").is_err());
        assert!(ScopeToken::parse("a b").is_err());
        assert!(ScopeToken::parse("api://x/mcp.read").is_ok());
    }
}

//! Keys that somebody else signs with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::{Published, PublishedError};
use crate::jwt::jwks::{Jwks, VerificationKey};
use crate::platform::{Platform, Timestamp};

/// How long a key stays that is not published any more: Entra's edges answer differently, and one
/// that lacks a key must not log everybody out.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many keys are kept; Entra publishes about a dozen, and Microsoft says to expect up to a
/// thousand.
const MOST_KEYS: usize = 1024;

/// The keys of one issuer, parsed once.
#[derive(Debug)]
pub(crate) struct PublishedKeys(Published<KeySet>);

#[derive(Debug, Default)]
struct KeySet(HashMap<String, Seen>);

#[derive(Clone, Debug)]
struct Seen {
    key: Arc<VerificationKey>,
    at: Timestamp,
}

impl PublishedKeys {
    /// The keys published at `uri`. Nothing is fetched yet.
    pub(crate) fn new(uri: Uri, platform: Platform) -> Self {
        Self(Published::new(uri, platform, KeySet::read))
    }

    /// The key named `kid`, if it is known.
    pub(crate) fn at_hand(&self, kid: &str, now: Timestamp) -> Option<Arc<VerificationKey>> {
        let keys = self.0.at_hand(|keys| keys.0.contains_key(kid), now)?;
        keys.0.get(kid).map(|seen| Arc::clone(&seen.key))
    }

    /// The key named `kid`; `None` if it is not published.
    ///
    /// # Errors
    ///
    /// [`PublishedError`] if the key is not known and its issuer could not be asked.
    pub(crate) async fn key(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<VerificationKey>>, PublishedError> {
        let keys = self.0.get(|keys| keys.0.contains_key(kid), now).await?;
        Ok(keys.0.get(kid).map(|seen| Arc::clone(&seen.key)))
    }
}

impl KeySet {
    /// Adds the keys of a document to those known before; `None` if it holds none.
    fn read(document: &[u8], before: Option<&Self>, now: Timestamp) -> Option<Self> {
        let published = Jwks::parse(document).ok()?;
        let mut keys = HashMap::new();
        for key in published.iter().take(MOST_KEYS) {
            if let Some(kid) = key.kid() {
                let key = Arc::new(key.clone());
                keys.entry(kid.to_owned()).or_insert(Seen { key, at: now });
            }
        }
        if keys.is_empty() {
            return None;
        }
        let before = before.into_iter().flat_map(|before| &before.0);
        for (kid, seen) in before.filter(|(_, seen)| seen.at.is_within(KEPT, now)) {
            if keys.len() < MOST_KEYS && !keys.contains_key(kid) {
                keys.insert(kid.clone(), seen.clone());
            }
        }
        Some(Self(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::jwks::Algorithm;
    use crate::jwt::sign::SigningKey;

    fn document(keys: &[&SigningKey]) -> Vec<u8> {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        serde_json::to_vec(&serde_json::json!({ "keys": keys })).unwrap()
    }

    #[test]
    fn a_key_outlives_the_documents_that_lack_it_by_a_day() {
        let old = SigningKey::generate(Algorithm::Es256).unwrap();
        let new = SigningKey::generate(Algorithm::Es256).unwrap();
        let at = Timestamp::from_unix;
        let day = KEPT.as_secs();
        let first = KeySet::read(&document(&[&old]), None, at(100)).unwrap();
        for (now, kept) in [(200, true), (99 + day, true), (100 + day, false)] {
            let next = KeySet::read(&document(&[&new]), Some(&first), at(now)).unwrap();
            assert!(next.0.contains_key(new.kid()));
            assert_eq!(next.0.contains_key(old.kid()), kept, "{now}");
        }
    }

    #[test]
    fn a_document_without_keys_is_none() {
        for document in [
            "",
            "{}",
            "[]",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"oct"}]}"#,
        ] {
            assert!(KeySet::read(document.as_bytes(), None, Timestamp::from_unix(0)).is_none());
        }
    }
}

//! MCP sessions, tied to whoever opened them.
//!
//! A session id is no credential, yet whoever presents one gets what is queued for the session
//! (MCP security best practices, *Session Hijacking*). The id a client is given therefore ends in
//! a tag over the id and the caller, and the server behind the guard sees only ids that came with
//! the tag of the very caller. Nothing is stored, so this holds on every replica and after a
//! restart; a refreshed token has the same subject and client, so it goes on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::refusal::Refusal;
use crate::access_token::{Caller, TokenFacts, VerifyError};
use crate::keys::{Keys, KeysUnavailable};

/// `Mcp-Session-Id` (MCP transports, *Session Management*).
pub(super) const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The first revision of MCP that has no sessions.
const SESSIONLESS_SINCE: &[u8] = b"2026-07-28";

/// Between the id and its tag: visible ASCII, as all of a session id must be, and outside
/// base64url.
const SEPARATOR: u8 = b'~';

/// What tags are for: they prove nothing else.
const COLLECTION: &str = "mcp-session";

/// Ties session ids to callers.
#[derive(Clone, Debug)]
pub(super) struct SessionBinding {
    keys: Keys,
    /// A session id of one server says nothing at another.
    resource: String,
}

impl SessionBinding {
    pub(super) fn new(keys: Keys, resource: &Url) -> Self {
        let resource = resource.as_str().to_owned();
        Self { keys, resource }
    }

    /// Takes the tag off the session id of a request from `caller`.
    ///
    /// Without a session there is nothing one could resume, so `Last-Event-ID` goes: a server may
    /// replay by that id alone.
    pub(super) fn admit(
        &self,
        headers: &mut HeaderMap,
        caller: &TokenFacts,
    ) -> Result<(), Refusal> {
        if !self.keys.current().is_there() {
            return Err(unavailable());
        }
        drop_lookalikes(headers);
        if headers
            .get(MCP_PROTOCOL_VERSION)
            .is_some_and(is_sessionless)
        {
            headers.remove(MCP_SESSION_ID);
        }
        let mut presented = headers.get_all(MCP_SESSION_ID).iter();
        match (presented.next(), presented.next()) {
            (None, _) => {
                headers.remove(LAST_EVENT_ID);
                Ok(())
            }
            (Some(presented), None) => {
                let id = self.untagged(presented, caller);
                let id = id.ok_or_else(|| self.untrusted(caller))?;
                headers.insert(MCP_SESSION_ID, id);
                Ok(())
            }
            (Some(_), Some(_)) => Err(Refusal::SeveralSessions(Caller::of(caller))),
        }
    }

    /// Puts a tag for `caller` on the session id of a response. An id that cannot be tagged does
    /// not leave.
    pub(super) fn tag(&self, headers: &mut HeaderMap, caller: &TokenFacts) {
        let Some(id) = headers.get(MCP_SESSION_ID) else {
            return;
        };
        if let Ok(tagged) = HeaderValue::try_from(self.tagged(id, caller)) {
            headers.insert(MCP_SESSION_ID, tagged);
        } else {
            tracing::error!("a session id could not be tagged");
            headers.remove(MCP_SESSION_ID);
        }
    }

    fn tagged(&self, id: &HeaderValue, caller: &TokenFacts) -> Vec<u8> {
        let message = self.message(id.as_bytes(), caller);
        let tag = self
            .keys
            .current()
            .sealing()
            .authenticate(COLLECTION, &message);
        let mut tagged = id.as_bytes().to_vec();
        tagged.push(SEPARATOR);
        tagged.extend_from_slice(URL_SAFE_NO_PAD.encode(tag).as_bytes());
        tagged
    }

    /// What becomes of a session whose tag does not hold, as far as anybody can tell.
    fn untrusted(&self, caller: &TokenFacts) -> Refusal {
        if self.keys.may_lack_some() {
            unavailable()
        } else {
            Refusal::ForeignSession(Caller::of(caller))
        }
    }

    fn untagged(&self, presented: &HeaderValue, caller: &TokenFacts) -> Option<HeaderValue> {
        let presented = presented.as_bytes();
        let separator = presented.iter().rposition(|byte| *byte == SEPARATOR)?;
        let (id, tag) = presented.split_at_checked(separator)?;
        let tag = URL_SAFE_NO_PAD.decode(tag.get(1..)?).ok()?;
        let keys = self.keys.current();
        let authentic = keys
            .sealing()
            .is_authentic(COLLECTION, &self.message(id, caller), &tag);
        authentic
            .then(|| HeaderValue::from_bytes(id).ok())
            .flatten()
    }

    /// What is authenticated, each part behind its length so that no other parts give the same bytes.
    fn message(&self, id: &[u8], caller: &TokenFacts) -> Vec<u8> {
        let parts = [
            self.resource.as_bytes(),
            caller.issuer.as_bytes(),
            caller.subject.as_bytes(),
            caller.client_id.as_str().as_bytes(),
            id,
        ];
        let mut message = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
        for part in parts {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        message
    }
}

fn unavailable() -> Refusal {
    Refusal::of(VerifyError::Unavailable(Box::new(KeysUnavailable)))
}

/// Drops headers that servers which fold `_`, or whatever is neither letter nor digit, and `-` (CGI,
/// WSGI) would take for a session's.
fn drop_lookalikes(headers: &mut HeaderMap) {
    let folds_to = |name: &HeaderName, own: &HeaderName| {
        let (name, own) = (name.as_str(), own.as_str());
        let folds =
            |(byte, own): (u8, u8)| byte == own || (own == b'-' && !byte.is_ascii_alphanumeric());
        name.len() == own.len() && name != own && name.bytes().zip(own.bytes()).all(folds)
    };
    let lookalikes: Vec<_> = headers
        .keys()
        .filter(|name| folds_to(name, &MCP_SESSION_ID) || folds_to(name, &LAST_EVENT_ID))
        .cloned()
        .collect();
    for name in lookalikes {
        headers.remove(name);
    }
}

/// Whether `version` is a revision in which servers ignore session ids.
fn is_sessionless(version: &HeaderValue) -> bool {
    let version = version.as_bytes();
    let is_date = version.len() == SESSIONLESS_SINCE.len()
        && version
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'-');
    is_date && version >= SESSIONLESS_SINCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::jwks::Algorithm;
    use crate::keys::KeyRing;
    use crate::oauth::client::ClientId;
    use crate::platform::{SystemRandom, Timestamp};

    fn ring() -> KeyRing {
        let random = SystemRandom::default();
        KeyRing::generate(Algorithm::EdDsa, &random, Timestamp::from_unix(0)).unwrap()
    }

    fn caller(issuer: &str, subject: &str, client_id: &str) -> TokenFacts {
        let client_id = ClientId::parse(client_id).unwrap();
        TokenFacts::new(
            issuer.to_owned(),
            subject.to_owned(),
            client_id,
            Timestamp::from_unix(9),
        )
    }

    fn binding(keys: Keys) -> SessionBinding {
        SessionBinding::new(keys, &"https://h/mcp".parse().unwrap())
    }

    fn session(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(MCP_SESSION_ID, HeaderValue::from_bytes(value).unwrap());
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("7"));
        headers
    }

    fn given_to(binding: &SessionBinding, caller: &TokenFacts) -> Vec<u8> {
        let mut headers = session(b"the~id");
        binding.tag(&mut headers, caller);
        headers[MCP_SESSION_ID].as_bytes().to_vec()
    }

    #[test]
    fn a_session_is_known_to_whoever_opened_it_alone() {
        let binding = binding(Keys::new(ring()));
        let alice = caller("https://i", "alice", "c");
        let given = given_to(&binding, &alice);
        let mut headers = session(&given);
        binding.admit(&mut headers, &alice).unwrap();
        assert_eq!(headers[MCP_SESSION_ID], "the~id");
        assert_eq!(headers[LAST_EVENT_ID], "7");
        for other in [
            caller("https://i", "bob", "c"),
            caller("https://i", "alice", "d"),
            caller("https://j", "alice", "c"),
            caller("https://ia", "lice", "c"),
        ] {
            let refused = binding.admit(&mut session(&given), &other);
            assert!(
                matches!(refused, Err(Refusal::ForeignSession(_))),
                "{other:?}"
            );
        }
    }

    #[test]
    fn what_was_not_given_out_is_refused() {
        let keys = Keys::new(ring());
        let binding = binding(keys.clone());
        let alice = caller("https://i", "alice", "c");
        let given = given_to(&binding, &alice);
        for at in 0..given.len() {
            let mut changed = given.clone();
            changed[at] ^= 2;
            assert!(
                binding.admit(&mut session(&changed), &alice).is_err(),
                "byte {at}"
            );
            assert!(
                binding.admit(&mut session(&given[..at]), &alice).is_err(),
                "length {at}"
            );
        }
        for raw in ["the~id", "~", "", "id", "\u{e9}~"] {
            assert!(
                binding.admit(&mut session(raw.as_bytes()), &alice).is_err(),
                "{raw}"
            );
        }
        let mut twice = session(&given);
        twice.append(MCP_SESSION_ID, HeaderValue::from_bytes(&given).unwrap());
        let refused = binding.admit(&mut twice, &alice);
        assert!(matches!(refused, Err(Refusal::SeveralSessions(_))));

        let other = "https://h/other".parse().unwrap();
        let other = SessionBinding::new(keys.clone(), &other);
        assert!(
            other.admit(&mut session(&given), &alice).is_err(),
            "at another server"
        );

        let rotated = keys.current().rotated(
            Algorithm::EdDsa,
            &SystemRandom::default(),
            Timestamp::from_unix(1),
        );
        keys.replace(rotated.unwrap());
        assert!(
            binding.admit(&mut session(&given), &alice).is_ok(),
            "after a key rotation"
        );
        let elsewhere = SessionBinding::new(Keys::new(ring()), &"https://h/mcp".parse().unwrap());
        assert!(
            elsewhere.admit(&mut session(&given), &alice).is_err(),
            "under other keys"
        );
    }

    #[test]
    fn nothing_is_resumed_without_a_session() {
        let binding = binding(Keys::new(ring()));
        let alice = caller("https://i", "alice", "c");
        let mut headers = HeaderMap::new();
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("7"));
        binding.admit(&mut headers, &alice).unwrap();
        assert!(headers.is_empty());
    }

    #[test]
    fn a_name_that_folds_to_a_session_id_goes_no_further() {
        let binding = binding(Keys::new(ring()));
        let alice = caller("https://i", "alice", "c");
        let mut headers = HeaderMap::new();
        for name in [
            "mcp_session_id",
            "mcp-session_id",
            "last_event-id",
            "x_other",
        ] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        binding.admit(&mut headers, &alice).unwrap();
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["x_other"]
        );
    }

    #[test]
    fn revisions_without_sessions_see_none() {
        let binding = binding(Keys::new(ring()));
        let alice = caller("https://i", "alice", "c");
        for (version, dropped) in [
            ("2026-07-28", true),
            ("2027-01-01", true),
            ("2025-11-25", false),
            ("2025-03-26", false),
            ("DRAFT-2026", false),
            ("DRAFT-2026-v2", false),
            ("", false),
        ] {
            let mut headers = session(b"anything");
            headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(version));
            assert_eq!(
                binding.admit(&mut headers, &alice).is_ok(),
                dropped,
                "{version}"
            );
            assert_eq!(headers.contains_key(MCP_SESSION_ID), !dropped, "{version}");
        }
    }
}

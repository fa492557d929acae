//! What an MCP server is told of the caller by a gateway before it, signed.
//!
//! A JWT (RFC 7519) of a minute or two, for one server alone, that it verifies with the key set of the
//! authorization server. The server can so bind what it keeps to a user, as MCP asks of it (*Security Best
//! Practices*, *Session Hijacking*), and need not trust the network between. It is no access token:
//! its `typ` is another, and nothing of ours takes it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::Serialize;

use crate::access_token::{Assertion, PrincipalKind, TokenFacts, VerifiedToken};
use crate::keys::Keys;
use crate::oauth::scope::Scope;
use crate::platform::{Clock, Timestamp};

/// The `typ` of an assertion (RFC 8725 §3.11).
pub const TYPE: &str = "entrada-caller+jwt";

/// For how long one is good. Whoever verifies it should allow for a minute between clocks.
pub const LIFETIME: Duration = Duration::from_secs(2 * 60);

/// For how long one is told again, in place of another signature for every request.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How many groups are told. A header has little room, and many servers take no more than 8 kB of them
/// all.
const MOST_GROUPS: usize = 50;

/// Signs who calls, for one protected server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CallerAssertions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: String,
    audience: String,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

/// There is no key to sign with now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no key to sign with now")]
#[non_exhaustive]
pub struct NotSigned;

impl CallerAssertions {
    pub(crate) fn new((issuer, audience): (&str, &str), keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys,
            clock,
        }))
    }

    /// A JWT that says whom `token` speaks for, fit to be a header's value. It is good for
    /// [`LIFETIME`], and never longer than `token`.
    ///
    /// # Errors
    ///
    /// [`NotSigned`] if there is no key.
    pub fn of(&self, token: &VerifiedToken) -> Result<HeaderValue, NotSigned> {
        let Inner {
            issuer,
            audience,
            keys,
            clock,
        } = &*self.0;
        let now = clock.now();
        let ring = keys.current();
        let signer = ring.signer(now).ok_or(NotSigned)?;
        let told = token.told();
        if let Some(told) = told.recall((audience, signer.kid()), now) {
            return Ok(told);
        }
        let claims = AssertionClaims::of(token, (issuer, audience), now);
        let jwt = signer.sign(TYPE, &claims).map_err(|_| NotSigned)?;
        let value = HeaderValue::try_from(jwt).map_err(|_| NotSigned)?;
        told.remember(Assertion {
            audience: audience.clone(),
            kid: signer.kid().to_owned(),
            until: (now + TOLD_AGAIN).min(claims.exp),
            value: value.clone(),
        });
        Ok(value)
    }
}

/// What an assertion says, in the terms of Entra's own tokens where it has one.
#[derive(Debug, Serialize)]
struct AssertionClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: Timestamp,
    exp: Timestamp,
    client_id: &'a str,
    scope: &'a Scope,
    /// `user` or `app`.
    idtyp: &'static str,
    tid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    oid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    roles: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    /// There are groups that are not told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hasgroups: bool,
    /// The authorization the token was issued under.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    /// Who issued the token, where that was not us: `sub` is in their naming.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issuer: Option<&'a str>,
}

impl<'a> AssertionClaims<'a> {
    fn of(facts: &'a TokenFacts, (issuer, audience): (&'a str, &'a str), now: Timestamp) -> Self {
        let principal = &facts.principal;
        let too_many = principal.groups.len() > MOST_GROUPS;
        Self {
            iss: issuer,
            aud: audience,
            sub: &facts.subject,
            iat: now,
            exp: (now + LIFETIME).min(facts.expires_at),
            client_id: facts.client_id.as_str(),
            scope: &facts.scope,
            idtyp: match principal.kind {
                PrincipalKind::User => "user",
                PrincipalKind::Application => "app",
            },
            tid: &principal.tenant_id,
            oid: principal.object_id.as_deref(),
            name: principal.name.as_deref(),
            preferred_username: principal.preferred_username.as_deref(),
            roles: &principal.roles,
            groups: if too_many { &[] } else { &principal.groups },
            hasgroups: too_many || principal.groups_overage,
            sid: facts.grant.as_deref(),
            token_issuer: (facts.issuer != issuer).then_some(&facts.issuer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::access_token::Principal;
    use crate::jwt::jwks::Algorithm;
    use crate::keys::KeyRing;
    use crate::oauth::client::ClientId;
    use crate::platform::SystemRandom;

    const ISSUER: &str = "https://mcp.example.com";
    const AUDIENCE: &str = "https://mcp.example.com/mcp";

    #[derive(Debug, Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(self.0.load(Ordering::Relaxed))
        }
    }

    struct Signing {
        hand: Arc<Hand>,
        keys: Keys,
        assertions: CallerAssertions,
    }

    impl Signing {
        fn at(now: u64) -> Self {
            let hand = Arc::new(Hand(AtomicU64::new(now)));
            let ring = ring(now);
            let keys = Keys::new(ring);
            let clock = Arc::clone(&hand) as Arc<dyn Clock>;
            let assertions = CallerAssertions::new((ISSUER, AUDIENCE), keys.clone(), clock);
            Self {
                hand,
                keys,
                assertions,
            }
        }

        fn of(&self, token: &VerifiedToken, now: u64) -> HeaderValue {
            self.hand.0.store(now, Ordering::Relaxed);
            self.assertions.of(token).unwrap()
        }
    }

    fn ring(now: u64) -> KeyRing {
        let now = Timestamp::from_unix(now);
        KeyRing::generate(Algorithm::Es256, &SystemRandom::default(), now).unwrap()
    }

    fn facts(issuer: &str) -> TokenFacts {
        let client = ClientId::parse("client-1").unwrap();
        let expires = Timestamp::from_unix(10_000);
        let mut facts = TokenFacts::new(issuer.to_owned(), "subject".to_owned(), client, expires);
        facts.principal.tenant_id = "tenant".to_owned();
        facts
    }

    fn claims(facts: &TokenFacts, now: u64) -> Value {
        let now = Timestamp::from_unix(now);
        serde_json::to_value(AssertionClaims::of(facts, (ISSUER, AUDIENCE), now)).unwrap()
    }

    #[test]
    fn all_that_is_known_is_said_and_nothing_else() {
        assert_eq!(
            claims(&facts(ISSUER), 1000),
            json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "subject", "iat": 1000, "exp": 1120,
                "client_id": "client-1", "scope": "", "idtyp": "user", "tid": "tenant"})
        );
        let mut known = facts("https://login.example/v2.0");
        known.grant = Some("grant".to_owned());
        known.principal = Principal {
            kind: PrincipalKind::Application,
            object_id: Some("object".to_owned()),
            name: Some("Ü".to_owned()),
            preferred_username: Some("u@x".to_owned()),
            roles: vec!["Reader".to_owned()],
            groups: vec!["g".to_owned(); MOST_GROUPS],
            ..known.principal
        };
        let said = claims(&known, 1000);
        assert_eq!(said["idtyp"], "app");
        assert_eq!(said["oid"], "object");
        assert_eq!(said["name"], "Ü");
        assert_eq!(said["preferred_username"], "u@x");
        assert_eq!(said["roles"], json!(["Reader"]));
        assert_eq!(said["groups"].as_array().unwrap().len(), MOST_GROUPS);
        assert_eq!(said["sid"], "grant");
        assert_eq!(said["token_issuer"], "https://login.example/v2.0");
        assert!(said.get("hasgroups").is_none());
        known.principal.groups.push("one more".to_owned());
        let said = claims(&known, 1000);
        assert!(said.get("groups").is_none());
        assert_eq!(said["hasgroups"], true);
    }

    #[test]
    fn none_outlives_its_token() {
        assert_eq!(claims(&facts(ISSUER), 9_950)["exp"], 10_000);
    }

    #[test]
    fn one_is_told_again_for_a_minute_and_to_nobody_else() {
        let signing = Signing::at(1000);
        let token = VerifiedToken::assertion(facts(ISSUER));
        let first = signing.of(&token, 1000);
        assert_eq!(signing.of(&token, 1059), first);
        assert_ne!(signing.of(&token, 1060), first);
        let other = VerifiedToken::assertion(facts(ISSUER));
        assert_ne!(signing.of(&other, 1060), signing.of(&token, 1060));
        // An accepted token may be good at several servers.
        let (keys, clock) = (signing.keys.clone(), Arc::clone(&signing.hand) as _);
        let elsewhere = CallerAssertions::new((ISSUER, "https://b.example"), keys, clock);
        assert_ne!(elsewhere.of(&token).unwrap(), signing.of(&token, 1060));
    }

    #[test]
    fn a_revoked_key_vouches_for_nobody() {
        let signing = Signing::at(1000);
        let token = VerifiedToken::assertion(facts(ISSUER));
        let first = signing.of(&token, 1000);
        signing.keys.replace(ring(1001));
        assert_ne!(signing.of(&token, 1001), first);
        signing.keys.replace(KeyRing::none());
        assert_eq!(signing.assertions.of(&token), Err(NotSigned));
    }
}

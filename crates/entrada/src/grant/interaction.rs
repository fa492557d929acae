//! What Entra wants to see of a user before it goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GrantId;
use crate::access_token::Principal;
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::client::ClientId;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::Hashed;

/// How long it is remembered.
pub(crate) const INTERACTION_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How long no refresh token of that user's is taken from that client: many clients answer a
/// challenge by refreshing, and only where that fails by signing in.
const REFRESH_REFUSED: Duration = Duration::from_secs(60);

/// How long it need not be said again: a client that calls many tools meets it many times.
const REPEATED: Duration = Duration::from_secs(10);

/// Names one user's logins through one client: what they are remembered by is a digest of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InteractionKey;

/// What the next login must bring: claims that a policy asks for, or consent to scopes.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) struct NeededInteraction {
    claims: Option<ClaimsRequest>,
    scope: Scope,
    grant: GrantId,
    first_asked_at: Timestamp,
    asked_at: Timestamp,
}

impl NeededInteraction {
    /// Whether it says no more than `before`, which was said a moment ago.
    pub(crate) fn repeats(&self, before: &Self) -> bool {
        let both = self.clone().and(Some(before.clone()));
        let same = both.claims == before.claims && both.scope == before.scope;
        same && self.grant == before.grant && before.asked_at.is_within(REPEATED, self.asked_at)
    }

    /// Claims that must be asked for, and scopes in Entra's spelling, for want of which `grant` does
    /// not do.
    pub(crate) fn new(
        grant: GrantId,
        claims: Option<ClaimsRequest>,
        scope: Scope,
        now: Timestamp,
    ) -> Self {
        Self {
            claims,
            scope,
            grant,
            first_asked_at: now,
            asked_at: now,
        }
    }

    /// This, and what was needed before, if it still is.
    #[must_use]
    pub(crate) fn and(self, before: Option<Self>) -> Self {
        let Some(before) = before.filter(|before| before.is_needed(self.asked_at)) else {
            return self;
        };
        let claims = match (&self.claims, before.claims) {
            (Some(now), Some(before)) => Some(now.and(&before)),
            (now, before) => now.clone().or(before),
        };
        let same_grant = before.grant == self.grant;
        Self {
            claims,
            scope: before.scope.union(&self.scope),
            first_asked_at: if same_grant {
                before.first_asked_at
            } else {
                self.first_asked_at
            },
            ..self
        }
    }

    pub(crate) fn claims(&self) -> Option<&ClaimsRequest> {
        self.claims.as_ref()
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether any login will do.
    pub(crate) fn is_any_login(&self) -> bool {
        self.claims.is_none() && self.scope.is_empty()
    }

    /// When it is forgotten.
    pub(crate) fn expires_at(&self) -> Timestamp {
        self.asked_at + INTERACTION_LIFETIME
    }

    /// Whether the user was asked for it not too long ago.
    pub(crate) fn is_needed(&self, now: Timestamp) -> bool {
        now < self.expires_at()
    }

    /// Whether the client was challenged a moment ago, so that it must not refresh but sign in.
    pub(crate) fn refuses_refresh(&self, now: Timestamp) -> bool {
        self.asked_at.is_within(REFRESH_REFUSED, now)
    }

    /// Whether the client was told long enough ago, and came back with the same grant: it may not
    /// know how to fetch its user.
    pub(crate) fn was_asked_in_vain(&self, now: Timestamp) -> bool {
        now.since(self.first_asked_at) > REFRESH_REFUSED
    }

    /// What it is remembered by: of one user, for one client. Who has no object id is nobody in
    /// particular.
    pub(crate) fn key(
        client_id: &ClientId,
        principal: &Principal,
    ) -> Option<Hashed<InteractionKey>> {
        let object_id = principal.object_id.as_deref()?;
        let (client_id, tenant_id) = (client_id.as_str(), &principal.tenant_id);
        Some(Hashed::of(&format!(
            "{tenant_id}\0{object_id}\0{client_id}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn grant(nth: u8) -> GrantId {
        GrantId::from_stored([nth; 16])
    }

    fn needed(claims: &str, scope: &str, now: u64) -> NeededInteraction {
        let scope = Scope::parse(scope).unwrap_or_default();
        let claims = ClaimsRequest::parse(claims).ok();
        NeededInteraction::new(grant(1), claims, scope, at(now))
    }

    #[test]
    fn what_was_needed_before_is_needed_still_for_an_hour() {
        let first = needed(r#"{"a":1}"#, "g/x", 0);
        let second = || needed(r#"{"b":2}"#, "g/y", 3599);
        let both = second().and(Some(first.clone()));
        let expected = NeededInteraction {
            first_asked_at: at(0),
            ..needed(r#"{"a":1,"b":2}"#, "g/x g/y", 3599)
        };
        assert_eq!(both, expected);
        assert_eq!(second().and(None), second());
        let late = needed("", "g/z", 3600);
        assert_eq!(late.clone().and(Some(first)), late);
    }

    #[test]
    fn a_client_that_comes_back_with_the_same_grant_was_asked_in_vain() {
        let ask =
            |nth: u8, now: u64| NeededInteraction::new(grant(nth), None, Scope::default(), at(now));
        for (nth, now, in_vain) in [(1, 0, false), (1, 60, false), (1, 61, true), (2, 61, false)] {
            let asked = ask(nth, now).and(Some(ask(1, 0)));
            assert_eq!(asked.was_asked_in_vain(at(now)), in_vain, "{nth} {now}");
        }
    }

    #[test]
    fn what_was_said_a_moment_ago_need_not_be_said_again() {
        let before = needed(r#"{"a":1}"#, "g/x g/y", 100);
        for (claims, scope, now, repeats) in [
            (r#"{"a":1}"#, "g/x", 100, true),
            ("", "g/y", 109, true),
            (r#"{"a":1}"#, "g/x", 110, false),
            (r#"{"a":2}"#, "g/x", 100, false),
            ("", "g/z", 100, false),
        ] {
            assert_eq!(
                needed(claims, scope, now).repeats(&before),
                repeats,
                "{claims} {scope}"
            );
        }
        let other = NeededInteraction::new(grant(2), None, Scope::default(), at(100));
        assert!(!other.repeats(&before));
    }

    #[test]
    fn refreshing_is_refused_for_a_minute() {
        let needed = needed("", "", 1000);
        for (now, needs, refuses) in [
            (999, true, false),
            (1000, true, true),
            (1059, true, true),
            (1060, true, false),
            (4599, true, false),
            (4600, false, false),
        ] {
            assert_eq!(needed.is_needed(at(now)), needs, "{now}");
            assert_eq!(needed.refuses_refresh(at(now)), refuses, "{now}");
        }
    }

    #[test]
    fn it_is_remembered_of_one_user_for_one_client() {
        let client = |id: &str| ClientId::parse(id).unwrap();
        let user = |tenant: &str, object: Option<&str>| Principal {
            tenant_id: tenant.to_owned(),
            object_id: object.map(str::to_owned),
            ..Principal::default()
        };
        let key = NeededInteraction::key(&client("c"), &user("t", Some("o")));
        assert!(key.is_some());
        assert_eq!(
            key,
            NeededInteraction::key(&client("c"), &user("t", Some("o")))
        );
        for other in [
            NeededInteraction::key(&client("d"), &user("t", Some("o"))),
            NeededInteraction::key(&client("c"), &user("u", Some("o"))),
            NeededInteraction::key(&client("c"), &user("t", Some("p"))),
            NeededInteraction::key(&client("c"), &user("t", None)),
        ] {
            assert_ne!(key, other);
        }
    }
}

//! What a user approved: which clients act for them, and whether they must be asked again.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::GrantId;
use crate::access_token::Principal;
use crate::keys::KEEP_SEALING;
use crate::oauth::client::ClientId;
use crate::oauth::redirect_uri::{Place, RedirectUri};
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::Hashed;

/// How long it is kept after the user's last login: grants that are refreshed go on without one. No
/// longer than its key is.
const KEPT: Duration = Duration::from_secs(3 * 365 * 24 * 60 * 60);

const _: () = assert!(KEPT.as_secs() < KEEP_SEALING.as_secs());

/// How long a grant is noted before it must be stored: its code lives for a minute.
const SETTLED_AFTER: Duration = Duration::from_secs(10 * 60);

/// How many grants of one user are known at most.
const MOST_GRANTS: usize = 256;

/// How many are left where there were more.
const GRANTS_LEFT: usize = 192;

/// How many clients of one user are known at most, each at one redirect URI and resource.
const MOST_APPROVALS: usize = 128;

/// Names one user: what they approved is kept under a digest of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct UserKey;

impl UserKey {
    /// The key of a user. Who has no object id is nobody in particular.
    pub(crate) fn of(principal: &Principal) -> Option<Hashed<Self>> {
        let object_id = principal.object_id.as_deref()?;
        let tenant_id = &principal.tenant_id;
        Some(Hashed::of(&format!("{tenant_id}\0{object_id}")))
    }
}

/// For how long, and of whom, a user's consent is remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Remember {
    /// How long after the user was asked: 90 days, unless told otherwise.
    pub lifetime: Duration,
    /// Whether it is remembered of clients on the user's own device, too: any program there may pose
    /// as one of them (RFC 8252 §8.6). It is, unless told otherwise, for Entra has the user choose an
    /// account at every login.
    pub apps_on_device: bool,
}

impl Default for Remember {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(90 * 24 * 60 * 60),
            apps_on_device: true,
        }
    }
}

impl Remember {
    /// How long it is remembered of a client at `redirect`, if it is.
    pub(crate) fn lifetime_of(self, redirect: &RedirectUri) -> Option<Duration> {
        let is_remembered = self.apps_on_device || redirect.place() == Place::Website;
        is_remembered.then_some(self.lifetime)
    }
}

/// What a request wants a user to approve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) client_id: &'a ClientId,
    pub(crate) redirect: &'a RedirectUri,
    pub(crate) resource: &'a ResourceIndicator,
    pub(crate) scope: &'a Scope,
    /// What Entra is asked for besides, now or later.
    pub(crate) microsoft: &'a Scope,
}

/// Proof that a user approved before what a request wants.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Remembered(Hashed<UserKey>);

impl Remembered {
    /// Whether that is the user who signed in.
    pub(crate) fn is_of(self, principal: &Principal) -> bool {
        UserKey::of(principal) == Some(self.0)
    }
}

/// The clients one user approved.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Approvals {
    user: Hashed<UserKey>,
    #[serde(skip)]
    version: u64,
    /// The last to be used stand last.
    list: Vec<Approval>,
}

/// A client at one redirect URI and one resource, and the grants it got.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Approval {
    client_id: ClientId,
    client_name: Option<String>,
    redirect: RedirectUri,
    resource: ResourceIndicator,
    /// What they were asked for last, which is what is remembered.
    scope: Scope,
    microsoft: Scope,
    /// All that grants were given for, some of which may stand.
    #[serde(default)]
    given: Scope,
    /// None where the user was not asked, for the operator answers for the client, or not told that it is
    /// remembered.
    asked_at: Option<Timestamp>,
    used_at: Timestamp,
    grants: Vec<Granted>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Granted {
    id: GrantId,
    at: Timestamp,
}

/// A login that is about to end in a grant.
#[derive(Clone, Debug)]
pub(crate) struct NewGrant<'a> {
    pub(crate) id: GrantId,
    pub(crate) wanted: Wanted<'a>,
    pub(crate) client_name: Option<&'a str>,
    /// Whether the user was asked for it, and told that their answer is remembered.
    pub(crate) asked: bool,
}

/// A client, as its user knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ApprovedClient {
    pub(crate) id: ClientId,
    pub(crate) name: Option<String>,
    pub(crate) redirects: Vec<RedirectUri>,
    pub(crate) scope: Scope,
    pub(crate) used_at: Timestamp,
}

impl Approval {
    fn is_for(&self, wanted: &Wanted<'_>) -> bool {
        self.client_id == *wanted.client_id
            && self.redirect.admits(wanted.redirect)
            && self.resource.names_same(wanted.resource)
    }

    fn covers(&self, wanted: &Wanted<'_>) -> bool {
        self.scope.covers(wanted.scope) && self.microsoft.covers(wanted.microsoft)
    }

    /// What its grants may allow; records of before say no more than what was asked for last.
    fn all_given(&self) -> Scope {
        self.given.union(&self.scope)
    }

    fn is_remembered(&self, lifetime: Duration, now: Timestamp) -> bool {
        self.asked_at
            .is_some_and(|asked_at| asked_at.is_within(lifetime, now))
    }
}

impl Approvals {
    /// Of a user who approved nothing.
    pub(crate) fn none(user: Hashed<UserKey>) -> Self {
        Self {
            user,
            version: 0,
            list: Vec::new(),
        }
    }

    /// The same, as the store has them.
    pub(crate) fn stored_as(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Whose they are.
    pub(crate) fn user(&self) -> Hashed<UserKey> {
        self.user
    }

    /// How often they were stored; the fence of
    /// [`Store::put_version`](crate::store::Store::put_version).
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// When they are forgotten.
    pub(crate) fn expires_at(&self) -> Timestamp {
        let used = self.list.iter().map(|approval| approval.used_at).max();
        used.unwrap_or_default() + KEPT
    }

    /// Whether the user was asked for all that is `wanted`, not too long ago.
    pub(crate) fn remembered(
        &self,
        wanted: &Wanted<'_>,
        policy: Remember,
        now: Timestamp,
    ) -> Option<Remembered> {
        let lifetime = policy.lifetime_of(wanted.redirect)?;
        let holds = |approval: &Approval| {
            approval.is_for(wanted)
                && approval.covers(wanted)
                && approval.is_remembered(lifetime, now)
        };
        let found = self.list.iter().any(holds);
        found.then_some(Remembered(self.user))
    }

    /// With a grant more.
    #[must_use]
    pub(crate) fn with(&self, new: &NewGrant<'_>, now: Timestamp) -> Self {
        let wanted = &new.wanted;
        let mut next = self.clone();
        next.version += 1;
        let known = next.list.iter().position(|it| it.is_for(wanted));
        let known = known.map(|at| next.list.remove(at));
        let mut approval = known.unwrap_or_else(|| Approval {
            client_id: wanted.client_id.clone(),
            client_name: None,
            redirect: wanted.redirect.clone(),
            resource: wanted.resource.clone(),
            scope: Scope::default(),
            microsoft: Scope::default(),
            given: Scope::default(),
            asked_at: None,
            used_at: now,
            grants: Vec::new(),
        });
        approval.client_name = new.client_name.map(str::to_owned);
        approval.used_at = now;
        approval.given = approval.all_given().union(wanted.scope);
        // What they were asked last counts: a page they saw long ago does not come back to life.
        if new.asked || approval.asked_at.is_none() {
            approval.scope = wanted.scope.clone();
            approval.microsoft = wanted.microsoft.clone();
        }
        if new.asked {
            approval.asked_at = Some(now);
        }
        let granted = Granted {
            id: new.id,
            at: now,
        };
        approval.grants.push(granted);
        next.list.push(approval);
        next
    }

    /// Without one client; answers with the grants it had, or `None` if it is not among them.
    pub(crate) fn without(&self, client_id: &ClientId) -> Option<(Self, Vec<GrantId>)> {
        self.without_those(|approval| approval.client_id == *client_id)
    }

    /// Without any client; answers with the grants there were, or `None` if there is no client.
    pub(crate) fn emptied(&self) -> Option<(Self, Vec<GrantId>)> {
        self.without_those(|_| true)
    }

    fn without_those(&self, go: impl Fn(&Approval) -> bool) -> Option<(Self, Vec<GrantId>)> {
        let gone: Vec<_> = self.list.iter().filter(|it| go(it)).collect();
        if gone.is_empty() {
            return None;
        }
        let grants = gone.iter().flat_map(|approval| &approval.grants);
        let grants = grants.map(|granted| granted.id).collect();
        let mut next = self.clone();
        next.version += 1;
        next.list.retain(|approval| !go(approval));
        Some((next, grants))
    }

    /// Whether there are more than are kept.
    pub(crate) fn is_crowded(&self) -> bool {
        self.grants().count() > MOST_GRANTS || self.list.len() > MOST_APPROVALS
    }

    /// The grants that were issued long enough ago to be stored, if they ever were.
    pub(crate) fn settled_grants(&self, now: Timestamp) -> impl Iterator<Item = GrantId> {
        let granted = self.list.iter().flat_map(|approval| &approval.grants);
        // One from later than now was issued by a clock ahead of ours, and may be under way.
        let settled = granted.filter(move |granted| now.since(granted.at) >= SETTLED_AFTER);
        settled.map(|granted| granted.id)
    }

    /// All grants that are known.
    fn grants(&self) -> impl Iterator<Item = GrantId> {
        let granted = self.list.iter().flat_map(|approval| &approval.grants);
        granted.map(|granted| granted.id)
    }

    /// No more than are kept: those whose grants have `ended` go first, then the oldest. Answers with
    /// the grants that must end for it.
    pub(crate) fn thinned_out(&self, ended: &HashSet<GrantId>) -> (Self, Vec<GrantId>) {
        let mut next = self.clone();
        for approval in &mut next.list {
            approval
                .grants
                .retain(|granted| !ended.contains(&granted.id));
        }
        next.list.retain(|approval| !approval.grants.is_empty());
        let surplus = next.list.len().saturating_sub(MOST_APPROVALS);
        let dropped = next.list.drain(..surplus);
        let dropped = dropped.flat_map(|approval| approval.grants);
        let mut gone: Vec<_> = dropped.map(|granted| granted.id).collect();
        let mut left: Vec<_> = next.list.iter().flat_map(|it| it.grants.clone()).collect();
        left.sort_by_key(|granted| granted.at);
        if left.len() > MOST_GRANTS {
            let oldest = left.drain(..left.len() - GRANTS_LEFT);
            gone.extend(oldest.map(|granted| granted.id));
        }
        for approval in &mut next.list {
            approval
                .grants
                .retain(|granted| !gone.contains(&granted.id));
        }
        (next, gone)
    }

    /// The clients, the last to be used first.
    pub(crate) fn clients(&self) -> Vec<ApprovedClient> {
        let mut clients: Vec<ApprovedClient> = Vec::new();
        for approval in self.list.iter().rev() {
            let known = clients
                .iter_mut()
                .find(|client| client.id == approval.client_id);
            if let Some(client) = known {
                client.redirects.push(approval.redirect.clone());
                client.scope = client.scope.union(&approval.all_given());
            } else {
                clients.push(ApprovedClient {
                    id: approval.client_id.clone(),
                    name: approval.client_name.clone(),
                    redirects: vec![approval.redirect.clone()],
                    scope: approval.all_given(),
                    used_at: approval.used_at,
                });
            }
        }
        clients
    }
}

#[cfg(test)]
mod tests;

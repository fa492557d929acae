//! What users approved: who is asked no more, which grants are theirs, and how a client is removed.

use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{AuthorizationServer, ConsentMode, MOST_ROUNDS};
use crate::access_token::Principal;
use crate::grant::{
    Approvals, AuthorizationRequest, Consent, ConsentedRequest, GrantId, Remember, UserKey, Wanted,
};
use crate::keys::Purpose;
use crate::oauth::client::ClientId;
use crate::oauth::redirect_uri::RedirectUri;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::Hashed;
use crate::store::{StoreError, Written};

/// What the cookie is sealed for that says who uses a browser.
const USER: Purpose<'static> = Purpose::new("browser-user", b"");

/// Who used a browser last. It is a guess until they sign in.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct LastUser {
    user: Hashed<UserKey>,
    until: Timestamp,
}

/// What came of noting a grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Noted {
    /// Its user can end it.
    Yes,
    /// It is not noted: it rests on a consent that was taken back, or is over, since the login began.
    TakenBack,
}

impl AuthorizationServer {
    /// On what ground a request may go on to Entra without the user being asked, if there is one.
    pub(super) async fn consent_without_asking(
        &self,
        request: &AuthorizationRequest,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<Consent> {
        if self.answers_for(&request.client_id) {
            return Some(Consent::Configured);
        }
        let policy = self.remembers()?;
        if !is_opened_by_the_user(headers) {
            return None;
        }
        let user = self.last_user(headers, now).await?;
        let approvals = self.0.store.approvals(user, now).await;
        let approvals = approvals
            .inspect_err(|error| tracing::warn!(%error, "nobody knows what was approved: asking"))
            .ok()?;
        let microsoft = self.microsoft_scope();
        let remembered = approvals.remembered(&request.wanted(&microsoft), policy, now);
        remembered.map(Consent::Remembered)
    }

    /// Whether the operator answers for a client, so that its users need not be asked.
    pub(super) fn answers_for(&self, client_id: &ClientId) -> bool {
        let asked_elsewhere = match self.0.config.consent {
            ConsentMode::Always | ConsentMode::Remember(_) => false,
            ConsentMode::External | ConsentMode::InsecureSkip => true,
        };
        asked_elsewhere || self.0.config.pre_approved.contains(client_id)
    }

    /// For how long consent to a client at `redirect` is remembered, if it is.
    pub(super) fn remembers_of(&self, redirect: &RedirectUri) -> Option<Duration> {
        self.remembers()?.lifetime_of(redirect)
    }

    fn remembers(&self) -> Option<Remember> {
        match self.0.config.consent {
            ConsentMode::Remember(policy) => Some(policy),
            ConsentMode::Always | ConsentMode::External | ConsentMode::InsecureSkip => None,
        }
    }

    /// Notes that a login is about to become the grant `id`, so that its user can end it.
    pub(super) async fn note_grant(
        &self,
        id: GrantId,
        request: &ConsentedRequest,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Noted, StoreError> {
        let Some(user) = UserKey::of(principal) else {
            return Ok(Noted::Yes);
        };
        let microsoft = self.microsoft_scope();
        let mut new = request.new_grant(id, &microsoft);
        new.asked &= self.remembers_of(new.wanted.redirect).is_some();
        for _ in 0..MOST_ROUNDS {
            let known = self.0.store.approvals(user, now).await?;
            if request.is_remembered() && !self.is_remembered(&known, &new.wanted, now) {
                return Ok(Noted::TakenBack);
            }
            let mut next = known.with(&new, now);
            if next.is_crowded() {
                let ended = self.ended(&next, now).await?;
                let (fewer, gone) = next.thinned_out(&ended);
                self.revoke_all(&gone, now).await?;
                next = fewer;
            }
            if self.0.store.put_approvals(&next).await? == Written::Yes {
                return Ok(Noted::Yes);
            }
        }
        Err(StoreError::new("too many logins of one user at once"))
    }

    fn is_remembered(&self, known: &Approvals, wanted: &Wanted<'_>, now: Timestamp) -> bool {
        let policy = self.remembers();
        policy.is_some_and(|policy| known.remembered(wanted, policy, now).is_some())
    }

    /// Takes back what a user allowed a client, and ends its grants.
    pub(super) async fn remove_client(
        &self,
        user: Hashed<UserKey>,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for _ in 0..MOST_ROUNDS {
            let known = self.0.store.approvals(user, now).await?;
            let Some((next, grants)) = known.without(client_id) else {
                return Ok(());
            };
            // First: a client that is listed no more must not have any left.
            self.revoke_all(&grants, now).await?;
            if self.0.store.put_approvals(&next).await? == Written::Yes {
                tracing::info!(%client_id, grants = grants.len(), "a user removed a client");
                return Ok(());
            }
        }
        Err(StoreError::new("too many logins of one user at once"))
    }

    async fn revoke_all(&self, grants: &[GrantId], now: Timestamp) -> Result<(), StoreError> {
        for id in grants {
            self.0.store.revoke_grant(id, now).await?;
        }
        Ok(())
    }

    /// Which of the grants stand no more.
    async fn ended(
        &self,
        approvals: &Approvals,
        now: Timestamp,
    ) -> Result<HashSet<GrantId>, StoreError> {
        let mut ended = HashSet::new();
        for id in approvals.settled_grants(now) {
            let grant = self.0.store.grant(&id, now).await?;
            if grant.is_none_or(|grant| !grant.is_live(now)) {
                ended.insert(id);
            }
        }
        Ok(ended)
    }

    /// What Entra is asked for besides our own scopes, now or later.
    fn microsoft_scope(&self) -> Scope {
        let entra = &self.0.entra;
        entra.additional_scope().union(entra.incremental_scope())
    }

    /// The cookie that says who uses this browser, where consent is remembered.
    pub(super) fn note_user(&self, principal: &Principal, now: Timestamp) -> Option<HeaderValue> {
        let policy = self.remembers()?;
        let user = UserKey::of(principal)?;
        let until = now + policy.lifetime;
        let sealed = self.0.store.seal_for(USER, &LastUser { user, until });
        let sealed = sealed.ok()?;
        Some(self.cookies().set_user(&sealed, policy.lifetime))
    }

    /// Who used this browser last, as far as anybody can tell now: else the user is asked.
    async fn last_user(&self, headers: &HeaderMap, now: Timestamp) -> Option<Hashed<UserKey>> {
        let sealed = self.cookies().user(headers)?;
        let last: LastUser = self.0.store.open_for(USER, sealed).await.ok()??;
        (now < last.until).then_some(last.user)
    }
}

/// Whether a page was opened by the user, and not by another site (Fetch Metadata Request Headers).
///
/// A browser that does not say so has its user asked. Neither is a neighbouring host believed, which is
/// `same-site`, nor a browser that looks ahead, nor we ourselves, who are `same-origin`: a client's
/// redirect URI may be on our host, and then the answer to our own form leads back to us.
fn is_opened_by_the_user(headers: &HeaderMap) -> bool {
    let said = |name, expected: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value == Some(expected)
    };
    said("sec-fetch-site", "none")
        && said("sec-fetch-mode", "navigate")
        && said("sec-fetch-dest", "document")
        && !headers.contains_key("sec-purpose")
}

/// How long ago something was, as people say it.
pub(super) fn days_ago(then: Timestamp, now: Timestamp) -> String {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    match now.since(then).as_secs() / DAY.as_secs() {
        0 => "within the last day".to_owned(),
        1 => "a day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_the_user_opened_goes_on_unasked() {
        let opened = |site: &'static str, mode: &'static str, dest: &'static str| {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
            ] {
                if !value.is_empty() {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            headers
        };
        for (site, mode, dest, unasked) in [
            ("none", "navigate", "document", true),
            ("same-origin", "navigate", "document", false),
            ("same-site", "navigate", "document", false),
            ("cross-site", "navigate", "document", false),
            ("", "navigate", "document", false),
            ("none", "no-cors", "document", false),
            ("none", "", "document", false),
            ("none", "navigate", "iframe", false),
            ("none", "navigate", "", false),
        ] {
            let headers = opened(site, mode, dest);
            assert_eq!(
                is_opened_by_the_user(&headers),
                unasked,
                "{site} {mode} {dest}"
            );
        }
        let mut ahead = opened("none", "navigate", "document");
        ahead.insert("sec-purpose", HeaderValue::from_static("prefetch"));
        assert!(!is_opened_by_the_user(&ahead));
    }

    #[test]
    fn days_are_counted_as_people_do() {
        let at = Timestamp::from_unix;
        for (now, words) in [
            (0, "within the last day"),
            (86_399, "within the last day"),
            (86_400, "a day ago"),
            (200_000, "2 days ago"),
        ] {
            assert_eq!(days_ago(at(0), at(now)), words);
        }
    }
}

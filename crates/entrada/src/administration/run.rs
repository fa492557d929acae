//! One run through all that is kept, which ends what is selected.

use std::collections::HashSet;

use tokio::task::JoinSet;

use super::{Ended, PAGE, Selection, User};
use crate::access_token::Principal;
use crate::grant::{GrantId, UserKey};
use crate::oauth::client::ClientId;
use crate::platform::Timestamp;
use crate::secret::Hashed;
use crate::store::{Collection, Kept, SealedStore, StoreError, Written};

/// How many grants or users are dealt with at a time.
const AT_ONCE: usize = 16;

/// How often a lost race is run again. Each loss means that somebody else made progress.
const MOST_ROUNDS: usize = 32;

/// How many grants that are on their way are remembered before they are looked for again.
const MOST_UNDER_WAY: usize = 1000;

/// How many users are remembered before their consent is taken back.
const MOST_USERS: usize = 10_000;

/// Grants first, then what was remembered of their users: so whoever signs in while the run is under way
/// is found by the latter, which a login notes itself in before it gets its code.
pub(super) struct Run {
    store: SealedStore,
    now: Timestamp,
    /// What is ended: what any of these holds.
    selections: Vec<Selection>,
    /// Grants of codes that were spent, and that were not there when it was looked.
    under_way: Vec<GrantId>,
    /// Whose consent is to be taken back.
    users: HashSet<Hashed<UserKey>>,
    so_far: Ended,
}

impl Run {
    pub(super) fn new(store: SealedStore, now: Timestamp) -> Self {
        Self {
            store,
            now,
            selections: Vec::new(),
            under_way: Vec::new(),
            users: HashSet::new(),
            so_far: Ended::default(),
        }
    }

    pub(super) async fn end(
        mut self,
        selection: &Selection,
        mut told: impl FnMut(Ended) + Send,
    ) -> Result<Ended, StoreError> {
        self.selections.push(selection.clone());
        match selection {
            Selection::Grant(id) => {
                let stood = end_grant(&self.store, id, self.now).await?;
                self.so_far.grants = u64::from(stood);
                return Ok(self.so_far);
            }
            // Under another name they may have other grants.
            Selection::User(named @ User::Name(_)) => self.find_users(named).await?,
            Selection::User(user @ User::Id { .. }) => self.users.extend(user.key()),
            Selection::Client(_) | Selection::Tenant(_) | Selection::All => {}
        }
        self.end_all(&mut told).await?;
        self.settle().await?;
        self.take_back().await?;
        told(self.so_far);
        Ok(self.so_far)
    }

    /// Selects the users who bear a name.
    async fn find_users(&mut self, named: &User) -> Result<(), StoreError> {
        let kinds = [Collection::Grants, Collection::Codes];
        let mut after = None;
        loop {
            let place = (after.as_ref(), PAGE);
            let page = self.store.scan(&kinds, place, self.now).await?;
            let principals = page.records.iter().filter_map(Kept::principal);
            for principal in principals.filter(|principal| named.is(principal)) {
                let found = User::of(principal).map(Selection::User);
                let new = found.filter(|found| !self.selections.contains(found));
                self.selections.extend(new);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn end_all(&mut self, told: &mut (impl FnMut(Ended) + Send)) -> Result<(), StoreError> {
        let kinds = [Collection::Grants, Collection::Codes, Collection::Approvals];
        let mut after = None;
        loop {
            let place = (after.as_ref(), PAGE);
            let page = self.store.scan(&kinds, place, self.now).await?;
            self.so_far.seen += u64::try_from(page.seen).unwrap_or(u64::MAX);
            self.end_those(page.records).await?;
            if self.under_way.len() >= MOST_UNDER_WAY {
                self.settle().await?;
            }
            if self.users.len() >= MOST_USERS {
                self.take_back().await?;
            }
            told(self.so_far);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn end_those(&mut self, records: Vec<Kept>) -> Result<(), StoreError> {
        let mut grants = HashSet::new();
        for record in records {
            match record {
                Kept::Grant(grant) => {
                    if self.selects(grant.client_id(), grant.principal()) {
                        grants.insert(grant.id());
                    }
                }
                Kept::Code(code) => {
                    if self.selects(code.client_id(), code.principal()) {
                        self.store.revoke_grant(&code.grant_id(), self.now).await?;
                        self.so_far.codes += 1;
                    }
                }
                Kept::Spent(id) => match self.is_selected(&id).await? {
                    Some(true) => drop(grants.insert(id)),
                    Some(false) => {}
                    None => self.under_way.push(id),
                },
                Kept::Approvals(approvals) => {
                    let client = self.client();
                    let holds = client.is_some_and(|client| approvals.without(client).is_some());
                    if holds || self.selections.contains(&Selection::All) {
                        self.users.insert(approvals.user());
                    }
                }
                Kept::Unopened(grant) => {
                    let all = self.selections.contains(&Selection::All);
                    if let Some(id) = grant {
                        self.so_far.unopened += 1;
                        if all {
                            self.store.revoke_grant(&id, self.now).await?;
                        }
                    }
                }
                Kept::Client(_) => {}
            }
        }
        self.end_grants(grants).await
    }

    /// Whether a grant is to be ended; `None` if it is not there.
    async fn is_selected(&mut self, id: &GrantId) -> Result<Option<bool>, StoreError> {
        let grant = self.store.grant(id, self.now).await?;
        Ok(grant.map(|grant| self.selects(grant.client_id(), grant.principal())))
    }

    /// Whether a grant of this client and principal is to be ended; its user is noted then.
    fn selects(&mut self, client_id: &ClientId, principal: &Principal) -> bool {
        let mut selections = self.selections.iter();
        let selected = selections.any(|it| it.admits(client_id, principal));
        if selected {
            self.users.extend(UserKey::of(principal));
        }
        selected
    }

    /// Ends the grants that were on their way. One that still is comes to nothing, whosever it is: a code
    /// was spent, and its grant not stored, which takes a moment, or the code was of no use.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let mut grants = HashSet::new();
        for id in std::mem::take(&mut self.under_way) {
            match self.is_selected(&id).await? {
                Some(true) => drop(grants.insert(id)),
                Some(false) => {}
                None => self.store.revoke_grant(&id, self.now).await?,
            }
        }
        self.end_grants(grants).await
    }

    async fn end_grants(&mut self, grants: HashSet<GrantId>) -> Result<(), StoreError> {
        let (store, now) = (self.store.clone(), self.now);
        let end = move |id| {
            let store = store.clone();
            async move { end_grant(&store, &id, now).await.map(u64::from) }
        };
        self.so_far.grants += some_at_a_time(grants, end).await?;
        Ok(())
    }

    /// Takes back what the users approved, and ends the grants they have by that.
    async fn take_back(&mut self) -> Result<(), StoreError> {
        let (store, now, client) = (self.store.clone(), self.now, self.client().cloned());
        let take_back = move |user| {
            let (store, client) = (store.clone(), client.clone());
            async move { take_back(&store, user, client.as_ref(), now).await }
        };
        let users = std::mem::take(&mut self.users);
        self.so_far.grants += some_at_a_time(users, take_back).await?;
        Ok(())
    }

    /// The client whose grants are ended, if it is one's alone.
    fn client(&self) -> Option<&ClientId> {
        self.selections.iter().find_map(|it| match it {
            Selection::Client(id) => Some(id),
            Selection::Grant(_) | Selection::User(_) | Selection::Tenant(_) | Selection::All => {
                None
            }
        })
    }
}

/// Does `work` for each of `items`, some at a time, and adds up what comes of it.
async fn some_at_a_time<T, F>(
    items: impl IntoIterator<Item = T, IntoIter: Send> + Send,
    work: impl Fn(T) -> F + Send,
) -> Result<u64, StoreError>
where
    F: Future<Output = Result<u64, StoreError>> + Send + 'static,
{
    let (mut total, mut at_work) = (0, JoinSet::new());
    for item in items {
        if at_work.len() >= AT_ONCE
            && let Some(done) = at_work.join_next().await
        {
            total += done.map_err(StoreError::new)??;
        }
        at_work.spawn(work(item));
    }
    while let Some(done) = at_work.join_next().await {
        total += done.map_err(StoreError::new)??;
    }
    Ok(total)
}

/// Ends a grant; whether it stood.
async fn end_grant(store: &SealedStore, id: &GrantId, now: Timestamp) -> Result<bool, StoreError> {
    let stood = store.grant(id, now).await;
    store.revoke_grant(id, now).await?;
    // One that does not open stands for nobody, and is ended all the same.
    Ok(stood.is_ok_and(|grant| grant.is_some_and(|grant| grant.is_live(now))))
}

/// Takes back what a user approved, of one client or of all, and ends the grants noted there; answers how
/// many stood.
async fn take_back(
    store: &SealedStore,
    user: Hashed<UserKey>,
    client: Option<&ClientId>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut stood = 0;
    for _ in 0..MOST_ROUNDS {
        let known = store.approvals(user, now).await?;
        let without = match client {
            Some(client) => known.without(client),
            None => known.emptied(),
        };
        let Some((next, grants)) = without else {
            return Ok(stood);
        };
        for id in &grants {
            stood += u64::from(end_grant(store, id, now).await?);
        }
        if store.put_approvals(&next).await? == Written::Yes {
            return Ok(stood);
        }
    }
    Err(StoreError::new("too many logins of one user at once"))
}

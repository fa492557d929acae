//! What an operator sees of what is kept, and ends.
//!
//! It reads all there is, page by page: the store knows nothing of what it keeps, so it cannot be asked
//! for the grants of one user. Nobody's token is told, for no fact here is one.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::audit::{Act, AuditSink, AuditUnavailable, Who};
use crate::authorization_server::{AuthorizationServer, PreregisteredClient, holder, is_held};
use crate::grant::GrantId;
use crate::jwt::jwks::Algorithm;
use crate::keys::{Change, KeyFacts, Keys, KeysError};
use crate::oauth::client::ClientId;
use crate::platform::{Platform, Timestamp};
use crate::store::{Collection, Cursor, Kept, SealedStore, Store, StoreError};

mod ending;
mod facts;
mod noted;
mod run;
mod selection;

use noted::Noted;

pub use ending::{Ended, RemoveClientError};
pub use facts::{ClientFacts, ClientOrigin, Counts, GrantFacts, GrantHolder};
pub use selection::{GrantFilter, Selection, User, UserError};

/// How many slots are looked at together.
const PAGE: usize = 500;

/// How many slots are looked at for one page of an answer at most, so that it comes in a moment.
const MOST_SEEN: usize = 20_000;

/// Lists and ends what is kept: grants, clients, keys. Cheap to clone.
///
/// # Security
///
/// It asks nobody who they are. Whoever can reach it can sign everybody out, and learns who uses what.
#[derive(Clone, Debug)]
pub struct Administration {
    store: SealedStore,
    /// The clients that stand in the configuration.
    configured: Arc<HashMap<ClientId, ClientFacts>>,
    audit: Option<Arc<dyn AuditSink>>,
    keys: Keys,
    signing_algorithm: Algorithm,
    platform: Platform,
    /// Whose acts these are.
    operator: Option<Who>,
}

/// Some of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on it: there may be nothing, and more to come all the same.
    pub items: Vec<T>,
    /// What to ask for the next one with; `None` if this is the last.
    pub next: Option<PageToken>,
}

/// Where a page of a list begins. Where several stores or servers keep records, what changes while the
/// list is read may be on two pages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageToken(Cursor);

/// The text says where no page begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the beginning of a page")]
#[non_exhaustive]
pub struct PageTokenError;

impl std::fmt::Display for PageToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl FromStr for PageToken {
    type Err = PageTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PageTokenError)?;
        let fits = !bytes.is_empty() && bytes.len() <= LONGEST_PAGE_TOKEN;
        fits.then(|| Self(Cursor::new(bytes))).ok_or(PageTokenError)
    }
}

/// How many bytes a store says where to go on with.
const LONGEST_PAGE_TOKEN: usize = 64;

impl Administration {
    pub(crate) fn new(
        server: &AuthorizationServer,
        (keys, signing_algorithm): (Keys, Algorithm),
        platform: Platform,
    ) -> Self {
        let clients = server.configured_clients().iter();
        let clients = clients.map(|client| ClientFacts::of(client, ClientOrigin::Configured));
        Self {
            store: server.store().clone(),
            configured: by_id(clients),
            audit: server.audit(),
            keys,
            signing_algorithm,
            platform,
            operator: None,
        }
    }

    /// What is kept in `store`, sealed with `keys`, for a program that stands beside a server and serves nobody.
    /// Of the server's configuration it knows the `clients` alone, of which no secret is looked at.
    pub fn of_store(
        store: Arc<dyn Store>,
        keys: Keys,
        clients: &[PreregisteredClient],
        platform: Platform,
    ) -> Self {
        let newest = keys
            .current()
            .facts()
            .filter_map(|key| key.algorithm)
            .last();
        Self {
            store: SealedStore::new(store, keys.clone(), Arc::clone(&platform.random)),
            configured: by_id(clients.iter().filter_map(ClientFacts::as_given)),
            audit: None,
            keys,
            signing_algorithm: newest.unwrap_or(Algorithm::Es256),
            platform,
            operator: None,
        }
    }

    /// Whether what operators do can be written down, where it must be.
    pub(crate) fn ready(&self) -> Result<(), AuditUnavailable> {
        self.audit.as_ref().map_or(Ok(()), |audit| audit.ready())
    }

    /// The same, whose acts are written to the audit log as those of `operator`.
    #[must_use]
    pub fn by(&self, operator: Who) -> Self {
        Self {
            operator: Some(operator),
            ..self.clone()
        }
    }

    /// The grants that stand and that `filter` admits: about `most` of them, after a page that was seen.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn grants(
        &self,
        filter: &GrantFilter,
        after: Option<&PageToken>,
        most: usize,
    ) -> Result<Page<GrantFacts>, StoreError> {
        let now = self.now();
        let (found, next) = self
            .collect(Collection::Grants, (after, most), |kept| {
                let Kept::Grant(grant) = kept else {
                    return None;
                };
                let is_wanted =
                    grant.is_live(now) && filter.admits(grant.client_id(), grant.principal());
                is_wanted.then_some(grant)
            })
            .await?;
        let mut names = HashMap::new();
        let mut items: Vec<GrantFacts> = Vec::with_capacity(found.len());
        for grant in found {
            if items.iter().any(|known| known.id == grant.id()) {
                continue;
            }
            let id = grant.client_id();
            if !names.contains_key(id) {
                names.insert(id.clone(), self.name_of(id, now).await?);
            }
            items.push(GrantFacts::of(&grant, names.get(id).cloned().flatten()));
        }
        Ok(Page { items, next })
    }

    /// One grant, if it stands.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn grant(&self, id: &GrantId) -> Result<Option<GrantFacts>, StoreError> {
        let now = self.now();
        let grant = self.store.grant(id, now).await?;
        let Some(grant) = grant.filter(|grant| grant.is_live(now)) else {
            return Ok(None);
        };
        let name = self.name_of(grant.client_id(), now).await?;
        Ok(Some(GrantFacts::of(&grant, name)))
    }

    /// The clients that are known: about `most` of them, after a page that was seen. Those of the
    /// configuration come first. One that holds its registration itself is known to nobody.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn clients(
        &self,
        after: Option<&PageToken>,
        most: usize,
    ) -> Result<Page<ClientFacts>, StoreError> {
        let mut items: Vec<_> = match after {
            Some(_) => Vec::new(),
            None => self.configured.values().cloned().collect(),
        };
        items.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
        let (found, next) = self
            .collect(Collection::Clients, (after, most), |kept| {
                let Kept::Client(client) = kept else {
                    return None;
                };
                Some(client)
            })
            .await?;
        for client in found {
            if !items.iter().any(|known| known.id == *client.id()) {
                items.push(ClientFacts::of(&client, ClientOrigin::of(client.id())));
            }
        }
        Ok(Page { items, next })
    }

    /// What may be told of the keys in use, the signing keys first, the newest of each kind last.
    pub fn keys(&self) -> Vec<KeyFacts> {
        self.keys.current().facts().collect()
    }

    /// Makes new keys, as [`AzureProvider::rotate_keys`](crate::AzureProvider::rotate_keys) does.
    ///
    /// # Errors
    ///
    /// [`KeysError`] if the key ring cannot be read or written; the old keys then stay in use.
    pub async fn rotate_keys(&self) -> Result<(), KeysError> {
        let (now, algorithm) = (self.now(), self.signing_algorithm);
        let random = Arc::clone(&self.platform.random);
        let change: Change = Arc::new(move |ring| ring.rotated(algorithm, &*random, now).map(Some));
        let noted = Noted::begin(self, Act::KeysRotated, None);
        noted.end(self.keys.tend(&change, now).await)
    }

    /// How much is kept. All of it is looked at.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let now = self.now();
        let mut counts = Counts::default();
        let mut after = None;
        loop {
            let kinds = [Collection::Grants, Collection::Clients];
            let page = self.store.scan(&kinds, (after.as_ref(), PAGE), now).await?;
            counts.add(&page.records, now);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(counts),
            }
        }
    }

    /// What `wanted` takes of the records of one kind.
    async fn collect<T>(
        &self,
        kind: Collection,
        (after, most): (Option<&PageToken>, usize),
        wanted: impl Fn(Kept) -> Option<T> + Send,
    ) -> Result<(Vec<T>, Option<PageToken>), StoreError> {
        let now = self.now();
        let mut found = Vec::new();
        let mut after = after.map(|PageToken(cursor)| cursor.clone());
        let mut seen = 0;
        loop {
            let slots = most.clamp(1, PAGE);
            let page = self
                .store
                .scan(&[kind], (after.as_ref(), slots), now)
                .await?;
            seen += page.seen;
            found.extend(page.records.into_iter().filter_map(&wanted));
            match page.next {
                Some(next) if found.len() < most && seen < MOST_SEEN => after = Some(next),
                next => return Ok((found, next.map(PageToken))),
            }
        }
    }

    /// What a client calls itself, as far as it is known here: nobody is asked.
    async fn name_of(&self, id: &ClientId, now: Timestamp) -> Result<Option<String>, StoreError> {
        if let Some(client) = self.configured.get(id) {
            return Ok(client.name.clone());
        }
        let client = if is_held(id) {
            holder(&self.store, id).await?
        } else {
            self.store.client(id, now).await?
        };
        Ok(client.and_then(|client| client.metadata().unverified_name().map(str::to_owned)))
    }

    fn now(&self) -> Timestamp {
        self.platform.clock.now()
    }
}

fn by_id(clients: impl Iterator<Item = ClientFacts>) -> Arc<HashMap<ClientId, ClientFacts>> {
    let clients = clients.map(|client| (client.id.clone(), client));
    Arc::new(clients.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_begin_a_page_is_taken() {
        let token = PageToken(Cursor::new(vec![0, 255, 7]));
        assert_eq!(token.to_string().parse(), Ok(token));
        let long = URL_SAFE_NO_PAD.encode([0; LONGEST_PAGE_TOKEN + 1]);
        for text in ["", "=", "a b", "\u{e9}", &long] {
            assert_eq!(text.parse::<PageToken>(), Err(PageTokenError), "{text}");
        }
    }
}

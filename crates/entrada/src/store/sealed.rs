//! The records of a store, sealed and opened.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Entry, RecordKey, Sealed, Slot, Store, StoreError, Taken, Written};
use crate::grant::{Grant, GrantId, IssuedCode, PendingLogin};
use crate::jwt::client_assertion::VerifiedAssertion;
use crate::jwt::identity_assertion::IdentityAssertion;
use crate::keys::{Keys, Purpose, SealingKeys};
use crate::oauth::client::{Client, ClientId, ClientRecord};
use crate::oauth::issuer::Issuer;
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::{AuthorizationCode, Hashed, UpstreamState};

mod flights;
mod record;
mod scan;
mod users;

pub(crate) use flights::{Boarded, Boarding, FlightError, Flights};

pub use record::RecordError;
pub(crate) use scan::Kept;

const CLIENT: &str = "store client";
const REQUEST: &str = "store request";
const CODE: &str = "store code";
const GRANT: &str = "store grant";

/// How long an ended grant is kept, so that it is told from one that never was even where clocks
/// differ.
const GRANT_KEPT: Duration = Duration::from_secs(60 * 60);

/// How long a revoked grant is remembered: far longer than the redemption that may still store its
/// first version. Later versions need no memory, for there is nothing left for them to follow.
const REVOCATION_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What came of spending a code.
#[derive(Debug)]
pub(crate) enum Redeemed {
    /// The first use.
    Fresh(Box<IssuedCode>),
    /// A second use: revoke this grant (RFC 6749 §4.1.2).
    Replayed(GrantId),
    /// Never issued, or long forgotten.
    Unknown,
}

/// A code was stored under a digest that was used before.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a code was stored under this digest before")]
struct CodeStoredBefore;

/// A [`Store`] of records: what goes in is sealed, what comes out is opened and in date.
///
/// A record opens only as the kind it was stored as and under the key it was stored under, so
/// whoever writes to the backend can drop records or bring back old ones, but neither read nor make
/// nor exchange them.
#[derive(Clone, Debug)]
pub(crate) struct SealedStore {
    store: Arc<dyn Store>,
    keys: Keys,
    random: Arc<dyn SecureRandom>,
}

impl SealedStore {
    /// Seals what `store` keeps with the newest of `keys`, and opens it with any of them.
    pub(crate) fn new(store: Arc<dyn Store>, keys: Keys, random: Arc<dyn SecureRandom>) -> Self {
        Self {
            store,
            keys,
            random,
        }
    }

    /// Whether replicas of `issuer` share a key ring here.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn holds_key_ring(&self, issuer: &Issuer) -> Result<bool, StoreError> {
        let key = RecordKey::key_ring(&Hashed::of(issuer.as_str()));
        Ok(self.store.read(&key).await?.is_some())
    }

    /// Stores a client, or stores it anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn put_client(
        &self,
        client: &Client,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = hashed(client.id());
        let record = ClientRecord(client.clone());
        let entry = self.entry(Purpose::new(CLIENT, key.as_bytes()), &record, expires_at)?;
        self.store.put(&RecordKey::client(&key), entry).await
    }

    /// Stores a client that is in use anew, unless it was removed, or stored anew by somebody else.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn renew_client(
        &self,
        client: &Client,
        expires_at: Timestamp,
    ) -> Result<Written, StoreError> {
        let id = hashed(client.id());
        let key = RecordKey::client(&id);
        let found = self.store.slot(&key).await?;
        if found.as_ref().is_some_and(|slot| slot.sealed.is_none()) {
            return Ok(Written::Revoked);
        }
        let record = ClientRecord(client.clone());
        let entry = self.entry(Purpose::new(CLIENT, id.as_bytes()), &record, expires_at)?;
        let slot = Slot::of(entry, 1);
        self.store.replace(&key, found.as_ref(), slot).await
    }

    /// Looks up a client.
    ///
    /// One whose record no key opens is not there: after the keys were lost a client that is told
    /// so registers anew, while one that is told to try later is stuck for good.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn client(
        &self,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Client>, StoreError> {
        let key = hashed(id);
        let Some(stored) = self.store.read(&RecordKey::client(&key)).await? else {
            return Ok(None);
        };
        let purpose = Purpose::new(CLIENT, key.as_bytes());
        match self.open(purpose, &stored.sealed, now).await {
            Err(RecordError::Unopened) => {
                tracing::warn!(client_id = %id, "a stored client does not open under any key");
                Ok(None)
            }
            opened => opened
                .map(|record| record.map(|ClientRecord(client)| client))
                .map_err(StoreError::new),
        }
    }

    /// Stores a login under way, unless its state was ever used.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the state may then be used up.
    pub(crate) async fn put_request(
        &self,
        pending: &PendingLogin,
        expires_at: Timestamp,
    ) -> Result<Written, StoreError> {
        let state = pending.login().state();
        self.put_or_spend(state, Some(pending), expires_at).await
    }

    /// Uses up the state of a login the user denied, unless it was ever used: the consent page
    /// cannot be answered a second time, nor a second way.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the state may then be used up.
    pub(crate) async fn spend_request(
        &self,
        state: &UpstreamState,
        until: Timestamp,
    ) -> Result<Written, StoreError> {
        self.put_or_spend(state, None, until).await
    }

    /// Uses up what a client proved itself with, unless it was ever used. It stands where the states of
    /// logins do, which are used once, too, and none of which is spelled so.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the assertion may then be used up.
    pub(crate) async fn spend_assertion(
        &self,
        client: &ClientId,
        assertion: &VerifiedAssertion,
    ) -> Result<Written, StoreError> {
        let state = format!("client assertion {client} {}", assertion.id);
        self.put_or_spend(&UpstreamState::new(state), None, assertion.until)
            .await
    }

    /// Uses up what another issuer vouched for, unless it was ever used.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the assertion may then be used up.
    pub(crate) async fn spend_identity_assertion(
        &self,
        assertion: &IdentityAssertion,
    ) -> Result<Written, StoreError> {
        let IdentityAssertion { issuer, id, .. } = assertion;
        let state = format!("identity assertion {issuer} {id}");
        self.put_or_spend(&UpstreamState::new(state), None, assertion.until)
            .await
    }

    /// Notes that an operator signed out of their session, until it would have ended anyway. It stands where
    /// assertions do.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the session may then be noted.
    pub(crate) async fn end_operator_session(
        &self,
        session: &str,
        until: Timestamp,
    ) -> Result<Written, StoreError> {
        self.put_or_spend(&operator_session(session), None, until)
            .await
    }

    /// Whether an operator signed out of that session.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn has_ended_operator_session(
        &self,
        session: &str,
    ) -> Result<bool, StoreError> {
        let key = RecordKey::request(&operator_session(session).hashed());
        Ok(self.store.read(&key).await?.is_some())
    }

    /// A denied login is stored as the record of none, which [`take_request`](Self::take_request)
    /// cannot mistake for one that was allowed.
    async fn put_or_spend(
        &self,
        state: &UpstreamState,
        pending: Option<&PendingLogin>,
        expires_at: Timestamp,
    ) -> Result<Written, StoreError> {
        let key = state.hashed();
        let purpose = Purpose::new(REQUEST, key.as_bytes());
        let entry = self.entry(purpose, &pending, expires_at)?;
        self.store.put_new(&RecordKey::request(&key), entry).await
    }

    /// Takes a login under way: of any number of calls with one state, at most one sees it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the login may then be lost.
    pub(crate) async fn take_request(
        &self,
        state: &UpstreamState,
        now: Timestamp,
    ) -> Result<Option<PendingLogin>, StoreError> {
        let key = state.hashed();
        let Taken::Fresh(sealed) = self.store.take(&RecordKey::request(&key)).await? else {
            return Ok(None);
        };
        let purpose = Purpose::new(REQUEST, key.as_bytes());
        let request: Result<Option<Option<_>>, _> = self.open(purpose, &sealed, now).await;
        request.map(Option::flatten).map_err(StoreError::new)
    }

    /// Stores a code. A replay of it is noticed until `expires_at`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails, or if a code was ever stored under that digest: a spent code
    /// must not come back.
    pub(crate) async fn put_code(
        &self,
        code: &AuthorizationCode,
        issued: &IssuedCode,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = code.hashed();
        let entry = self.entry(Purpose::new(CODE, key.as_bytes()), issued, expires_at)?;
        let entry = entry.naming(issued.grant_id());
        match self.store.put_new(&RecordKey::code(&key), entry).await? {
            Written::Yes => Ok(()),
            Written::Conflict | Written::Revoked => Err(StoreError::new(CodeStoredBefore)),
        }
    }

    /// Spends a code: of any number of calls with one code, at most one sees [`Redeemed::Fresh`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the code may then be spent.
    pub(crate) async fn redeem_code(
        &self,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Result<Redeemed, StoreError> {
        let key = code.hashed();
        match self.store.take(&RecordKey::code(&key)).await? {
            Taken::Fresh(sealed) => self
                .open(Purpose::new(CODE, key.as_bytes()), &sealed, now)
                .await
                .map(|code| code.map_or(Redeemed::Unknown, |code| Redeemed::Fresh(Box::new(code))))
                .map_err(StoreError::new),
            Taken::Spent(Some(grant)) => Ok(Redeemed::Replayed(grant)),
            Taken::Spent(None) | Taken::Unknown => Ok(Redeemed::Unknown),
        }
    }

    /// Stores a grant, if the version before it is what is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the grant may then have been stored.
    pub(crate) async fn put_grant(&self, grant: &Grant) -> Result<Written, StoreError> {
        let id = grant.id();
        let kept_until = grant.expires_at() + GRANT_KEPT;
        let entry = self.entry(Purpose::new(GRANT, id.as_bytes()), grant, kept_until)?;
        let key = RecordKey::grant(&id);
        self.store.put_version(&key, grant.version(), entry).await
    }

    /// Looks up a grant; one that was revoked is not there. Whether it still stands, the grant
    /// says.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn grant(
        &self,
        id: &GrantId,
        now: Timestamp,
    ) -> Result<Option<Grant>, StoreError> {
        match self.store.read(&RecordKey::grant(id)).await? {
            Some(stored) => self
                .open(Purpose::new(GRANT, id.as_bytes()), &stored.sealed, now)
                .await
                .map_err(StoreError::new),
            None => Ok(None),
        }
    }

    /// Ends a grant, now or when it comes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the grant may then still stand.
    pub(crate) async fn revoke_grant(
        &self,
        id: &GrantId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = RecordKey::grant(id);
        self.store.revoke(&key, now + REVOCATION_KEPT).await
    }

    /// Forgets what expired before `now`; answers how many entries the store forgot.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the rest is swept next time.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.store.sweep(now).await
    }

    /// Seals a value that travels outside the store, such as a form's hidden field, in base64url.
    ///
    /// # Errors
    ///
    /// [`RecordError::Unwritable`] if the value or the crypto library fails.
    pub(crate) fn seal_for(
        &self,
        purpose: Purpose<'_>,
        value: &impl Serialize,
    ) -> Result<String, RecordError> {
        let sealed = self.sealed(purpose, value, Timestamp::from_unix(u64::MAX))?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what [`seal_for`](Self::seal_for) sealed for `purpose`; `None` if it is anything else.
    ///
    /// The value must say itself how long it is good.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if its key may be one of ours and cannot be had now.
    pub(crate) async fn open_for<T: DeserializeOwned>(
        &self,
        purpose: Purpose<'_>,
        sealed: &str,
    ) -> Result<Option<T>, StoreError> {
        let Ok(sealed) = URL_SAFE_NO_PAD.decode(sealed) else {
            return Ok(None);
        };
        let open = |keys: &SealingKeys| keys.open_shown(purpose, &sealed).ok();
        let plain = self.keys.find_for(&sealed, open).await?.flatten();
        let read = |plain: Zeroizing<Vec<u8>>| record::read(&plain, Timestamp::from_unix(0)).ok();
        Ok(plain.and_then(read).flatten())
    }

    fn entry(
        &self,
        purpose: Purpose<'_>,
        record: &impl Serialize,
        expires_at: Timestamp,
    ) -> Result<Entry, StoreError> {
        let sealed = self.sealed(purpose, record, expires_at);
        let sealed = Sealed::from_stored(sealed.map_err(StoreError::new)?);
        Ok(Entry::new(sealed, expires_at))
    }

    fn sealed(
        &self,
        purpose: Purpose<'_>,
        record: &impl Serialize,
        expires_at: Timestamp,
    ) -> Result<Vec<u8>, RecordError> {
        let plain = record::write(record, expires_at)?;
        let ring = self.keys.current();
        ring.sealing()
            .seal(purpose, &plain, &*self.random)
            .map_err(|_| RecordError::Unwritable)
    }

    /// Opens a record; `None` if it is out of date, for a store may forget late.
    async fn open<T: DeserializeOwned>(
        &self,
        purpose: Purpose<'_>,
        sealed: &Sealed,
        now: Timestamp,
    ) -> Result<Option<T>, RecordError> {
        let bytes = sealed.as_bytes();
        let open = |keys: &SealingKeys| keys.open(purpose, bytes).ok();
        let plain = self.keys.find_for(bytes, open).await?.flatten();
        record::read(&plain.ok_or(RecordError::Unopened)?, now)
    }
}

fn hashed(id: &ClientId) -> Hashed<ClientId> {
    Hashed::of(id.as_str())
}

fn operator_session(id: &str) -> UpstreamState {
    UpstreamState::new(format!("operator session {id}"))
}

#[cfg(test)]
mod tests;

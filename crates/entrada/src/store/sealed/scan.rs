//! All that is kept of some kinds, opened page by page.

use super::users::APPROVALS;
use super::{CLIENT, CODE, GRANT, REVOCATION_KEPT, SealedStore, hashed};
use crate::access_token::Principal;
use crate::grant::{Approvals, Grant, GrantId, IssuedCode};
use crate::keys::Purpose;
use crate::oauth::client::{Client, ClientId, ClientRecord};
use crate::platform::Timestamp;
use crate::store::{Collection, Cursor, RecordError, RecordKey, Slot, StoreError};

/// A record that was come upon.
#[derive(Debug)]
pub(crate) enum Kept {
    /// A client.
    Client(Box<Client>),
    /// A code that nobody has spent.
    Code(Box<IssuedCode>),
    /// The grant that a code became which was spent.
    Spent(GrantId),
    /// A grant.
    Grant(Box<Grant>),
    /// What a user approved.
    Approvals(Box<Approvals>),
    /// A record that no key opens; which grant it is, or would become, if it is one's.
    Unopened(Option<GrantId>),
}

impl Kept {
    /// Whose grant it is, or will be.
    pub(crate) fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Grant(grant) => Some(grant.principal()),
            Self::Code(code) => Some(code.principal()),
            Self::Client(_) | Self::Spent(_) | Self::Approvals(_) | Self::Unopened(_) => None,
        }
    }
}

/// Some of what is kept.
#[derive(Debug)]
pub(crate) struct KeptPage {
    /// The records of the kinds asked for.
    pub(crate) records: Vec<Kept>,
    /// How many slots were looked at.
    pub(crate) seen: usize,
    /// Where the next page begins; `None` if this is the last.
    pub(crate) next: Option<Cursor>,
}

impl SealedStore {
    /// The records of these `kinds` among about `most` slots `after` that place, or the first.
    ///
    /// What is there while all pages are read is on one of them at least, whatever version it is in.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails, or the keys cannot be had.
    pub(crate) async fn scan(
        &self,
        kinds: &[Collection],
        (after, most): (Option<&Cursor>, usize),
        now: Timestamp,
    ) -> Result<KeptPage, StoreError> {
        let page = self.store.export(after, most).await?;
        let mut found = KeptPage {
            records: Vec::new(),
            seen: page.slots.len(),
            next: page.next,
        };
        for (key, slot) in page.slots {
            if kinds.contains(&key.collection())
                && let Some(kept) = self.opened(&key, slot, now).await?
            {
                found.records.push(kept);
            }
        }
        Ok(found)
    }

    async fn opened(
        &self,
        key: &RecordKey,
        slot: Slot,
        now: Timestamp,
    ) -> Result<Option<Kept>, StoreError> {
        let Slot {
            sealed,
            grant,
            version,
            ..
        } = slot;
        let Some(sealed) = sealed else {
            return Ok(grant.map(Kept::Spent));
        };
        let id = key.id();
        let opened = match key.collection() {
            Collection::Clients => {
                let client = self.open(Purpose::new(CLIENT, id), &sealed, now).await;
                kept(client, |ClientRecord(client)| {
                    Kept::Client(Box::new(client))
                })
            }
            Collection::Codes => {
                let code = self.open(Purpose::new(CODE, id), &sealed, now).await;
                kept(code, |code| Kept::Code(Box::new(code)))
            }
            Collection::Grants => {
                let grant = self.open(Purpose::new(GRANT, id), &sealed, now).await;
                kept(grant, |grant| Kept::Grant(Box::new(grant)))
            }
            Collection::Approvals => {
                let approvals = self.open(Purpose::new(APPROVALS, id), &sealed, now).await;
                kept(approvals, |approvals: Approvals| {
                    Kept::Approvals(Box::new(approvals.stored_as(version)))
                })
            }
            Collection::Requests
            | Collection::Interactions
            | Collection::Flights
            | Collection::KeyRings => Ok(None),
        };
        match opened {
            Err(RecordError::Unopened | RecordError::Content { .. } | RecordError::Format(_)) => {
                Ok(Some(Kept::Unopened(grant.or_else(|| key.grant_id()))))
            }
            opened => opened.map_err(StoreError::new),
        }
    }

    /// Forgets a client. Whoever keeps it at this moment, for it was in use, does not bring it back.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the client may then be there still.
    pub(crate) async fn remove_client(
        &self,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = RecordKey::client(&hashed(id));
        self.store.revoke(&key, now + REVOCATION_KEPT).await
    }
}

fn kept<T>(
    opened: Result<Option<T>, RecordError>,
    kept: impl FnOnce(T) -> Kept,
) -> Result<Option<Kept>, RecordError> {
    Ok(opened?.map(kept))
}

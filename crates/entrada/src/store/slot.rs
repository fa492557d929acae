//! What each verb of a [`Store`](super::Store) does to what is kept under one key.
//!
//! The stores of this crate hold a collection alone while a verb runs, each in its way, so the
//! verbs are plain code here and written once.

use super::{Entry, Redeemed, Sealed, Written};
use crate::grant::GrantId;
use crate::platform::Timestamp;

/// What is kept under one key.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) expires_at: Timestamp,
    /// Grows with each write of a grant, or of a user's approvals; 1 elsewhere.
    pub(super) version: u64,
    /// The grant a code becomes; none elsewhere.
    pub(super) grant: Option<GrantId>,
    /// Gone once the login is taken, the code spent, the grant revoked.
    pub(super) sealed: Option<Sealed>,
}

impl Slot {
    fn first(entry: Entry) -> Self {
        Self {
            expires_at: entry.expires_at,
            version: 1,
            grant: None,
            sealed: Some(entry.sealed),
        }
    }

    /// What is kept, and its version.
    pub(super) fn versioned(self) -> Option<(u64, Sealed)> {
        let version = self.version;
        self.sealed.map(|sealed| (version, sealed))
    }
}

/// The slots of one collection, held by nobody else.
pub(super) trait Shelf {
    /// Why the shelf cannot be used.
    type Error;

    /// What is kept under `key`.
    fn slot(&self, key: &[u8]) -> Result<Option<Slot>, Self::Error>;

    /// Keeps `slot` under `key`, in place of what was there.
    fn place(&mut self, key: &[u8], slot: Slot) -> Result<(), Self::Error>;
}

/// Stores a client, or an interaction, in place of the one before.
pub(super) fn put<S: Shelf>(shelf: &mut S, key: &[u8], entry: Entry) -> Result<(), S::Error> {
    shelf.place(key, Slot::first(entry))
}

pub(super) fn put_request<S: Shelf>(
    requests: &mut S,
    state: &[u8],
    request: Entry,
) -> Result<Written, S::Error> {
    if requests.slot(state)?.is_some() {
        return Ok(Written::Conflict);
    }
    requests.place(state, Slot::first(request))?;
    Ok(Written::Yes)
}

/// Takes a login under way, or an interaction.
pub(super) fn take<S: Shelf>(shelf: &mut S, key: &[u8]) -> Result<Option<Sealed>, S::Error> {
    let Some(mut slot) = shelf.slot(key)? else {
        return Ok(None);
    };
    let taken = slot.sealed.take();
    if taken.is_some() {
        shelf.place(key, slot)?;
    }
    Ok(taken)
}

/// A code was stored under a digest that was used before.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a code was stored under this digest before")]
pub(super) struct CodeStoredBefore;

/// Stores a code unless one was ever stored under that digest: a spent one must not come back.
pub(super) fn put_code<S: Shelf>(
    codes: &mut S,
    code: &[u8],
    grant: GrantId,
    entry: Entry,
) -> Result<Result<(), CodeStoredBefore>, S::Error> {
    if codes.slot(code)?.is_some() {
        return Ok(Err(CodeStoredBefore));
    }
    let slot = Slot {
        grant: Some(grant),
        ..Slot::first(entry)
    };
    codes.place(code, slot).map(Ok)
}

pub(super) fn redeem_code<S: Shelf>(codes: &mut S, code: &[u8]) -> Result<Redeemed, S::Error> {
    let Some(mut slot) = codes.slot(code)? else {
        return Ok(Redeemed::Unknown);
    };
    let grant = slot.grant;
    match slot.sealed.take() {
        Some(sealed) => {
            codes.place(code, slot)?;
            Ok(Redeemed::Fresh(sealed))
        }
        None => Ok(grant.map_or(Redeemed::Unknown, Redeemed::Replayed)),
    }
}

/// Stores a version of a grant, or of a user's approvals, if it follows the one that is there.
pub(super) fn put_version<S: Shelf>(
    shelf: &mut S,
    key: &[u8],
    version: u64,
    entry: Entry,
) -> Result<Written, S::Error> {
    let stored = match shelf.slot(key)? {
        Some(Slot { sealed: None, .. }) => return Ok(Written::Revoked),
        Some(slot) => slot.version,
        None => 0,
    };
    if stored.checked_add(1) != Some(version) {
        return Ok(Written::Conflict);
    }
    let slot = Slot {
        version,
        ..Slot::first(entry)
    };
    shelf.place(key, slot)?;
    Ok(Written::Yes)
}

pub(super) fn revoke_grant<S: Shelf>(
    grants: &mut S,
    id: &[u8],
    until: Timestamp,
) -> Result<(), S::Error> {
    let stored = grants.slot(id)?;
    let (version, revoked_until) = match &stored {
        Some(Slot {
            sealed: None,
            expires_at,
            version,
            ..
        }) => (*version, *expires_at),
        Some(live) => (live.version, until),
        None => (0, until),
    };
    let revoked = Slot {
        expires_at: until.max(revoked_until),
        version,
        grant: None,
        sealed: None,
    };
    grants.place(id, revoked)
}

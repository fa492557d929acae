//! What each verb of a [`Store`](super::Store) does to what is kept under one key.
//!
//! The stores of one process hold all slots alone while a verb runs, each in its way, so the verbs
//! are plain code here and written once.

use std::convert::Infallible;

use super::{Entry, RecordKey, Sealed, Stored, Taken, Written};
use crate::grant::GrantId;
use crate::platform::Timestamp;

mod bytes;

pub(super) use bytes::{decode, encode};

/// What is kept under one key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Slot {
    /// From when on it may be forgotten.
    pub expires_at: Timestamp,
    /// Grows with each write of a versioned record; 1 elsewhere.
    pub version: u64,
    /// What is remembered of a code once it is spent: the grant it became; none elsewhere.
    pub grant: Option<GrantId>,
    /// The record; gone once it was taken or revoked.
    pub sealed: Option<Sealed>,
}

impl Slot {
    /// A slot as a store kept it.
    pub fn from_stored(
        expires_at: Timestamp,
        version: u64,
        grant: Option<GrantId>,
        sealed: Option<Sealed>,
    ) -> Self {
        Self {
            expires_at,
            version,
            grant,
            sealed,
        }
    }

    /// An entry, as a slot.
    pub(super) fn of(entry: Entry, version: u64) -> Self {
        Self {
            expires_at: entry.expires_at,
            version,
            grant: entry.grant,
            sealed: Some(entry.sealed),
        }
    }

    /// The record, unless it was taken or revoked.
    pub fn stored(self) -> Option<Stored> {
        let version = self.version;
        self.sealed.map(|sealed| Stored { version, sealed })
    }
}

/// Slots, held by nobody else.
pub(super) trait Shelf {
    /// Why the shelf cannot be used.
    type Error;

    /// What is kept under `key`.
    fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, Self::Error>;

    /// Keeps `slot` under `key`, in place of what was there.
    fn place(&mut self, key: &RecordKey, slot: Slot) -> Result<(), Self::Error>;
}

/// What a shelf answers that does not fail.
pub(super) fn sure<T>(done: Result<T, Infallible>) -> T {
    match done {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

pub(super) fn put<S: Shelf>(shelf: &mut S, key: &RecordKey, entry: Entry) -> Result<(), S::Error> {
    shelf.place(key, Slot::of(entry, 1))
}

pub(super) fn put_new<S: Shelf>(
    shelf: &mut S,
    key: &RecordKey,
    entry: Entry,
) -> Result<Written, S::Error> {
    replace(shelf, key, None, Slot::of(entry, 1))
}

pub(super) fn replace<S: Shelf>(
    shelf: &mut S,
    key: &RecordKey,
    found: Option<&Slot>,
    slot: Slot,
) -> Result<Written, S::Error> {
    if shelf.slot(key)?.as_ref() != found {
        return Ok(Written::Conflict);
    }
    shelf.place(key, slot)?;
    Ok(Written::Yes)
}

pub(super) fn put_version<S: Shelf>(
    shelf: &mut S,
    key: &RecordKey,
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
    shelf.place(key, Slot::of(entry, version))?;
    Ok(Written::Yes)
}

pub(super) fn take<S: Shelf>(shelf: &mut S, key: &RecordKey) -> Result<Taken, S::Error> {
    let Some(mut slot) = shelf.slot(key)? else {
        return Ok(Taken::Unknown);
    };
    let Some(sealed) = slot.sealed.take() else {
        return Ok(Taken::Spent(slot.grant));
    };
    shelf.place(key, slot)?;
    Ok(Taken::Fresh(sealed))
}

pub(super) fn revoke<S: Shelf>(
    shelf: &mut S,
    key: &RecordKey,
    until: Timestamp,
) -> Result<(), S::Error> {
    let (version, revoked_until) = match shelf.slot(key)? {
        Some(Slot {
            sealed: None,
            expires_at,
            version,
            ..
        }) => (version, expires_at),
        Some(live) => (live.version, until),
        None => (0, until),
    };
    let revoked = Slot {
        expires_at: until.max(revoked_until),
        version,
        grant: None,
        sealed: None,
    };
    shelf.place(key, revoked)
}

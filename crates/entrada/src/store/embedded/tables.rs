//! What stands in the file: slots by key, keys by expiry.

use std::sync::Arc;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::grant::GrantId;
use crate::platform::Timestamp;
use crate::store::Sealed;
use crate::store::slot::{Shelf, Slot};

type Bytes = &'static [u8];

/// `collection ‖ key` to `flags ‖ expiry ‖ version ‖ grant? ‖ sealed`.
pub(super) const SLOTS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("slots");

/// `expiry ‖ collection ‖ key`, in the order of expiry.
pub(super) const EXPIRY: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("expiry");

/// The slot holds a record.
const LIVE: u8 = 1;
/// The slot names a grant.
const NAMES_GRANT: u8 = 2;

/// Why the file cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the store's file failed")]
    File(#[source] Arc<redb::Error>),
    #[error("an entry in the store's file is damaged")]
    Damaged,
    #[error("the store's writer has ended")]
    Ended,
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::File(Arc::new(error.into()))
    }
}

/// Which kind of record; what distinguishes keys in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Collection {
    Clients,
    Requests,
    Codes,
    Grants,
    Interactions,
    Approvals,
}

impl Collection {
    const fn tag(self) -> u8 {
        match self {
            Self::Clients => b'c',
            Self::Requests => b'r',
            Self::Codes => b'o',
            Self::Grants => b'g',
            Self::Interactions => b'i',
            Self::Approvals => b'a',
        }
    }

    /// A key of this collection as it stands in the file.
    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        [&[self.tag()], key].concat()
    }
}

/// The tables, open for writing.
pub(super) struct Tables<'txn> {
    slots: Table<'txn, Bytes, Bytes>,
    expiry: Table<'txn, Bytes, Bytes>,
    changed: bool,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, Failure> {
        Ok(Self {
            slots: transaction.open_table(SLOTS)?,
            expiry: transaction.open_table(EXPIRY)?,
            changed: false,
        })
    }

    /// Whether there is anything to commit.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    pub(super) fn shelf(&mut self, collection: Collection) -> CollectionShelf<'_, 'txn> {
        CollectionShelf {
            tables: self,
            collection,
        }
    }

    /// Removes at most `most` slots that expired before `now`.
    pub(super) fn sweep(&mut self, now: Timestamp, most: usize) -> Result<usize, Failure> {
        let end = now.as_unix().to_be_bytes();
        let mut expired = Vec::new();
        for entry in self.expiry.range(..end.as_slice())?.take(most) {
            expired.push(entry?.0.value().to_vec());
        }
        for expiry in &expired {
            self.changed = true;
            self.expiry.remove(expiry.as_slice())?;
            let key = expiry.get(end.len()..).ok_or(Failure::Damaged)?;
            self.slots.remove(key)?;
        }
        Ok(expired.len())
    }
}

/// One collection among the tables.
pub(super) struct CollectionShelf<'a, 'txn> {
    tables: &'a mut Tables<'txn>,
    collection: Collection,
}

impl Shelf for CollectionShelf<'_, '_> {
    type Error = Failure;

    fn slot(&self, key: &[u8]) -> Result<Option<Slot>, Failure> {
        slot(&self.tables.slots, &self.collection.key(key))
    }

    fn place(&mut self, key: &[u8], slot: Slot) -> Result<(), Failure> {
        let replaced = self.slot(key)?;
        let key = self.collection.key(key);
        let expires_at = slot.expires_at;
        self.tables.changed = true;
        if let Some(replaced) = replaced {
            let expiry = expiry_key(replaced.expires_at, &key);
            self.tables.expiry.remove(expiry.as_slice())?;
        }
        let (slots, expiry) = (&mut self.tables.slots, &mut self.tables.expiry);
        slots.insert(key.as_slice(), encode(&slot).as_slice())?;
        expiry.insert(expiry_key(expires_at, &key).as_slice(), [].as_slice())?;
        Ok(())
    }
}

/// What stands under `key`, a key as [`Collection::key`] makes it.
pub(super) fn slot(
    slots: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<Slot>, Failure> {
    let found = slots.get(key)?;
    found.map(|found| decode(found.value())).transpose()
}

fn expiry_key(expires_at: Timestamp, key: &[u8]) -> Vec<u8> {
    [expires_at.as_unix().to_be_bytes().as_slice(), key].concat()
}

fn encode(slot: &Slot) -> Vec<u8> {
    let sealed = slot.sealed.as_ref().map(Sealed::as_bytes);
    let mut bytes = Vec::with_capacity(1 + 8 + 8 + 16 + sealed.map_or(0, bytes::Bytes::len));
    let live = sealed.map_or(0, |_| LIVE);
    let names_grant = slot.grant.map_or(0, |_| NAMES_GRANT);
    bytes.push(live | names_grant);
    bytes.extend_from_slice(&slot.expires_at.as_unix().to_be_bytes());
    bytes.extend_from_slice(&slot.version.to_be_bytes());
    if let Some(grant) = &slot.grant {
        bytes.extend_from_slice(grant.as_bytes());
    }
    if let Some(sealed) = sealed {
        bytes.extend_from_slice(sealed);
    }
    bytes
}

fn decode(bytes: &[u8]) -> Result<Slot, Failure> {
    try_decode(bytes).ok_or(Failure::Damaged)
}

fn try_decode(bytes: &[u8]) -> Option<Slot> {
    let (flags, rest) = bytes.split_first()?;
    let (expires_at, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (grant, rest) = if flags & NAMES_GRANT == 0 {
        (None, rest)
    } else {
        let (grant, rest) = rest.split_first_chunk()?;
        (Some(GrantId::from_stored(*grant)), rest)
    };
    let sealed = if flags & LIVE == 0 {
        rest.is_empty().then_some(None)?
    } else {
        Some(Sealed::from_stored(rest.to_vec()))
    };
    (flags & !(LIVE | NAMES_GRANT) == 0).then_some(Slot {
        expires_at: Timestamp::from_unix(u64::from_be_bytes(*expires_at)),
        version: u64::from_be_bytes(*version),
        grant,
        sealed,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_come_back_as_they_were(
            expires_at: u64,
            version: u64,
            grant: Option<[u8; 16]>,
            sealed: Option<Vec<u8>>,
        ) {
            let slot = Slot {
                expires_at: Timestamp::from_unix(expires_at),
                version,
                grant: grant.map(GrantId::from_stored),
                sealed: sealed.map(Sealed::from_stored),
            };
            let read = try_decode(&encode(&slot)).unwrap();
            prop_assert_eq!(read.expires_at, slot.expires_at);
            prop_assert_eq!(read.version, slot.version);
            prop_assert_eq!(read.grant, slot.grant);
            prop_assert_eq!(read.sealed, slot.sealed);
        }

        #[test]
        fn damaged_bytes_are_an_error_and_no_panic(bytes: Vec<u8>) {
            if let Some(slot) = try_decode(&bytes) {
                prop_assert_eq!(encode(&slot), bytes);
            }
        }
    }
}

//! What stands in the file: slots by key, keys by expiry.

use std::ops::Bound;
use std::sync::Arc;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::platform::Timestamp;
use crate::store::slot::{self, Shelf, Slot};
use crate::store::{Cursor, RecordKey, SlotPage};

type Bytes = &'static [u8];

/// A [`RecordKey`] to a slot, as [`slot::encode`] writes it.
pub(super) const SLOTS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("slots");

/// `expiry ‖ key`, in the order of expiry.
pub(super) const EXPIRY: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("expiry");

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

impl Shelf for Tables<'_> {
    type Error = Failure;

    fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, Failure> {
        found(&self.slots, key)
    }

    fn place(&mut self, key: &RecordKey, slot: Slot) -> Result<(), Failure> {
        let replaced = self.slot(key)?;
        self.changed = true;
        if let Some(replaced) = replaced {
            let expiry = expiry_key(replaced.expires_at, key);
            self.expiry.remove(expiry.as_slice())?;
        }
        self.slots
            .insert(key.as_bytes(), slot::encode(&slot).as_slice())?;
        let expiry = expiry_key(slot.expires_at, key);
        self.expiry.insert(expiry.as_slice(), [].as_slice())?;
        Ok(())
    }
}

/// What stands under `key`.
pub(super) fn found(
    slots: &impl ReadableTable<Bytes, Bytes>,
    key: &RecordKey,
) -> Result<Option<Slot>, Failure> {
    let found = slots.get(key.as_bytes())?;
    found.map(|found| decode(found.value())).transpose()
}

/// At most `most` slots after `after`, or the first.
pub(super) fn page(
    slots: &impl ReadableTable<Bytes, Bytes>,
    after: Option<&[u8]>,
    most: usize,
) -> Result<SlotPage, Failure> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = SlotPage::default();
    for entry in slots.range::<&[u8]>((from, Bound::Unbounded))?.take(most) {
        let (key, slot) = entry?;
        page.next = Some(Cursor::new(key.value().to_vec()));
        let key = RecordKey::from_stored(key.value()).ok_or(Failure::Damaged)?;
        page.slots.push((key, decode(slot.value())?));
    }
    if page.slots.len() < most {
        page.next = None;
    }
    Ok(page)
}

fn expiry_key(expires_at: Timestamp, key: &RecordKey) -> Vec<u8> {
    [
        expires_at.as_unix().to_be_bytes().as_slice(),
        key.as_bytes(),
    ]
    .concat()
}

fn decode(bytes: &[u8]) -> Result<Slot, Failure> {
    slot::decode(bytes).ok_or(Failure::Damaged)
}

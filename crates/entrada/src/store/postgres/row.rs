//! What rows mean, and how values are kept in them.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::PostgresError;
use crate::grant::GrantId;
use crate::platform::Timestamp;
use crate::store::{
    Cursor, Entry, Lease, RecordKey, Sealed, Slot, SlotPage, StoreError, Stored, Taken, Written,
};

/// A time as the database keeps it: what it cannot keep is never.
pub(super) fn expiry(at: Timestamp) -> i64 {
    i64::try_from(at.as_unix()).unwrap_or(i64::MAX)
}

fn kept_expiry(at: i64) -> Timestamp {
    match u64::try_from(at) {
        Ok(_) if at == i64::MAX => Timestamp::from_unix(u64::MAX),
        Ok(seconds) => Timestamp::from_unix(seconds),
        Err(_) => Timestamp::default(),
    }
}

pub(super) fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The columns of a slot: expiry, version, grant, record.
pub(super) fn columns(slot: &Slot) -> (i64, i64, Option<&[u8]>, Option<&[u8]>) {
    let grant = slot.grant.as_ref().map(|id| id.as_bytes().as_slice());
    let sealed = slot.sealed.as_ref().map(|it| it.as_bytes().as_ref());
    let (expires_at, version) = (expiry(slot.expires_at), slot.version.cast_signed());
    (expires_at, version, grant, sealed)
}

/// What an entry is kept as: its expiry, its grant, its record.
pub(super) fn parts(entry: &Entry) -> (i64, Option<&[u8]>, &[u8]) {
    let grant = entry.grant.as_ref().map(|id| id.as_bytes().as_slice());
    (expiry(entry.expires_at), grant, entry.sealed.as_bytes())
}

/// Whether a statement that says so with a row did it.
pub(super) fn written(rows: &[Row]) -> Written {
    if rows.is_empty() {
        Written::Conflict
    } else {
        Written::Yes
    }
}

/// What came of a version: the row says whether what is there was revoked.
pub(super) fn version_written(rows: &[Row]) -> Result<Written, StoreError> {
    match rows.first() {
        Some(row) if value(row, 0)? => Ok(Written::Revoked),
        Some(_) => Ok(Written::Yes),
        None => Ok(Written::Conflict),
    }
}

pub(super) fn stored(rows: &[Row]) -> Result<Option<Stored>, StoreError> {
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let version: i64 = value(row, 0)?;
    Ok(sealed(row, 1)?.map(|sealed| Stored::new(version.cast_unsigned(), sealed)))
}

pub(super) fn taken(rows: &[Row]) -> Result<Taken, StoreError> {
    let Some(row) = rows.first() else {
        return Ok(Taken::Unknown);
    };
    match sealed(row, 1)? {
        Some(sealed) => Ok(Taken::Fresh(sealed)),
        None => Ok(Taken::Spent(grant(row, 0)?)),
    }
}

pub(super) fn leased(rows: &[Row]) -> Result<Lease, StoreError> {
    let Some(row) = rows.first() else {
        return Ok(Lease::Busy);
    };
    Ok(sealed(row, 0)?.map_or(Lease::Held, Lease::Answered))
}

pub(super) fn count(rows: &[Row]) -> Result<i64, StoreError> {
    rows.first().map_or(Ok(0), |row| value(row, 0))
}

/// What is kept, and where the rest begins if `most` is not all of it.
pub(super) fn page(rows: &[Row], most: usize) -> Result<SlotPage, StoreError> {
    let slots: Vec<_> = rows.iter().map(slot).collect::<Result<_, _>>()?;
    let last = slots.last().filter(|_| slots.len() >= most);
    let next = last.map(|(key, _)| Cursor::new(key.as_bytes().to_vec()));
    Ok(SlotPage::new(slots, next))
}

pub(super) fn slot(row: &Row) -> Result<(RecordKey, Slot), StoreError> {
    let key = RecordKey::from_stored(value(row, 0)?);
    let key = key.ok_or_else(|| StoreError::new(PostgresError::UnknownKey))?;
    let (expires_at, version): (i64, i64) = (value(row, 1)?, value(row, 2)?);
    let slot = Slot::from_stored(
        kept_expiry(expires_at),
        version.cast_unsigned(),
        grant(row, 3)?,
        sealed(row, 4)?,
    );
    Ok((key, slot))
}

fn grant(row: &Row, at: usize) -> Result<Option<GrantId>, StoreError> {
    let Some(bytes) = value::<Option<&[u8]>>(row, at)? else {
        return Ok(None);
    };
    let id = bytes.try_into().map_err(StoreError::new)?;
    Ok(Some(GrantId::from_stored(id)))
}

fn sealed(row: &Row, at: usize) -> Result<Option<Sealed>, StoreError> {
    let bytes: Option<Vec<u8>> = value(row, at)?;
    Ok(bytes.map(Sealed::from_stored))
}

fn value<'row, T: FromSql<'row>>(row: &'row Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(StoreError::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_order_and_what_never_ends_never_does() {
        let times = [0, 1, 4_000_000_000, u64::MAX].map(Timestamp::from_unix);
        assert!(times.map(expiry).is_sorted());
        assert_eq!(times.map(expiry).map(kept_expiry), times);
        let late = Timestamp::from_unix(i64::MAX.unsigned_abs() + 1);
        assert!(kept_expiry(expiry(late)) >= late);
    }
}

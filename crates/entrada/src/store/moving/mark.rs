//! What stands in a store in place of a slot that left it.
//!
//! A mark is a slot whose record is no sealed one: those begin with the number of their format, and
//! none is 0. Behind [`MARK`] there is the slot, until it has arrived; then nothing. To whoever knows
//! of no move it is a record that does not open, so nobody takes a grant that moved for one that ended.

use crate::platform::Timestamp;
use crate::store::slot::{self, Slot};
use crate::store::{Sealed, StoreError};

/// What the record of a mark begins with.
const MARK: &[u8] = b"\0moved\0";

/// What was found under a key of the store that slots leave.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A slot that has not left.
    Slot(Slot),
    /// A mark, and the slot that left and may not have arrived.
    Mark(Slot, Slot),
    /// The mark of what has arrived, or is to be made there.
    Emptied,
}

/// A mark holds something else than a slot.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the mark of a moved record is damaged")]
struct Damaged;

/// A move the other way round was given up on the way.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a record left this store and may not have arrived: move all that is left first")]
struct LeftHalfway;

/// The mark of a slot, which is forgotten when it would be.
pub(super) fn of(slot: &Slot) -> Slot {
    with(slot.expires_at, &slot::encode(slot))
}

/// The mark of what is elsewhere.
pub(super) fn empty(expires_at: Timestamp) -> Slot {
    with(expires_at, &[])
}

fn with(expires_at: Timestamp, behind: &[u8]) -> Slot {
    let sealed = Sealed::from_stored([MARK, behind].concat());
    Slot::from_stored(expires_at, 1, None, Some(sealed))
}

/// Tells a slot from a mark.
pub(super) fn find(slot: Option<Slot>) -> Result<Found, StoreError> {
    let Some(slot) = slot else {
        return Ok(Found::Nothing);
    };
    let sealed = slot.sealed.as_ref().map(Sealed::as_bytes);
    match sealed.and_then(|sealed| sealed.strip_prefix(MARK)) {
        None => Ok(Found::Slot(slot)),
        Some([]) => Ok(Found::Emptied),
        Some(behind) => match slot::decode(behind) {
            Some(left) => Ok(Found::Mark(slot, left)),
            None => Err(StoreError::new(Damaged)),
        },
    }
}

/// What there is in the store that slots arrive in. An empty mark there is of a move the other way
/// round, which was given up.
pub(super) fn seen(slot: Option<Slot>) -> Result<Option<Slot>, StoreError> {
    match find(slot)? {
        Found::Slot(slot) => Ok(Some(slot)),
        Found::Nothing | Found::Emptied => Ok(None),
        // Whether it arrived where it was to go, only that store can tell.
        Found::Mark(..) => Err(StoreError::new(LeftHalfway)),
    }
}

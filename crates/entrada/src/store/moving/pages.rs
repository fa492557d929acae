//! What two stores keep, page by page: first what has not left the one, then all of the other.

use super::Moving;
use super::mark::{self, Found};
use crate::store::{Cursor, SlotPage, StoreError};

/// Cursors begin with which store they are of.
const FROM: u8 = 0;
const TO: u8 = 1;

pub(super) async fn export(
    stores: &Moving,
    after: Option<&Cursor>,
    most: usize,
) -> Result<SlotPage, StoreError> {
    let after = after.map(Cursor::as_bytes).and_then(<[u8]>::split_first);
    let inner = after.map(|(_, rest)| Cursor::new(rest.to_vec()));
    let inner = inner.filter(|cursor| !cursor.as_bytes().is_empty());
    let (tag, store) = match after {
        Some((&TO, _)) => (TO, &stores.to),
        Some(_) | None => (FROM, &stores.from),
    };
    let page = store.export(inner.as_ref(), most).await?;
    let mut slots = Vec::with_capacity(page.slots.len());
    for (key, slot) in page.slots {
        match mark::find(Some(slot))? {
            Found::Slot(slot) => slots.push((key, slot)),
            Found::Mark(_, slot) if tag == FROM => slots.push((key, slot)),
            Found::Mark(..) | Found::Emptied | Found::Nothing => {}
        }
    }
    let next = match page.next {
        Some(next) => Some(Cursor::new([&[tag], next.as_bytes()].concat())),
        None if tag == FROM => Some(Cursor::new(vec![TO])),
        None => None,
    };
    Ok(SlotPage::new(slots, next))
}

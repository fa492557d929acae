//! One slot, while a verb decides what becomes of it.

use std::convert::Infallible;

use crate::store::RecordKey;
use crate::store::slot::{Shelf, Slot};

/// One slot, as it was found, and what was placed in its stead.
#[derive(Debug)]
pub(super) struct Held {
    slot: Option<Slot>,
    is_placed: bool,
}

impl Held {
    pub(super) fn new(slot: Option<Slot>) -> Self {
        let is_placed = false;
        Self { slot, is_placed }
    }

    /// What a verb placed, if it did.
    pub(super) fn into_placed(self) -> Option<Slot> {
        self.slot.filter(|_| self.is_placed)
    }
}

impl Shelf for Held {
    type Error = Infallible;

    fn slot(&self, _key: &RecordKey) -> Result<Option<Slot>, Infallible> {
        Ok(self.slot.clone())
    }

    fn place(&mut self, _key: &RecordKey, slot: Slot) -> Result<(), Infallible> {
        self.slot = Some(slot);
        self.is_placed = true;
        Ok(())
    }
}

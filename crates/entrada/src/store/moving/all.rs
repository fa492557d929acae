//! Moving what nobody asks for.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::mark::{self, Found};
use super::{Brought, Moving};
use crate::platform::Timestamp;
use crate::store::{Collection, RecordKey, Slot, StoreError};

/// How many slots are looked at together.
const PAGE: usize = 500;

/// How many of them move at a time.
const AT_ONCE: usize = 16;

/// How far a move has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Moved {
    /// What was moved.
    pub moved: u64,
    /// What had moved before.
    pub already_there: u64,
    /// What is of no use any more, and stays.
    pub expired: u64,
}

impl Moving {
    /// Moves all that is left, whichever step this is, and tells `told` after each page how far it
    /// came. It can be given up at any time, and done again.
    ///
    /// All replicas must know that records move: what another still writes to the old store stays
    /// there. Once all of them write to the new one and this has been done, the old store is not
    /// needed any more.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a store fails: what was moved stays moved.
    pub async fn move_all(
        &self,
        now: Timestamp,
        mut told: impl FnMut(Moved) + Send,
    ) -> Result<Moved, StoreError> {
        self.are_two().await?;
        self.forget_marks(now).await?;
        let mut so_far = Moved::default();
        let mut after = None;
        loop {
            let page = self.from.export(after.as_ref(), PAGE).await?;
            self.move_some(page.slots, now, &mut so_far).await?;
            told(so_far);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(so_far),
            }
        }
    }

    async fn move_some(
        &self,
        slots: Vec<(RecordKey, Slot)>,
        now: Timestamp,
        so_far: &mut Moved,
    ) -> Result<(), StoreError> {
        let mut moving = JoinSet::new();
        for (key, slot) in slots {
            // Leases do not move, whatever a store may think of what came of them.
            if key.collection() == Collection::Flights {
                continue;
            }
            match mark::find(Some(slot))? {
                Found::Nothing | Found::Emptied => {
                    so_far.already_there += 1;
                    continue;
                }
                Found::Slot(slot) if slot.expires_at < now => {
                    so_far.expired += 1;
                    continue;
                }
                Found::Slot(_) | Found::Mark(..) => {}
            }
            if moving.len() >= AT_ONCE {
                so_far.count(moving.join_next().await)?;
            }
            let stores = self.clone();
            moving.spawn(async move { stores.bring(&key, None).await });
        }
        while let Some(brought) = moving.join_next().await {
            so_far.count(Some(brought))?;
        }
        Ok(())
    }

    /// Takes marks of a move the other way round, which is over or was given up, out of the new store. What had
    /// not arrived by then is there again.
    ///
    /// Instead of each there is an empty one until it is swept, which whoever brings a slot takes for nothing: were it
    /// a slot without a record, it would be taken for one that has arrived.
    async fn forget_marks(&self, now: Timestamp) -> Result<(), StoreError> {
        let to: &Arc<_> = &self.to;
        let mut after = None;
        loop {
            let page = to.export(after.as_ref(), PAGE).await?;
            for (key, slot) in page.slots {
                let over = mark::empty(Timestamp::default());
                let instead = match mark::find(Some(slot.clone()))? {
                    Found::Slot(_) | Found::Nothing => continue,
                    Found::Emptied => over,
                    Found::Mark(_, left) => match self.from.slot(&key).await? {
                        Some(_) => over,
                        None => left,
                    },
                };
                if instead != slot {
                    to.replace(&key, Some(&slot), instead).await?;
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        to.sweep(now).await?;
        Ok(())
    }
}

type Joined = Result<Result<Brought, StoreError>, tokio::task::JoinError>;

impl Moved {
    fn count(&mut self, joined: Option<Joined>) -> Result<(), StoreError> {
        match joined.transpose().map_err(StoreError::new)?.transpose()? {
            Some(Brought::Now) => self.moved += 1,
            Some(Brought::Before) => self.already_there += 1,
            None => {}
        }
        Ok(())
    }
}

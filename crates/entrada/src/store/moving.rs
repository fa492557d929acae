//! Two stores that are one while what is kept moves from the one to the other.
//!
//! Each slot is at any time in the hands of one of the two. It begins in those of `from`, and leaves
//! by one atomic [`replace`](Store::replace) there, of the slot by a [mark] that holds it: from
//! then on no writer that knows of the move changes it in `from`, and whoever finds the mark carries
//! the slot to `to`, if nobody did yet, and then empties the mark. What is not there yet leaves the
//! same way, for an empty mark. So there is one place at any time where the next version may be
//! written, a record be taken or a revocation be noted; and whoever dies on the way leaves a mark that
//! the next one carries on from.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::slot::{self, Slot, sure};
use super::{
    Cursor, Entry, Lease, LeaseHolder, RecordKey, SlotPage, Store, StoreError, Stored, Taken,
    Written,
};
use crate::platform::Timestamp;
use crate::secret::Hashed;

mod all;
mod held;
mod mark;
mod pages;
#[cfg(test)]
mod tests;

pub use all::Moved;

use held::Held;
use mark::Found;

/// How often a write is tried anew that another one came before.
const TRIES: u32 = 1000;

/// Two stores that are one while what is kept moves from the one to the other.
///
/// Replicas are brought from one store to another in two steps, one by one and while they serve:
/// first all of them learn that records may move ([`announced`](Self::announced)), then records do
/// ([`under_way`](Self::under_way)). Replicas that are one step apart may run side by side; those
/// two steps apart may not, for who knows nothing of the move takes a mark for a record that does
/// not open. Once [`move_all`](Self::move_all) has moved what nobody asked for, the new store can be
/// used by itself.
///
/// | replica | writes | reads | besides |
/// |---|---|---|---|
/// | of the old store | there | there | the next |
/// | announced | to the old store, but what has moved to the new one | the same | the one before and the next |
/// | under way | to the new store | there, and from the old one what has not moved | the one before and the next |
/// | of the new store | there | there | the one before, once all has moved |
///
/// Both stores must answer: if one does not, verbs fail. A write takes two to three times as long as
/// in one store. Leases are taken in the old store, and once the move is under way in the new one, too.
#[derive(Clone)]
pub struct Moving {
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    step: Step,
    are_two: Arc<OnceCell<()>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Announced,
    UnderWay,
}

/// The two are the same.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the store that records move from is the one they move to, under another name; nothing was moved"
)]
struct OneStore;

/// Another writer was always first.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a record changed each time it was to be written")]
struct Contended;

impl Moving {
    /// Knows that records move from `from` to `to`, and moves none.
    pub fn announced(from: Arc<dyn Store>, to: Arc<dyn Store>) -> Self {
        Self::new(from, to, Step::Announced)
    }

    /// Moves each record that it writes from `from` to `to`.
    ///
    /// # Security
    ///
    /// Whoever still knows `from` alone tells its users of records that moved to try again later,
    /// and may undo a revocation by a record that is written anew without a version, such as a
    /// client's. All must know of the move before one is under way.
    pub fn under_way(from: Arc<dyn Store>, to: Arc<dyn Store>) -> Self {
        Self::new(from, to, Step::UnderWay)
    }

    fn new(from: Arc<dyn Store>, to: Arc<dyn Store>, step: Step) -> Self {
        Self {
            from,
            to,
            step,
            are_two: Arc::default(),
        }
    }

    /// Makes sure, once, that the stores are not one under two names: in one, each slot would make way for a mark of
    /// itself, and be lost.
    async fn are_two(&self) -> Result<(), StoreError> {
        let probe = || async {
            // Under a name that nobody else asks by.
            let name = format!("one store or two? {}", RandomState::new().hash_one(()));
            let flight = RecordKey::flight(&Hashed::of(&name));
            let (term, now) = (Duration::from_secs(10), Timestamp::default());
            let old = LeaseHolder::named(*b"in the old store");
            self.from.lease(&flight, old, term, now).await?;
            let new = LeaseHolder::named(*b"in the new store");
            let there = self.to.lease(&flight, new, term, now).await?;
            self.to.settle(&flight, new, None).await?;
            self.from.settle(&flight, old, None).await?;
            match there {
                Lease::Held => Ok(()),
                Lease::Busy | Lease::Answered(_) => Err(StoreError::new(OneStore)),
            }
        };
        self.are_two.get_or_try_init(probe).await.copied()
    }

    /// Makes a slot `to`'s alone, with all there was in `from`. What was never there becomes so if
    /// something is to be, until `claimed`.
    async fn bring(
        &self,
        key: &RecordKey,
        claimed: Option<Timestamp>,
    ) -> Result<Brought, StoreError> {
        for _ in 0..TRIES {
            let (found, mark) = match mark::find(self.from.slot(key).await?)? {
                Found::Emptied => return Ok(Brought::Before),
                Found::Mark(mark, slot) => {
                    self.land(key, &mark, slot).await?;
                    return Ok(Brought::Now);
                }
                Found::Slot(slot) => {
                    let mark = mark::of(&slot);
                    (Some(slot), mark)
                }
                Found::Nothing => match claimed {
                    None => return Ok(Brought::Before),
                    Some(until) => (None, mark::empty(until)),
                },
            };
            let marked = self.from.replace(key, found.as_ref(), mark.clone());
            match (marked.await?, found) {
                (Written::Yes, None) => return Ok(Brought::Now),
                (Written::Yes, Some(slot)) => {
                    self.land(key, &mark, slot).await?;
                    return Ok(Brought::Now);
                }
                (Written::Conflict | Written::Revoked, _) => {}
            }
        }
        Err(StoreError::new(Contended))
    }

    /// Carries `slot` to `to`, unless somebody did, and empties its mark: what `to` then forgets must
    /// not come back.
    async fn land(&self, key: &RecordKey, mark: &Slot, slot: Slot) -> Result<(), StoreError> {
        loop {
            let there = self.to.slot(key).await?;
            if mark::seen(there.clone())?.is_some() {
                break;
            }
            let landed = self.to.replace(key, there.as_ref(), slot.clone()).await?;
            if landed == Written::Yes {
                break;
            }
        }
        let emptied = mark::empty(mark.expires_at);
        // If another emptied it, all is well.
        self.from.replace(key, Some(mark), emptied).await?;
        Ok(())
    }

    /// Does what `verb` does, where the slot now belongs.
    async fn write<T>(
        &self,
        key: &RecordKey,
        claimed: Option<Timestamp>,
        verb: impl Fn(&mut Held) -> T + Sync,
    ) -> Result<T, StoreError> {
        match self.step {
            Step::Announced => {
                for _ in 0..TRIES {
                    let Some(found) = self.still_before(key).await? else {
                        return write_at(&*self.to, key, &verb).await;
                    };
                    if let Some(answer) = try_at(&*self.from, key, found, &verb).await? {
                        return Ok(answer);
                    }
                }
                Err(StoreError::new(Contended))
            }
            Step::UnderWay => {
                self.are_two().await?;
                self.bring(key, claimed).await?;
                write_at(&*self.to, key, &verb).await
            }
        }
    }

    /// What is in `from`, if it is `from`'s.
    async fn still_before(&self, key: &RecordKey) -> Result<Option<At>, StoreError> {
        match mark::find(self.from.slot(key).await?)? {
            Found::Emptied => Ok(None),
            Found::Mark(mark, slot) => {
                self.land(key, &mark, slot).await?;
                Ok(None)
            }
            Found::Slot(slot) => Ok(Some(At::plain(Some(slot)))),
            // It may have moved so long ago that the mark is forgotten.
            Found::Nothing => match mark::seen(self.to.slot(key).await?)? {
                Some(_) => Ok(None),
                None => Ok(Some(At::plain(None))),
            },
        }
    }

    async fn seen(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        if self.step == Step::UnderWay
            && let Some(slot) = mark::seen(self.to.slot(key).await?)?
        {
            return Ok(Some(slot));
        }
        match mark::find(self.from.slot(key).await?)? {
            // As long as a mark is not empty, nobody changed in `to` what it holds.
            Found::Slot(slot) | Found::Mark(_, slot) => Ok(Some(slot)),
            Found::Nothing if self.step == Step::UnderWay => Ok(None),
            Found::Nothing | Found::Emptied => mark::seen(self.to.slot(key).await?),
        }
    }
}

/// Whether a slot was brought, or had been before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Brought {
    Now,
    Before,
}

/// What is under a key, and what a verb is to see of it: marks of a move the other way round, long
/// ago, are nothing.
struct At {
    kept: Option<Slot>,
    seen: Option<Slot>,
}

impl At {
    fn plain(kept: Option<Slot>) -> Self {
        let seen = kept.clone();
        Self { kept, seen }
    }
}

/// Does what `verb` does at `store`; nothing if another writer was first.
async fn try_at<T>(
    store: &dyn Store,
    key: &RecordKey,
    at: At,
    verb: &(impl Fn(&mut Held) -> T + Sync),
) -> Result<Option<T>, StoreError> {
    let mut held = Held::new(at.seen);
    let answer = verb(&mut held);
    let Some(placed) = held.into_placed() else {
        return Ok(Some(answer));
    };
    let written = store.replace(key, at.kept.as_ref(), placed).await?;
    Ok((written == Written::Yes).then_some(answer))
}

/// Does what `verb` does at `store`.
async fn write_at<T>(
    store: &dyn Store,
    key: &RecordKey,
    verb: &(impl Fn(&mut Held) -> T + Sync),
) -> Result<T, StoreError> {
    for _ in 0..TRIES {
        let kept = store.slot(key).await?;
        let seen = mark::seen(kept.clone())?;
        if let Some(answer) = try_at(store, key, At { kept, seen }, verb).await? {
            return Ok(answer);
        }
    }
    Err(StoreError::new(Contended))
}

#[async_trait]
impl Store for Moving {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        Ok(self.seen(key).await?.and_then(Slot::stored))
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        let claimed = Some(entry.expires_at);
        let verb = |held: &mut Held| sure(slot::put(held, key, entry.clone()));
        self.write(key, claimed, verb).await
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        let claimed = Some(entry.expires_at);
        let verb = |held: &mut Held| sure(slot::put_new(held, key, entry.clone()));
        self.write(key, claimed, verb).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        let claimed = Some(entry.expires_at);
        let verb = |held: &mut Held| sure(slot::put_version(held, key, version, entry.clone()));
        self.write(key, claimed, verb).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        let verb = |held: &mut Held| sure(slot::take(held, key));
        // Guesses leave nothing behind.
        self.write(key, None, verb).await
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        let verb = |held: &mut Held| sure(slot::revoke(held, key, until));
        self.write(key, Some(until), verb).await
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        let before = self.from.lease(flight, holder, term, now).await?;
        if before != Lease::Held || self.step == Step::Announced {
            return Ok(before);
        }
        let lease = self.to.lease(flight, holder, term, now).await?;
        if lease != Lease::Held {
            self.from.settle(flight, holder, None).await?;
        }
        Ok(lease)
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        if self.step == Step::Announced {
            return self.from.settle(flight, holder, answer).await;
        }
        // First where those of the next step look: who lost the lease there has no answer to give.
        let settled = self.to.settle(flight, holder, answer.clone()).await?;
        let answer = answer.filter(|_| settled == Written::Yes);
        let before = self.from.settle(flight, holder, answer).await?;
        Ok(if settled == Written::Yes {
            before
        } else {
            settled
        })
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let swept = self.from.sweep(now).await?;
        Ok(swept + self.to.sweep(now).await?)
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        pages::export(self, after, most).await
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        self.seen(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        let claimed = Some(slot.expires_at);
        let verb = |held: &mut Held| sure(slot::replace(held, key, found, slot.clone()));
        self.write(key, claimed, verb).await
    }
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moving")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

//! The ring in use, and where it comes from.

use std::error::Error;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;

use super::file::KeyFileError;
use super::{KeyRing, SealingKeys};
use crate::causes::Causes;
use crate::jwt::sign::SigningKeyError;
use crate::platform::{Clock, Timestamp};
use crate::quota::Quota;
use crate::single_flight::Turns;

/// How often in a minute a key that is unknown leads to a look at the source: strangers can name as
/// many as they like.
const MOST_LOOKS: u32 = 30;

/// How long after a look that failed there is none: it may have taken as long as a request may.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// What is to become of a ring; nothing, if it is good as it is.
pub(crate) type Change =
    Arc<dyn Fn(&KeyRing) -> Result<Option<KeyRing>, SigningKeyError> + Send + Sync>;

/// Where a ring is kept that others read and change, too.
#[async_trait]
pub(crate) trait KeySource: Debug + Send + Sync {
    /// The ring as it is there, and as it is at `now`.
    async fn read(&self, now: Timestamp) -> Result<KeyRing, KeysError>;

    /// Makes of the ring that is there what `change` makes of it; answers with the one that is then
    /// there. No change of anybody else is lost.
    async fn change(&self, change: &Change, now: Timestamp) -> Result<KeyRing, KeysError>;
}

/// Why the keys could not be read or changed. Those in use stay in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The key file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The store that keeps the ring failed.
    #[error("the key ring cannot be read from the store or written to it")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// The ring in the store was sealed with another key-encryption key, or was put there by somebody
    /// else. It is never overwritten.
    #[error(
        "the key ring in the store does not open: give this replica the key-encryption key it was \
         sealed with, besides its own (the file of key_encryption_key_file can hold several)"
    )]
    Unopened,
    /// The ring in the store is of a later version. It is never overwritten.
    #[error(
        "the key ring in the store is not one this version knows: run the version that wrote it"
    )]
    Format,
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// Other replicas kept being first.
    #[error("too many changes of the key ring at once")]
    Contended,
}

/// A key may be one of ours, and nobody can tell now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the key ring cannot be read now, so nobody can tell whether a key is one of ours")]
#[non_exhaustive]
pub struct KeysUnavailable;

/// The ring in use, which may be replaced while the server runs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ring: RwLock<Arc<KeyRing>>,
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    keeps: Arc<dyn KeySource>,
    clock: Arc<dyn Clock>,
    turns: Turns<()>,
    /// How many looks began.
    begun: AtomicU64,
    last: Mutex<Option<Look>>,
    spent: Quota,
}

/// A look at the source.
#[derive(Clone, Copy, Debug)]
struct Look {
    ended_at: Timestamp,
    succeeded: bool,
}

impl Keys {
    /// Puts `ring` to use.
    pub fn new(ring: KeyRing) -> Self {
        Self::with(ring, None)
    }

    /// Puts to use what `source` keeps: `ring`, as far as that is known, or none yet.
    pub(crate) fn kept_by(
        source: Arc<dyn KeySource>,
        ring: Option<KeyRing>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let source = Source {
            keeps: source,
            clock,
            turns: Turns::default(),
            begun: AtomicU64::new(0),
            last: Mutex::default(),
            spent: Quota::new(MOST_LOOKS),
        };
        Self::with(ring.unwrap_or_else(KeyRing::none), Some(source))
    }

    fn with(ring: KeyRing, source: Option<Source>) -> Self {
        let ring = RwLock::new(Arc::new(ring));
        Self(Arc::new(Inner { ring, source }))
    }

    /// The ring in use now. It is empty until a shared one was read for the first time.
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses `ring` from now on.
    pub fn replace(&self, ring: KeyRing) {
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// What `find` finds in the ring in use or else, where others change it, in the one that is there
    /// now.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] if the ring that is there now could not be read.
    pub(crate) async fn find<T: Send>(
        &self,
        find: impl Fn(&KeyRing) -> Option<T> + Send + Sync,
    ) -> Result<Option<T>, KeysUnavailable> {
        let found = find(&self.current());
        let Some(source) = self.0.source.as_ref().filter(|_| found.is_none()) else {
            return Ok(found);
        };
        let succeeded = self.look(source).await;
        let found = find(&self.current());
        (found.is_some() || succeeded)
            .then_some(found)
            .ok_or(KeysUnavailable)
    }

    /// What `open` makes of something sealed, once its key is known; `None` if it is a key of nobody's.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] if the key may be one of ours.
    pub(crate) async fn find_for<T: Send>(
        &self,
        sealed: &[u8],
        open: impl Fn(&SealingKeys) -> T + Send + Sync,
    ) -> Result<Option<T>, KeysUnavailable> {
        self.find(|ring| ring.sealing().know(sealed).then(|| open(ring.sealing())))
            .await
    }

    /// Waits for the first keys, if there are none yet.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`] if there are still none.
    pub(crate) async fn ready(&self) -> Result<(), KeysUnavailable> {
        let there = |ring: &KeyRing| ring.is_there().then_some(());
        self.find(there).await?.ok_or(KeysUnavailable)
    }

    /// Whether a key that the ring in use lacks may be one of ours: there are none yet, or the ring could
    /// not be read when that was last tried.
    pub(crate) fn may_lack_some(&self) -> bool {
        let last = self.0.source.as_ref().and_then(|source| *source.last());
        last.is_some_and(|look| !look.succeeded) || !self.current().is_there()
    }

    /// Takes over what others did to the ring, puts to use what has come of age, and makes of the ring
    /// what `change` makes of it.
    ///
    /// # Errors
    ///
    /// [`KeysError`]; what could be taken over was.
    pub(crate) async fn tend(&self, change: &Change, now: Timestamp) -> Result<(), KeysError> {
        let Some(source) = &self.0.source else {
            let ring = self.current().at(now);
            let changed = change(&ring)?;
            self.replace(changed.unwrap_or(ring));
            return Ok(());
        };
        // One at a time: each adds to what the one before left.
        let _turn = source.turns.wait(&()).await;
        // What others did counts even where nothing can be written.
        self.take_over(source).await?;
        if change(&self.current())?.is_some() {
            self.replace(source.keeps.change(change, now).await?);
        }
        Ok(())
    }

    /// Looks what is there now, unless somebody else does; whether that could be read.
    async fn look(&self, source: &Source) -> bool {
        let begun = source.begun.load(Ordering::SeqCst);
        let _turn = source.turns.wait(&()).await;
        let (last, now) = (*source.last(), source.clock.now());
        if let Some(last) = last {
            // One that began before may have seen what was there before.
            let is_new = source.begun.load(Ordering::SeqCst) > begun;
            let is_vain = !last.succeeded && last.ended_at.is_within(LOOK_PAUSE, now);
            if is_new || is_vain {
                return last.succeeded;
            }
            // Strangers may have used it up: then nobody can tell, which is no refusal.
            if source.spent.spend(now).is_err() {
                return false;
            }
        }
        match self.take_over(source).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(cause = %Causes(&error), "a key is unknown, and the key ring cannot be read");
                false
            }
        }
    }

    async fn take_over(&self, source: &Source) -> Result<(), KeysError> {
        source.begun.fetch_add(1, Ordering::SeqCst);
        let read = source.keeps.read(source.clock.now()).await;
        *source.last() = Some(Look {
            ended_at: source.clock.now(),
            succeeded: read.is_ok(),
        });
        let (ring, before) = (read?, self.current());
        if before.is_there() && !ring.facts().eq(before.facts()) {
            tracing::info!("keys taken over");
        }
        self.replace(ring);
        Ok(())
    }
}

impl Source {
    fn last(&self) -> MutexGuard<'_, Option<Look>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

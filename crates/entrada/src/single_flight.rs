//! One at a time for each key: the others wait, then look again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Turns, one line per key.
///
/// Whoever gets a turn must first look whether the one before already did the work. A holder that
/// is dropped half-way, because its client hung up, passes the turn on; no result is shared, so
/// none can be lost.
#[derive(Debug)]
pub(crate) struct Turns<K>(Arc<Mutex<HashMap<K, Line>>>);

#[derive(Debug)]
struct Line {
    semaphore: Arc<Semaphore>,
    waiting: usize,
}

/// The right to do the work; ends when dropped.
#[derive(Debug)]
pub(crate) struct Turn<K: Clone + Eq + Hash> {
    _place: Place<K>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// A place in a line; the last to leave takes the line down.
#[derive(Debug)]
struct Place<K: Clone + Eq + Hash> {
    turns: Arc<Mutex<HashMap<K, Line>>>,
    key: K,
}

// One line: the clone is of the line, not of those in it.
impl<K> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash + Sync> Turns<K> {
    /// Waits for the turn for `key`.
    pub(crate) async fn wait(&self, key: &K) -> Turn<K> {
        let (place, semaphore) = self.queue(key);
        // The semaphore is never closed; were it, the work would be done twice, not lost.
        let permit = semaphore.acquire_owned().await.ok();
        Turn {
            _permit: permit,
            _place: place,
        }
    }

    /// The turn for `key`, if nobody has it.
    pub(crate) fn try_take(&self, key: &K) -> Option<Turn<K>> {
        let (place, semaphore) = self.queue(key);
        let permit = semaphore.try_acquire_owned().ok()?;
        Some(Turn {
            _permit: Some(permit),
            _place: place,
        })
    }

    fn queue(&self, key: &K) -> (Place<K>, Arc<Semaphore>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(key.clone()).or_insert_with(|| Line {
            semaphore: Arc::new(Semaphore::new(1)),
            waiting: 0,
        });
        line.waiting += 1;
        let place = Place {
            turns: Arc::clone(&self.0),
            key: key.clone(),
        };
        (place, Arc::clone(&line.semaphore))
    }
}

impl<K: Clone + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut lines = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(&self.key) {
            line.waiting -= 1;
            if line.waiting == 0 {
                lines.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_left_behind() {
        let turns = Turns::default();
        let first = turns.wait(&"a").await;
        let _other = turns.wait(&"b").await;
        let mut second = Box::pin(turns.wait(&"a"));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(turns.try_take(&"a").is_none());
        drop(first);
        drop(second.await);
        assert!(turns.try_take(&"a").is_some());
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_leaves_the_line() {
        let turns = Turns::default();
        let first = turns.wait(&"a").await;
        let mut second = Box::pin(turns.wait(&"a"));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(second);
        drop(first);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}

//! How much strangers may have us fetch.

use std::convert::Infallible;
use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::ClientFetchError;
use crate::platform::Timestamp;
use crate::quota::Quota;

/// How many hosts are counted.
const MOST_HOSTS: usize = 10_000;

/// How many are fetched at a time, of each kind.
const AT_A_TIME: usize = 64;

/// One ration for what was never seen, which anybody can make up, and one for what was seen before:
/// whoever uses up the former keeps nobody from an app that is in use.
#[derive(Debug)]
pub(super) struct Rations {
    new: Ration,
    known: Ration,
}

#[derive(Debug)]
struct Ration {
    at_a_time: Semaphore,
    in_all: Quota,
    most_of_host: u32,
    of_host: Cache<String, Arc<Quota>>,
}

impl Rations {
    pub(super) fn new() -> Self {
        Self {
            new: Ration::new(240, 20),
            known: Ration::new(1000, 240),
        }
    }

    /// A place among those who fetch, if there is one, for what was seen before, or was not.
    pub(super) fn place(
        &self,
        host: &str,
        seen_before: bool,
        now: Timestamp,
    ) -> Result<SemaphorePermit<'_>, ClientFetchError> {
        let ration = if seen_before { &self.known } else { &self.new };
        ration.place(host, now).ok_or(ClientFetchError::Busy)
    }
}

impl Ration {
    /// So many in a minute, and so many of them from one host.
    fn new(in_all: u32, most_of_host: u32) -> Self {
        Self {
            at_a_time: Semaphore::new(AT_A_TIME),
            in_all: Quota::new(in_all),
            most_of_host,
            of_host: Cache::new(MOST_HOSTS),
        }
    }

    fn place(&self, host: &str, now: Timestamp) -> Option<SemaphorePermit<'_>> {
        let place = self.at_a_time.try_acquire().ok()?;
        // The host first, so that a flood from one leaves something to the others.
        let of_host = self.of_host.get_or_insert_with(host, || {
            Ok::<_, Infallible>(Arc::new(Quota::new(self.most_of_host)))
        });
        let of_host = of_host.unwrap_or_else(|never| match never {});
        of_host.spend(now).ok()?;
        self.in_all.spend(now).ok()?;
        Some(place)
    }
}

//! What only one replica does at a time, for all of them.
//!
//! A lease in the store keeps two replicas from asking Entra for the same thing. It is no fence: a holder that was
//! stopped for longer than its term goes on, so whatever it writes must be compared and swapped.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::SealedStore;
use crate::keys::Purpose;
use crate::platform::{Clock, SecureRandom, Timestamp};
use crate::secret::Hashed;
use crate::store::{Flight, Lease, LeaseHolder, RecordKey, Sealed, StoreError, Written};

const FLIGHT: &str = "store flight";

/// How long a lease lasts that its holder does not make longer: when it dies, others go on after this.
pub(crate) const LEASE_TERM: Duration = Duration::from_secs(10);

/// How often a holder makes its lease longer.
const EXTEND_EVERY: Duration = Duration::from_secs(3);

/// How long to wait before asking for a lease again, at first and at most. Entra takes a tenth of a second or more.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How often a lease is asked for: half a minute, which is longer than a holder that died keeps others waiting.
const MOST_TRIES: u32 = 160;

/// What only one replica does at a time.
#[derive(Clone, Debug)]
pub(crate) struct Flights {
    store: SealedStore,
    random: Arc<dyn SecureRandom>,
    clock: Arc<dyn Clock>,
}

/// The right to do it; whoever waits for it is let go on when this is dropped.
#[derive(Debug)]
pub(crate) struct Boarded {
    flights: Flights,
    name: Hashed<Flight>,
    holder: LeaseHolder,
    is_settled: bool,
}

/// What came of waiting for a flight.
#[derive(Debug)]
pub(crate) enum Boarding<T> {
    /// It is the caller's.
    First(Boarded),
    /// Somebody else has done it; the answer.
    Landed(T),
}

/// What never comes: the answer that nobody leaves, the end of what goes on.
#[derive(Debug, Deserialize)]
enum Never {}

/// Why a flight cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlightError {
    #[error("another replica is at it, and does not come to an end")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Flights {
    pub(crate) fn new(
        store: SealedStore,
        random: Arc<dyn SecureRandom>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            random,
            clock,
        }
    }

    /// Waits until nobody else does what `name` names, or until somebody has left an answer.
    ///
    /// Callers of one replica should wait for one another first, which costs the store nothing.
    pub(crate) async fn board<T: DeserializeOwned>(
        &self,
        name: Hashed<Flight>,
    ) -> Result<Boarding<T>, FlightError> {
        let mut boarded = Boarded {
            flights: self.clone(),
            name,
            holder: LeaseHolder::generate(&*self.random),
            // There is nothing to give back yet.
            is_settled: true,
        };
        let mut pause = FIRST_PAUSE;
        for _ in 0..MOST_TRIES {
            // What was asked for may be had, even if the answer is lost.
            boarded.is_settled = false;
            match boarded.lease().await? {
                Lease::Held => return Ok(Boarding::First(boarded)),
                Lease::Busy => {}
                Lease::Answered(sealed) => {
                    boarded.is_settled = true;
                    let now = self.clock.now();
                    if let Some(answer) = self.store.open_answer(&name, &sealed, now).await? {
                        return Ok(Boarding::Landed(answer));
                    }
                }
            }
            boarded.is_settled = true;
            self.wait(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(FlightError::Busy)
    }

    /// Waits until nobody else does what `name` names, of which nobody leaves an answer.
    pub(crate) async fn turn(&self, name: Hashed<Flight>) -> Result<Boarded, FlightError> {
        match self.board::<Never>(name).await? {
            Boarding::First(boarded) => Ok(boarded),
            Boarding::Landed(never) => match never {},
        }
    }

    /// Waits for about that long, so that those who wait do not all come at once.
    async fn wait(&self, pause: Duration) {
        let mut dice = [0];
        self.random.fill(&mut dice);
        let [dice] = dice;
        sleep(pause / 2 + pause * u32::from(dice) / 512).await;
    }
}

impl Boarded {
    async fn lease(&self) -> Result<Lease, StoreError> {
        let Flights { store, clock, .. } = &self.flights;
        store
            .lease(&self.name, self.holder, LEASE_TERM, clock.now())
            .await
    }

    /// Does it, and keeps the lease for as long as that takes.
    pub(crate) async fn during<F: Future>(&self, flight: F) -> F::Output {
        if Handle::try_current().is_err() {
            return flight.await;
        }
        // Side by side: a store that hangs must not keep from being done what it is not needed for.
        tokio::select! {
            biased;
            output = flight => output,
            never = self.extend() => match never {},
        }
    }

    async fn extend(&self) -> Never {
        loop {
            tokio::time::sleep(EXTEND_EVERY).await;
            if let Err(error) = self.lease().await {
                tracing::warn!(%error, "a lease could not be made longer");
            }
        }
    }

    /// Lets others go on.
    pub(crate) async fn land(mut self) {
        let settled = self.flights.store.settle(&self.name, self.holder).await;
        self.settled(settled);
    }

    /// Gives all who come until `until` the answer.
    pub(crate) async fn land_with(mut self, answer: &(impl Serialize + Sync), until: Timestamp) {
        let (name, holder) = (&self.name, self.holder);
        let store = &self.flights.store;
        let settled = store.settle_with(name, holder, answer, until).await;
        self.settled(settled);
    }

    /// Not before the store has answered: whoever hangs up until then leaves it to `drop`.
    fn settled(&mut self, settled: Result<Written, StoreError>) {
        self.is_settled = true;
        match settled {
            Ok(Written::Yes) => {}
            Ok(Written::Conflict | Written::Revoked) => {
                tracing::info!("a lease had ended before what it was for was done");
            }
            Err(error) => {
                tracing::warn!(%error, "a lease could not be given back: others wait for its end");
            }
        }
    }
}

impl Drop for Boarded {
    /// Whoever is waited for may hang up.
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (store, name, holder) = (self.flights.store.clone(), self.name, self.holder);
        // Nobody waits for it, and it ends as soon as the store answers or does not.
        runtime.spawn(async move { store.settle(&name, holder).await });
    }
}

impl SealedStore {
    /// Takes the lease on `flight` for `holder`, or makes it longer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the lease may then have been taken.
    async fn lease(
        &self,
        flight: &Hashed<Flight>,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        let key = RecordKey::flight(flight);
        self.store.lease(&key, holder, term, now).await
    }

    /// Gives a lease back.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the lease then ends with its term.
    async fn settle(
        &self,
        flight: &Hashed<Flight>,
        holder: LeaseHolder,
    ) -> Result<Written, StoreError> {
        let key = RecordKey::flight(flight);
        self.store.settle(&key, holder, None).await
    }

    /// Gives a lease back, with an answer for all who come until `until`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the lease then ends with its term.
    async fn settle_with(
        &self,
        flight: &Hashed<Flight>,
        holder: LeaseHolder,
        answer: &(impl Serialize + Sync),
        until: Timestamp,
    ) -> Result<Written, StoreError> {
        let purpose = Purpose::new(FLIGHT, flight.as_bytes());
        let entry = self.entry(purpose, answer, until)?;
        let key = RecordKey::flight(flight);
        self.store.settle(&key, holder, Some(entry)).await
    }

    /// Opens the answer of a flight; `None` if it is out of date.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it does not open.
    async fn open_answer<T: DeserializeOwned>(
        &self,
        flight: &Hashed<Flight>,
        sealed: &Sealed,
        now: Timestamp,
    ) -> Result<Option<T>, StoreError> {
        let purpose = Purpose::new(FLIGHT, flight.as_bytes());
        let answer = self.open(purpose, sealed, now).await;
        answer.map_err(StoreError::new)
    }
}

/// Waits where there is a clock to wait by; elsewhere others get their turn.
async fn sleep(time: Duration) {
    if Handle::try_current().is_ok() {
        tokio::time::sleep(time).await;
    } else {
        tokio::task::yield_now().await;
    }
}

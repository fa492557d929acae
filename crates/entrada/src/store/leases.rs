//! Leases of the stores that one process has to itself.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Entry, Lease, LeaseHolder, RecordKey, Sealed, Written};
use crate::platform::Timestamp;

/// Who does what, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<RecordKey, Flown>>);

#[derive(Debug)]
struct Flown {
    until: Timestamp,
    state: State,
}

#[derive(Debug)]
enum State {
    Leased(LeaseHolder),
    Answered(Sealed),
}

impl Leases {
    pub(super) fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Lease {
        let mut flights = self.held();
        match flights.get(flight).filter(|flown| now < flown.until) {
            Some(Flown {
                state: State::Answered(sealed),
                ..
            }) => return Lease::Answered(sealed.clone()),
            Some(Flown {
                state: State::Leased(other),
                ..
            }) if *other != holder => return Lease::Busy,
            Some(_) | None => {}
        }
        let leased = Flown {
            until: now + term,
            state: State::Leased(holder),
        };
        flights.insert(flight.clone(), leased);
        Lease::Held
    }

    pub(super) fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Written {
        let mut flights = self.held();
        let is_held = flights
            .get(flight)
            .is_some_and(|flown| matches!(flown.state, State::Leased(by) if by == holder));
        if !is_held {
            return Written::Conflict;
        }
        match answer {
            Some(entry) => flights.insert(
                flight.clone(),
                Flown {
                    until: entry.expires_at,
                    state: State::Answered(entry.sealed),
                },
            ),
            None => flights.remove(flight),
        };
        Written::Yes
    }

    pub(super) fn sweep(&self, now: Timestamp) -> u64 {
        let mut flights = self.held();
        let before = flights.len();
        flights.retain(|_, flown| now < flown.until);
        (before - flights.len()) as u64
    }

    /// What panicked changed nothing halfway: each verb ends with its one write.
    fn held(&self) -> MutexGuard<'_, HashMap<RecordKey, Flown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

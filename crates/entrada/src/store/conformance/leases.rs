//! Cases about who does what only one may do.

use std::sync::Arc;
use std::time::Duration;

use super::{CONTENDERS, Entry, Store, WORKS, entry, new_flight, now, race, sealed};
use crate::platform::{SystemRandom, Timestamp};
use crate::store::{Lease, LeaseHolder, RecordKey, Written};

/// Longer than any case runs.
const LONG: Duration = Duration::from_secs(300);

/// The shortest that clocks of whole seconds can tell.
const SHORT: Duration = Duration::from_secs(1);

fn new_holder() -> LeaseHolder {
    LeaseHolder::generate(&SystemRandom::default())
}

async fn lease(
    store: &Arc<dyn Store>,
    flight: &RecordKey,
    holder: LeaseHolder,
    term: Duration,
) -> Lease {
    store.lease(flight, holder, term, now()).await.expect(WORKS)
}

/// Waits until `holder` has the lease. The time must pass in truth, for a backend may have a clock of
/// its own.
async fn lease_in_time(store: &Arc<dyn Store>, flight: &RecordKey, holder: LeaseHolder) {
    let until = now() + 10 * SHORT;
    while lease(store, flight, holder, LONG).await != Lease::Held {
        assert!(now() < until, "the lease does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn one_of_many_holders_gets_the_lease(store: Arc<dyn Store>) {
    let flight = new_flight();
    for _ in 0..3 {
        let asked = race(&store, |store, _| {
            let (flight, holder) = (flight.clone(), new_holder());
            async move { (lease(&store, &flight, holder, LONG).await, holder) }
        });
        let asked = asked.await;
        let held: Vec<_> = asked
            .iter()
            .filter(|(answer, _)| *answer == Lease::Held)
            .map(|(_, holder)| *holder)
            .collect();
        let busy = asked.iter().filter(|(answer, _)| *answer == Lease::Busy);
        assert_eq!((held.len(), busy.count()), (1, CONTENDERS - 1));
        for holder in held {
            let settled = store.settle(&flight, holder, None).await.expect(WORKS);
            assert_eq!(settled, Written::Yes);
        }
    }
}

pub(super) async fn a_holder_keeps_its_lease_and_others_do_not_end_it(store: Arc<dyn Store>) {
    let (flight, holder, other) = (new_flight(), new_holder(), new_holder());
    for _ in 0..2 {
        assert_eq!(lease(&store, &flight, holder, LONG).await, Lease::Held);
        assert_eq!(lease(&store, &flight, other, LONG).await, Lease::Busy);
        for answer in [None, Some(entry("false"))] {
            let settled = store.settle(&flight, other, answer).await.expect(WORKS);
            assert_eq!(settled, Written::Conflict);
        }
    }
    assert_eq!(lease(&store, &new_flight(), other, LONG).await, Lease::Held);
}

pub(super) async fn an_answer_is_given_to_all_who_come(store: Arc<dyn Store>) {
    let (flight, holder) = (new_flight(), new_holder());
    assert_eq!(lease(&store, &flight, holder, LONG).await, Lease::Held);
    let settled = store.settle(&flight, holder, Some(entry("answer"))).await;
    assert_eq!(settled.expect(WORKS), Written::Yes);
    for asker in [holder, new_holder(), new_holder()] {
        let answered = lease(&store, &flight, asker, LONG).await;
        assert_eq!(answered, Lease::Answered(sealed("answer")));
    }
    // It has been given back.
    let settled = store.settle(&flight, holder, None).await.expect(WORKS);
    assert_eq!(settled, Written::Conflict);
    store.sweep(now()).await.expect(WORKS);
    let answered = lease(&store, &flight, new_holder(), LONG).await;
    assert_eq!(answered, Lease::Answered(sealed("answer")));
}

pub(super) async fn a_lease_ends_with_its_term(store: Arc<dyn Store>) {
    let (flight, first, second) = (new_flight(), new_holder(), new_holder());
    assert_eq!(lease(&store, &flight, first, SHORT).await, Lease::Held);
    lease_in_time(&store, &flight, second).await;
    // Who lost it changes nothing.
    let settled = store.settle(&flight, first, Some(entry("late"))).await;
    assert_eq!(settled.expect(WORKS), Written::Conflict);
    assert_eq!(lease(&store, &flight, first, LONG).await, Lease::Busy);
    let settled = store.settle(&flight, second, None).await.expect(WORKS);
    assert_eq!(settled, Written::Yes);
}

pub(super) async fn a_holder_can_make_its_term_longer(store: Arc<dyn Store>) {
    let (flight, holder, measure) = (new_flight(), new_holder(), new_flight());
    for flight in [&flight, &measure] {
        assert_eq!(lease(&store, flight, holder, SHORT).await, Lease::Held);
    }
    assert_eq!(lease(&store, &flight, holder, LONG).await, Lease::Held);
    lease_in_time(&store, &measure, new_holder()).await;
    let asked = lease(&store, &flight, new_holder(), LONG).await;
    assert_eq!(asked, Lease::Busy);
}

pub(super) async fn an_answer_ends_with_its_expiry(store: Arc<dyn Store>) {
    let (flight, holder) = (new_flight(), new_holder());
    assert_eq!(lease(&store, &flight, holder, LONG).await, Lease::Held);
    let expires_at: Timestamp = now() + SHORT;
    let answer = Entry::new(sealed("answer"), expires_at);
    let settled = store.settle(&flight, holder, Some(answer)).await;
    assert_eq!(settled.expect(WORKS), Written::Yes);
    lease_in_time(&store, &flight, new_holder()).await;
}

//! The tests every [`Store`] must pass.
//!
//! [`store_conformance!`](crate::store_conformance) makes a test of each case:
//!
//! ```
//! # use std::sync::Arc;
//! # use entrada::store::{MemoryStore, Store};
//! async fn empty_store() -> Arc<dyn Store> {
//!     Arc::new(MemoryStore::new())
//! }
//!
//! entrada::store_conformance!(empty_store);
//! # fn main() {}
//! ```
//!
//! `store_conformance!(all store)` runs all cases, one after the other, where it stands in an async
//! function: for backends that take long to start.
//!
//! Keys are drawn anew for each run, and times are near the real one, so the cases may share one
//! backend, and one whose entries leave by themselves passes too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Entry, RecordKey, Sealed, Store};
use crate::grant::GrantId;
use crate::platform::{Clock as _, SystemClock, SystemRandom, Timestamp};
use crate::secret::{AuthorizationCode, Hashed};

mod leases;
mod once;
mod pages;
mod replaced;
mod sweep;
mod versions;

/// How many tasks contend for what one of them may have.
const CONTENDERS: usize = 50;

/// Makes a `#[tokio::test]` of each case of [`store::conformance`](crate::store::conformance) for
/// the stores that `$make_store`, an `async fn() -> Arc<dyn Store>`, makes.
///
/// `together $check` makes one `async fn $check(store: Arc<dyn Store>)` of all cases, which runs them
/// one after the other: for a backend that takes long to start.
///
/// The crate that uses it needs `tokio` with its `macros` and `rt-multi-thread` features.
#[macro_export]
macro_rules! store_conformance {
    ($make_store:path) => {
        $crate::store_conformance!(@each tests $make_store);
    };
    (together $check:ident) => {
        $crate::store_conformance!(@each together $check);
    };
    (@each $rule:tt $($argument:tt)?) => {
        $crate::store_conformance! {
            @$rule $($argument)?;
            a_record_comes_back_byte_for_byte
            a_record_stored_anew_replaces_the_old_one
            a_record_stored_anew_lives_until_its_new_expiry
            a_record_that_was_taken_can_be_stored_anew
            a_record_is_taken_once_and_named_ever_after
            one_of_many_takers_gets_the_record
            one_of_many_writers_gets_the_key
            a_used_key_stays_used_up
            a_version_comes_back_byte_for_byte
            the_versions_of_a_record_follow_one_another
            one_of_many_writers_gets_each_version
            a_revoked_record_does_not_come_back
            a_record_revoked_before_it_came_never_stands
            a_revocation_holds_against_writers_it_raced
            a_second_revocation_does_not_shorten_the_first
            one_of_many_holders_gets_the_lease
            a_holder_keeps_its_lease_and_others_do_not_end_it
            an_answer_is_given_to_all_who_come
            a_lease_ends_with_its_term
            a_holder_can_make_its_term_longer
            an_answer_ends_with_its_expiry
            all_that_is_kept_is_on_a_page
            a_slot_is_kept_as_another_store_had_it
            a_slot_from_elsewhere_replaces_nothing_unseen
            a_slot_is_found_as_it_is_kept
            a_slot_is_replaced_as_it_was_found
            a_slot_that_is_otherwise_is_not_replaced
            one_of_many_replaces_a_slot
            what_was_never_stored_is_not_there
            collections_do_not_mix
            a_sweep_forgets_what_expired
            a_sweep_keeps_what_has_not_expired
            a_sweep_keeps_what_never_expires
            a_sweep_keeps_what_is_remembered_of_the_spent
        }
    };
    (@tests $make_store:path; $($case:ident)+) => {$(
        #[::tokio::test(flavor = "multi_thread")]
        async fn $case() {
            $crate::store::conformance::$case($make_store().await).await;
        }
    )+};
    (@together $check:ident; $($case:ident)+) => {
        async fn $check(store: ::std::sync::Arc<dyn $crate::store::Store>) {$(
            ::std::println!(stringify!($case));
            $crate::store::conformance::$case(::std::sync::Arc::clone(&store)).await;
        )+}
    };
    (@cases; $($case:ident)+) => {$(
        /// Checks what the name says.
        ///
        /// # Panics
        ///
        /// If it does not hold, or if the store fails.
        pub async fn $case(store: Arc<dyn Store>) {
            cases::$case(store).await;
        }
    )+};
}

mod cases {
    pub(super) use super::leases::*;
    pub(super) use super::once::*;
    pub(super) use super::pages::*;
    pub(super) use super::replaced::*;
    pub(super) use super::sweep::*;
    pub(super) use super::versions::*;
}

crate::store_conformance!(@each cases);

const WORKS: &str = "the store works";

/// The real time: a backend may go by it.
fn now() -> Timestamp {
    SystemClock.now()
}

/// Long after every case has ended.
fn later() -> Timestamp {
    now() + Duration::from_secs(60 * 60)
}

/// Long before any case began.
fn earlier() -> Timestamp {
    Timestamp::from_unix(now().as_unix() - 60 * 60)
}

fn sealed(bytes: impl Into<Bytes>) -> Sealed {
    Sealed::from_stored(bytes)
}

/// An entry that does not expire while a case runs.
fn entry(bytes: impl Into<Bytes>) -> Entry {
    Entry::new(sealed(bytes), later())
}

fn nth(number: usize) -> Entry {
    entry(number.to_string())
}

/// What no other case has.
fn digest() -> AuthorizationCode {
    AuthorizationCode::generate(&SystemRandom::default())
}

fn new_key() -> RecordKey {
    RecordKey::code(&digest().hashed())
}

fn new_flight() -> RecordKey {
    RecordKey::flight(&Hashed::of(digest().expose()))
}

fn new_grant() -> GrantId {
    GrantId::generate(&SystemRandom::default())
}

/// Keys of all kinds that nothing but their kind tells apart.
fn same_digest(digest: &AuthorizationCode) -> [RecordKey; 6] {
    [
        RecordKey::client(&Hashed::of(digest.expose())),
        RecordKey::request(&Hashed::of(digest.expose())),
        RecordKey::interaction(&Hashed::of(digest.expose())),
        RecordKey::approvals(&Hashed::of(digest.expose())),
        RecordKey::key_ring(&Hashed::of(digest.expose())),
        RecordKey::code(&digest.hashed()),
    ]
}

async fn read(store: &Arc<dyn Store>, key: &RecordKey) -> Option<Sealed> {
    let stored = store.read(key).await.expect(WORKS);
    stored.map(|stored| stored.sealed)
}

/// Entries a careless store would change.
fn awkward() -> impl Iterator<Item = Bytes> {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let large = all.repeat(256);
    [Vec::new(), vec![0], b"\xff\0'\"\\\r\n".to_vec(), all, large]
        .into_iter()
        .map(Bytes::from)
}

/// Lets all contenders attempt at once; answers what came of each.
async fn race<F, T>(store: &Arc<dyn Store>, attempt: impl Fn(Arc<dyn Store>, usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let line = Arc::new(Barrier::new(CONTENDERS));
    let mut contenders = JoinSet::new();
    for number in 0..CONTENDERS {
        let (line, attempted) = (Arc::clone(&line), attempt(Arc::clone(store), number));
        contenders.spawn(async move {
            line.wait().await;
            attempted.await
        });
    }
    contenders.join_all().await
}

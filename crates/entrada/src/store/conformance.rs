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
//! Keys are drawn anew for each run, and times are near the real one, so the cases may share one
//! backend, and one whose entries leave by themselves passes too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Entry, Sealed, Store};
use crate::grant::GrantId;
use crate::platform::{Clock as _, SystemClock, SystemRandom, Timestamp};
use crate::secret::{AuthorizationCode, UpstreamState};

mod approvals;
mod clients;
mod codes;
mod grants;
mod interactions;
mod requests;
mod sweep;

/// How many tasks contend for what one of them may have.
const CONTENDERS: usize = 50;

/// Makes a `#[tokio::test]` of each case of [`store::conformance`](crate::store::conformance) for
/// the stores that `$make_store`, an `async fn() -> Arc<dyn Store>`, makes.
///
/// The crate that uses it needs `tokio` with its `macros` and `rt-multi-thread` features.
#[macro_export]
macro_rules! store_conformance {
    ($make_store:path) => {
        $crate::store_conformance!(@each tests $make_store);
    };
    (@each $rule:tt $($make_store:path)?) => {
        $crate::store_conformance! {
            @$rule $($make_store)?;
            a_client_comes_back_byte_for_byte
            a_client_stored_anew_replaces_the_old_one
            a_client_stored_anew_lives_until_its_new_expiry
            a_login_is_taken_once
            one_of_many_takers_gets_the_login
            one_of_many_logins_gets_the_state
            a_used_state_stays_used_up
            a_code_is_fresh_once_and_a_replay_ever_after
            one_of_many_redeemers_gets_the_code
            a_code_cannot_be_stored_again
            a_grant_comes_back_byte_for_byte
            the_versions_of_a_grant_follow_one_another
            one_of_many_writers_gets_each_version
            a_revoked_grant_does_not_come_back
            a_grant_revoked_before_it_came_never_stands
            a_revocation_holds_against_writers_it_raced
            a_second_revocation_does_not_shorten_the_first
            an_interaction_is_seen_until_it_is_taken
            an_interaction_stored_anew_replaces_the_old_one
            one_of_many_takers_gets_the_interaction
            what_was_never_stored_is_not_there
            collections_do_not_mix
            approvals_come_back_byte_for_byte_and_with_their_version
            one_of_many_writers_gets_each_version_of_approvals
            a_sweep_forgets_what_expired
            a_sweep_keeps_what_has_not_expired
            a_sweep_keeps_what_is_remembered_of_the_spent
        }
    };
    (@tests $make_store:path; $($case:ident)+) => {$(
        #[::tokio::test(flavor = "multi_thread")]
        async fn $case() {
            $crate::store::conformance::$case($make_store().await).await;
        }
    )+};
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
    pub(super) use super::approvals::*;
    pub(super) use super::clients::*;
    pub(super) use super::codes::*;
    pub(super) use super::grants::*;
    pub(super) use super::interactions::*;
    pub(super) use super::requests::*;
    pub(super) use super::sweep::*;
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

fn new_state() -> UpstreamState {
    UpstreamState::generate(&SystemRandom::default())
}

fn new_code() -> AuthorizationCode {
    AuthorizationCode::generate(&SystemRandom::default())
}

fn new_grant() -> GrantId {
    GrantId::generate(&SystemRandom::default())
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

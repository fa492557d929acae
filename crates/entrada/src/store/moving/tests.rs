//! Replicas at different steps of a move are one store: what they answer and leave behind, however
//! their steps are interleaved and wherever one of them dies, one store in memory could have, too.

use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::grant::GrantId;
use crate::secret::{AuthorizationCode, Hashed};
use crate::store::{MemoryStore, Sealed};

mod interleaved;
mod one_by_one;
mod stepped;

use stepped::Stepped;

const EXPIRY: u64 = 1000;

/// One of the replicas that serve while slots move.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Replica {
    /// Knows the old store alone.
    Old,
    Announced,
    UnderWay,
    /// Knows the new store alone.
    New,
}

/// What a replica is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ask {
    Read,
    Put(u8),
    PutNew(u8),
    PutVersion(u64, u8),
    Take,
    Revoke,
    /// Moves the slot for nobody.
    Bring,
}

/// What came of it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Answer {
    Found(Option<(u64, Vec<u8>)>),
    Written(&'static str),
    Taken(Option<Vec<u8>>, Option<[u8; 16]>, bool),
    Done,
}

/// What lies under the key when all begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Start {
    Nothing,
    Live,
    Code,
    Spent,
    Revoked,
}

/// How far the slot has moved then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Before,
    /// Marked, and not there.
    Left,
    /// Marked, and there.
    Landed,
    Arrived,
}

fn key() -> RecordKey {
    RecordKey::code(&Hashed::<AuthorizationCode>::of("code"))
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn grant() -> GrantId {
    GrantId::from_stored([7; 16])
}

fn entry(byte: u8) -> Entry {
    let entry = Entry::new(Sealed::from_stored(vec![1, byte]), at(EXPIRY));
    // Some name a grant, as codes do.
    if byte.is_multiple_of(2) {
        entry
    } else {
        entry.naming(grant())
    }
}

/// The old store and the new one.
#[derive(Clone, Debug, Default)]
struct Both {
    from: Arc<MemoryStore>,
    to: Arc<MemoryStore>,
}

impl Both {
    /// One replica. Each thing it asks of a store is a step of its own.
    fn replica(&self, replica: Replica) -> Arc<dyn Store> {
        let step = |store: &Arc<MemoryStore>| Arc::new(Stepped(Arc::clone(store)));
        let (from, to) = (step(&self.from), step(&self.to));
        match replica {
            Replica::Old => from,
            Replica::Announced => Arc::new(Moving::announced(from, to)),
            Replica::UnderWay => Arc::new(Moving::under_way(from, to)),
            Replica::New => to,
        }
    }

    fn begin(start: Start, way: Way) -> Self {
        let both = Self::default();
        let Some(slot) = slot(start) else {
            if way != Way::Before {
                place(&both.from, mark::empty(at(EXPIRY)));
            }
            return both;
        };
        match way {
            Way::Before => place(&both.from, slot),
            Way::Left => place(&both.from, mark::of(&slot)),
            Way::Landed => {
                place(&both.from, mark::of(&slot));
                place(&both.to, slot);
            }
            Way::Arrived => {
                place(&both.from, mark::empty(slot.expires_at));
                place(&both.to, slot);
            }
        }
        both
    }
}

fn place(store: &MemoryStore, slot: Slot) {
    let placed = ready(store.replace(&key(), None, slot)).unwrap();
    assert_eq!(placed, Written::Yes);
}

/// What one store would hold.
fn slot(start: Start) -> Option<Slot> {
    let store = MemoryStore::new();
    match start {
        Start::Nothing => {}
        Start::Live => drop(ready(store.put_version(&key(), 1, entry(2)))),
        Start::Code => drop(ready(store.put_new(&key(), entry(1)))),
        Start::Spent => {
            drop(ready(store.put_new(&key(), entry(1))));
            drop(ready(store.take(&key())));
        }
        Start::Revoked => {
            drop(ready(store.put_version(&key(), 1, entry(2))));
            drop(ready(store.revoke(&key(), at(EXPIRY + 1))));
        }
    }
    ready(store.slot(&key())).unwrap()
}

async fn ask(store: Arc<dyn Store>, both: Both, ask: Ask) -> Answer {
    let key = key();
    let written = |written| {
        Answer::Written(match written {
            Written::Yes => "yes",
            Written::Conflict => "conflict",
            Written::Revoked => "revoked",
        })
    };
    match ask {
        Ask::Read => {
            let stored = store.read(&key).await.unwrap();
            Answer::Found(stored.map(|it| (it.version, it.sealed.as_bytes().to_vec())))
        }
        Ask::Put(byte) => {
            store.put(&key, entry(byte)).await.unwrap();
            Answer::Done
        }
        Ask::PutNew(byte) => written(store.put_new(&key, entry(byte)).await.unwrap()),
        Ask::PutVersion(version, byte) => {
            written(store.put_version(&key, version, entry(byte)).await.unwrap())
        }
        Ask::Take => match store.take(&key).await.unwrap() {
            Taken::Fresh(sealed) => Answer::Taken(Some(sealed.as_bytes().to_vec()), None, true),
            Taken::Spent(grant) => Answer::Taken(None, grant.map(|it| *it.as_bytes()), true),
            Taken::Unknown => Answer::Taken(None, None, false),
        },
        Ask::Revoke => {
            store.revoke(&key, at(EXPIRY + 2)).await.unwrap();
            Answer::Done
        }
        Ask::Bring => {
            let step = |store: &Arc<MemoryStore>| Arc::new(Stepped(Arc::clone(store)));
            let mover = Moving::under_way(step(&both.from), step(&both.to));
            mover.bring(&key, None).await.unwrap();
            Answer::Done
        }
    }
}

/// What comes of a future that only memory stands in the way of.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Answer>>>;

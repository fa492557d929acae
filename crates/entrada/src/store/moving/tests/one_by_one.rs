//! Things asked one after the other, all through a move, with time passing.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// A replica is asked for something under one of a few keys, good for so long.
    Ask {
        replica: bool,
        key: u8,
        ask: Ask,
        good_for: u64,
    },
    /// Time passes, and what is over is forgotten.
    Pass(u64),
    /// All replicas go on to the next step.
    Step,
    /// What is left is moved, if it can be.
    Move,
}

/// Replicas that serve side by side.
const STEPS: [[Replica; 2]; 5] = [
    [Replica::Old, Replica::Announced],
    [Replica::Announced, Replica::Announced],
    [Replica::Announced, Replica::UnderWay],
    [Replica::UnderWay, Replica::UnderWay],
    [Replica::UnderWay, Replica::New],
];

fn key(number: u8) -> RecordKey {
    RecordKey::code(&Hashed::<AuthorizationCode>::of(&number.to_string()))
}

async fn asked(store: &dyn Store, key: &RecordKey, ask: Ask, until: Timestamp) -> String {
    let entry = |byte| {
        let entry = Entry::new(Sealed::from_stored(vec![1, byte]), until);
        if byte.is_multiple_of(2) {
            entry
        } else {
            entry.naming(grant())
        }
    };
    match ask {
        Ask::Read | Ask::Bring => format!("{:?}", store.read(key).await),
        Ask::Put(byte) => format!("{:?}", store.put(key, entry(byte)).await),
        Ask::PutNew(byte) => format!("{:?}", store.put_new(key, entry(byte)).await),
        Ask::PutVersion(version, byte) => {
            // As a writer does, which has read what is there.
            let stored = store.read(key).await.unwrap();
            let version = stored.map_or(0, |stored| stored.version) + version;
            format!("{:?}", store.put_version(key, version, entry(byte)).await)
        }
        Ask::Take => format!("{:?}", store.take(key).await),
        Ask::Revoke => format!("{:?}", store.revoke(key, until).await),
    }
}

fn any_next() -> impl Strategy<Value = Next> {
    let ask = prop_oneof![
        3 => Just(Ask::Read),
        1 => (1..9_u8).prop_map(Ask::Put),
        2 => (1..9_u8).prop_map(Ask::PutNew),
        4 => (1..3_u64, 1..9_u8).prop_map(|(version, byte)| Ask::PutVersion(version, byte)),
        2 => Just(Ask::Take),
        1 => Just(Ask::Revoke),
    ];
    let ask = (any::<bool>(), 0..4_u8, ask, 1..50_u64);
    prop_oneof![
        30 => ask.prop_map(|(replica, key, ask, good_for)| Next::Ask { replica, key, ask, good_for }),
        3 => (1..20_u64).prop_map(Next::Pass),
        2 => Just(Next::Step),
        2 => Just(Next::Move),
    ]
}

async fn slots(store: &dyn Store) -> Vec<(RecordKey, Slot)> {
    let mut slots = Vec::new();
    let mut page = store.export(None, 3).await.unwrap();
    loop {
        slots.append(&mut page.slots);
        let Some(next) = page.next else { break };
        page = store.export(Some(&next), 3).await.unwrap();
    }
    slots.sort_by(|(one, _), (other, _)| one.cmp(other));
    slots.dedup();
    slots
}

async fn a_move(nexts: Vec<Next>) {
    let (both, one) = (Both::default(), MemoryStore::new());
    let under_way = Moving::under_way(Arc::clone(&both.from) as _, Arc::clone(&both.to) as _);
    let (mut step, mut now) = (0, at(1000));
    for next in nexts {
        match next {
            Next::Ask {
                replica,
                key: number,
                ask,
                good_for,
            } => {
                let until = now + Duration::from_secs(good_for);
                let replica = plain(&both, STEPS[step][usize::from(replica)]);
                let expected = asked(&one, &key(number), ask, until).await;
                let answer = asked(&*replica, &key(number), ask, until).await;
                assert_eq!(answer, expected, "{next:?} at {step}");
            }
            Next::Pass(seconds) => {
                now = now + Duration::from_secs(seconds);
                plain(&both, Replica::UnderWay).sweep(now).await.unwrap();
                one.sweep(now).await.unwrap();
            }
            Next::Step => {
                // All is moved before the new store is used by itself.
                if step == 3 {
                    under_way.move_all(now, drop).await.unwrap();
                }
                step = (step + 1).min(STEPS.len() - 1);
            }
            Next::Move if step >= 2 => drop(under_way.move_all(now, drop).await.unwrap()),
            Next::Move => {}
        }
        assert_eq!(
            slots(&under_way).await,
            slots(&one).await,
            "{next:?} at {step}"
        );
    }
    let moved = under_way.move_all(now, drop).await.unwrap();
    assert_eq!(slots(&*both.to).await, slots(&one).await);
    let again = under_way.move_all(now, drop).await.unwrap();
    assert_eq!(
        (again.moved, again.already_there),
        (0, moved.moved + moved.already_there)
    );
}

fn plain(both: &Both, replica: Replica) -> Arc<dyn Store> {
    let (from, to) = (Arc::clone(&both.from), Arc::clone(&both.to));
    match replica {
        Replica::Old => from,
        Replica::Announced => Arc::new(Moving::announced(from, to)),
        Replica::UnderWay => Arc::new(Moving::under_way(from, to)),
        Replica::New => to,
    }
}

proptest! {
    #[test]
    fn a_move_is_not_to_be_noticed(nexts in proptest::collection::vec(any_next(), 1..80)) {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(a_move(nexts));
    }
}

#[tokio::test]
async fn a_move_that_was_given_up_goes_back() {
    let (both, now) = (Both::default(), at(1000));
    let keys: Vec<_> = (0..5).map(key).collect();
    for key in &keys {
        both.from.put(key, entry(2)).await.unwrap();
    }
    let there = Moving::under_way(Arc::clone(&both.from) as _, Arc::clone(&both.to) as _);
    there.bring(&keys[0], None).await.unwrap();
    there.put(&keys[1], entry(4)).await.unwrap();
    there.revoke(&keys[2], at(EXPIRY)).await.unwrap();
    // One left, and whoever carried it died.
    let slot = both.from.slot(&keys[3]).await.unwrap().unwrap();
    let left = both
        .from
        .replace(&keys[3], Some(&slot), mark::of(&slot))
        .await;
    assert_eq!(left.unwrap(), Written::Yes);
    let before = slots(&there).await;

    let back = Moving::under_way(Arc::clone(&both.to) as _, Arc::clone(&both.from) as _);
    // Nobody can tell whether it arrived before all is looked through.
    back.read(&keys[3]).await.unwrap_err();
    back.put(&keys[0], entry(6)).await.unwrap();
    let moved = back.move_all(now, drop).await.unwrap();
    assert_eq!((moved.moved, moved.already_there), (2, 1));
    let after = slots(&*both.from).await;
    assert_eq!(after.len(), before.len());
    for (key, slot) in before {
        let found = both.from.slot(&key).await.unwrap();
        let expected = if key == keys[0] {
            entry(6)
        } else {
            Entry::new(
                slot.sealed
                    .clone()
                    .unwrap_or_else(|| Sealed::from_stored("")),
                slot.expires_at,
            )
        };
        let sealed = slot.sealed.is_some().then_some(expected.sealed);
        assert_eq!(found.and_then(|slot| slot.sealed), sealed);
    }
}

//! Things asked at the same time, interleaved in every way there is, or at random.

use proptest::prelude::*;

use super::*;

/// Something asked of a replica, which may die at one of its steps.
#[derive(Clone, Copy, Debug)]
struct Task {
    replica: Replica,
    ask: Ask,
    dies_at: Option<usize>,
}

impl Task {
    fn of(replica: Replica, ask: Ask) -> Self {
        let dies_at = None;
        Self {
            replica,
            ask,
            dies_at,
        }
    }

    fn running(self, both: &Both) -> Running {
        Box::pin(ask(both.replica(self.replica), both.clone(), self.ask))
    }
}

/// What came of each task, nothing of those that died, and what is left under the key.
type Outcome = (
    Vec<Option<Answer>>,
    Option<(u64, Option<[u8; 16]>, Option<Vec<u8>>, u64)>,
);

fn facts(slot: Slot) -> (u64, Option<[u8; 16]>, Option<Vec<u8>>, u64) {
    (
        slot.version,
        slot.grant.map(|grant| *grant.as_bytes()),
        slot.sealed.map(|sealed| sealed.as_bytes().to_vec()),
        slot.expires_at.as_unix(),
    )
}

/// All that one store could have made of `tasks`: one after the other in some order, each that died
/// done or not.
fn possible(start: Start, tasks: &[Task]) -> HashSet<Outcome> {
    let mut outcomes = HashSet::new();
    let mut orders = vec![(Vec::new(), (0..tasks.len()).collect::<Vec<_>>())];
    while let Some((done, left)) = orders.pop() {
        if left.is_empty() {
            outcomes.insert(in_order(start, tasks, &done));
        }
        for next in &left {
            let left = left
                .iter()
                .copied()
                .filter(|it| it != next)
                .collect::<Vec<_>>();
            orders.push(([&done[..], &[*next]].concat(), left.clone()));
            if tasks[*next].dies_at.is_some() {
                orders.push((done.clone(), left));
            }
        }
    }
    outcomes
}

fn in_order(start: Start, tasks: &[Task], order: &[usize]) -> Outcome {
    let one = Arc::new(MemoryStore::new());
    if let Some(slot) = slot(start) {
        place(&one, slot);
    }
    let mut answers = vec![None; tasks.len()];
    for number in order {
        let task = &tasks[*number];
        let answer = if task.ask == Ask::Bring {
            Answer::Done
        } else {
            ready(ask(Arc::clone(&one) as _, Both::default(), task.ask))
        };
        if task.dies_at.is_none() {
            answers[*number] = Some(answer);
        }
    }
    (answers, ready(one.slot(&key())).unwrap().map(facts))
}

/// Runs `tasks` with the steps in the order that `choose` says, of which it is told who could go.
fn run(both: &Both, tasks: &[Task], mut choose: impl FnMut(&[usize]) -> usize) -> Outcome {
    let mut running: Vec<_> = tasks.iter().map(|task| Some(task.running(both))).collect();
    let mut steps = vec![0; tasks.len()];
    let mut answers = vec![None; tasks.len()];
    let mut context = Context::from_waker(Waker::noop());
    loop {
        for (number, task) in tasks.iter().enumerate() {
            if task.dies_at == Some(steps[number]) {
                running[number] = None;
            }
        }
        let left: Vec<_> = (0..tasks.len())
            .filter(|it| running[*it].is_some())
            .collect();
        if left.is_empty() {
            break;
        }
        let next = choose(&left);
        steps[next] += 1;
        let polled = running[next].as_mut().unwrap().as_mut().poll(&mut context);
        if let Poll::Ready(answer) = polled {
            running[next] = None;
            if tasks[next].dies_at.is_none() {
                answers[next] = Some(answer);
            }
        }
    }
    let all = Moving::under_way(Arc::clone(&both.from) as _, Arc::clone(&both.to) as _);
    let left = ready(all.slot(&key())).unwrap().map(facts);
    // Once it has been moved there is no other answer.
    ready(all.bring(&key(), None)).unwrap();
    assert_eq!(ready(both.to.slot(&key())).unwrap().map(facts), left);
    (answers, left)
}

/// Interleaves `tasks` in every way in which a task that could go on makes way for another at most
/// `most` times; answers how many ways there were.
fn explore(start: Start, way: Way, tasks: &[Task], most: usize) -> usize {
    let possible = possible(start, tasks);
    let mut prefix: Vec<usize> = Vec::new();
    let mut ways = 0;
    loop {
        // Who went at each step, of whom it could have been.
        let mut taken: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut interrupted = 0;
        let both = Both::begin(start, way);
        let outcome = run(&both, tasks, |left| {
            let last = taken.last().map(|(_, options)| options[0]);
            let going_on = last.filter(|last| left.contains(last));
            let mut options: Vec<_> = going_on.into_iter().collect();
            if going_on.is_none() || interrupted < most {
                options.extend(left.iter().copied().filter(|it| Some(*it) != going_on));
            }
            let at = prefix.get(taken.len()).copied().unwrap_or_default();
            interrupted += usize::from(going_on.is_some() && at > 0);
            options.swap(0, at);
            let chosen = options[0];
            taken.push((at, options));
            chosen
        });
        ways += 1;
        let schedule: Vec<_> = taken.iter().map(|(_, options)| options[0]).collect();
        assert!(
            possible.contains(&outcome),
            "{start:?} {way:?} {tasks:?} in the order {schedule:?}: {outcome:?}"
        );
        // The last step that can still be another's.
        let Some(back) = taken
            .iter()
            .rposition(|(at, options)| at + 1 < options.len())
        else {
            return ways;
        };
        prefix = taken.iter().take(back + 1).map(|(at, _)| *at).collect();
        prefix[back] += 1;
    }
}

const STARTS: [Start; 5] = [
    Start::Nothing,
    Start::Live,
    Start::Code,
    Start::Spent,
    Start::Revoked,
];

const ASKS: [Ask; 7] = [
    Ask::Read,
    Ask::Put(3),
    Ask::PutNew(5),
    Ask::PutVersion(1, 7),
    Ask::PutVersion(2, 8),
    Ask::Take,
    Ask::Revoke,
];

/// The same asked with other bytes.
fn other(ask: Ask) -> Ask {
    match ask {
        Ask::Put(byte) => Ask::Put(byte + 20),
        Ask::PutNew(byte) => Ask::PutNew(byte + 20),
        Ask::PutVersion(version, byte) => Ask::PutVersion(version, byte + 20),
        same @ (Ask::Read | Ask::Take | Ask::Revoke | Ask::Bring) => same,
    }
}

/// Interleaves each two things asked of two replicas.
fn pairs(one: Replica, two: Replica, ways: &[Way], most: usize) {
    let mut explored = 0;
    for (start, way) in STARTS
        .iter()
        .flat_map(|start| ways.iter().map(|way| (*start, *way)))
    {
        for first in ASKS {
            for second in ASKS {
                let tasks = [Task::of(one, first), Task::of(two, other(second))];
                explored += explore(start, way, &tasks, most);
            }
            let tasks = [
                Task::of(one, first),
                Task::of(Replica::UnderWay, Ask::Bring),
            ];
            if one != Replica::Old && two != Replica::Old {
                explored += explore(start, way, &tasks, most);
            }
        }
    }
    assert!(explored > 1000, "{explored}");
}

const ANY_WAY: [Way; 4] = [Way::Before, Way::Left, Way::Landed, Way::Arrived];

#[test]
fn replicas_of_the_old_store_and_announced_ones_are_one_store() {
    pairs(Replica::Old, Replica::Announced, &[Way::Before], 9);
}

#[test]
fn announced_replicas_are_one_store() {
    pairs(Replica::Announced, Replica::Announced, &ANY_WAY, 2);
}

#[test]
fn announced_replicas_and_those_under_way_are_one_store() {
    pairs(Replica::Announced, Replica::UnderWay, &ANY_WAY, 2);
}

#[test]
fn replicas_under_way_are_one_store() {
    pairs(Replica::UnderWay, Replica::UnderWay, &ANY_WAY, 2);
}

#[test]
fn replicas_under_way_and_those_of_the_new_store_are_one_store() {
    pairs(Replica::UnderWay, Replica::New, &[Way::Arrived], 9);
}

#[test]
fn a_replica_that_dies_leaves_what_the_next_carries_on_from() {
    for (one, two) in [
        (Replica::Announced, Replica::UnderWay),
        (Replica::UnderWay, Replica::Announced),
        (Replica::UnderWay, Replica::UnderWay),
    ] {
        for start in STARTS {
            for first in ASKS.into_iter().chain([Ask::Bring]) {
                for dies_at in 1..9 {
                    let dying = Task {
                        dies_at: Some(dies_at),
                        ..Task::of(one, first)
                    };
                    for second in [ASKS[0], ASKS[2], ASKS[4], ASKS[5]] {
                        let tasks = [dying, Task::of(two, other(second))];
                        explore(start, Way::Before, &tasks, 1);
                    }
                }
            }
        }
    }
}

fn any_ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        2 => Just(Ask::Read),
        1 => (1..9_u8).prop_map(Ask::Put),
        2 => (1..9_u8).prop_map(Ask::PutNew),
        4 => (1..4_u64, 1..9_u8).prop_map(|(version, byte)| Ask::PutVersion(version, byte)),
        3 => Just(Ask::Take),
        1 => Just(Ask::Revoke),
        2 => Just(Ask::Bring),
    ]
}

fn any_task() -> impl Strategy<Value = Task> {
    let replica = prop_oneof![Just(Replica::Announced), Just(Replica::UnderWay)];
    let dies_at = proptest::option::weighted(0.2, 1..9_usize);
    (replica, any_ask(), dies_at).prop_map(|(replica, ask, dies_at)| Task {
        replica,
        ask,
        dies_at,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn many_things_at_once_are_as_if_one_store_did_them(
        start in proptest::sample::select(STARTS.to_vec()),
        way in proptest::sample::select(ANY_WAY.to_vec()),
        tasks in proptest::collection::vec(any_task(), 2..5),
        choices in proptest::collection::vec(any::<proptest::sample::Index>(), 64),
    ) {
        let both = Both::begin(start, way);
        let mut choices = choices.iter().cycle();
        let outcome = run(&both, &tasks, |left| left[choices.next().unwrap().index(left.len())]);
        prop_assert!(possible(start, &tasks).contains(&outcome), "{outcome:?}");
    }
}

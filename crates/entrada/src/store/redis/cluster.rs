//! Which node of a cluster has which keys.
//!
//! A client of the library's own would send a command again after its answer was lost, and a code
//! would then be spent by one request and found spent by the same. So the map of the slots is kept
//! here, and each node has its [`Line`](super::line::Line), which sends once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, timeout_at};

use super::dial::{Peer, Target};
use super::failure::Failure;
use super::line::Around;
use super::nodes::{Node, Plan};
use crate::single_flight::Turns;

/// How many slots a cluster has.
const SLOTS: u16 = 16384;

/// How long a map is not read again after it was, or could not be.
const READ_APART: Duration = Duration::from_millis(100);

/// The nodes of a cluster, and who has which slots.
pub(super) struct Cluster {
    seeds: Vec<Peer>,
    plan: Plan,
    known: Mutex<Known>,
    turns: Turns<()>,
}

#[derive(Default)]
struct Known {
    ranges: Vec<Range>,
    nodes: HashMap<Peer, Arc<Node>>,
    /// Whether what is known here may be wrong.
    doubted: bool,
    /// When the map was last asked for, and came or not.
    asked_at: Option<Instant>,
    /// How often it was: not always the same node should be asked first, for it may be wrong.
    asked: usize,
}

/// Slots next to one another that one primary has.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Range {
    first: u16,
    last: u16,
    primary: Peer,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cluster").field(&self.seeds).finish()
    }
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Peer>, plan: Plan) -> Self {
        Self {
            seeds,
            plan,
            known: Mutex::default(),
            turns: Turns::default(),
        }
    }

    /// The node that has the slot of `key`.
    pub(super) async fn node(&self, key: &[u8], deadline: Instant) -> Result<Arc<Node>, Failure> {
        let read = self.learn(deadline).await;
        let slot = slot(key);
        let primary = {
            let known = self.known();
            let range = known
                .ranges
                .iter()
                .find(|it| (it.first..=it.last).contains(&slot));
            range.map(|range| range.primary.clone())
        };
        match (primary, read) {
            // An old map is better than none.
            (Some(primary), _) => Ok(self.node_at(&primary)),
            (None, Err(failure)) => Err(failure),
            (None, Ok(())) => {
                self.doubt();
                Err(Failure::Unserved(slot))
            }
        }
    }

    /// The node at a place.
    pub(super) fn node_at(&self, peer: &Peer) -> Arc<Node> {
        let mut known = self.known();
        let node = known.nodes.entry(peer.clone());
        let node =
            node.or_insert_with(|| Arc::new(Node::new(&Target::Peer(peer.clone()), &self.plan)));
        Arc::clone(node)
    }

    /// Has the map read again before the next command.
    pub(super) fn doubt(&self) {
        self.known().doubted = true;
    }

    /// All primaries, always in one order, and a mark that changes when the map does.
    pub(super) async fn primaries(
        &self,
        deadline: Instant,
    ) -> Result<(Vec<Arc<Node>>, u64), Failure> {
        self.known().asked_at = None;
        self.doubt();
        self.learn(deadline).await?;
        let (mut peers, mark) = {
            let known = self.known();
            let mut hasher = DefaultHasher::new();
            known.ranges.hash(&mut hasher);
            let peers: Vec<_> = known.ranges.iter().map(|it| it.primary.clone()).collect();
            (peers, hasher.finish())
        };
        peers.sort_unstable();
        peers.dedup();
        Ok((peers.iter().map(|peer| self.node_at(peer)).collect(), mark))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the map if there is none, or there are doubts about it.
    async fn learn(&self, deadline: Instant) -> Result<(), Failure> {
        if !self.is_due() {
            return Ok(());
        }
        let no_answer = |_| Failure::NoAnswer(self.plan.timeout);
        let turn = timeout_at(deadline, self.turns.wait(&())).await;
        let _turn = turn.map_err(no_answer)?;
        if !self.is_due() {
            return Ok(());
        }
        let mut why: Option<Failure> = None;
        for node in self.whom_to_ask() {
            let soon = Instant::now() + self.plan.timeout / 4;
            match self.ask(&node, soon.min(deadline)).await {
                Ok(ranges) => {
                    self.replace(ranges);
                    return Ok(());
                }
                Err(failure) => {
                    why = Some(match why {
                        Some(before) => before.or(failure),
                        None => failure,
                    });
                }
            }
        }
        self.known().asked_at = Some(Instant::now());
        Err(why.unwrap_or(Failure::NotUnderstood))
    }

    fn is_due(&self) -> bool {
        let known = self.known();
        let lately = known.asked_at.is_some_and(|at| at.elapsed() < READ_APART);
        (known.doubted || known.ranges.is_empty()) && !lately
    }

    /// Those with a connection first: they answer at once.
    fn whom_to_ask(&self) -> Vec<Arc<Node>> {
        for seed in &self.seeds {
            self.node_at(seed);
        }
        let mut nodes: Vec<_> = {
            let mut known = self.known();
            known.asked = known.asked.wrapping_add(1);
            let first = known.asked % known.nodes.len().max(1);
            let all = known.nodes.values();
            all.clone()
                .skip(first)
                .chain(all.take(first))
                .cloned()
                .collect()
        };
        nodes.sort_by_key(|node| !node.line.is_up());
        nodes
    }

    async fn ask(&self, node: &Node, deadline: Instant) -> Result<Vec<Range>, Failure> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let answer = node
            .line
            .send(&command, Around::default(), deadline)
            .await?;
        let Target::Peer(asked) = node.line.target() else {
            return Err(Failure::NotUnderstood);
        };
        let Value::Array(ranges) = answer else {
            return Err(Failure::NotUnderstood);
        };
        let ranges: Option<Vec<_>> = ranges.iter().map(|it| range(it, asked)).collect();
        let mut ranges = ranges.ok_or(Failure::NotUnderstood)?;
        ranges.sort_unstable();
        Ok(ranges)
    }

    fn replace(&self, ranges: Vec<Range>) {
        let mut known = self.known();
        let seeds = &self.seeds;
        known.nodes.retain(|peer, _| {
            seeds.contains(peer) || ranges.iter().any(|range| range.primary == *peer)
        });
        known.ranges = ranges;
        known.doubted = false;
        known.asked_at = Some(Instant::now());
    }
}

/// Reads one line of `CLUSTER SLOTS`.
fn range(line: &Value, asked: &Peer) -> Option<Range> {
    let Value::Array(line) = line else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(primary),
        ..,
    ] = line.as_slice()
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = primary.as_slice() else {
        return None;
    };
    let port = u16::try_from(*port).ok()?;
    let host = redis::from_redis_value_ref::<Option<String>>(host).ok()?;
    let primary = match host {
        Some(host) if !host.is_empty() => Peer::Tcp { host, port },
        // A node that does not know its own name is where it was asked.
        Some(_) | None => asked.at_port(port)?,
    };
    Some(Range {
        first: u16::try_from(*first).ok()?,
        last: u16::try_from(*last).ok()?,
        primary,
    })
}

/// The slot of a key: of what stands in its first braces, if there is something (Redis Cluster
/// Specification, *Hash tags*).
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = key.get(open + 1..)?;
        let length = inside.iter().position(|byte| *byte == b'}')?;
        inside.get(..length).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM (Redis Cluster Specification, appendix A).
fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, _| match crc & 0x8000 {
        0 => crc << 1,
        _ => (crc << 1) ^ 0x1021,
    };
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("", 0),
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
        ] {
            assert_eq!(super::slot(key.as_bytes()), slot, "{key}");
        }
    }
}

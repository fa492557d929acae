//! Reads all that is kept, page by page.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use redis::{Pipeline, Value};

use super::super::{Collection, Cursor, RecordKey, Slot, SlotPage};
use super::RedisStore;
use super::failure::Failure;
use super::nodes::{Kind, Node};
use super::packed::{self, Found};

/// How many keys are looked at for one page at most, so that it comes within the timeout.
const AT_ONCE: usize = 1000;

/// Where a page ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Place {
    /// Of the map of a cluster.
    map: u64,
    /// Which node.
    node: u64,
    /// Of the run of that node: another one counts its keys in another order.
    run: u64,
    /// Where `SCAN` goes on.
    scan: u64,
}

impl Place {
    fn cursor(self) -> Cursor {
        let all = [self.map, self.node, self.run, self.scan];
        Cursor::new(all.map(u64::to_be_bytes).concat())
    }

    fn read(cursor: &Cursor) -> Option<Self> {
        let (numbers, rest) = cursor.as_bytes().as_chunks::<8>();
        match (numbers, rest) {
            ([map, node, run, scan], []) => {
                let [map, node, run, scan] =
                    [map, node, run, scan].map(|it| u64::from_be_bytes(*it));
                Some(Self {
                    map,
                    node,
                    run,
                    scan,
                })
            }
            _ => None,
        }
    }
}

impl RedisStore {
    pub(super) async fn page(
        &self,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<SlotPage, Failure> {
        let (nodes, map) = self.primaries().await?;
        let place = match after {
            Some(cursor) => Place::read(cursor).ok_or(Failure::NotUnderstood)?,
            None => Place {
                map,
                ..Place::default()
            },
        };
        let at = usize::try_from(place.node).unwrap_or(usize::MAX);
        let node = nodes.get(at).filter(|_| place.map == map);
        let node = node.ok_or(Failure::ExportInterrupted)?;
        let (scan, run, keys) = self.scan(node, place, most).await?;
        let slots = self.slots(node, keys).await?;
        let next = match scan {
            0 if at + 1 == nodes.len() => None,
            0 => Some(Place {
                map,
                node: place.node + 1,
                run: 0,
                scan: 0,
            }),
            scan => Some(Place { run, scan, ..place }),
        };
        Ok(SlotPage::new(slots, next.map(Place::cursor)))
    }

    async fn primaries(&self) -> Result<(Vec<Arc<Node>>, u64), Failure> {
        match self.nodes.kind() {
            Kind::One(node) => Ok((vec![Arc::clone(node)], 0)),
            Kind::Cluster(cluster) => cluster.primaries(self.nodes.deadline()).await,
        }
    }

    /// Some keys of a node, where to go on, and a mark of its run.
    async fn scan(
        &self,
        node: &Node,
        place: Place,
        most: usize,
    ) -> Result<(u64, u64, Vec<Vec<u8>>), Failure> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("INFO").arg("server");
        let scan = pipeline.cmd("SCAN").arg(place.scan);
        scan.arg("MATCH")
            .arg(self.pattern())
            .arg("COUNT")
            .arg(most.clamp(1, AT_ONCE));
        let answers = node.line.send_all(&pipeline, self.nodes.deadline()).await?;
        let [info, found] = <[Value; 2]>::try_from(answers).map_err(|_| Failure::NotUnderstood)?;
        let run = run(info);
        if place.scan != 0 && place.run != run {
            return Err(Failure::ExportInterrupted);
        }
        let found = found.extract_error().map_err(Failure::Refused)?;
        let (scan, keys) = redis::from_redis_value(found).map_err(|_| Failure::NotUnderstood)?;
        Ok((scan, run, keys))
    }

    /// What lies under some keys of a node: nothing of those that left meanwhile.
    async fn slots(
        &self,
        node: &Node,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<(RecordKey, Slot)>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in &keys {
            pipeline.cmd("GET").arg(key);
        }
        let answers = node.line.send_all(&pipeline, self.nodes.deadline()).await?;
        let mut slots = Vec::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            let answer = answer.extract_error().map_err(Failure::Refused)?;
            let key = key.strip_prefix(self.prefix.as_slice());
            let key = key.and_then(RecordKey::from_stored);
            // What came of a flight is packed as a slot, too.
            let key = key.filter(|key| key.collection() != Collection::Flights);
            if let (Some(key), Value::BulkString(packed)) = (key, answer) {
                match packed::unpack(packed).ok_or(Failure::NotUnderstood)? {
                    Found::Slot(slot) => slots.push((key, slot)),
                    Found::Lease => {}
                }
            }
        }
        Ok(slots)
    }

    /// What matches all our keys, and no others.
    fn pattern(&self) -> Vec<u8> {
        let mut pattern = Vec::with_capacity(self.prefix.len() + 1);
        for byte in &self.prefix {
            if b"*?[]\\^-".contains(byte) {
                pattern.push(b'\\');
            }
            pattern.push(*byte);
        }
        pattern.push(b'*');
        pattern
    }
}

/// A mark of the run that a server is in; always the same where an ACL forbids to ask.
fn run(info: Value) -> u64 {
    let text = redis::from_redis_value::<String>(info).unwrap_or_default();
    let id = text.lines().find_map(|line| line.strip_prefix("run_id:"));
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

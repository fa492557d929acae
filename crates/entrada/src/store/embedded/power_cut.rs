//! A disk that loses its power at any instant, with any part of what it was not told to keep.

use std::io;
use std::sync::{Arc, Mutex};

use redb::{Builder, Database, ReadableDatabase as _, StorageBackend};

use super::file;
use super::tables::{self, Collection, SLOTS};
use super::writer::Writer;
use crate::grant::GrantId;
use crate::platform::Timestamp;
use crate::store::slot::{self, Slot};
use crate::store::{Entry, Sealed};

/// What a power cut can tear a write into.
const SECTOR: usize = 512;

const CODES: u16 = 12;
const VERSIONS: u64 = 12;

#[derive(Clone, Debug)]
enum Event {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    Acknowledged(Fact),
}

/// What the store must still know after a power cut.
#[derive(Clone, Copy, Debug)]
enum Fact {
    Put(u16),
    Spent(u16),
    Version(u64),
}

/// A disk in memory that notes all that happens to it.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

impl Disk {
    fn holding(bytes: Vec<u8>) -> Self {
        let events = Vec::new();
        Self(Arc::new(Mutex::new(Content { bytes, events })))
    }

    fn note(&self, event: Event) {
        let content = &mut *self.0.lock().unwrap();
        apply(&mut content.bytes, &event, |_| true);
        content.events.push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().events.clone()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.lock().unwrap().bytes[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.note(Event::SetLen(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Event::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Event::Write(offset, data.to_vec()));
        Ok(())
    }
}

/// Does to `bytes` what `event` does, as far as each sector of it reaches the disk.
fn apply(bytes: &mut Vec<u8>, event: &Event, mut reaches: impl FnMut(usize) -> bool) {
    match event {
        Event::SetLen(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        Event::Write(offset, data) => {
            let offset = usize::try_from(*offset).unwrap();
            for (nth, sector) in data.chunks(SECTOR).enumerate() {
                if reaches(nth) {
                    let at = offset + nth * SECTOR;
                    bytes[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        Event::Sync | Event::Acknowledged(_) => {}
    }
}

struct Dice(u64);

impl Dice {
    fn flip(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 1 == 0
    }
}

/// What is on the disk if the power goes after `events`: all that was synced, and of the rest
/// whatever the dice say.
fn after_cut(before: &[u8], events: &[Event], dice: &mut Dice) -> Vec<u8> {
    let synced = events
        .iter()
        .rposition(|event| matches!(event, Event::Sync));
    let synced = synced.map_or(0, |at| at + 1);
    let mut bytes = before.to_vec();
    for event in &events[..synced] {
        apply(&mut bytes, event, |_| true);
    }
    for event in &events[synced..] {
        apply(&mut bytes, event, |_| dice.flip());
    }
    bytes
}

fn code(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

fn grant_of(number: u16) -> GrantId {
    GrantId::from_stored(u128::from(number).to_be_bytes())
}

fn entry(number: u64) -> Entry {
    let bytes = number.to_be_bytes().repeat(200);
    Entry::new(Sealed::from_stored(bytes), Timestamp::from_unix(number))
}

/// Stores and spends codes and a grant of many versions; notes what was acknowledged.
async fn work(disk: &Disk, writer: &Writer) {
    for number in 0..CODES {
        let put = writer.write(move |tables| {
            let mut codes = tables.shelf(Collection::Codes);
            slot::put_code(
                &mut codes,
                &code(number),
                grant_of(number),
                entry(number.into()),
            )
        });
        put.await.unwrap().unwrap();
        disk.note(Event::Acknowledged(Fact::Put(number)));
        let redeem = writer.write(move |tables| {
            slot::redeem_code(&mut tables.shelf(Collection::Codes), &code(number))
        });
        redeem.await.unwrap();
        disk.note(Event::Acknowledged(Fact::Spent(number)));
    }
    for version in 1..=VERSIONS {
        let put = writer.write(move |tables| {
            let mut grants = tables.shelf(Collection::Grants);
            slot::put_grant(&mut grants, b"grant", version, entry(version))
        });
        put.await.unwrap();
        disk.note(Event::Acknowledged(Fact::Version(version)));
    }
}

fn check(database: &Database, facts: &[Fact]) {
    let transaction = database.begin_read().unwrap();
    let slots = transaction.open_table(SLOTS).unwrap();
    let stored = |collection: Collection, key: &[u8]| -> Slot {
        let slot = tables::slot(&slots, &collection.key(key)).unwrap();
        slot.expect("what was acknowledged is there")
    };
    for fact in facts {
        match *fact {
            Fact::Put(number) => {
                let slot = stored(Collection::Codes, &code(number));
                assert_eq!(slot.grant, Some(grant_of(number)));
                let whole = |sealed| sealed == entry(number.into()).sealed;
                assert!(slot.sealed.is_none_or(whole));
            }
            Fact::Spent(number) => {
                let slot = stored(Collection::Codes, &code(number));
                assert_eq!(slot.sealed, None, "code {number} came back");
            }
            Fact::Version(version) => {
                let slot = stored(Collection::Grants, b"grant");
                assert!(slot.version >= version, "{} < {version}", slot.version);
                assert_eq!(slot.sealed, Some(entry(slot.version).sealed));
            }
        }
    }
}

fn open(disk: Disk) -> Database {
    Builder::new().create_with_backend(disk).unwrap()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_to_power_cuts() {
    let disk = Disk::default();
    file::fill(disk.clone()).unwrap();
    let made = disk.events().len();
    let writer = Writer::start(Arc::new(open(disk.clone()))).unwrap();
    work(&disk, &writer).await;
    let events = disk.events();
    drop(writer);

    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut facts = Vec::new();
    for (at, event) in events.iter().enumerate().skip(made) {
        if let Event::Acknowledged(fact) = event {
            facts.push(*fact);
        }
        let once = after_cut(&[], &events[..=at], &mut dice);
        let mended = Disk::holding(once.clone());
        let database = open(mended.clone());
        check(&database, &facts);
        // And the power goes again while the file is mended.
        let twice = after_cut(&once, &mended.events(), &mut dice);
        check(&open(Disk::holding(twice)), &facts);
    }
}

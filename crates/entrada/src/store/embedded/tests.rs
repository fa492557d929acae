//! The embedded store on a disk that fails.

use std::sync::Arc;
use std::task::{Context, Waker};

use redb::{Builder, Database, ReadableDatabase as _};

use self::disk::{Dice, Disk, Event, after_cut};
use super::file;
use super::tables::{self, Failure, SLOTS, Tables};
use super::writer::Writer;
use crate::grant::GrantId;
use crate::platform::Timestamp;
use crate::secret::AuthorizationCode;
use crate::store::slot::{self, Slot};
use crate::store::{Entry, RecordKey, Sealed, Written};

mod disk;

const CODES: u16 = 12;
const VERSIONS: u64 = 12;

/// What the store must still know after a power cut.
#[derive(Clone, Copy, Debug)]
enum Fact {
    Put(u16),
    Spent(u16),
    Version(u64),
}

fn code(number: u16) -> RecordKey {
    RecordKey::code(&AuthorizationCode::new(number.to_string()).hashed())
}

fn versioned() -> RecordKey {
    RecordKey::grant(&grant_of(0))
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
            let entry = entry(number.into()).naming(grant_of(number));
            slot::put_new(tables, &code(number), entry)
        });
        assert_eq!(put.await.unwrap(), Written::Yes);
        disk.note(Event::Acknowledged(Fact::Put(number)));
        let taken = writer.write(move |tables| slot::take(tables, &code(number)));
        taken.await.unwrap();
        disk.note(Event::Acknowledged(Fact::Spent(number)));
    }
    for version in 1..=VERSIONS {
        let put = writer
            .write(move |tables| slot::put_version(tables, &versioned(), version, entry(version)));
        put.await.unwrap();
        disk.note(Event::Acknowledged(Fact::Version(version)));
    }
}

fn check(database: &Database, facts: &[Fact]) {
    let transaction = database.begin_read().unwrap();
    let slots = transaction.open_table(SLOTS).unwrap();
    let stored = |key: &RecordKey| -> Slot {
        let slot = tables::found(&slots, key).unwrap();
        slot.expect("what was acknowledged is there")
    };
    for fact in facts {
        match *fact {
            Fact::Put(number) => {
                let slot = stored(&code(number));
                assert_eq!(slot.grant, Some(grant_of(number)));
                let whole = |sealed| sealed == entry(number.into()).sealed;
                assert!(slot.sealed.is_none_or(whole));
            }
            Fact::Spent(number) => {
                let slot = stored(&code(number));
                assert_eq!(slot.sealed, None, "code {number} came back");
            }
            Fact::Version(version) => {
                let slot = stored(&versioned());
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

/// Stores the first version of a grant.
fn put_first(number: u16) -> impl FnOnce(&mut Tables<'_>) -> Result<Written, Failure> + Send {
    move |tables| slot::put_version(tables, &code(number), 1, entry(number.into()))
}

#[tokio::test]
async fn a_disk_that_failed_a_write_takes_no_other_until_it_is_opened_again() {
    let disk = Disk::default();
    file::fill(disk.clone()).unwrap();
    let writer = Writer::start(Arc::new(open(disk.clone()))).unwrap();
    writer.write(put_first(1)).await.unwrap();
    disk.stop().broken = true;
    for number in [2, 3] {
        let failure = writer.write(put_first(number)).await.unwrap_err();
        assert!(matches!(failure, Failure::File(_)), "{failure}");
    }
    disk.stop().broken = false;
    let failure = writer.write(put_first(4)).await.unwrap_err();
    assert!(matches!(failure, Failure::File(_)), "{failure}");
    drop(writer);

    let writer = Writer::start(Arc::new(open(disk))).unwrap();
    let first = writer.write(put_first(1)).await.unwrap();
    assert_eq!(first, Written::Conflict);
    let other = writer.write(put_first(5)).await.unwrap();
    assert_eq!(other, Written::Yes);
}

#[tokio::test]
async fn writes_that_come_while_the_disk_is_busy_share_one_wait() {
    let disk = Disk::default();
    file::fill(disk.clone()).unwrap();
    let writer = Writer::start(Arc::new(open(disk.clone()))).unwrap();
    let before = disk.events().len();
    let mut crowd: Vec<_> = (0..100)
        .map(|number| Box::pin(writer.write(put_first(number))))
        .collect();
    let busy = disk.stop();
    let mut context = Context::from_waker(Waker::noop());
    for write in &mut crowd {
        assert!(write.as_mut().poll(&mut context).is_pending());
    }
    drop(busy);
    for write in crowd {
        assert_eq!(write.await.unwrap(), Written::Yes);
    }
    let events = disk.events();
    let waits = events.iter().skip(before);
    let waits = waits.filter(|event| matches!(event, Event::Sync)).count();
    assert!(waits < 12, "{waits}");
}

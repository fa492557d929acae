//! A disk in memory that can fail, lose its power, and say what happened to it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::Fact;

/// What a power cut can tear a write into.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum Event {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    Acknowledged(Fact),
}

/// A disk in memory that notes all that happens to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    events: Vec<Event>,
    pub(super) broken: bool,
}

impl Disk {
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        let content = Content {
            bytes,
            ..Content::default()
        };
        Self(Arc::new(Mutex::new(content)))
    }

    /// Nothing moves while this is held.
    pub(super) fn stop(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    pub(super) fn note(&self, event: Event) {
        let content = &mut *self.stop();
        apply(&mut content.bytes, &event, |_| true);
        content.events.push(event);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.stop().events.clone()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.stop().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.stop().bytes[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.note(Event::SetLen(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.stop().broken {
            return Err(io::Error::other("the disk is broken"));
        }
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

pub(super) struct Dice(pub(super) u64);

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
pub(super) fn after_cut(before: &[u8], events: &[Event], dice: &mut Dice) -> Vec<u8> {
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

//! The streams of one client, which a child writes and HTTP answers read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::watch;

use crate::upstream::stdio::events::{Cursor, Event, EventLimits, EventLog, Next, STANDALONE};

/// What is there for one client.
#[derive(Debug)]
pub(super) struct Outbox {
    log: watch::Sender<EventLog>,
    /// How many read the standalone stream.
    listeners: AtomicUsize,
    /// Which reader of the standalone stream is the newest: it alone goes on.
    newest: AtomicU64,
    /// Nothing comes any more.
    is_closed: AtomicBool,
}

impl Outbox {
    pub(super) fn new(limits: EventLimits) -> Arc<Self> {
        Arc::new(Self {
            log: watch::Sender::new(EventLog::new(limits)),
            listeners: AtomicUsize::new(0),
            newest: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Opens a stream for `answers` answers.
    pub(super) fn open(&self, answers: usize) -> u64 {
        let mut opened = STANDALONE;
        self.log.send_modify(|log| opened = log.open(answers));
        opened
    }

    /// Puts a message on `stream`.
    pub(super) fn append(&self, stream: u64, message: String, is_answer: bool) {
        let data = Bytes::from(message);
        let event = Event { data, is_answer };
        self.log.send_modify(|log| log.append(stream, event));
    }

    /// One answer on `stream` will not come.
    pub(super) fn answer_withdrawn(&self, stream: u64) {
        self.log.send_modify(|log| log.answer_withdrawn(stream));
    }

    /// The answer on `stream` cannot come.
    pub(super) fn break_stream(&self, stream: u64) {
        self.log.send_modify(|log| log.break_stream(stream));
    }

    /// No answer comes any more.
    pub(super) fn break_off(&self) {
        self.log.send_modify(EventLog::break_off);
    }

    /// Nothing comes any more, on any stream.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.break_off();
    }

    /// Whether nothing comes any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Whether somebody reads the standalone stream.
    pub(super) fn is_listened_to(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Whether the reader of the standalone stream whose `turn` this is has nothing more to read.
    fn is_over_for(&self, turn: u64) -> bool {
        self.is_closed() || self.newest.load(Ordering::Relaxed) != turn
    }

    /// Reads the stream of a request from its beginning.
    pub(super) fn read(self: &Arc<Self>, stream: u64) -> Reader {
        self.reader(Cursor::start_of(stream), None)
    }

    /// Reads on after `cursor`; where there is none, or none that is known, the standalone stream,
    /// from what was not sent yet.
    pub(super) fn resume(self: &Arc<Self>, cursor: Option<Cursor>) -> Reader {
        let cursor = {
            let log = self.log.borrow();
            let known = cursor.filter(|cursor| log.knows(*cursor));
            known.unwrap_or_else(|| log.unsent())
        };
        if cursor.stream != STANDALONE {
            return self.reader(cursor, None);
        }
        let turn = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        // Whoever reads it so far sees that it is over.
        self.log.send_modify(|_| {});
        self.reader(cursor, Some(turn))
    }

    fn reader(self: &Arc<Self>, cursor: Cursor, turn: Option<u64>) -> Reader {
        if turn.is_some() {
            self.listeners.fetch_add(1, Ordering::Relaxed);
        }
        Reader {
            news: self.log.subscribe(),
            outbox: Arc::clone(self),
            cursor,
            turn,
        }
    }
}

/// One answer's view of a stream.
#[derive(Debug)]
pub(super) struct Reader {
    news: watch::Receiver<EventLog>,
    outbox: Arc<Outbox>,
    cursor: Cursor,
    /// Of the standalone stream's readers, which this is.
    turn: Option<u64>,
}

impl Reader {
    /// The next event, with its place; none when there will be none, and whether that was the end.
    ///
    /// Nothing is lost when this is dropped before it is done.
    pub(super) async fn next(&mut self) -> Result<(Cursor, Event), StreamEnd> {
        loop {
            // First of all, so that whatever ends it from here on is news.
            let next = self.news.borrow_and_update().next(self.cursor);
            if self.turn.is_some_and(|turn| self.outbox.is_over_for(turn)) {
                return Err(StreamEnd::Whole);
            }
            match next {
                Next::Event(event) => {
                    self.cursor = self.cursor.next();
                    let sent = self.cursor;
                    self.outbox.log.send_modify(|log| log.sent(sent));
                    return Ok((sent, event));
                }
                Next::Done => return Err(StreamEnd::Whole),
                Next::Broken => return Err(StreamEnd::Broken),
                Next::Wait => {}
            }
            if self.news.changed().await.is_err() {
                return Err(StreamEnd::Broken);
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.turn.is_some() {
            self.outbox.listeners.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StreamEnd {
    /// With all that was to come.
    Whole,
    /// Before.
    Broken,
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn nobody_reads_on_in_a_session_that_ended() {
        let outbox = Outbox::new(EventLimits::new(9, 9));
        let mut before = outbox.resume(None);
        assert_eq!(before.next().now_or_never(), None);
        outbox.close();
        // As by a request that was under way when another ended the session.
        let mut after = outbox.resume(None);
        for reader in [&mut before, &mut after] {
            let end = reader.next().now_or_never();
            assert_eq!(end, Some(Err(StreamEnd::Whole)));
        }
    }
}

//! What a child said to one client: until it is sent, and for a while after.
//!
//! A client that lost its connection asks for what came after the last event it saw (MCP transports,
//! *Resumability and Redelivery*). What was sent goes first when there is too much; a stream whose
//! unsent events went too is broken, for a gap would go unnoticed.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

/// The events of a client's streams.
#[derive(Debug)]
pub struct EventLog {
    limits: EventLimits,
    kept: VecDeque<Kept>,
    streams: BTreeMap<u64, Stream>,
    last_stream: u64,
    sent_bytes: usize,
    unsent_bytes: usize,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EventLimits {
    /// Of what was sent, in bytes.
    pub sent: usize,
    /// Of what was not, in bytes.
    pub unsent: usize,
}

/// Where one is in a stream: after its `after`th event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Cursor {
    /// The stream.
    pub stream: u64,
    /// How many of its events one has.
    pub after: u64,
}

/// What comes next in a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Next {
    /// This.
    Event(Event),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    Done,
    /// Nothing any more, though it was not the end: the child is gone, or the events are.
    Broken,
}

/// A message of the child's.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The message, on one line.
    pub data: Bytes,
    /// Whether it is the answer to a request.
    pub is_answer: bool,
}

/// The stream that belongs to no request, which a client opens with `GET`.
pub const STANDALONE: u64 = 0;

impl EventLimits {
    /// So much of what was sent, and so much of what was not.
    pub const fn new(sent: usize, unsent: usize) -> Self {
        Self { sent, unsent }
    }
}

impl Cursor {
    /// Reads an event id as we write it.
    pub fn parse(id: &str) -> Option<Self> {
        let (stream, after) = id.split_once('-')?;
        let (stream, after) = (stream.parse().ok()?, after.parse().ok()?);
        Some(Self { stream, after })
    }

    /// At the beginning of `stream`.
    pub const fn start_of(stream: u64) -> Self {
        Self { stream, after: 0 }
    }

    /// One event further.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            stream: self.stream,
            after: self.after + 1,
        }
    }
}

impl Event {
    /// The event as it is written (HTML Standard, *Server-sent events*), with the id it may be resumed
    /// after, if it may.
    pub fn written(&self, id: Option<Cursor>) -> Bytes {
        let mut out = Vec::with_capacity(self.data.len() + 48);
        if let Some(Cursor { stream, after }) = id {
            out.extend_from_slice(format!("id: {stream}-{after}\n").as_bytes());
        }
        out.extend_from_slice(b"event: message\ndata: ");
        out.extend_from_slice(&self.data);
        out.extend_from_slice(b"\n\n");
        out.into()
    }
}

impl EventLog {
    /// Nothing yet.
    pub fn new(limits: EventLimits) -> Self {
        let standalone = (STANDALONE, Stream::default());
        Self {
            limits,
            kept: VecDeque::new(),
            streams: BTreeMap::from([standalone]),
            last_stream: STANDALONE,
            sent_bytes: 0,
            unsent_bytes: 0,
        }
    }

    /// Opens a stream for `answers` answers.
    pub fn open(&mut self, answers: usize) -> u64 {
        self.last_stream += 1;
        let stream = Stream {
            answers,
            ..Stream::default()
        };
        self.streams.insert(self.last_stream, stream);
        self.forget_streams();
        self.last_stream
    }

    /// Puts a message on `stream`; the last answer ends it.
    pub fn append(&mut self, stream: u64, event: Event) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        if state.end.is_some() {
            return;
        }
        state.last += 1;
        if event.is_answer {
            state.answered();
        }
        let sequence = state.last;
        self.unsent_bytes += event.data.len();
        self.kept.push_back(Kept {
            stream,
            sequence,
            event,
            is_sent: false,
        });
        self.make_room();
    }

    /// One answer of `stream` will not come.
    pub fn answer_withdrawn(&mut self, stream: u64) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.answered();
        }
    }

    /// An answer of `stream` is lost: it does not go on.
    pub fn break_stream(&mut self, stream: u64) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.end.get_or_insert(Ending::Broken);
        }
    }

    /// The child is gone: no stream of a request goes on.
    pub fn break_off(&mut self) {
        let of_requests = self.streams.range_mut(STANDALONE + 1..);
        for (_, state) in of_requests {
            state.end.get_or_insert(Ending::Broken);
        }
    }

    /// What comes after `cursor`.
    pub fn next(&self, cursor: Cursor) -> Next {
        let Cursor { stream, after } = cursor;
        let sequence = after.saturating_add(1);
        let mut kept = self.kept.iter();
        if let Some(kept) = kept.find(|kept| kept.stream == stream && kept.sequence == sequence) {
            return Next::Event(kept.event.clone());
        }
        match self.streams.get(&stream) {
            Some(state) if state.last > after => Next::Broken,
            Some(Stream { end: None, .. }) => Next::Wait,
            Some(Stream {
                end: Some(Ending::Whole),
                ..
            }) => Next::Done,
            Some(_) | None => Next::Broken,
        }
    }

    /// Takes note that the event before `cursor` was sent.
    pub fn sent(&mut self, cursor: Cursor) {
        let mut kept = self.kept.iter_mut();
        let is_it =
            |kept: &&mut Kept| kept.stream == cursor.stream && kept.sequence == cursor.after;
        if let Some(kept) = kept.find(is_it)
            && !std::mem::replace(&mut kept.is_sent, true)
        {
            let length = kept.event.data.len();
            self.unsent_bytes -= length;
            self.sent_bytes += length;
            self.make_room();
        }
    }

    /// Before the first event of the standalone stream that nobody was sent.
    pub fn unsent(&self) -> Cursor {
        let mut kept = self.kept.iter();
        let first = kept.find(|kept| kept.stream == STANDALONE && !kept.is_sent);
        let last = self.streams.get(&STANDALONE).map_or(0, |state| state.last);
        Cursor {
            stream: STANDALONE,
            after: first.map_or(last, |kept| kept.sequence - 1),
        }
    }

    /// Whether there is, or was lately, such a stream.
    pub fn knows(&self, cursor: Cursor) -> bool {
        let state = self.streams.get(&cursor.stream);
        state.is_some_and(|state| cursor.after <= state.last)
    }

    fn make_room(&mut self) {
        while self.sent_bytes > self.limits.sent
            && let Some(at) = self.kept.iter().position(|kept| kept.is_sent)
        {
            self.remove(at);
        }
        while self.unsent_bytes > self.limits.unsent
            && let Some(at) = self.kept.iter().position(|kept| !kept.is_sent)
        {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(kept) = self.kept.remove(at) {
            let length = kept.event.data.len();
            if kept.is_sent {
                self.sent_bytes -= length;
            } else {
                self.unsent_bytes -= length;
            }
        }
    }

    /// Forgets streams that ended long ago.
    fn forget_streams(&mut self) {
        if self.streams.len() <= MOST_STREAMS {
            return;
        }
        let mut ended = self.streams.iter().filter(|(_, state)| state.end.is_some());
        if let Some(oldest) = ended.next().map(|(stream, _)| *stream) {
            self.streams.remove(&oldest);
            while let Some(at) = self.kept.iter().position(|kept| kept.stream == oldest) {
                self.remove(at);
            }
        }
    }
}

#[derive(Debug)]
struct Kept {
    stream: u64,
    sequence: u64,
    event: Event,
    is_sent: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// The number of its last event.
    last: u64,
    /// How many answers are still to come.
    answers: usize,
    end: Option<Ending>,
}

impl Stream {
    fn answered(&mut self) {
        self.answers = self.answers.saturating_sub(1);
        if self.answers == 0 {
            self.end.get_or_insert(Ending::Whole);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Whole,
    Broken,
}

/// How many streams of a client are known.
const MOST_STREAMS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: EventLimits = EventLimits::new(10, 20);

    fn event(data: &'static str) -> Event {
        Event {
            data: Bytes::from_static(data.as_bytes()),
            is_answer: data == "answer",
        }
    }

    fn at(stream: u64, after: u64) -> Cursor {
        Cursor { stream, after }
    }

    #[test]
    fn a_stream_ends_with_its_last_answer() {
        let mut log = EventLog::new(LIMITS);
        let stream = log.open(2);
        assert_eq!(log.next(at(stream, 0)), Next::Wait);
        for data in ["told", "answer", "told", "answer", "late"] {
            log.append(stream, event(data));
        }
        let found: Vec<_> = (0..4).map(|after| log.next(at(stream, after))).collect();
        let expected = ["told", "answer", "told", "answer"].map(|data| Next::Event(event(data)));
        assert_eq!(found, expected);
        assert_eq!(log.next(at(stream, 4)), Next::Done);
    }

    #[test]
    fn events_of_other_streams_are_not_seen() {
        let mut log = EventLog::new(LIMITS);
        let (one, two) = (log.open(1), log.open(1));
        log.append(two, event("two"));
        log.append(STANDALONE, event("all"));
        assert_eq!(log.next(at(one, 0)), Next::Wait);
        assert_eq!(log.next(at(two, 0)), Next::Event(event("two")));
        assert_eq!(log.next(at(STANDALONE, 0)), Next::Event(event("all")));
        assert_eq!(log.next(at(99, 0)), Next::Broken);
    }

    #[test]
    fn what_was_sent_makes_room_first() {
        let mut log = EventLog::new(LIMITS);
        let stream = log.open(1);
        for (after, data) in (1..).zip(["123456", "234567", "345678"]) {
            log.append(stream, event(data));
            log.sent(at(stream, after));
        }
        // Ten bytes of what was sent, so the last one alone.
        assert_eq!(log.next(at(stream, 1)), Next::Broken);
        assert_eq!(log.next(at(stream, 2)), Next::Event(event("345678")));
        assert_eq!(log.next(at(stream, 3)), Next::Wait);
    }

    #[test]
    fn a_gap_breaks_the_stream() {
        let mut log = EventLog::new(LIMITS);
        let stream = log.open(1);
        for data in ["1234567890", "2345678901", "3456789012"] {
            log.append(stream, event(data));
        }
        assert_eq!(log.next(at(stream, 0)), Next::Broken);
        assert_eq!(log.next(at(stream, 1)), Next::Event(event("2345678901")));
    }

    #[test]
    fn one_message_over_the_limit_breaks_its_stream() {
        let mut log = EventLog::new(LIMITS);
        let stream = log.open(1);
        log.append(stream, event("123456789012345678901"));
        assert_eq!(log.next(at(stream, 0)), Next::Broken);
        assert_eq!((log.sent_bytes, log.unsent_bytes), (0, 0));
    }

    #[test]
    fn a_child_that_is_gone_breaks_what_was_not_answered() {
        let mut log = EventLog::new(LIMITS);
        let (open, ended, withdrawn) = (log.open(1), log.open(1), log.open(1));
        log.append(ended, event("answer"));
        log.answer_withdrawn(withdrawn);
        log.break_off();
        assert_eq!(log.next(at(open, 0)), Next::Broken);
        assert_eq!(log.next(at(ended, 1)), Next::Done);
        assert_eq!(log.next(at(withdrawn, 0)), Next::Done);
        assert_eq!(log.next(at(STANDALONE, 0)), Next::Wait);
    }

    #[test]
    fn the_standalone_stream_goes_on_where_it_was_left() {
        let mut log = EventLog::new(LIMITS);
        assert_eq!(log.unsent(), at(STANDALONE, 0));
        log.append(STANDALONE, event("1"));
        log.append(STANDALONE, event("2"));
        assert_eq!(log.unsent(), at(STANDALONE, 0));
        log.sent(at(STANDALONE, 1));
        assert_eq!(log.unsent(), at(STANDALONE, 1));
        log.sent(at(STANDALONE, 2));
        log.sent(at(STANDALONE, 2));
        assert_eq!(log.unsent(), at(STANDALONE, 2));
        assert_eq!((log.sent_bytes, log.unsent_bytes), (2, 0));
    }

    #[test]
    fn streams_of_long_ago_are_forgotten() {
        let mut log = EventLog::new(LIMITS);
        let first = log.open(1);
        let open = log.open(1);
        log.append(first, event("answer"));
        for _ in 0..MOST_STREAMS {
            log.open(1);
        }
        assert!(!log.knows(at(first, 0)));
        assert!(log.knows(at(open, 0)));
        assert!(!log.knows(at(open, 1)));
        assert_eq!(log.unsent_bytes, 0);
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        for (id, expected) in [
            ("3-7", Some(at(3, 7))),
            ("0-0", Some(at(0, 0))),
            ("3", None),
            ("", None),
            ("-", None),
            ("3-", None),
            ("a-1", None),
            ("3-7-1", None),
            ("3--7", None),
            ("99999999999999999999-1", None),
        ] {
            assert_eq!(Cursor::parse(id), expected, "{id}");
        }
        let written = event("{}").written(Some(at(3, 7)));
        assert_eq!(written, "id: 3-7\nevent: message\ndata: {}\n\n");
        assert_eq!(event("{}").written(None), "event: message\ndata: {}\n\n");
    }
}

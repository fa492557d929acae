//! Streams of events (HTML, *server-sent events*), one event after the other.

use bytes::{Bytes, BytesMut};

use super::{ListError, edited};
use crate::message::Item;

/// How much of an event, or of an answer, is held at once.
pub(super) const MOST_HELD: usize = 16 << 20;

/// The part of a stream that has come, as far as no event has ended with it.
#[derive(Debug, Default)]
pub(super) struct Events {
    held: BytesMut,
    /// How much of it was looked at for the end of an event.
    seen: usize,
    /// Whether the first bytes are over, where a byte order mark may stand.
    began: bool,
}

impl Events {
    /// Takes what came.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), ListError> {
        if self.held.len() + bytes.len() > MOST_HELD {
            return Err(ListError::TooLarge);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// The next event that is complete, without what `shows` does not want. At the end of the stream
    /// what is left is one, too: not every client wants the empty line that ends an event.
    pub(super) fn next(
        &mut self,
        at_end: bool,
        shows: &dyn Fn(&Item) -> bool,
    ) -> Result<Option<Bytes>, ListError> {
        let end = match self.end() {
            Some(end) => end,
            None if at_end && !self.held.is_empty() => self.held.len(),
            None => return Ok(None),
        };
        let event = self.held.split_to(end).freeze();
        self.seen = 0;
        let first = !std::mem::replace(&mut self.began, true);
        filtered(&event, first, shows).map(Some)
    }

    /// Where the first event ends: after an empty line.
    fn end(&mut self) -> Option<usize> {
        let from = self.seen.saturating_sub(3);
        let mut at = from;
        while let Some(byte) = self.held.get(at) {
            let is_end = matches!(byte, b'\n' | b'\r');
            let next = self.after_line(at).filter(|_| is_end);
            let is_empty = |next: &usize| matches!(self.held.get(*next), Some(b'\n' | b'\r'));
            let end = next.filter(is_empty).and_then(|next| self.after_line(next));
            if end.is_some() {
                return end;
            }
            at += 1;
        }
        self.seen = self.held.len();
        None
    }

    /// What follows the line end at `at`: nothing is known after a last CR, which may be half of one.
    fn after_line(&self, at: usize) -> Option<usize> {
        match (self.held.get(at), self.held.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => Some(at + 2),
            (Some(b'\r'), Some(_)) | (Some(b'\n'), _) => Some(at + 1),
            _ => None,
        }
    }
}

/// One event, with its data filtered; the very bytes where all stays.
fn filtered(event: &Bytes, first: bool, shows: &dyn Fn(&Item) -> bool) -> Result<Bytes, ListError> {
    let text = str::from_utf8(event).map_err(|_| ListError::NotJson)?;
    let (mark, text) = match text.strip_prefix('\u{feff}').filter(|_| first) {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    let mut data: Option<String> = None;
    let mut kind = "";
    for (line, _) in lines(text) {
        match field(line) {
            ("data", value) => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            ("event", value) => kind = value,
            _ => {}
        }
    }
    let Some(data) = data.filter(|data| !data.trim().is_empty()) else {
        return Ok(event.clone());
    };
    let new = match edited(&data, shows) {
        Ok(Some(new)) => new,
        Ok(None) => return Ok(event.clone()),
        // The older transport tells its endpoint so (MCP 2024-11-05, *HTTP with SSE*).
        Err(ListError::NotJson) if !matches!(kind, "" | "message") => return Ok(event.clone()),
        Err(error) => return Err(error),
    };
    let mut out = mark.to_owned();
    let mut is_told = false;
    for (line, ending) in lines(text) {
        if field(line).0 != "data" {
            out.push_str(line);
            out.push_str(ending);
        } else if !is_told {
            is_told = true;
            for line in new.split(['\n', '\r']) {
                out.push_str("data: ");
                out.push_str(line);
                out.push_str(if ending.is_empty() { "\n" } else { ending });
            }
        }
    }
    Ok(Bytes::from(out))
}

/// The lines of `text`, each with what ends it.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(length)?;
        let ending = if after.starts_with("\r\n") {
            2
        } else {
            after.len().min(1)
        };
        let (ending, after) = after.split_at_checked(ending)?;
        rest = after;
        Some((line, ending))
    })
}

/// The name and the value of the field in `line`.
fn field(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name, value.strip_prefix(' ').unwrap_or(value))
}

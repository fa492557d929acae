//! Reads the first event of a stream (WHATWG HTML, *Server-sent events*), which may say where messages go.

/// What there is so far of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum FirstEvent {
    /// So many bytes are before it, comments among them, and can go on.
    Unfinished(usize),
    /// It says nothing to us: all can go on.
    Other,
    /// It says where messages go.
    Endpoint(Endpoint),
}

/// An `endpoint` event (MCP 2024-11-05, *HTTP with SSE*).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Endpoint {
    /// Where it begins.
    pub(super) start: usize,
    /// What is behind it.
    pub(super) end: usize,
    /// The URL.
    pub(super) url: String,
}

/// Looks for an `endpoint` event behind the first one, by which clients would go as well.
#[derive(Debug, Default)]
pub(super) struct LaterEvents {
    /// How the line begins that has not ended.
    line: Vec<u8>,
}

impl LaterEvents {
    /// Whether such an event is named in `bytes`, which follow those of before.
    pub(super) fn name_endpoint(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' if parts(&self.line) == (b"event", b"endpoint") => return true,
                b'\n' | b'\r' => self.line.clear(),
                _ if self.line.len() < LONGEST_LINE => self.line.push(*byte),
                _ => {}
            }
        }
        false
    }
}

/// More than a line has that names such an event.
const LONGEST_LINE: usize = 16;

/// `bytes`, with which a stream begins, without what says so.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Reads `bytes`, with which a stream begins.
pub(super) fn read(bytes: &[u8]) -> FirstEvent {
    let mut at = bytes.len() - without_mark(bytes).len();
    let (mut start, mut name, mut data) = (None, &b""[..], Vec::<&[u8]>::new());
    while let Some((line, end)) = line(bytes, at) {
        match (line, start) {
            ([], Some(start)) if name == b"endpoint" => {
                let url = String::from_utf8_lossy(&data.join(&b'\n')).into_owned();
                return FirstEvent::Endpoint(Endpoint { start, end, url });
            }
            ([], Some(_)) => return FirstEvent::Other,
            ([] | [b':', ..], _) => {}
            (field, _) => {
                start.get_or_insert(at);
                match parts(field) {
                    (b"event", value) => name = value,
                    (b"data", value) => data.push(value),
                    _ => {}
                }
            }
        }
        at = end;
    }
    FirstEvent::Unfinished(start.unwrap_or(at))
}

/// The line that begins `at`, without its end, and where the next one begins; none where it has not ended
/// for sure.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    let ending = match rest.get(length..)? {
        [b'\r', b'\n', ..] => 2,
        // Its line feed may follow.
        [b'\r'] => return None,
        _ => 1,
    };
    Some((rest.get(..length)?, at + length + ending))
}

/// The name and the value of a field.
fn parts(field: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = field.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    let value = parts.next().unwrap_or_default();
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(start: usize, end: usize, url: &str) -> FirstEvent {
        let url = url.to_owned();
        FirstEvent::Endpoint(Endpoint { start, end, url })
    }

    #[test]
    fn the_first_event_alone_counts() {
        use FirstEvent::{Other, Unfinished};
        for (text, expected) in [
            ("", Unfinished(0)),
            ("event: endpoint\ndata: /m\n\n", endpoint(0, 26, "/m")),
            ("event:endpoint\r\ndata:/m\r\n\r\n", endpoint(0, 27, "/m")),
            ("event: endpoint\rdata: /m\r\rx", endpoint(0, 26, "/m")),
            (
                "data: /m\nevent: endpoint\n\nid: 2\n",
                endpoint(0, 26, "/m"),
            ),
            (
                "event: x\nevent: endpoint\ndata: a\ndata: b\n\n",
                endpoint(0, 42, "a\nb"),
            ),
            (
                ": hello\n\nevent: endpoint\ndata: /m\n\n",
                endpoint(9, 35, "/m"),
            ),
            (
                "\u{feff}event: endpoint\ndata: /m\n\n",
                endpoint(3, 29, "/m"),
            ),
            ("event: endpoint\ndata: /m\n", Unfinished(0)),
            ("event: endpoint\r\ndata: /m\r\n\r", Unfinished(0)),
            (": hello\n: again\n", Unfinished(16)),
            (": hello\nda", Unfinished(8)),
            (": hel", Unfinished(0)),
            ("id: 1\ndata:\n\n", Other),
            ("event: endpoint\nevent: x\n\n", Other),
            ("event: endpoints\ndata: /m\n\n", Other),
            (
                "data: event: endpoint\n\nevent: endpoint\ndata: /m\n\n",
                Other,
            ),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_later_event_is_seen_in_whatever_pieces_it_comes() {
        for (text, expected) in [
            ("data: 1\n\nevent: endpoint\ndata: /m\n\n", true),
            ("\revent:endpoint\r", true),
            ("data: 1\nevent: endpoint", false),
            (
                "data: event: endpoint\n:event: endpoint\nevent: endpoints\n\nevent: end point\n",
                false,
            ),
            ("event: message-of-an-endpoint\nevent: \nendpoint\n", false),
        ] {
            for size in 1..=text.len() {
                let mut later = LaterEvents::default();
                let mut pieces = text.as_bytes().chunks(size);
                let found = pieces.any(|piece| later.name_endpoint(piece));
                assert_eq!(found, expected, "{text:?} by {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_in_whatever_pieces_it_comes(
            text in "(: c\r\n|\n|event: endpoint\r\n|data: /m\n|data: x\r|id: 1\n|\r\n){0,8}",
        ) {
            let whole = read(text.as_bytes());
            for end in 0..text.len() {
                match read(&text.as_bytes()[..end]) {
                    FirstEvent::Unfinished(before) => prop_assert!(before <= end),
                    found @ (FirstEvent::Other | FirstEvent::Endpoint(_)) => {
                        prop_assert_eq!(&found, &whole);
                    }
                }
            }
        }

        #[test]
        fn whatever_a_server_sends_is_read(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let within = match read(&bytes) {
                FirstEvent::Unfinished(before) => before <= bytes.len(),
                FirstEvent::Other => true,
                FirstEvent::Endpoint(found) => found.start < found.end && found.end <= bytes.len(),
            };
            prop_assert!(within);
        }
    }
}

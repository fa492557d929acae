//! Messages in what a child writes: one on each line, and none too long.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// The lines of `R`.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    limit: usize,
    line: Vec<u8>,
    /// Of a line over the limit, the last bytes so far.
    tail: Option<Vec<u8>>,
}

/// A line, without its end.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Line {
    /// All of it.
    Whole(Vec<u8>),
    /// It was over the limit.
    TooLong {
        /// Its first bytes.
        head: Vec<u8>,
        /// Its last bytes.
        tail: Vec<u8>,
    },
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The lines of `from`, of no more than `limit` bytes each.
    pub const fn new(from: R, limit: usize) -> Self {
        Self {
            from,
            limit,
            line: Vec::new(),
            tail: None,
        }
    }

    /// The next line; none at the end. What stands there without a line's end is none.
    ///
    /// Nothing is lost when this is dropped before it is done.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let buffer = self.from.fill_buf().await?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let content = buffer
                .get(..end.unwrap_or(buffer.len()))
                .unwrap_or_default();
            let used = end.map_or(content.len(), |end| end + 1);
            if let Some(tail) = &mut self.tail {
                keep_last(tail, content);
            } else if content.len() > self.limit.saturating_sub(self.line.len()) {
                self.line.extend_from_slice(content);
                self.tail = Some(last(&self.line).to_vec());
                self.line.truncate(ENDS);
                self.line.shrink_to_fit();
            } else {
                self.line.extend_from_slice(content);
            }
            self.from.consume(used);
            if end.is_some() {
                return Ok(Some(self.taken()));
            }
        }
    }

    fn taken(&mut self) -> Line {
        let mut line = std::mem::take(&mut self.line);
        if let Some(tail) = self.tail.take() {
            return Line::TooLong { head: line, tail };
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Line::Whole(line)
    }
}

fn keep_last(tail: &mut Vec<u8>, content: &[u8]) {
    tail.extend_from_slice(last(content));
    tail.drain(..tail.len().saturating_sub(ENDS));
}

fn last(bytes: &[u8]) -> &[u8] {
    bytes
        .get(bytes.len().saturating_sub(ENDS)..)
        .unwrap_or_default()
}

/// How much is kept of either end of a line that is too long.
const ENDS: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn lines(text: &str, buffer: usize) -> Vec<Line> {
        let from = BufReader::with_capacity(buffer, text.as_bytes());
        let mut lines = Lines::new(from, 5);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(line);
        }
        found
    }

    #[tokio::test]
    async fn a_line_is_a_message_unless_it_is_too_long() {
        let whole = |text: &str| Line::Whole(text.into());
        let too_long = |text: &str| Line::TooLong {
            head: text.into(),
            tail: text.into(),
        };
        for (text, expected) in [
            ("a\nb\n", vec![whole("a"), whole("b")]),
            ("a\r\n\n", vec![whole("a"), whole("")]),
            ("12345\n", vec![whole("12345")]),
            ("half", vec![]),
            ("", vec![]),
            ("é\n", vec![whole("é")]),
        ] {
            for buffer in [1, 2, 3, 7, 100] {
                assert_eq!(lines(text, buffer).await, expected, "{text:?} by {buffer}");
            }
        }
        let found = lines("123456\n1\n", 100).await;
        assert_eq!(found, [too_long("123456"), whole("1")]);
    }

    #[tokio::test]
    async fn of_a_line_that_is_too_long_both_ends_are_kept() {
        let text = format!("{}{}{}\n", "a".repeat(64), "b".repeat(500), "c".repeat(64));
        for buffer in [7, 64, 100, 1000] {
            let found = lines(&text, buffer).await;
            let [Line::TooLong { head, tail }] = &*found else {
                panic!("{found:?}");
            };
            let (head, tail) = (head.as_slice(), tail.as_slice());
            assert!(head.iter().all(|byte| *byte == b'a') && head.len() >= 6);
            assert_eq!(tail, "c".repeat(64).as_bytes(), "by {buffer}");
        }
    }

    #[tokio::test]
    async fn what_is_over_the_limit_takes_no_room() {
        let text = "x".repeat(1 << 20);
        let from = BufReader::with_capacity(1 << 10, text.as_bytes());
        let mut lines = Lines::new(from, 1 << 12);
        assert_eq!(lines.next().await.unwrap(), None);
        let kept = lines.line.capacity() + lines.tail.unwrap().capacity();
        assert!(kept < 1 << 9, "{kept}");
    }
}

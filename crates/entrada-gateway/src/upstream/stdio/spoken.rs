//! What a child says on standard error, as lines of the log.

use std::time::Duration;

use tokio::time::Instant;

/// How many lines may be logged: so many at once, and so many more each second.
#[derive(Debug)]
pub struct Ration {
    left: u32,
    since: Instant,
    /// How many were not logged.
    dropped: u64,
}

impl Ration {
    /// All of it, at `now`.
    pub const fn new(now: Instant) -> Self {
        Self {
            left: AT_ONCE,
            since: now,
            dropped: 0,
        }
    }

    /// Whether a line is logged, and how many before it were not.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let seconds = now.duration_since(self.since).as_secs();
        if seconds > 0 {
            self.since += Duration::from_secs(seconds);
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.left = AT_ONCE.min(self.left.saturating_add(more.saturating_mul(EACH_SECOND)));
        }
        if self.left == 0 {
            self.dropped += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

/// A line as it may stand in a log: text, and nothing that moves a terminal's cursor.
pub fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let plain = |letter: char| match letter {
        '\t' => ' ',
        letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
        letter => letter,
    };
    text.trim_end().chars().map(plain).collect()
}

const AT_ONCE: u32 = 100;
const EACH_SECOND: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_by_its_size() {
        let now = Instant::now();
        let mut ration = Ration::new(now);
        for _ in 0..AT_ONCE {
            assert_eq!(ration.take(now), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(ration.take(now), None);
        }
        let later = now + Duration::from_millis(1500);
        assert_eq!(ration.take(later), Some(7));
        for _ in 1..EACH_SECOND {
            assert_eq!(ration.take(later), Some(0));
        }
        assert_eq!(ration.take(later), None);
        let much_later = now + Duration::from_secs(1 << 40);
        for _ in 0..AT_ONCE {
            assert!(ration.take(much_later).is_some());
        }
        assert_eq!(ration.take(much_later), None);
    }

    #[test]
    fn nothing_but_text_reaches_the_log() {
        assert_eq!(printable(b"a\tb\x1b[2Jc\xff\r"), "a b\u{fffd}[2Jc\u{fffd}");
    }
}

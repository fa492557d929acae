//! Moments of spans.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A clock in nanoseconds that no correction sets back, for spans alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanClock {
    began: Instant,
    began_at: u64,
}

impl SpanClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of the platform counts seconds, and spans are shorter"
    )]
    pub(super) fn begin() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default().as_nanos();
        Self {
            began: Instant::now(),
            began_at: u64::try_from(since).unwrap_or_default(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_nanos());
        self.began_at.saturating_add(since.unwrap_or_default())
    }
}

//! The thread that writes the audit log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use entrada::platform::{Clock as _, SystemClock};
use tokio::sync::oneshot;

use super::line::gap;
use super::place::Output;
use super::{Room, State};
use crate::metrics;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A line to write.
    Line(Waiting),
    /// Open the file anew.
    Reopen,
    /// End.
    End,
}

/// Writes lines until it is told to end.
#[derive(Debug)]
pub(super) struct Writer {
    output: Output,
    lines: Receiver<Message>,
    state: Arc<State>,
    waiting: VecDeque<Waiting>,
    /// How many lines are missing since the last that was written.
    lost: u64,
    failing: bool,
    clock: SystemClock,
}

/// A line, and who waits to hear whether it was written.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) line: String,
    pub(super) written: Option<oneshot::Sender<bool>>,
    pub(super) _room: Room,
}

impl Writer {
    pub(super) fn new(output: Output, lines: Receiver<Message>, state: Arc<State>) -> Self {
        Self {
            output,
            lines,
            state,
            waiting: VecDeque::new(),
            lost: 0,
            failing: false,
            clock: SystemClock::default(),
        }
    }

    pub(super) fn run(mut self) {
        while self.take() {
            self.write();
        }
        self.write();
        self.lost += self.waiting.len() as u64;
        if self.lost > 0 {
            metrics::audited("lost", self.waiting.len() as u64);
            tracing::error!(lost = self.lost, "the audit log ended with lines lost");
        }
    }

    /// Takes what there is to write, and waits for it; false once there will be no more.
    fn take(&mut self) -> bool {
        let patience = if self.failing { RETRY } else { Duration::MAX };
        let mut next = if patience == Duration::MAX {
            let next = self.lines.recv();
            next.map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            self.lines.recv_timeout(patience)
        };
        loop {
            match next {
                Ok(Message::Line(line)) => self.keep(line),
                Ok(Message::Reopen) => self.output.reopen(),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
            if self.waiting.len() >= MOST_AT_ONCE && !self.failing {
                return true;
            }
            next = match self.lines.try_recv() {
                Ok(message) => Ok(message),
                Err(_) => return true,
            };
        }
    }

    /// Keeps a line, if there is room, to be written next.
    fn keep(&mut self, line: Waiting) {
        if self.failing && line.written.is_some() {
            // Who waits is not let through; the line would say so.
            answer(line.written, false);
        } else if self.waiting.len() < MOST_KEPT {
            self.waiting.push_back(line);
        } else {
            self.lost += 1;
            metrics::audited("lost", 1);
        }
    }

    fn write(&mut self) {
        self.lost += self.state.lost.swap(0, Ordering::Relaxed);
        let is_short = self.failing || self.lost > 0;
        if self.waiting.is_empty() && !is_short {
            return;
        }
        let gap = is_short.then(|| gap(self.lost, self.clock.now()));
        let lines = gap.iter().map(String::as_str);
        let kept = self.waiting.iter().map(|waiting| waiting.line.as_str());
        let lines: Vec<_> = lines.chain(kept).collect();
        let written = self.output.write(&lines);
        let told = usize::from(gap.is_some());
        match written {
            Ok(()) => {
                self.done(self.waiting.len());
                self.works();
            }
            Err((count, error)) => {
                if count >= told && gap.is_some() {
                    self.lost = 0;
                }
                self.done(count.saturating_sub(told));
                self.fails(&error);
            }
        }
    }

    fn done(&mut self, count: usize) {
        metrics::audited("written", count as u64);
        for waiting in self.waiting.drain(..count.min(self.waiting.len())) {
            answer(waiting.written, true);
        }
    }

    fn works(&mut self) {
        self.lost = 0;
        let was_failing = self.state.failing.swap(false, Ordering::Relaxed);
        if std::mem::take(&mut self.failing) || was_failing {
            metrics::audit_fails(false);
            tracing::warn!("the audit log is written again");
        }
    }

    fn fails(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(%error, "the audit log cannot be written");
        }
        self.state.failing.store(true, Ordering::Relaxed);
        metrics::audit_fails(true);
        let (asked, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.written.is_some());
        self.waiting = kept;
        let asked: VecDeque<Waiting> = asked;
        for it in asked {
            answer(it.written, false);
        }
    }
}

/// Tells who waits, if somebody does still.
fn answer(written: Option<oneshot::Sender<bool>>, is_written: bool) {
    if let Some(written) = written {
        let _ = written.send(is_written);
    }
}

/// How many lines are written at once.
const MOST_AT_ONCE: usize = 512;

/// How many lines are kept while none can be written.
const MOST_KEPT: usize = 8_192;

/// How soon it is tried again.
const RETRY: Duration = Duration::from_secs(1);

//! The audit log: a line of JSON for each decision, to a file, to standard output or to syslog.
//!
//! A line is written by a thread of its own, which nobody waits for, unless the operator wants nothing
//! done that is not written: then a call waits for its line, and is refused where there is none.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use entrada::VerifiedToken;
use entrada::audit::{AuditEvent, AuditSink, AuditUnavailable};
use entrada::platform::{Clock as _, SystemClock};
use entrada::resource_server::Refusal;
use tokio::sync::oneshot;

mod line;
mod place;
mod writer;

pub use place::AuditPlace;

use crate::audit::line::Line;
use crate::audit::place::Output;
use crate::audit::writer::{Message, Waiting, Writer};
use crate::called::Called;
use crate::metrics;

/// Where the audit log goes, and what must be in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditSettings {
    /// Where it goes.
    pub place: AuditPlace,
    /// Whether nothing is done that cannot be written.
    pub required: bool,
    /// Whether it says what tools are called with.
    pub arguments: bool,
}

impl AuditSettings {
    /// A log at `place` that stops nothing, and tells of no arguments.
    pub const fn new(place: AuditPlace) -> Self {
        Self {
            place,
            required: false,
            arguments: false,
        }
    }
}

/// Takes what is decided into the audit log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    shared: Arc<Shared>,
    arguments: bool,
}

#[derive(Debug)]
struct Shared {
    queue: SyncSender<Message>,
    state: Arc<State>,
    required: bool,
    longest: usize,
    clock: SystemClock,
}

/// How writing fares.
#[derive(Debug, Default)]
struct State {
    failing: AtomicBool,
    /// How many lines found no room since the writer last looked.
    lost: AtomicU64,
    /// How many bytes of lines wait.
    held: AtomicUsize,
}

/// Room for a line, until this is dropped.
#[derive(Debug)]
struct Room {
    state: Arc<State>,
    bytes: usize,
}

impl Room {
    /// Room for so many bytes, if there is.
    fn take(state: &Arc<State>, bytes: usize) -> Option<Self> {
        let before = state.held.fetch_add(bytes, Ordering::Relaxed);
        let state = Arc::clone(state);
        let room = Self { state, bytes };
        (before.saturating_add(bytes) <= MOST_HELD).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.state.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The thread that writes, until it is told to end.
#[derive(Debug)]
#[must_use]
pub struct AuditWriter {
    audit: Audit,
    thread: JoinHandle<()>,
}

/// Nothing is done, for it could not be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the audit log cannot be written")]
#[non_exhaustive]
pub struct NotAudited;

/// Who asks for what: what a line says of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) caller: Option<&'a VerifiedToken>,
    pub(crate) called: Option<&'a Called>,
    pub(crate) route: Option<&'a str>,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) address: Option<IpAddr>,
}

impl Audit {
    /// Begins a log.
    ///
    /// # Errors
    ///
    /// What the system says, if it cannot be opened.
    pub fn begin(settings: &AuditSettings) -> io::Result<AuditWriter> {
        let output = Output::open(&settings.place)?;
        let (queue, lines) = sync_channel(QUEUE);
        let state = Arc::<State>::default();
        metrics::audit_fails(false);
        let writer = Writer::new(output, lines, Arc::clone(&state));
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread.spawn(move || writer.run())?;
        let shared = Arc::new(Shared {
            queue,
            state,
            required: settings.required,
            longest: settings.place.longest_line(),
            clock: SystemClock::default(),
        });
        let audit = Self {
            shared,
            arguments: settings.arguments,
        };
        Ok(AuditWriter { audit, thread })
    }

    /// Whether anything may be done: it can be written, or need not be.
    ///
    /// # Errors
    ///
    /// [`NotAudited`] if not.
    pub fn ready(&self) -> Result<(), NotAudited> {
        if self.shared.required && self.is_failing() {
            Err(NotAudited)
        } else {
            Ok(())
        }
    }

    /// Whether lines wait that cannot be written, or were lost.
    pub fn is_failing(&self) -> bool {
        self.shared.state.failing.load(Ordering::Relaxed)
    }

    /// Opens the file anew, which something else has moved away.
    pub fn reopen(&self) {
        // Where the queue is full the log fails, and it is opened anew for that.
        let _ = self.shared.queue.try_send(Message::Reopen);
    }

    /// Writes that a call is let through.
    ///
    /// # Errors
    ///
    /// [`NotAudited`] if that must be written and cannot be.
    pub(crate) fn allow(&self, asked: Asked<'_>) -> Result<Written, NotAudited> {
        let line = self.line(asked).allowed();
        if !self.shared.required {
            self.put(&line);
            return Ok(Written(None));
        }
        let (written, wait) = oneshot::channel();
        self.queue(&line, Some(written))?;
        Ok(Written(Some(wait)))
    }

    /// Lets a line wait for being written, if there is room.
    fn queue(
        &self,
        line: &Line<'_>,
        written: Option<oneshot::Sender<bool>>,
    ) -> Result<(), NotAudited> {
        let line = line.text_within(self.shared.longest);
        let room = Room::take(&self.shared.state, line.len()).ok_or(NotAudited)?;
        let waiting = Waiting {
            line,
            written,
            _room: room,
        };
        let queued = self.shared.queue.try_send(Message::Line(waiting));
        queued.map_err(|_| NotAudited)
    }

    /// The same log, for whoever tells what tools are called with, or does not.
    pub(crate) fn telling_arguments(&self, arguments: bool) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { shared, arguments }
    }

    /// Whether it tells what tools are called with.
    pub(crate) fn tells_arguments(&self) -> bool {
        self.arguments
    }

    /// Writes that a call was turned away.
    pub(crate) fn deny(&self, asked: Asked<'_>, code: &str, reason: &str) {
        self.put(&self.line(asked).denied(code, reason));
    }

    /// Writes that the guard turned a request away, but for those that show no token, as every client's
    /// first.
    pub(crate) fn refused(&self, asked: Asked<'_>, refusal: &Refusal) {
        if !matches!(refusal, Refusal::NoCredentials) {
            let line = self.line(asked).of_caller(refusal.caller());
            self.put(&line.denied(refusal.label(), &refusal.to_string()));
        }
    }

    fn line<'a>(&self, asked: Asked<'a>) -> Line<'a> {
        Line::of_call(asked, self.arguments, self.shared.clock.now())
    }

    fn put(&self, line: &Line<'_>) {
        if self.queue(line, None).is_ok() {
            return;
        }
        metrics::audited("lost", 1);
        self.shared.state.lost.fetch_add(1, Ordering::Relaxed);
        if !self.shared.state.failing.swap(true, Ordering::Relaxed) {
            metrics::audit_fails(true);
            tracing::error!("lines of the audit log are lost: more come than can be written");
        }
    }
}

/// A line on its way.
#[derive(Debug, Default)]
pub(crate) struct Written(Option<oneshot::Receiver<bool>>);

impl Written {
    /// Waits until it is written, if it must be.
    ///
    /// # Errors
    ///
    /// [`NotAudited`] if it is not.
    pub(crate) async fn wait(self) -> Result<(), NotAudited> {
        let Some(wait) = self.0 else { return Ok(()) };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(NotAudited),
        }
    }
}

impl AuditSink for Audit {
    fn record(&self, event: AuditEvent) {
        self.put(&Line::of_event(&event));
    }

    fn ready(&self) -> Result<(), AuditUnavailable> {
        Self::ready(self).map_err(|NotAudited| AuditUnavailable)
    }
}

impl AuditWriter {
    /// What takes lines.
    pub fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// Ends once all lines are written, or none can be.
    pub async fn end(self) {
        let Self { audit, thread } = self;
        let told = move || {
            // It fails where the thread has ended already.
            let _ = audit.shared.queue.send(Message::End);
            let _ = thread.join();
        };
        let ended = tokio::task::spawn_blocking(told);
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            tracing::error!(
                "the end of the audit log may be lost: it could not be written in time"
            );
        }
    }
}

/// How many lines wait to be written.
const QUEUE: usize = 8_192;

/// How many bytes they have together, for a caller makes a line as long as a request.
const MOST_HELD: usize = 64 << 20;

/// How long is waited for a line.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_that_wait_have_so_much_room_together() {
        let mut settings = AuditSettings::new(AuditPlace::File("/dev/full".into()));
        settings.arguments = true;
        let writer = Audit::begin(&settings).unwrap();
        let audit = writer.audit();
        let mut called = Called::new("tools/call", Some("wipe".to_owned()));
        called.arguments = Some("x".repeat(MOST_HELD / 8).into());
        let asked = Asked {
            caller: None,
            called: Some(&called),
            route: None,
            correlation_id: None,
            address: None,
        };
        for _ in 0..10 {
            audit.allow(asked).unwrap().wait().await.unwrap();
            assert!(audit.shared.state.held.load(Ordering::Relaxed) <= MOST_HELD);
        }
        assert!(audit.is_failing());
        let state = Arc::clone(&audit.shared.state);
        writer.end().await;
        drop(audit);
        assert_eq!(state.held.load(Ordering::Relaxed), 0);
    }
}

//! A running child: what is written to it, and to whom what it says goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::upstream::stdio::child::{Pipes, Process};
use crate::upstream::stdio::envelope::{Envelope, Kind};
use crate::upstream::stdio::ids::{InFlight, MOST_IN_FLIGHT};
use crate::upstream::stdio::lines::{Line, Lines};
use crate::upstream::stdio::outbox::Outbox;
use crate::upstream::stdio::pool::User;
use crate::upstream::stdio::spoken::{Ration, printable};

mod routing;

/// A running child.
#[derive(Debug)]
pub(super) struct Channel {
    lines: mpsc::UnboundedSender<Written>,
    /// For lines that wait to be written.
    room: Arc<Semaphore>,
    calls: Mutex<Calls>,
    audience: Arc<Audience>,
    message_limit: usize,
    stop: CancellationToken,
    over: CancellationToken,
}

/// Who hears what a child says to nobody in particular.
#[derive(Debug)]
pub(super) enum Audience {
    /// The one session there is.
    Session(Arc<Outbox>),
    /// Whoever shares the child: of what concerns them all, and of nothing else.
    Sessions(Mutex<BTreeMap<String, Weak<Outbox>>>),
    /// Nobody: each request stands alone. All are of one caller.
    Caller,
    /// Nobody: each request stands alone, and they are of many callers.
    Callers,
}

impl Audience {
    /// Whether they are of several users.
    const fn is_mixed(&self) -> bool {
        matches!(self, Self::Sessions(_) | Self::Callers)
    }
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Destination {
    /// To a client.
    Client {
        outbox: Arc<Outbox>,
        stream: u64,
        /// Who asked.
        user: Arc<User>,
        /// Whether it is a stream of notifications, with no work behind it.
        listens: bool,
    },
    /// To us.
    Us(oneshot::Sender<String>),
}

#[derive(Debug, Default)]
struct Calls {
    in_flight: InFlight<Destination>,
    /// The child is gone: nothing is answered any more.
    over: bool,
}

impl Destination {
    fn is_on(&self, outbox: &Arc<Outbox>) -> bool {
        matches!(self, Self::Client { outbox: theirs, .. } if Arc::ptr_eq(theirs, outbox))
    }

    fn user(&self) -> Option<&User> {
        match self {
            Self::Client { user, .. } => Some(user),
            Self::Us(_) => None,
        }
    }
}

impl Calls {
    /// Whether whoever would ask for `to` has asked for as much as one user may.
    fn has_most_of_one(&self, to: &Destination) -> bool {
        let calls = self.in_flight.calls();
        let theirs = calls.filter(|call| call.to.user() == to.user());
        to.user().is_some() && theirs.count() >= MOST_OF_ONE
    }
}

/// A line for a child, and the room it takes until it is written.
#[derive(Debug)]
pub(super) struct Written {
    line: String,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a message cannot be said to a child.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unsaid {
    /// The child is gone.
    Gone,
    /// It has too many requests to answer.
    Busy,
}

impl Channel {
    /// The way to a child that is about to run, and what is to be written to it.
    pub(super) fn new(
        audience: Arc<Audience>,
        message_limit: usize,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Written>) {
        let (lines, written) = mpsc::unbounded_channel();
        let channel = Self {
            lines,
            room: Arc::new(Semaphore::new(WAITING_LINES)),
            calls: Mutex::default(),
            audience,
            message_limit,
            stop: CancellationToken::new(),
            over: CancellationToken::new(),
        };
        (Arc::new(channel), written)
    }

    /// Whether the child is gone, or about to go.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled() || self.stop.is_cancelled()
    }

    /// Ends the child, in good order.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Says a message that wants no answer.
    pub(super) async fn say(&self, line: String) -> Result<(), Unsaid> {
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_owned() => room.ok(),
            () = self.over.cancelled() => None,
        };
        if room.is_none() {
            return Err(Unsaid::Gone);
        }
        let written = Written { line, _room: room };
        self.lines.send(written).map_err(|_| Unsaid::Gone)
    }

    /// Asks what `envelope` does, for an answer to `to`; the number that stands for it.
    pub(super) async fn ask(
        &self,
        envelope: &Envelope<'_>,
        to: Destination,
    ) -> Result<u64, Unsaid> {
        let Kind::Request { id, .. } = *envelope.kind() else {
            return Err(Unsaid::Gone);
        };
        let token = envelope.params().asked_progress_token;
        let number = {
            let mut calls = self.calls();
            if calls.over {
                return Err(Unsaid::Gone);
            }
            if self.audience.is_mixed() && calls.has_most_of_one(&to) {
                return Err(Unsaid::Busy);
            }
            calls.in_flight.begin(id, token, to).ok_or(Unsaid::Busy)?
        };
        let written = number.to_string();
        let mut changes = vec![(id, &*written)];
        changes.extend(token.map(|token| (token, &*written)));
        let asked = Asked(Some((self, number)));
        self.say(envelope.with(&changes)).await?;
        Ok(asked.was_said().unwrap_or(number))
    }

    /// The number of the request that `outbox`'s client calls `id`.
    pub(super) fn number_of(&self, id: &str, outbox: &Arc<Outbox>) -> Option<u64> {
        self.calls().in_flight.number_of(id, |to| to.is_on(outbox))
    }

    /// Whoever asked is gone, or has waited enough: tells the child, if it has not answered.
    pub(super) fn cancel(&self, number: u64) {
        if self.forget(number) {
            // It waits for no room: there are no more of these than there are requests.
            let line = cancellation(number);
            // A child that is gone need not be told.
            let _ = self.lines.send(Written { line, _room: None });
        }
    }

    /// A session has ended: nobody waits any more for what it asked.
    pub(super) fn leave(&self, outbox: &Arc<Outbox>) {
        let numbers = self.calls().in_flight.numbers_of(|to| to.is_on(outbox));
        for number in numbers {
            self.cancel(number);
        }
    }

    /// Drops whatever answer comes, and ends the stream it would have gone to.
    pub(super) fn forget(&self, number: u64) -> bool {
        let call = self.calls().in_flight.forget(number);
        if let Some(Destination::Client { outbox, stream, .. }) = call.as_ref().map(|call| &call.to)
        {
            outbox.answer_withdrawn(*stream);
        }
        call.is_some()
    }

    /// Serves the child until it ends, or is to; whether that was its own doing.
    pub(super) async fn run(
        &self,
        mut process: Process,
        pipes: Pipes,
        lines: mpsc::UnboundedReceiver<Written>,
    ) -> bool {
        let pid = process.id();
        let (by_itself, status) = {
            let reading = self.read(pipes.stdout, pipes.stderr, pid).fuse();
            let mut reading = std::pin::pin!(reading);
            let mut writing = Box::pin(Self::write(pipes.stdin, lines));
            let by_itself = tokio::select! {
                biased;
                () = self.stop.cancelled() => false,
                () = reading.as_mut() => true,
                () = writing.as_mut() => true,
                _ = process.exited() => true,
            };
            self.over.cancel();
            // This closes its standard input.
            drop(writing);
            let read_on = async {
                reading.as_mut().await;
                std::future::pending().await
            };
            let status = tokio::select! {
                status = process.end() => status,
                status = read_on => status,
            };
            // What it wrote last may still be in the pipe.
            if !reading.is_terminated() {
                let _ = tokio::time::timeout(LAST_WORDS, reading).await;
            }
            (by_itself, status)
        };
        self.end_calls();
        let status = status.map(tracing::field::display);
        tracing::info!(pid, by_itself, status, "the child has ended");
        by_itself
    }

    async fn write(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<Written>) {
        while let Some(mut written) = lines.recv().await {
            written.line.push('\n');
            if stdin.write_all(written.line.as_bytes()).await.is_err()
                || stdin.flush().await.is_err()
            {
                return;
            }
        }
    }

    /// Reads all that the child says, until it closes its standard output.
    async fn read(&self, stdout: ChildStdout, stderr: ChildStderr, pid: Option<u32>) {
        let messages = async {
            let mut ration = Ration::new(Instant::now());
            let mut lines = Lines::new(BufReader::new(stdout), self.message_limit);
            while let Ok(Some(line)) = lines.next().await {
                self.hear(line, pid, &mut ration);
            }
        };
        let remarks = async {
            let mut ration = Ration::new(Instant::now());
            let mut lines = Lines::new(BufReader::new(stderr), MOST_SPOKEN);
            while let Ok(Some(line)) = lines.next().await {
                let (Line::Whole(said) | Line::TooLong { head: said, .. }) = line;
                if let Some(left_out) = ration.take(Instant::now()) {
                    let said = printable(&said);
                    tracing::info!(target: SPOKEN, pid, left_out, said, "standard error");
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = messages => {}
            () = remarks => {}
        }
    }

    fn hear(&self, line: Line, pid: Option<u32>, ration: &mut Ration) {
        let what = match line {
            Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => return,
            Line::Whole(line) => match String::from_utf8(line).ok().map(|text| self.deliver(&text))
            {
                Some(Ok(())) => return,
                Some(Err(_)) | None => "it is no message",
            },
            Line::TooLong { head, tail } => {
                self.give_up(&head, &tail);
                "it is over the message_limit"
            }
        };
        if let Some(left_out) = ration.take(Instant::now()) {
            tracing::warn!(pid, left_out, what, "a line of the child's was dropped");
        }
    }

    fn end_calls(&self) {
        let ended = {
            let mut calls = self.calls();
            calls.over = true;
            std::mem::take(&mut calls.in_flight).into_calls()
        };
        for call in ended {
            if let Destination::Client { outbox, .. } = call.to {
                outbox.break_off();
            }
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has a number and is not written yet: if it never is, the number goes.
struct Asked<'a>(Option<(&'a Channel, u64)>);

impl Asked<'_> {
    fn was_said(mut self) -> Option<u64> {
        self.0.take().map(|(_, number)| number)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some((channel, number)) = self.0 {
            channel.forget(number);
        }
    }
}

fn cancellation(number: u64) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\
         \"params\":{{\"requestId\":{number}}}}}"
    )
}

/// What the log calls what children say.
const SPOKEN: &str = "entrada_gateway::child";
/// How much of what a child has to answer one user may have asked, where it is shared.
const MOST_OF_ONE: usize = MOST_IN_FLIGHT / 4;
/// How many messages may wait for a child to read them.
const WAITING_LINES: usize = 64;
/// How long a line of standard error may be.
const MOST_SPOKEN: usize = 1024;
/// How long is read what a child left in its pipes.
const LAST_WORDS: Duration = Duration::from_millis(500);

//! The thread that writes: many writes, one wait for the disk.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::tables::{Failure, Tables};

/// How many writes share a transaction; also how many wait before those who ask must.
const MOST_TOGETHER: usize = 256;

/// Hands writes to the thread. Dropping it waits for those already handed over.
#[derive(Debug)]
pub(super) struct Writer {
    // Before `_thread`, which ends once this is dropped.
    jobs: mpsc::Sender<Box<dyn Job>>,
    _thread: Joined,
}

/// A thread that is waited for.
#[derive(Debug)]
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        // A panic of the thread was already answered: with `Failure::Ended`.
        let _ended = self.0.take().map(JoinHandle::join);
    }
}

impl Writer {
    pub(super) fn start(database: Arc<Database>) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(MOST_TOGETHER);
        let thread = thread::Builder::new()
            .name("entrada-store".to_owned())
            .spawn(move || serve(&database, waiting))?;
        Ok(Self {
            jobs,
            _thread: Joined(Some(thread)),
        })
    }

    /// Runs `verb` in a transaction and answers once that is on the disk.
    ///
    /// If the future is dropped, the write may still be made.
    pub(super) async fn write<T, V>(&self, verb: V) -> Result<T, Failure>
    where
        T: Send + 'static,
        V: FnOnce(&mut Tables<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            verb: Some(verb),
            outcome: Err(Failure::Ended),
            answer,
        };
        let sent = self.jobs.send(Box::new(pending)).await;
        sent.map_err(|_| Failure::Ended)?;
        answered.await.map_err(|_| Failure::Ended)?
    }
}

/// A write, whatever it answers.
trait Job: Send {
    /// Makes the write. On an error the whole transaction must be given up.
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), Failure>;

    /// Says what came of it.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
}

struct Pending<T, V> {
    verb: Option<V>,
    outcome: Result<T, Failure>,
    answer: oneshot::Sender<Result<T, Failure>>,
}

impl<T, V> Job for Pending<T, V>
where
    T: Send,
    V: FnOnce(&mut Tables<'_>) -> Result<T, Failure> + Send,
{
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), Failure> {
        let Some(verb) = self.verb.take() else {
            return Ok(());
        };
        self.outcome = verb(tables);
        match &self.outcome {
            // A verb finds damage before it writes, so the others need not suffer.
            Ok(_) | Err(Failure::Damaged) => Ok(()),
            Err(failure @ (Failure::File(_) | Failure::Ended)) => Err(failure.clone()),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        // Nobody may be left to listen, which changes nothing.
        let _unheard = self.answer.send(committed.and(self.outcome));
    }
}

fn serve(database: &Database, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut together = Vec::with_capacity(MOST_TOGETHER);
    while waiting.blocking_recv_many(&mut together, MOST_TOGETHER) > 0 {
        let committed = commit(database, &mut together);
        for job in together.drain(..) {
            job.answer(committed.clone());
        }
    }
}

fn commit(database: &Database, together: &mut [Box<dyn Job>]) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    // One phase can be rolled back by two crashes in a row, which would bring a spent code back.
    transaction.set_two_phase_commit(true);
    let mut tables = Tables::open(&transaction)?;
    for job in together {
        job.run(&mut tables)?;
    }
    let changed = tables.changed();
    drop(tables);
    if changed {
        Ok(transaction.commit()?)
    } else {
        // Nothing to wait for: unknown codes and states, which anyone can send, cost no write.
        Ok(transaction.abort()?)
    }
}

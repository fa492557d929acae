//! Being told to stop.

use std::future::Future;
use std::io;

use tokio_util::sync::CancellationToken;

/// The signal that asks the process to read its files again.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Begins to listen for it: from then on it ends nothing.
    ///
    /// # Errors
    ///
    /// What the system says, if it does not let us.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangup: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; for ever where there is no such signal.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.hangup.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// The signals that ask the process to stop.
#[derive(Debug)]
pub struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    /// Begins to listen for them.
    ///
    /// # Errors
    ///
    /// What the system says, if it does not let us.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Begins to listen for them.
    ///
    /// # Errors
    ///
    /// None here.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Runs `work` to its end. The first signal cancels `stop`, the second drops `work`.
    pub async fn govern(mut self, work: impl Future<Output = ()>, stop: CancellationToken) {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            () = &mut work => return,
            () = self.next() => stop.cancel(),
        }
        tokio::select! {
            () = work => {}
            () = self.next() => tracing::warn!("stopped without waiting"),
        }
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Does `what` whenever the process is told that files were moved (`SIGHUP`), until it is dropped.
#[cfg(unix)]
pub(crate) async fn on_hangup(what: impl Fn() + Send) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(%error, "the audit log cannot be told to open its file anew");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        what();
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
pub(crate) async fn on_hangup(_: impl Fn() + Send) {}

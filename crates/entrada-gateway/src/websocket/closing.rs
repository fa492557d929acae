//! What a client is told where a WebSocket does not end by itself (RFC 6455 §5.5.1).

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy, sink};

use crate::websocket::frames::Frames;

/// Why a client is told to go (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Close {
    /// It would be let in no more.
    Refused,
    /// Nobody can tell whether it would be.
    Unsure,
    /// The gateway stops.
    Stopping,
}

impl Close {
    /// The code, and the reason.
    const fn said(self) -> (u16, &'static str) {
        match self {
            Self::Refused => (1008, "token no longer accepted"),
            // Of the registry that RFC 6455 §11.7 began.
            Self::Unsure => (1013, "token cannot be verified now"),
            Self::Stopping => (1001, "gateway is stopping"),
        }
    }

    /// The frame that says so.
    pub(super) fn frame(self) -> Vec<u8> {
        let (code, reason) = self.said();
        let length = u8::try_from(2 + reason.len()).unwrap_or_default();
        [&[0x88, length], &code.to_be_bytes(), reason.as_bytes()].concat()
    }
}

/// Whether it was decided that a WebSocket ends, and how far what goes to its client is.
#[derive(Debug, Default)]
pub(super) struct Turn {
    is_over: AtomicBool,
    in_frame: AtomicBool,
}

impl Turn {
    /// From now on the client is not heard, and gets the rest of a frame that has begun at most; whether one has.
    pub(super) fn end(&self) -> bool {
        self.is_over.store(true, Ordering::Relaxed);
        self.in_frame.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// The client's end. Once it is over, what is written there ends with a frame.
#[derive(Debug)]
pub(super) struct ToClient<'a, C, F> {
    client: C,
    turn: &'a Turn,
    /// Is told how many bytes go there.
    sent: F,
    frames: Frames,
}

impl<'a, C, F> ToClient<'a, C, F>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(client: C, turn: &'a Turn, sent: F) -> Self {
        Self {
            client,
            turn,
            sent,
            frames: Frames::default(),
        }
    }

    /// Tells the client, where a frame may be said, and waits for it to go, but not for long.
    pub(super) async fn close(mut self, why: Close) {
        if !self.frames.is_at_end() || self.frames.has_closed() {
            return;
        }
        let client = &mut self.client;
        let told = async {
            client.write_all(&why.frame()).await?;
            client.shutdown().await?;
            // What is left unread when a connection is closed resets it, and what was said is lost with it.
            copy(client, &mut sink()).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, told).await {
            tracing::debug!(%error, "a client was gone before it was told to");
        }
    }
}

impl<C, F> AsyncWrite for ToClient<'_, C, F>
where
    C: AsyncWrite + Unpin,
    F: FnMut(usize) + Unpin,
{
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let may_go = if this.turn.is_over() {
            this.frames.unfinished(bytes)
        } else {
            bytes.len()
        };
        let bytes = bytes.get(..may_go).unwrap_or_default();
        if bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = ready!(Pin::new(&mut this.client).poll_write(context, bytes))?;
        this.frames.pass(bytes.get(..written).unwrap_or_default());
        let in_frame = !this.frames.is_at_end();
        this.turn.in_frame.store(in_frame, Ordering::Relaxed);
        (this.sent)(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.client).poll_flush(context))?;
        if this.turn.is_over() && this.frames.is_at_end() {
            // Or a server that says nothing more would be waited for.
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client).poll_shutdown(context)
    }
}

impl<C: AsyncRead + Unpin, F: Unpin> AsyncRead for ToClient<'_, C, F> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turn.is_over() {
            // Nothing wakes it: it is given up once the frame has ended.
            return Poll::Pending;
        }
        Pin::new(&mut this.client).poll_read(context, buffer)
    }
}

/// How long a frame may take to end, and a client to go once it is told.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

//! What becomes of two connections that speak WebSocket: bytes go from each to the other.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use entrada::access_token::VerifyError;
use entrada::resource_server::{Refusal, Standing};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};

use crate::websocket::closing::{Close, PATIENCE, ToClient, Turn};

/// A WebSocket that is open, in the extensions of the answer that opened it. Whoever takes it there has it
/// run; of clones, one does.
#[derive(Clone)]
pub(crate) struct Tunnel(Arc<Mutex<Option<Ends>>>);

/// The ends of a WebSocket, and what holds for as long as it lasts.
pub(crate) struct Ends {
    pub(crate) client: OnUpgrade,
    pub(crate) server: OnUpgrade,
    /// Whether the client would be let in still.
    pub(crate) standing: Standing,
    /// What is kept until its end.
    pub(crate) under_way: Box<dyn Any + Send>,
}

/// How a WebSocket ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Both ends had nothing more to say.
    Closed,
    /// One of them broke off.
    BrokenOff,
    /// The client would be let in no more.
    Refused(Refusal),
    /// The gateway stopped.
    Stopped,
}

impl Ending {
    fn of(copied: io::Result<(u64, u64)>) -> Self {
        match copied {
            Ok(_) => Self::Closed,
            Err(error) => {
                tracing::debug!(%error, "a websocket broke off");
                Self::BrokenOff
            }
        }
    }

    /// What the client is told, where it was not one of the ends that ended it.
    fn close(&self) -> Option<Close> {
        match self {
            Self::Closed | Self::BrokenOff => None,
            Self::Refused(Refusal::Unverified(error))
                if matches!(**error, VerifyError::Unavailable(_)) =>
            {
                Some(Close::Unsure)
            }
            Self::Refused(_) => Some(Close::Refused),
            Self::Stopped => Some(Close::Stopping),
        }
    }
}

impl Tunnel {
    pub(crate) fn new(ends: Ends) -> Self {
        Self(Arc::new(Mutex::new(Some(ends))))
    }

    /// Keeps `what` until its end, too.
    pub(crate) fn keep(&self, what: impl Send + 'static) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = ends.as_mut() {
            let kept = mem::replace(&mut ends.under_way, Box::new(()));
            ends.under_way = Box::new((kept, what));
        }
    }

    /// Passes bytes both ways until `stopping` is over or the client would be let in no more, and tells `sent` how
    /// many go to the client.
    pub(crate) async fn run(
        self,
        stopping: impl Future<Output = ()> + Send,
        sent: impl FnMut(usize) + Send + Unpin,
    ) -> Ending {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ends) = ends else {
            return Ending::BrokenOff;
        };
        let _under_way = ends.under_way;
        let Ok((client, server)) = tokio::try_join!(ends.client, ends.server) else {
            return Ending::BrokenOff;
        };
        let over = async {
            tokio::select! {
                refusal = ends.standing.ended() => Ending::Refused(refusal),
                () = stopping => Ending::Stopped,
            }
        };
        pass((TokioIo::new(client), TokioIo::new(server)), over, sent).await
    }
}

/// Passes bytes both ways, of which only where frames end is seen. What one end does not read, the other cannot
/// send; when one has said all, the other may go on; and when one is gone, both are.
async fn pass<C, S>(
    (client, mut server): (C, S),
    over: impl Future<Output = Ending>,
    sent: impl FnMut(usize) + Unpin,
) -> Ending
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let turn = Turn::default();
    let mut client = ToClient::new(client, &turn, sent);
    let ending = {
        let passing = copy_bidirectional_with_sizes(&mut client, &mut server, AT_ONCE, AT_ONCE);
        let mut passing = pin!(passing);
        let ending = tokio::select! {
            copied = &mut passing => return Ending::of(copied),
            ending = over => ending,
        };
        if turn.end() {
            // It ends by itself once the frame has ended.
            let _ = tokio::time::timeout(PATIENCE, passing).await;
        }
        ending
    };
    drop(server);
    if let Some(why) = ending.close() {
        client.close(why).await;
    }
    ending
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel(…)")
    }
}

/// How many bytes of one end are held for the other.
const AT_ONCE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::oneshot;
    use tokio::task::{JoinSet, yield_now};
    use tokio::time::{Duration, Instant};

    use super::*;

    /// A WebSocket, its two ends, and what ends it.
    struct Stage {
        client: DuplexStream,
        server: DuplexStream,
        end: Option<oneshot::Sender<()>>,
        is_over: Arc<AtomicBool>,
        passing: JoinSet<Ending>,
    }

    impl Stage {
        fn new() -> Self {
            let [(client, at_client), (server, at_server)] = [duplex(1 << 10), duplex(1 << 10)];
            let (end, ended) = oneshot::channel();
            let is_over = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&is_over);
            let over = async move {
                ended.await.unwrap();
                seen.store(true, Ordering::Relaxed);
                Ending::Stopped
            };
            let mut passing = JoinSet::new();
            passing.spawn(pass((at_client, at_server), over, |_| {}));
            Self {
                client,
                server,
                end: Some(end),
                is_over,
                passing,
            }
        }

        /// The server says `bytes`, and the client has them.
        async fn said(&mut self, bytes: &[u8]) {
            self.server.write_all(bytes).await.unwrap();
            let mut seen = vec![0; bytes.len()];
            self.client.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, bytes);
        }

        /// Decides that it is over; nothing but that goes on meanwhile.
        async fn end(&mut self) {
            self.end.take().unwrap().send(()).unwrap();
            while !self.is_over.load(Ordering::Relaxed) {
                yield_now().await;
            }
        }

        /// What the client hears until its end, which is the server's.
        async fn rest(mut self) -> Vec<u8> {
            let mut heard = vec![];
            let ended = async {
                self.client.read_to_end(&mut heard).await.unwrap();
                drop(self.client);
                assert_eq!(self.server.read(&mut [0]).await.unwrap(), 0);
                self.passing.join_next().await.unwrap().unwrap()
            };
            let ended = tokio::time::timeout(3 * PATIENCE, ended).await.unwrap();
            assert!(matches!(ended, Ending::Stopped));
            heard
        }
    }

    const STOPPING: &[u8] = b"\x88\x15\x03\xe9gateway is stopping";

    #[tokio::test(start_paused = true)]
    async fn between_two_frames_the_client_is_told_at_once() {
        for said in [&b""[..], b"\x82\x04pong", b"\x81\x7e\0\x02ok\x89\0"] {
            let mut stage = Stage::new();
            stage.said(said).await;
            stage.end().await;
            assert_eq!(stage.rest().await, STOPPING);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_has_begun_ends_before_the_client_is_told() {
        let mut stage = Stage::new();
        stage.said(b"\x82\x0cless").await;
        stage.end().await;
        stage.client.write_all(b"not heard").await.unwrap();
        stage.server.write_all(b" is").await.unwrap();
        stage.server.write_all(b" more\x82\x04next").await.unwrap();
        let rest = stage.rest().await;
        assert_eq!(rest, [b" is more", STOPPING].concat(), "{rest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_after_its_frame_is_not_waited_for() {
        let mut stage = Stage::new();
        stage.said(b"\x82\x04wh").await;
        stage.end().await;
        let ended = Instant::now();
        stage.server.write_all(b"at").await.unwrap();
        assert_eq!(stage.rest().await, [b"at", STOPPING].concat());
        assert_eq!(ended.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn within_a_frame_that_does_not_end_nothing_is_said() {
        for begun in [&b"\x82"[..], b"\x82\x0aless", b"\x82\x7f\0\0\0\0"] {
            let mut stage = Stage::new();
            stage.said(begun).await;
            stage.end().await;
            assert_eq!(stage.rest().await, b"");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_was_told_by_the_server_is_not_told_again() {
        let mut stage = Stage::new();
        stage.said(b"\x88\x02\x03\xe8").await;
        stage.end().await;
        assert_eq!(stage.rest().await, b"");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_a_moment_to_go_and_no_more_whether_it_reads_or_not() {
        for reads in [true, false] {
            let mut stage = Stage::new();
            // All that its end holds; what follows goes to the server's once that is there.
            let whole = [&b"\x82\x7e\x03\xfc"[..], &[b'x'; 1020]].concat();
            stage.server.write_all(&whole).await.unwrap();
            stage.server.write_all(b"\x82\x04next").await.unwrap();
            stage.end().await;
            if reads {
                let mut heard = vec![];
                stage.client.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, [&whole, STOPPING].concat());
            }
            for _ in 0..10 {
                yield_now().await;
            }
            assert!(stage.passing.try_join_next().is_none(), "{reads}");
            let ended = stage.passing.join_next();
            let ended = tokio::time::timeout(3 * PATIENCE, ended).await.unwrap();
            assert!(matches!(ended.unwrap().unwrap(), Ending::Stopped));
            drop(stage.client);
        }
    }

    #[test]
    fn what_a_client_is_told_says_whether_to_come_back() {
        let unsure = VerifyError::Unavailable(io::Error::from(io::ErrorKind::TimedOut).into());
        let unsure = Refusal::Unverified(Arc::new(unsure));
        for (ending, code) in [
            (Ending::Refused(unsure), Some(1013)),
            (Ending::Refused(Refusal::NoCredentials), Some(1008)),
            (Ending::Stopped, Some(1001)),
            (Ending::Closed, None),
            (Ending::BrokenOff, None),
        ] {
            let frame = ending.close().map(Close::frame);
            let told = frame.map(|frame| {
                assert_eq!((frame[0], usize::from(frame[1])), (0x88, frame.len() - 2));
                u16::from_be_bytes([frame[2], frame[3]])
            });
            assert_eq!(told, code, "{ending:?}");
        }
    }
}

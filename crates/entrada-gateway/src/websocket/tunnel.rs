//! What becomes of two connections that speak WebSocket: bytes go from each to the other.

use std::any::Any;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use entrada::resource_server::{Refusal, Standing};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio_util::io::InspectWriter;

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

    /// Passes bytes both ways, unread, and tells `sent` how many go to the client. What one end does not read,
    /// the other cannot send; when one has said all, the other may go on; and when one is gone, both are.
    pub(crate) async fn run(self, mut sent: impl FnMut(usize) + Send) -> Ending {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ends) = ends else {
            return Ending::BrokenOff;
        };
        let _under_way = ends.under_way;
        let Ok((client, server)) = tokio::try_join!(ends.client, ends.server) else {
            return Ending::BrokenOff;
        };
        let mut client = InspectWriter::new(TokioIo::new(client), |bytes: &[u8]| sent(bytes.len()));
        let mut server = TokioIo::new(server);
        let copied = copy_bidirectional_with_sizes(&mut client, &mut server, AT_ONCE, AT_ONCE);
        tokio::select! {
            copied = copied => match copied {
                Ok(_) => Ending::Closed,
                Err(error) => {
                    tracing::debug!(%error, "a websocket broke off");
                    Ending::BrokenOff
                }
            },
            refusal = ends.standing.ended() => Ending::Refused(refusal),
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel(…)")
    }
}

/// How many bytes of one end are held for the other.
const AT_ONCE: usize = 16 << 10;

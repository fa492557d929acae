//! TLS handshakes, none of which keeps another waiting.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::tls::{Asked, Certificates};

/// How long a handshake may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many may be under way: some tens of megabytes. Where there is one more, the longest under way
/// ends: whoever means it is done in two round trips, and whoever only holds places goes first.
const MOST: usize = 2048;

/// The handshakes under way. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    certificates: Certificates,
    places: Places,
}

impl Handshakes {
    /// Shows what `certificates` holds.
    pub(super) fn new(certificates: Certificates) -> Self {
        Self {
            certificates,
            places: Places::new(MOST),
        }
    }

    /// The connection inside `stream`, if there comes to be one.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let place = self.places.take();
        let accepted = tokio::time::timeout(TIMEOUT, self.shake(stream));
        tokio::select! {
            accepted = accepted => match accepted {
                Ok(Ok(stream)) => return stream,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
            () = place.lost.cancelled() => {
                tracing::debug!("a TLS handshake made room for others");
            }
        }
        None
    }

    /// The connection of a client; none where it was an authority's, which has seen all there is to see.
    async fn shake(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        match self.certificates.settings(&begun.client_hello()) {
            Asked::ByClient(settings) => begun.into_stream(settings).await.map(Some),
            Asked::ByAuthority(settings) => {
                let mut stream = begun.into_stream(settings).await?;
                tracing::debug!("an authority asked whether a name leads here");
                stream.shutdown().await.map(|()| None)
            }
        }
    }
}

/// So many places, of which the one longest taken is lost where there is no other.
#[derive(Clone, Debug)]
struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By when they were taken.
    places: BTreeMap<u64, CancellationToken>,
}

/// A place, free again when this is dropped.
#[derive(Debug)]
struct Place {
    number: u64,
    lost: CancellationToken,
    places: Places,
}

impl Places {
    fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    fn take(&self) -> Place {
        let lost = CancellationToken::new();
        let mut taken = self.lock();
        if taken.places.len() >= self.most
            && let Some((_, oldest)) = taken.places.pop_first()
        {
            oldest.cancel();
        }
        let number = taken.next;
        taken.next = number.wrapping_add(1);
        taken.places.insert(number, lost.clone());
        Place {
            number,
            lost,
            places: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().places.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::CertificateFiles;

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_come_ends_and_frees_its_place() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let certificates = Certificates::open(CertificateFiles::new(certificate, key)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let handshakes = Handshakes::new(certificates);
        assert!(handshakes.accept(stream).await.is_none());
        assert!(handshakes.places.lock().places.is_empty());
    }

    #[test]
    fn the_place_longest_taken_is_lost_where_there_is_no_other() {
        let places = Places::new(2);
        let [first, second] = [places.take(), places.take()];
        drop(second);
        let third = places.take();
        assert!(!first.lost.is_cancelled());
        let fourth = places.take();
        assert!(first.lost.is_cancelled());
        drop(first);
        assert!(!third.lost.is_cancelled() && !fourth.lost.is_cancelled());
        drop(places.take());
        assert!(third.lost.is_cancelled() && !fourth.lost.is_cancelled());
        assert_eq!(places.lock().places.len(), 1);
    }
}

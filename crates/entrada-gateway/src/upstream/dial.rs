//! Connections before TLS, over TCP or to a Unix socket; and how long it may take until one is open.

use std::error::Error;
use std::future::Future;
use std::io::{self, IoSlice};
#[cfg(unix)]
use std::path::Path;
use std::pin::Pin;
#[cfg(unix)]
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// Opens connections.
#[derive(Clone, Debug)]
pub(super) enum Dial {
    Tcp(HttpConnector),
    /// To this socket, whatever host is asked for.
    #[cfg(unix)]
    Unix(Arc<Path>),
}

/// An open connection.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TokioIo<TcpStream>),
    #[cfg(unix)]
    Unix(TokioIo<UnixStream>),
}

type BoxError = Box<dyn Error + Send + Sync>;

/// What opens connections to a server, TLS and all.
pub(super) type Connector = InTime<HttpsConnector<Dial>>;

/// Opens connections as what is inside does, if they are open in time: name, TCP and TLS together. A
/// server that takes a connection and says nothing is as good as away.
#[derive(Clone, Debug)]
pub(super) struct InTime<C>(pub(super) C);

/// No connection was open in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no connection was open after {OPEN_TIMEOUT:?}")]
pub(super) struct NotInTime;

impl<C> tower::Service<Uri> for InTime<C>
where
    C: tower::Service<Uri, Error = BoxError>,
    C::Response: 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let opening = tokio::time::timeout(OPEN_TIMEOUT, self.0.call(uri));
        Box::pin(async move { opening.await.unwrap_or_else(|_| Err(NotInTime.into())) })
    }
}

/// How long it may take until a connection is open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

impl tower::Service<Uri> for Dial {
    type Response = Socket;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_ready(context).map_err(Into::into),
            #[cfg(unix)]
            Self::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Self::Tcp(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async move { Ok(Socket::Tcp(connecting.await?)) })
            }
            #[cfg(unix)]
            Self::Unix(path) => {
                let path = Arc::clone(path);
                Box::pin(async move {
                    let stream = UnixStream::connect(path).await?;
                    Ok(Socket::Unix(TokioIo::new(stream)))
                })
            }
        }
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        match self {
            Self::Tcp(tcp) => tcp.connected(),
            #[cfg(unix)]
            Self::Unix(_) => Connected::new(),
        }
    }
}

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(context, buffer),
            #[cfg(unix)]
            Self::Unix(unix) => Pin::new(unix).poll_read(context, buffer),
        }
    }
}

impl Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(context, bytes),
            #[cfg(unix)]
            Self::Unix(unix) => Pin::new(unix).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(context),
            #[cfg(unix)]
            Self::Unix(unix) => Pin::new(unix).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(context),
            #[cfg(unix)]
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            #[cfg(unix)]
            Self::Unix(unix) => unix.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            #[cfg(unix)]
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(context, slices),
        }
    }
}

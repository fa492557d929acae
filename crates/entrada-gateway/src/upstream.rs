//! The MCP server behind us, and the way to it.

pub mod checks;
mod connections;
mod content;
mod dial;
mod endpoints;
pub mod error;
pub mod exchange;
mod first_event;
pub(crate) mod greeting;
pub mod headers;
mod health;
pub mod http;
pub mod identity;
mod lent;
pub mod place;
mod replicas;
pub mod stdio;
pub mod target;
mod tls;

use std::convert::Infallible;
use std::task::{Context, Poll};

use ::http::{Request, Response};
use axum::body::Body;

use crate::config::{Transport, UpstreamSettings};
pub(crate) use crate::upstream::health::SESSION_GRACE;
use crate::upstream::http::{Answering, ReverseProxy};
use crate::upstream::stdio::StdioServer;
pub use crate::upstream::tls::{TlsSettings, UpstreamError};

/// An MCP server, however it is reached. Clones share the connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum McpServer {
    /// Over HTTP.
    Http(ReverseProxy),
    /// As a child process.
    Stdio(StdioServer),
}

impl McpServer {
    /// Prepares the way to the MCP server; no connection is opened yet, and no child started.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if it cannot be reached that way.
    pub fn new(settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        Ok(match &settings.transport {
            Transport::Http(places) => Self::Http(ReverseProxy::new(places, settings)?),
            Transport::Stdio(stdio) => Self::Stdio(StdioServer::new(stdio.clone(), settings)),
        })
    }

    /// Whether it is the very one that `other` is a clone of.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => one.is(other),
            (Self::Stdio(one), Self::Stdio(other)) => one.is(other),
            (Self::Http(_), Self::Stdio(_)) | (Self::Stdio(_), Self::Http(_)) => false,
        }
    }

    /// Waits until what was asked of it is answered, as far as its end would be noticed: what goes over HTTP
    /// ends by itself, and streams that only listen have no end.
    pub(crate) async fn answered(&self) {
        match self {
            Self::Http(_) => {}
            Self::Stdio(server) => server.answered().await,
        }
    }

    /// Ends what was started for it.
    pub async fn close(&self) {
        match self {
            Self::Http(_) => {}
            Self::Stdio(server) => server.close().await,
        }
    }
}

impl tower::Service<Request<Body>> for McpServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self {
            Self::Http(server) => server.call(request),
            Self::Stdio(server) => server.call(request),
        }
    }
}

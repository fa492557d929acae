//! Streams flow, and end when either end wants it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::upstream::{RawUpstream, serve};

type Event = Result<Frame<Bytes>, std::io::Error>;

/// A server with one stream of events, which the test writes.
pub(crate) struct EventUpstream {
    pub(crate) url: String,
    events: mpsc::UnboundedSender<Event>,
    _tasks: JoinSet<()>,
}

impl EventUpstream {
    pub(crate) async fn start() -> Self {
        let (events, receiver) = mpsc::unbounded_channel::<Event>();
        let receiver = Arc::new(Mutex::new(Some(receiver)));
        // A body that is not read would hide from hyper that the connection was closed.
        let handler = move |_: Bytes| {
            let mut receiver = receiver.lock().unwrap().take().unwrap();
            async move {
                let stream =
                    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
                Response::builder()
                    .header("content-type", "text/event-stream")
                    .body(Body::new(StreamBody::new(stream)))
                    .unwrap()
            }
        };
        let mut tasks = JoinSet::new();
        let url = serve(Router::new().route("/mcp", any(handler)), &mut tasks).await;
        Self {
            url,
            events,
            _tasks: tasks,
        }
    }

    pub(crate) fn write(&self, event: &'static str) {
        let frame = Frame::data(Bytes::from_static(event.as_bytes()));
        self.events.send(Ok(frame)).unwrap();
    }

    /// Waits until the stream has been dropped, and nobody is left to receive.
    pub(crate) async fn closed(&self) {
        self.events.closed().await;
    }
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_written() {
    let upstream = EventUpstream::start().await;
    let gateway = Gateway::before(&upstream.url).await;
    // The head comes before any event does.
    let request = Request::get(gateway.url("/mcp")).header("accept", "text/event-stream");
    let mut response = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    for event in [
        "id: 1\ndata:\n\n",
        ": keep-alive\n\n",
        "retry: 500\nid: 2\r\ndata: {\"x\": 1}\n\n",
        "data: half an",
        " event\n\n",
    ] {
        upstream.write(event);
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(upstream.events);
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_closes_it_at_the_server() {
    let upstream = EventUpstream::start().await;
    let gateway = Gateway::before(&upstream.url).await;
    let mut response = gateway.post("{}").await;
    upstream.write("data: 1\n\n");
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    upstream.closed().await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_call() {
    let (began, mut has_begun) = mpsc::unbounded_channel();
    let handler = move |_: Bytes| {
        let began = began.clone();
        async move {
            let (alive, dropped) = oneshot::channel::<()>();
            began.send(dropped).unwrap();
            std::future::pending::<()>().await;
            drop(alive);
        }
    };
    let mut tasks = JoinSet::new();
    let url = serve(Router::new().route("/mcp", any(handler)), &mut tasks).await;
    let gateway = Gateway::before(&url).await;
    let dropped = tokio::select! {
        _ = gateway.post("{}") => panic!("the server never answers"),
        dropped = has_begun.recv() => dropped.unwrap(),
    };
    // The request above is gone, so the server's handler must go too.
    assert!(dropped.await.is_err());
}

#[tokio::test]
async fn a_server_that_breaks_off_ends_the_stream_without_an_ending() {
    let upstream = RawUpstream::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         9\r\ndata: 1\n\n\r\n",
    )
    .await;
    let gateway = Gateway::before(&upstream.url).await;
    let mut response = gateway.post("{}").await;
    assert_eq!(response.status(), StatusCode::OK);
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: 1\n\n");
    assert!(response.body_mut().frame().await.unwrap().is_err());
}

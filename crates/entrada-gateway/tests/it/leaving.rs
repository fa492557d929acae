//! Stopping in good order.

use axum::Router;
use axum::routing::any;
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::upstream::{RawUpstream, serve};

#[tokio::test]
async fn a_request_under_way_is_answered_and_no_other_is_taken() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let handler = move || {
        let arrived = arrived.clone();
        async move {
            let (answer, asked) = oneshot::channel();
            arrived.send(answer).unwrap();
            asked.await.unwrap()
        }
    };
    let mut tasks = JoinSet::new();
    let url = serve(Router::new().route("/mcp", any(handler)), &mut tasks).await;
    let mut gateway = Gateway::before(&url).await;
    let mut serving = std::mem::take(&mut gateway.serving);
    let (address, stop) = (gateway.address, gateway.stop.clone());
    let request = gateway.post("{}");
    let answer = async {
        let answer: oneshot::Sender<&'static str> = arrivals.recv().await.unwrap();
        stop.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        answer.send("late").unwrap();
    };
    let (response, ()) = tokio::join!(request, answer);
    assert_eq!(body(response).await, "late");
    serving.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_without_an_end_is_cut_at_the_limit() {
    let upstream = RawUpstream::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100\r\n\r\n:\n\n",
    );
    let upstream = upstream.await;
    let mut gateway = Gateway::before(&upstream.url).await;
    let mut response = gateway.post("{}").await;
    response.body_mut().frame().await.unwrap().unwrap();
    gateway.stop.cancel();
    gateway.serving.join_next().await.unwrap().unwrap();
}

//! Stopping in good order.

use axum::Router;
use axum::routing::any;
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::log::Log;
use crate::streams::EventUpstream;
use crate::upstream::serve;

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
    let upstream = EventUpstream::start().await;
    let log = Log::default();
    let lines = tracing_subscriber::fmt().with_writer(log.writer());
    let _guard = tracing::subscriber::set_default(lines.with_ansi(false).finish());
    let mut gateway = Gateway::before(&upstream.url).await;
    let mut response = gateway.post("{}").await;
    upstream.write(":\n\n");
    response.body_mut().frame().await.unwrap().unwrap();
    gateway.stop.cancel();
    gateway.serving.join_next().await.unwrap().unwrap();
    let log = log.text();
    for said in [
        "stopping: waiting up to 200ms for 1 request; a second signal stops at once",
        "outcome=\"cut off while stopping\"",
    ] {
        assert!(log.contains(said), "{log}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_logged_with_all_causes_and_no_query() {
    let log = Log::default();
    let lines = tracing_subscriber::fmt().with_writer(log.writer());
    let _guard = tracing::subscriber::set_default(lines.json().finish());
    let gateway = Gateway::before("http://127.0.0.1:1/mcp?key=hush-hush").await;
    drop(gateway.post("{}").await);
    let log = log.text();
    assert!(log.contains("the upstream cannot be reached: "), "{log}");
    assert!(log.contains("Connection refused"), "{log}");
    assert!(log.contains("http://127.0.0.1:1\""), "{log}");
    assert!(!log.contains("hush-hush"), "{log}");
}

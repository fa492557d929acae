//! Lists, of which nobody is shown what they may not call.

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::any;
use entrada_gateway::policy::FilterLists;
use http::{Request, StatusCode};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::policy::{call, json_request, policy, post, settings};
use crate::upstream::serve;

pub(crate) const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"erase"},{"name":"open", "x":1},{"name":"hidden"}],"nextCursor":"2","ttlMs":9,"cacheScope":"public"}}"#;
const LESS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"open", "x":1}],"nextCursor":"2","ttlMs":9,"cacheScope":"private"}}"#;

/// A server that answers with what is asked for in the path, and says in which coding it may.
pub(crate) async fn listing(tasks: &mut JoinSet<()>) -> String {
    let answer = |request: Request<Body>| async move {
        let coding = request.headers().get("accept-encoding").cloned();
        let (kind, text) = match request.uri().path() {
            "/mcp/events" => (
                "text/event-stream",
                format!(
                    ": hello\n\ndata: {{\"method\":\"notifications/tools/list_changed\"}}\n\nid: 1\ndata: {LIST}\n\n"
                ),
            ),
            "/mcp/broken" => ("application/json", LIST.replace("\"open\"", "5")),
            "/mcp/text" => ("text/plain", LIST.to_owned()),
            _ => ("application/json", LIST.to_owned()),
        };
        let mut response = ([("content-type", kind), ("etag", "x")], text).into_response();
        let headers = response.headers_mut();
        headers.insert(
            "x-coding",
            coding.unwrap_or_else(|| "none".parse().unwrap()),
        );
        if request.uri().path() == "/mcp/coded" {
            headers.insert("content-encoding", "gzip".parse().unwrap());
        }
        response
    };
    let router = Router::new().fallback(any(answer));
    serve(router, tasks).await
}

#[tokio::test]
async fn a_list_shows_nobody_what_they_may_not_call() {
    let mut tasks = JoinSet::new();
    let upstream = listing(&mut tasks).await;
    let mut filtering = policy();
    filtering.filter_lists = FilterLists::Allowed;
    let gateway = Gateway::routed([settings(&upstream, filtering)]).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let ask = async |path: &str| {
        let mut request = json_request(&gateway, path, list);
        let gzip = "gzip".parse().unwrap();
        request.headers_mut().insert("accept-encoding", gzip);
        gateway.send(request).await
    };
    let answer = ask("/mcp").await;
    assert_eq!(answer.headers()["x-coding"], "identity");
    assert_eq!(answer.headers()["content-length"], LESS.len().to_string());
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(!answer.headers().contains_key("etag"));
    assert_eq!(body(answer).await, LESS);

    let streamed = format!(
        ": hello\n\ndata: {{\"method\":\"notifications/tools/list_changed\"}}\n\nid: 1\ndata: {LESS}\n\n"
    );
    assert_eq!(body(ask("/mcp/events").await).await, streamed);
    // A stream that is taken up again may bring what was asked for before.
    let resumed = Request::get(gateway.url("/mcp/events")).header("last-event-id", "0");
    let answer = gateway.send(resumed.body(Body::empty()).unwrap()).await;
    assert_eq!(body(answer).await, streamed);

    for path in ["/mcp/broken", "/mcp/coded", "/mcp/text"] {
        let answer = ask(path).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{path}");
        assert!(!body(answer).await.windows(5).any(|part| part == b"erase"));
    }
    // What is no list is not looked at.
    let answer = post(&gateway, call("open")).await;
    assert_eq!(answer.headers()["x-coding"], "none");
    assert_eq!(body(answer).await, LIST);
}

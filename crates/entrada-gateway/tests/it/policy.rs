//! What a policy lets through, and what it does not.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use entrada::policy::Requirement;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::message::ItemKind;
use entrada_gateway::policy::{Decision, Denial, Outcome, Pattern, Policy, Rule, WithoutRule};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::gateway::{Gateway, body};
use crate::upstream::RawUpstream;

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{}";

fn rule(place: &str, tools: &[&str], requirement: Requirement) -> Rule {
    let mut rule = Rule::new(place);
    let tools = tools.iter().map(|name| Pattern::parse(name).unwrap());
    rule.tools = tools.collect();
    rule.requirement = requirement;
    rule
}

/// `open` is everybody's, `erase` an operator's, which nobody here is.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    let mut files = Rule::new("rules:3");
    files.resources = vec![Pattern::parse("file:///public/*").unwrap()];
    policy.rules = vec![
        rule("rules:1", &["open", "tell_*"], Requirement::nothing()),
        rule("rules:2", &["erase"], Requirement::roles(["Operator"])),
        files,
    ];
    policy
}

pub(crate) fn settings(upstream: &str, policy: Policy) -> UpstreamSettings {
    let mut settings = UpstreamSettings::new(upstream.parse().unwrap());
    settings.policy = policy;
    settings
}

pub(crate) fn call(name: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#)
}

pub(crate) fn json_request(gateway: &Gateway, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(gateway.url(path)).header("content-type", "application/json");
    request.body(body.into()).unwrap()
}

pub(crate) async fn post(gateway: &Gateway, body: impl Into<Body>) -> Response<Incoming> {
    gateway.send(json_request(gateway, "/mcp", body)).await
}

#[tokio::test]
async fn what_is_allowed_arrives_byte_for_byte_and_the_rest_does_not() {
    let mut upstream = RawUpstream::answering(OK).await;
    let decisions = Arc::new(Mutex::new(Vec::new()));
    let settings = settings(&upstream.url, policy());
    let gateway = Gateway::under_policy(settings, Arc::clone(&decisions)).await;
    let allowed = " {\"id\":1.0, \"method\":\"tools\\/call\",\n\"params\":{\"name\":\"\\u006fpen\",\"arguments\":{\"name\":1,\"name\":2}}}";
    let request = json_request(&gateway, "/mcp", allowed);
    let (mut parts, content) = request.into_parts();
    parts
        .headers
        .insert("mcp-param-user_id", "7".parse().unwrap());
    let answer = gateway.send(Request::from_parts(parts, content)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let (head, content) = upstream.request().await;
    assert_eq!(content, allowed);
    assert!(
        head.contains(&"mcp-param-user_id: 7".to_owned()),
        "{head:?}"
    );

    let refused = post(&gateway, call("erase")).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.headers().get("www-authenticate").is_none());
    let refused: Value = serde_json::from_slice(&body(refused).await).unwrap();
    assert_eq!(
        refused,
        json!({
            "error": "access_denied",
            "error_description": "what was called takes an app role that the caller does not have",
        })
    );
    assert!(!upstream.was_asked());

    let decisions: Vec<Decision> = std::mem::take(&mut decisions.lock().unwrap());
    let [first, second] = &*decisions else {
        panic!("{decisions:?}");
    };
    assert_eq!(first.outcome, Outcome::Allowed);
    assert_eq!(first.rule.as_deref(), Some("rules:1"));
    assert!(matches!(second.outcome, Outcome::Denied(Denial::Lacks(_))));
    assert_eq!(second.rule.as_deref(), Some("rules:2"));
    let called = second.subject().unwrap();
    let item = called.item.as_ref().unwrap();
    assert_eq!(
        (&*called.method, item.kind, &*item.name),
        ("tools/call", ItemKind::Tool, "erase")
    );
}

#[tokio::test]
async fn what_no_rule_names_is_nobodys() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    for body in [
        call("new_tool"),
        call("Erase"),
        call("openx"),
        r#"{"id":1,"method":"prompts/get","params":{"name":"open"}}"#.to_owned(),
        r#"{"id":1,"method":"resources/read","params":{"uri":"open"}}"#.to_owned(),
        r#"{"id":1,"method":"com.example/open"}"#.to_owned(),
    ] {
        let answer = post(&gateway, body.clone()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{body}");
    }
    assert!(!upstream.was_asked());
    let mut lenient = policy();
    lenient.without_rule = WithoutRule::Allow;
    let gateway = Gateway::routed([settings(&upstream.url, lenient)]).await;
    assert_eq!(
        post(&gateway, call("new_tool")).await.status(),
        StatusCode::OK
    );
    upstream.request().await;
    // The server may take it for the tool of a rule.
    assert_eq!(
        post(&gateway, call("Erase")).await.status(),
        StatusCode::FORBIDDEN
    );
    assert!(!upstream.was_asked());
}

#[tokio::test]
async fn without_a_policy_nothing_is_read() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, Policy::default())]).await;
    let answer = gateway.post("no { json").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(upstream.request().await.1, "no { json");
}

#[tokio::test]
async fn a_body_that_can_be_read_in_two_ways_reaches_no_server() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut lenient = policy();
    lenient.without_rule = WithoutRule::Allow;
    let gateway = Gateway::routed([settings(&upstream.url, lenient)]).await;
    let hidden = [
        // Twice, plainly and in disguise.
        r#"{"id":1,"method":"ping","method":"tools/call","params":{"name":"erase"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"open","name":"erase"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"open","n\u0061me":"erase"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"open"},"params":{"name":"erase"}}"#,
        // In letters that lenient parsers do not tell apart.
        r#"{"id":1,"method":"tools/call","params":{"name":"open","Name":"erase"}}"#,
        r#"{"id":1,"method":"ping","METHOD":"tools/call","params":{"name":"erase"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":"open"},"Params":{"name":"erase"}}"#,
        "{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"open\"},\"param\u{17f}\":{\"name\":\"erase\"}}",
        r#"{"id":1,"Method":"tools/call","params":{"name":"erase"}}"#,
        r#"{"id":1,"method":"ping","method\u0000":"tools/call","params":{"name":"erase"}}"#,
        // In a name or a method that is trimmed or cut off.
        r#"{"id":1,"method":"tools/call","params":{"name":"erase\u0000"}}"#,
        r#"{"id":1,"method":"tools/call","params":{"name":" erase"}}"#,
        r#"{"id":1,"method":"Tools/Call","params":{"name":"erase"}}"#,
        r#"{"id":1,"method":"tools/call\n","params":{"name":"erase"}}"#,
        // As what is no JSON to us.
        "\u{feff}{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"erase\"}}",
        r#"{"id":1,"method":"tools/call","params":{"name":"erase"},}"#,
        r#"{"id":1,"method":"ping"} {"id":1,"method":"tools/call","params":{"name":"erase"}}"#,
        r#"{"id":1,"method":"tools/call","params":["erase"]}"#,
        "",
    ];
    for body in hidden {
        let answer = post(&gateway, body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
    }
    let utf_16: Vec<u8> = call("erase")
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let deep = format!(
        r#"{{"id":1,"method":"ping","x":{}1{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for body in [
        utf_16,
        b"{\"method\":\"\xc0\xae\"}".to_vec(),
        deep.into_bytes(),
    ] {
        let answer = post(&gateway, body).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    assert!(!upstream.was_asked());
}

#[tokio::test]
async fn no_call_of_a_batch_hides_behind_another() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    for (names, status) in [
        (&["open", "erase"][..], StatusCode::FORBIDDEN),
        (&["erase", "open"], StatusCode::FORBIDDEN),
        (&["open", "open", "unknown"], StatusCode::FORBIDDEN),
    ] {
        let calls: Vec<String> = names.iter().map(|name| call(name)).collect();
        let answer = post(&gateway, format!("[{}]", calls.join(","))).await;
        assert_eq!(answer.status(), status, "{names:?}");
    }
    let nested = format!("[[{}]]", call("open"));
    assert_eq!(
        post(&gateway, nested).await.status(),
        StatusCode::BAD_REQUEST
    );
    let many = vec![call("open"); 300].join(",");
    assert_eq!(
        post(&gateway, format!("[{many}]")).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert!(!upstream.was_asked());
    let good = format!("[{} ,\n{}]", call("open"), call("tell_me"));
    assert_eq!(post(&gateway, good.clone()).await.status(), StatusCode::OK);
    assert_eq!(upstream.request().await.1, good);
}

#[tokio::test]
async fn headers_that_contradict_the_body_reach_no_server() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    let modern = r#"{"id":"a","method":"tools/call","params":{"name":"open","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    for headers in [
        &[version, method][..],
        &[version, method, ("mcp-name", "erase")],
        &[version, method, ("mcp-name", "open"), ("mcp-name", "erase")],
        &[version, method, ("mcp-name", "=?base64?ZXJhc2U=?=")],
        &[version, ("mcp-name", "open")],
        &[version, ("mcp-method", "tools/list"), ("mcp-name", "open")],
        &[method, ("mcp-name", "open")],
        &[
            ("mcp-protocol-version", "2025-11-25"),
            method,
            ("mcp-name", "open"),
        ],
    ] {
        let mut request = json_request(&gateway, "/mcp", modern);
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let answer = gateway.send(request).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{headers:?}");
        let answer: Value = serde_json::from_slice(&body(answer).await).unwrap();
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(-32020), &json!("a"))
        );
    }
    assert!(!upstream.was_asked());
    let mut request = json_request(&gateway, "/mcp", modern);
    for (name, value) in [version, method, ("mcp-name", "=?base64?b3Blbg==?=")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    assert_eq!(gateway.send(request).await.status(), StatusCode::OK);
    let (head, _) = upstream.request().await;
    assert!(
        head.contains(&"mcp-name: =?base64?b3Blbg==?=".to_owned()),
        "{head:?}"
    );
}

#[tokio::test]
async fn a_body_in_another_coding_reaches_no_server() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    for headers in [
        &[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ][..],
        &[("content-type", "application/json; charset=utf-16")],
        &[
            ("content-type", "application/json"),
            ("content-type", "text/plain"),
        ],
        &[("content-type", "multipart/form-data; boundary=x")],
        &[],
    ] {
        let mut request = Request::post(gateway.url("/mcp"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = gateway
            .send(request.body(Body::from(call("open"))).unwrap())
            .await;
        assert_eq!(
            answer.status(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{headers:?}"
        );
    }
    assert!(!upstream.was_asked());
}

#[tokio::test]
async fn a_path_below_the_server_is_under_its_rules() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    for path in [
        "/mcp/",
        "/mcp/other",
        "/mcp/messages?sessionId=1",
        "/mcp/mcp",
        "/mcp//x",
    ] {
        let answer = gateway
            .send(json_request(&gateway, path, call("erase")))
            .await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert!(!upstream.was_asked());
    let answer = gateway
        .send(json_request(&gateway, "/mcp/other", call("open")))
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_message_comes_by_no_other_method() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    for method in ["PUT", "PATCH", "OPTIONS", "HEAD", "QUERY", "GET", "DELETE"] {
        let request = Request::builder().method(method).uri(gateway.url("/mcp"));
        let request = request.header("content-type", "application/json");
        let answer = gateway
            .send(request.body(Body::from(call("erase"))).unwrap())
            .await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method}");
    }
    // Nor does one without a body: some servers read a message in the query.
    for method in ["PUT", "PATCH", "OPTIONS", "HEAD", "QUERY", "TRACE"] {
        let request = Request::builder().method(method).uri(gateway.url("/mcp"));
        let answer = gateway.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method}");
    }
    let request = Request::get(gateway.url("/mcp")).header("upgrade", "websocket");
    let request = request.header("connection", "upgrade");
    let answer = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(!upstream.was_asked());
    for method in ["GET", "DELETE"] {
        let request = Request::builder().method(method).uri(gateway.url("/mcp"));
        let answer = gateway.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{method}");
    }
}

#[tokio::test]
async fn a_uri_that_leads_upwards_is_not_what_a_rule_says() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    let read =
        |uri: &str| format!(r#"{{"id":1,"method":"resources/read","params":{{"uri":"{uri}"}}}}"#);
    for uri in [
        "file:///public/../secret",
        "file:///public/%2e%2e/secret",
        "file:///public/.%2e%2fsecret",
        "file:///public/%252e%252e/secret",
        r"file:///public/..\\secret",
    ] {
        assert_eq!(
            post(&gateway, read(uri)).await.status(),
            StatusCode::FORBIDDEN,
            "{uri}"
        );
    }
    assert!(!upstream.was_asked());
    assert_eq!(
        post(&gateway, read("file:///public/a.txt")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_uri_in_another_spelling_is_no_way_around_a_rule() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut policy = policy();
    let mut secret = Rule::new("rules:4");
    secret.resources = vec![Pattern::parse("file:///public/secret/*").unwrap()];
    secret.requirement = Requirement::roles(["Operator"]);
    policy.rules.push(secret);
    let gateway = Gateway::routed([settings(&upstream.url, policy)]).await;
    let read =
        |uri: &str| format!(r#"{{"id":1,"method":"resources/read","params":{{"uri":"{uri}"}}}}"#);
    for uri in [
        "file:///public/secret/x",
        "file:///public/%73ecret/x",
        "file:///public/secret%2Fx",
        "file:///public//secret/x",
        r"file:///public/secret\\x",
        "file:///public/SECRET/x",
    ] {
        assert_eq!(
            post(&gateway, read(uri)).await.status(),
            StatusCode::FORBIDDEN,
            "{uri}"
        );
    }
    assert!(!upstream.was_asked());
    assert_eq!(
        post(&gateway, read("file:///public/a%20b")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn no_request_calls_more_than_a_batch_may_hold() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy())]).await;
    let uris = vec![r#""file:///public/a""#; 250].join(",");
    let listen = format!(
        r#"{{"id":1,"method":"subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":[{uris}]}}}}}}"#
    );
    let many = format!("[{}]", vec![&*listen; 250].join(","));
    let answer = post(&gateway, many).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(!upstream.was_asked());
    assert_eq!(post(&gateway, listen).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_held() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut settings = settings(&upstream.url, policy());
    settings.body_limit = 200;
    let gateway = Gateway::routed([settings]).await;
    let large = call(&"x".repeat(200));
    assert_eq!(
        post(&gateway, large.clone()).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let chunk = Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(large.into()));
    let stream = http_body_util::StreamBody::new(futures_util::stream::iter([chunk]));
    let answer = post(&gateway, Body::new(stream)).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!upstream.was_asked());
}

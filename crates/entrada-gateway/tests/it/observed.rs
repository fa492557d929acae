//! What is counted, what is written, and how many may call.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use entrada_gateway::audit::{Audit, AuditPlace, AuditSettings};
use entrada_gateway::called::Called;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::rate::{Rate, Rates};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::upstream::{RawUpstream, serve};

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn settings(url: &str, rates: Rates) -> UpstreamSettings {
    let mut settings = UpstreamSettings::new(url.parse().unwrap());
    settings.rates = rates;
    settings
}

fn required(place: AuditPlace) -> AuditSettings {
    let mut settings = AuditSettings::new(place);
    settings.required = true;
    settings
}

fn tool(name: &str) -> Called {
    Called::new("tools/call", Some(name.to_owned()))
}

/// The lines of the log at `path`.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_call_is_written_with_who_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let writer = Audit::begin(&AuditSettings::new(AuditPlace::File(path.clone()))).unwrap();
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let settings = settings(&upstream.url, Rates::default());
    let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
    let request = Request::post(gateway.url("/mcp"))
        .header("x-correlation-id", "abc")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "search");
    let answer = gateway.send(request.body("{}".into()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    writer.end().await;
    let mut line = lines(&path).pop().unwrap();
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    line["time"] = Value::Null;
    let expected = serde_json::json!({
        "time": null,
        "event": "tool",
        "decision": "allowed",
        "who": "object-1@tenant-1",
        "kind": "user",
        "client_id": "client-1",
        "route": "/mcp",
        "method": "tools/call",
        "name": "search",
        "from": "header",
        "correlation_id": "abc",
        "address": "127.0.0.1",
    });
    assert_eq!(line, expected);
}

#[tokio::test]
async fn arguments_are_written_where_that_is_wanted_alone() {
    for (wanted, expected) in [(false, Value::Null), (true, serde_json::json!({"q": 1}))] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut log = AuditSettings::new(AuditPlace::File(path.clone()));
        log.arguments = wanted;
        let writer = Audit::begin(&log).unwrap();
        let upstream = RawUpstream::answering(ACCEPTED).await;
        let mut called = tool("search");
        called.arguments = Some(serde_json::json!({"q": 1}));
        let settings = settings(&upstream.url, Rates::default());
        let gateway = Gateway::audited(settings, Some(writer.audit()), Some(called)).await;
        gateway.post("{}").await;
        writer.end().await;
        let line = lines(&path).pop().unwrap();
        assert_eq!(line["arguments"], expected);
        assert_eq!(line["from"], "body");
    }
}

#[tokio::test]
async fn a_client_that_leaves_at_once_is_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let writer = Audit::begin(&required(AuditPlace::File(path.clone()))).unwrap();
    let (heard, mut told) = mpsc::unbounded_channel();
    let log = path.clone();
    let handler = move || {
        heard.send(lines(&log).len()).unwrap();
        std::future::pending::<()>()
    };
    let mut tasks = JoinSet::new();
    let url = serve(Router::new().route("/mcp", any(handler)), &mut tasks).await;
    let settings = settings(&url, Rates::default());
    // Where it cannot be written the server does not hear of it.
    let full = Audit::begin(&required(AuditPlace::File("/dev/full".into()))).unwrap();
    let gateway = Gateway::audited(settings.clone(), Some(full.audit()), None).await;
    tokio::select! {
        answer = gateway.post("{}") => assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE),
        _ = told.recv() => panic!("the server heard of what is not written"),
    }
    full.end().await;
    let gateway = Gateway::audited(settings, Some(writer.audit()), Some(tool("wipe"))).await;
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let request = b"POST /mcp HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
    client.write_all(request).await.unwrap();
    // The server hears of it once it is written; the answer never comes.
    assert_eq!(told.recv().await, Some(1));
    drop(client);
    let line = lines(&path).pop().unwrap();
    assert_eq!(line["name"], "wipe");
    assert_eq!(line["who"], "object-1@tenant-1");
}

#[tokio::test]
async fn a_name_forges_no_line_of_the_audit_log() {
    let name = "x\"}\n{\"event\":\"login\",\"decision\":\"allowed\",\"who\":\"admin\"}\r\u{202e}\u{1b}[2K\u{85}";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let writer = Audit::begin(&required(AuditPlace::File(path.clone()))).unwrap();
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let settings = settings(&upstream.url, Rates::default());
    let gateway = Gateway::audited(settings, Some(writer.audit()), Some(tool(name))).await;
    assert_eq!(gateway.post("{}").await.status(), StatusCode::ACCEPTED);
    let text = std::fs::read(&path).unwrap();
    let (end, line) = text.split_last().unwrap();
    assert_eq!(*end, b'\n');
    assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
    let line: Value = serde_json::from_slice(line).unwrap();
    assert_eq!(
        (&line["event"], &line["name"]),
        (&"tool".into(), &name.into())
    );
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_written_where_it_must_be() {
    let full = AuditPlace::File("/dev/full".into());
    for (log, expected) in [
        (required(full.clone()), StatusCode::SERVICE_UNAVAILABLE),
        (AuditSettings::new(full), StatusCode::ACCEPTED),
    ] {
        let writer = Audit::begin(&log).unwrap();
        let mut upstream = RawUpstream::answering(ACCEPTED).await;
        let settings = settings(&upstream.url, Rates::default());
        let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
        for _ in 0..2 {
            assert_eq!(gateway.post("{}").await.status(), expected);
        }
        assert_eq!(upstream.was_asked(), expected == StatusCode::ACCEPTED);
        assert_eq!(writer.audit().ready().is_err(), log.required);
        writer.end().await;
    }
}

#[tokio::test]
async fn a_log_that_was_moved_away_goes_on_in_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("audit"), folder.path().join("audit.1"));
    let writer = Audit::begin(&required(AuditPlace::File(path.clone()))).unwrap();
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let settings = settings(&upstream.url, Rates::default());
    let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
    gateway.post("{}").await;
    std::fs::rename(&path, &moved).unwrap();
    gateway.post("{}").await;
    assert_eq!(lines(&moved).len(), 2);
    writer.audit().reopen();
    gateway.post("{}").await;
    assert_eq!((lines(&moved).len(), lines(&path).len()), (2, 1));
}

#[tokio::test]
async fn syslog_that_was_away_is_told_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let syslog = UnixDatagram::bind(&path).unwrap();
    let writer = Audit::begin(&AuditSettings::new(AuditPlace::SyslogSocket(path.clone()))).unwrap();
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let settings = settings(&upstream.url, Rates::default());
    let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
    let said = |syslog: UnixDatagram| {
        tokio::task::spawn_blocking(move || {
            let mut bytes = [0; 2048];
            let length = syslog.recv(&mut bytes).unwrap();
            let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
            let (head, line) = text.split_once(" - entrada - audit - ").unwrap();
            assert!(head.starts_with("<110>1 20"), "{head}");
            let line: Value = serde_json::from_str(line).unwrap();
            (syslog, line)
        })
    };
    gateway.post("{}").await;
    let (syslog, line) = said(syslog).await.unwrap();
    assert_eq!(line["event"], "request");
    drop(syslog);
    std::fs::remove_file(&path).unwrap();
    gateway.post("{}").await;
    // It is found missing in its own time; whoever waits for it is told of both.
    let syslog = loop {
        if writer.audit().is_failing() {
            break UnixDatagram::bind(&path).unwrap();
        }
        tokio::task::yield_now().await;
    };
    let (syslog, line) = said(syslog).await.unwrap();
    assert_eq!(
        (&line["event"], &line["code"]),
        (&"audit".into(), &"lost".into())
    );
    let (_, line) = said(syslog).await.unwrap();
    assert_eq!(line["event"], "request");
    writer.end().await;
}

/// A call of the tool `search`, by the subject `who`.
fn search(gateway: &Gateway, who: &str) -> Request<Body> {
    let call = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "search" },
    });
    Request::post(gateway.url("/mcp"))
        .header("test-subject", who)
        .header("content-type", "application/json")
        .body(Body::from(call.to_string()))
        .unwrap()
}

#[tokio::test]
async fn what_is_called_is_read_in_the_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut log = AuditSettings::new(AuditPlace::File(path.clone()));
    log.arguments = true;
    let writer = Audit::begin(&log).unwrap();
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let settings = settings(&upstream.url, Rates::default());
    let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"q":1}}},
        {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"b"}}]"#;
    let request = Request::post(gateway.url("/mcp"))
        .header("content-type", "application/json")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "another");
    gateway.send(request.body(body.into()).unwrap()).await;
    writer.end().await;
    let told: Vec<_> = lines(&path)
        .iter()
        .map(|line| format!("{} {} {}", line["name"], line["arguments"], line["from"]))
        .collect();
    let expected = [r#""a" {"q":1} "body""#, r#""b" null "body""#];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn arguments_are_in_the_audit_log_however_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut log = AuditSettings::new(AuditPlace::File(path.clone()));
    log.arguments = true;
    let writer = Audit::begin(&log).unwrap();
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let settings = settings(&upstream.url, Rates::default());
    let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
    let call = |params: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"wipe",{params}}}}}"#
        )
    };
    let listen = r#"{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen",
        "params":{"notifications":{"resourceSubscriptions":["a:b","a:c"]}}}"#;
    let plain = call(r#""arguments":{"disk":"/"}"#);
    for (body, expected) in [
        (plain.clone(), json!({"disk": "/"})),
        // What our parser of numbers or of text will not have, other readers take.
        (
            call(r#""arguments":{"disk":"/","n":1e999}"#),
            json!(r#"{"disk":"/","n":1e999}"#),
        ),
        (
            call(r#""arguments":{"disk":"/","n":"\ud800"}"#),
            json!(r#"{"disk":"/","n":"\ud800"}"#),
        ),
        // Which of two a server takes is its own affair.
        (
            call(r#""arguments":{"disk":"/","disk":"/tmp"}"#),
            json!(r#"{"disk":"/","disk":"/tmp"}"#),
        ),
        (
            call(r#""arguments":{"disk":"/"},"arguments":{"disk":"/tmp"}"#),
            json!(r#"{"name":"wipe","arguments":{"disk":"/"},"arguments":{"disk":"/tmp"}}"#),
        ),
        (
            call(r#""Arguments":{"disk":"/"}"#),
            json!(r#"{"name":"wipe","Arguments":{"disk":"/"}}"#),
        ),
        // Of several calls each has its own.
        (format!("[{listen},{plain}]"), json!({"disk": "/"})),
    ] {
        let request = Request::post(gateway.url("/mcp")).header("content-type", "application/json");
        gateway
            .send(request.body(body.clone().into()).unwrap())
            .await;
        let line = loop {
            let line = lines(&path).pop();
            match line.filter(|line| line["name"] == "wipe") {
                Some(line) => break line,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(line["arguments"], expected, "{body}");
        std::fs::write(&path, "").unwrap();
    }
    writer.end().await;
}

#[tokio::test]
async fn one_long_line_does_not_stop_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for by_udp in [true, false] {
        let (place, mut said) = listening(by_udp, &path);
        let mut log = required(place);
        log.arguments = true;
        let writer = Audit::begin(&log).unwrap();
        let upstream = RawUpstream::answering(ACCEPTED).await;
        let settings = settings(&upstream.url, Rates::default());
        let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
        for (padding, is_cut) in [(10, false), (100_000, true), (10, false)] {
            let call = json!({
                "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": { "name": "wipe", "arguments": { "disk": "/", "x": "\u{e9}".repeat(padding) } },
            });
            let request =
                Request::post(gateway.url("/mcp")).header("content-type", "application/json");
            let answer = gateway
                .send(request.body(call.to_string().into()).unwrap())
                .await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{padding}");
            let line = said();
            assert_eq!(line["name"], "wipe");
            assert_eq!(line["arguments_cut"] == true, is_cut, "{padding}");
            assert!(line["arguments"].to_string().contains("disk"));
        }
        writer.end().await;
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Syslog, by UDP or at `path`, and what it is told next.
fn listening(by_udp: bool, path: &Path) -> (AuditPlace, Box<dyn FnMut() -> Value>) {
    let read = |bytes: &[u8]| {
        let text = str::from_utf8(bytes).unwrap();
        let (_, line) = text.split_once(" - entrada - audit - ").unwrap();
        serde_json::from_str(line).unwrap()
    };
    let mut bytes = vec![0; 1 << 18];
    if by_udp {
        let syslog = UdpSocket::bind("127.0.0.1:0").unwrap();
        syslog.set_read_timeout(Some(PATIENCE)).unwrap();
        let place = AuditPlace::SyslogUdp(syslog.local_addr().unwrap().to_string());
        let said = move || {
            let length = syslog.recv(&mut bytes).unwrap();
            read(bytes.get(..length).unwrap())
        };
        return (place, Box::new(said));
    }
    let syslog = UnixDatagram::bind(path).unwrap();
    syslog.set_read_timeout(Some(PATIENCE)).unwrap();
    let said = move || {
        let length = syslog.recv(&mut bytes).unwrap();
        read(bytes.get(..length).unwrap())
    };
    (AuditPlace::SyslogSocket(path.to_owned()), Box::new(said))
}

#[tokio::test]
async fn what_cannot_be_read_for_sure_is_noted_and_passes_no_limit_of_tools() {
    const TWICE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping",
        "params":{"name":"wipe"}}"#;
    let mut by_tool = Rates::default();
    by_tool.tool = Some(Rate::new(2, Duration::from_secs(3600)));
    for (rates, expected, noted) in [
        (Rates::default(), StatusCode::ACCEPTED, "allowed"),
        (by_tool, StatusCode::BAD_REQUEST, "denied"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditSettings::new(AuditPlace::File(path.clone()));
        let writer = Audit::begin(&log).unwrap();
        let mut upstream = RawUpstream::answering(ACCEPTED).await;
        let settings = settings(&upstream.url, rates);
        let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
        let request = Request::post(gateway.url("/mcp")).header("content-type", "application/json");
        let answer = gateway.send(request.body(TWICE.into()).unwrap()).await;
        assert_eq!(answer.status(), expected);
        assert_eq!(upstream.was_asked(), expected == StatusCode::ACCEPTED);
        writer.end().await;
        let line = lines(&path).pop().unwrap();
        assert_eq!(line["decision"], noted);
        assert_eq!(line["who"], "object-1@tenant-1");
    }
}

#[tokio::test]
async fn who_calls_too_often_waits_and_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let writer = Audit::begin(&AuditSettings::new(AuditPlace::File(path.clone()))).unwrap();
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let mut rates = Rates::default();
    rates.tool = Some(Rate::new(2, Duration::from_secs(3600)));
    let settings = settings(&upstream.url, rates);
    let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
    for _ in 0..2 {
        assert_eq!(
            gateway.send(search(&gateway, "object-1")).await.status(),
            StatusCode::ACCEPTED
        );
    }
    let refused = gateway.send(search(&gateway, "object-1")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(body(refused).await, "too many requests, try again later\n");
    // Another user has a limit of their own.
    let answer = gateway.send(search(&gateway, "object-2")).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    writer.end().await;
    let told: Vec<_> = lines(&path)
        .iter()
        .map(|line| format!("{} {} {}", line["decision"], line["who"], line["code"]))
        .collect();
    let expected = [
        r#""allowed" "object-1@tenant-1" null"#,
        r#""allowed" "object-1@tenant-1" null"#,
        r#""denied" "object-1@tenant-1" "rate_limit""#,
        r#""allowed" "object-2@tenant-1" null"#,
    ];
    assert_eq!(told, expected);
}

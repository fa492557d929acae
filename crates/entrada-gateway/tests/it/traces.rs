//! Traces, to an MCP server and to a collector.

use std::collections::HashMap;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::traces::{TraceSettings, Traces};
use http::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::counted::Serving;
use crate::gateway::Gateway;
use crate::upstream::{RawUpstream, serve};

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The `traceparent` and `tracestate` an MCP server gets of a request that has both.
async fn told(trusting: bool) -> (String, Option<String>) {
    let mut upstream = RawUpstream::answering(ACCEPTED).await;
    let mut settings = TraceSettings::new("http://127.0.0.1:1/v1/traces".parse().unwrap());
    settings.trust_traceparent = trusting;
    settings.sample = 0.0;
    let tracer = Traces::new(settings).tracer();
    let settings = UpstreamSettings::new(upstream.url.parse().unwrap());
    let gateway = Gateway::traced(settings, tracer).await;
    let request = Request::post(gateway.url("/mcp"))
        .header("traceparent", THEIRS)
        .header("tracestate", "vendor=1");
    let answer = gateway.send(request.body("{}".into()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let (head, _) = upstream.request().await;
    let header = |name: &str| {
        let mut lines = head.iter();
        lines.find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
    };
    (header("traceparent: ").unwrap(), header("tracestate: "))
}

#[tokio::test]
async fn no_stranger_says_which_trace_a_request_is_of() {
    let (parent, state) = told(false).await;
    assert!(
        !parent.contains("0af7651916cd43dd8448eb211c80319c"),
        "{parent}"
    );
    assert_eq!((parent.len(), state), (THEIRS.len(), None));
    // Nor whether it is kept.
    assert!(parent.ends_with("-00"), "{parent}");
}

#[tokio::test]
async fn a_trace_of_a_trusted_proxy_goes_on() {
    let (parent, state) = told(true).await;
    let parts: Vec<_> = parent.split('-').collect();
    assert_eq!(
        (parts[1], parts[3]),
        ("0af7651916cd43dd8448eb211c80319c", "01")
    );
    assert_ne!(parts[2], "b7ad6b7169203331");
    assert_eq!(state.as_deref(), Some("vendor=1"));
}

#[tokio::test]
async fn what_was_collected_is_sent_before_the_end() {
    let (sender, mut sent) = mpsc::unbounded_channel();
    let collector = Router::new().route(
        "/v1/traces",
        post(move |body: Bytes| {
            sender.send(body).unwrap();
            std::future::ready(())
        }),
    );
    let mut tasks = JoinSet::new();
    let url = serve(collector, &mut tasks).await;
    let endpoint = format!("--otlp-endpoint={}", url.strip_suffix("/mcp").unwrap());
    let serving = Serving::with(&[&endpoint]).await;
    let request = Request::post(format!("{}/register?secret=1", serving.public))
        .header("content-type", "application/json")
        .body(Body::from(r#"{"redirect_uris":["https://c.example/cb"]}"#));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let stopped = tokio::task::spawn_blocking(|| serving.program.stop());
    assert!(stopped.await.unwrap().success());

    let mut spans = Vec::new();
    while let Ok(body) = sent.try_recv() {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let resource = &body["resourceSpans"][0];
        let name = &resource["resource"]["attributes"][0];
        assert_eq!(name["value"]["stringValue"], "entrada");
        let found = resource["scopeSpans"][0]["spans"].as_array().unwrap();
        spans.extend(found.clone());
    }
    let named = |name: &str| {
        let found = spans.iter().find(|span| span["name"] == name);
        found.unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let request = named("POST sign-in");
    assert_eq!(
        (&request["kind"], &request["status"]),
        (&2.into(), &serde_json::json!({}))
    );
    assert_eq!(request.get("parentSpanId"), None);
    let attributes = request["attributes"].as_array().unwrap().iter();
    let said: HashMap<_, _> = attributes
        .map(|attribute| (attribute["key"].as_str().unwrap(), &attribute["value"]))
        .collect();
    assert_eq!(said["url.path"]["stringValue"], "/register");
    assert_eq!(said["http.request.method"]["stringValue"], "POST");
    assert_eq!(said["http.response.status_code"]["intValue"], "201");
    assert_eq!(said["entrada.outcome"]["stringValue"], "answered");
    let store = named("store");
    assert_eq!(store["traceId"], request["traceId"]);
    assert_eq!(store["parentSpanId"], request["spanId"]);
    let nanos = |span: &Value, when: &str| span[when].as_str().unwrap().parse::<u64>().unwrap();
    assert!(nanos(store, "startTimeUnixNano") >= nanos(request, "startTimeUnixNano"));
    assert!(nanos(store, "endTimeUnixNano") <= nanos(request, "endTimeUnixNano"));
    assert!(!format!("{spans:?}").contains("secret"));
}

//! Policies in Cedar.

use std::sync::Arc;

use entrada_gateway::policy::{CedarPolicies, FilterLists, Policy};
use http::StatusCode;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::lists::{LIST, listing};
use crate::policy::{OK, call, post, settings};
use crate::upstream::RawUpstream;

#[tokio::test]
async fn what_cedar_does_not_permit_reaches_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.cedar");
    let policies = r#"
        @id("tools")
        permit (principal is User, action == Action::"tools/call", resource in Route::"/mcp")
        when { principal.client == "client-1" };
        permit (principal, action == Action::"resources/read", resource);
        @id("no-secrets")
        forbid (principal, action, resource is Resource) when { resource.name like "file:///secret/*" };
        @id("no-admins")
        forbid (principal, action, resource)
        when { resource == Tool::"admin" && principal.roles.contains("Mcp.Admin") };
    "#;
    std::fs::write(&path, policies).unwrap();
    let mut policy = Policy::default();
    "/mcp".clone_into(&mut policy.route);
    policy.cedar = Some(Arc::new(CedarPolicies::read(&path).unwrap()));
    policy.filter_lists = FilterLists::Allowed;
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::routed([settings(&upstream.url, policy.clone())]).await;
    let read =
        |uri: &str| format!(r#"{{"id":1,"method":"resources/read","params":{{"uri":"{uri}"}}}}"#);
    for body in [
        call("admin"),
        r#"{"id":1,"method":"prompts/get","params":{"name":"open"}}"#.to_owned(),
        r#"{"id":1,"method":"com.example/x"}"#.to_owned(),
        format!("[{},{}]", call("open"), call("admin")),
        read("file:///secret/x"),
        read("file:///%73ecret/x"),
        read("file:////secret/x"),
        read("file:///public/../secret/x"),
    ] {
        let answer = post(&gateway, body.clone()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{body}");
        let refused = String::from_utf8(self::body(answer).await.to_vec()).unwrap();
        assert!(!refused.contains("no-"), "{refused}");
    }
    assert!(!upstream.was_asked());
    for body in [
        call("open"),
        read("file:///public/x"),
        r#"{"id":1,"method":"ping"}"#.to_owned(),
    ] {
        assert_eq!(post(&gateway, body).await.status(), StatusCode::OK);
        upstream.request().await;
    }
    let mut tasks = JoinSet::new();
    let upstream = listing(&mut tasks).await;
    let gateway = Gateway::routed([settings(&upstream, policy)]).await;
    let answer = post(
        &gateway,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
    )
    .await;
    let shown = String::from_utf8(body(answer).await.to_vec()).unwrap();
    assert!(
        shown.contains("erase") && shown.contains("\"private\"") || shown == LIST,
        "{shown}"
    );
}

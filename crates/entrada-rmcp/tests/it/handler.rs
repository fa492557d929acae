//! The half around the server, where a message came past the half before it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use entrada::policy::Requirement;
use entrada_rmcp::{DeclarationError, GuardedHandler, ToolRequirements};
use http::Response;
use rmcp::ServerHandler as _;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use tower::Layer as _;

use crate::client::{LEGACY, MODERN, Sent, call, message, open};
use crate::guard::guard;
use crate::vault::{ERAS, Stack, Vault};

type Service = StreamableHttpService<GuardedHandler<Vault>, LocalSessionManager>;

fn service(vault: &Vault, requirements: ToolRequirements) -> Service {
    let vault = vault.clone();
    StreamableHttpService::new(
        move || Ok(requirements.guard(vault.clone())),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    )
}

/// Behind the guard, without the layer.
fn half_a_stack(require: impl FnOnce(&Vault) -> ToolRequirements) -> Stack {
    let vault = Vault::new();
    let service = service(&vault, require(&vault));
    let app = Router::new().route_service("/mcp", guard().layer(service));
    Stack { app, vault }
}

fn declared(vault: &Vault) -> ToolRequirements {
    ToolRequirements::of(&vault.tool_router).unwrap()
}

async fn error(answer: Response<Body>) -> Value {
    assert_eq!(answer.status(), 200);
    message(answer).await["error"].clone()
}

#[tokio::test]
async fn a_call_past_the_layer_is_refused() {
    let stack = half_a_stack(declared);
    for version in ERAS {
        for (token, tool, data) in [
            ("alice", "look", None),
            (
                "alice+files.read",
                "write",
                Some(json!({ "error": "insufficient_scope", "scope": "files.read files.write" })),
            ),
            ("alice+files.read+files.write", "write", None),
            (
                "alice",
                "administer",
                Some(json!({ "error": "access_denied" })),
            ),
            ("administrator", "administer", None),
        ] {
            let error = error(stack.call(token, version, tool).await).await;
            assert_eq!(stack.runs(), usize::from(data.is_none()), "{token} {tool}");
            let code = data.as_ref().map_or(Value::Null, |_| json!(-32600));
            assert_eq!(error["code"], code, "{token} {tool} {error}");
            assert_eq!(error["data"], data.unwrap_or_default(), "{token} {tool}");
        }
    }
}

#[tokio::test]
async fn what_is_required_otherwise_holds_past_the_layer() {
    let otherwise = Requirement::scopes(["mcp.use"]);
    let stack = half_a_stack(|vault| declared(vault).otherwise(otherwise).unwrap());
    for (token, runs) in [("alice", 0), ("alice+mcp.use", 1)] {
        message(stack.call(token, MODERN, "look").await).await;
        assert_eq!(stack.runs(), runs, "{token}");
    }
}

#[tokio::test]
async fn a_call_in_disguise_is_no_request_of_the_servers_own() {
    let stack = half_a_stack(declared);
    for version in ERAS {
        for params in [json!({}), json!({ "name": 1 }), json!({ "name": null })] {
            let answer = stack.ask("alice", version, "tools/call", params).await;
            let answer = message(answer).await;
            assert_eq!(answer["error"]["code"], -32601, "{answer}");
            assert_eq!(stack.runs(), 0, "{version} {answer}");
        }
        let answer = stack
            .ask("alice", version, "com.example/x", json!({}))
            .await;
        let answer = message(answer).await;
        assert_eq!(answer["result"]["custom"], "ran", "{answer}");
        assert_eq!(stack.runs(), 1);
    }
}

#[tokio::test]
async fn a_call_in_disguise_is_no_notification_of_the_servers_own() {
    let stack = half_a_stack(declared);
    let session = open(&stack.app, "alice").await;
    let sent = Sent {
        user: "alice",
        session: Some(&session),
        version: LEGACY,
    };
    for method in ["tools/call", "com.example/x"] {
        let params = json!({ "name": "read" });
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        assert_eq!(sent.post(&stack.app, &message).await.status(), 202);
    }
    // The second has arrived, and so has the first.
    stack.vault.notified.notified().await;
    assert_eq!(stack.runs(), 1);
}

#[tokio::test]
async fn a_tool_whose_requirement_was_never_read_does_not_run() {
    let stack = half_a_stack(|_| {
        let mut other = Vault::new().tool_router;
        for tool in ["look", "read"] {
            other.remove_route(tool);
        }
        ToolRequirements::of(&other).unwrap()
    });
    let everything = "administrator+files.read+files.write";
    let answer = stack.call(everything, MODERN, "read").await;
    let error = error(answer).await;
    assert_eq!(error["code"], -32603, "{error}");
    assert_eq!(stack.runs(), 0);
    // One that declares nothing is like any other.
    message(stack.call(everything, MODERN, "look").await).await;
    assert_eq!(stack.runs(), 1);
    let list = stack.ask(everything, MODERN, "tools/list", json!({})).await;
    let list = message(list).await["result"]["tools"].to_string();
    assert!(
        list.contains("\"look\"") && !list.contains("\"read\""),
        "{list}"
    );
}

#[tokio::test]
async fn without_a_guard_nobody_calls_or_lists_anything() {
    let vault = Vault::new();
    let service = service(&vault, declared(&vault));
    let stack = Stack {
        app: Router::new().route_service("/mcp", service),
        vault,
    };
    let sent = Sent {
        user: "alice",
        session: None,
        version: MODERN,
    };
    for (method, params) in [
        ("tools/call", json!({ "name": "look" })),
        ("tools/list", json!({})),
    ] {
        let request = call(method, params, MODERN);
        let answer = sent.post(&stack.app, &request).await;
        assert_eq!(error(answer).await["code"], -32603, "{method}");
        assert_eq!(stack.runs(), 0, "{method}");
    }
}

#[test]
fn the_definition_of_a_tool_is_asked_for_without_what_it_requires() {
    let vault = Vault::new();
    let guarded = declared(&vault).guard(vault.clone());
    assert!(vault.get_tool("read").unwrap().meta.is_some());
    assert_eq!(guarded.get_tool("read").unwrap().meta, None);
    assert!(guarded.get_tool("no-such-tool").is_none());
}

#[test]
fn what_nobody_can_meet_is_an_error_before_anything_is_served() {
    let broken = |requirement| {
        let mut router = Vault::new().tool_router;
        let read = router.map.get_mut("read").unwrap();
        read.attr.meta = Some(entrada_rmcp::requires(requirement));
        ToolRequirements::of(&router).unwrap_err()
    };
    let error = broken(Requirement::scopes(["not a \"scope\""]));
    assert!(matches!(error, DeclarationError::Mistaken { tool, .. } if tool == "read"));
    let mut router = Vault::new().tool_router;
    router.disable_route("read");
    let read = ToolRequirements::of(&router).unwrap();
    assert_eq!(
        *read.requirement("read"),
        Requirement::scopes(["files.read"])
    );
    assert_eq!(*read.requirement("look"), Requirement::nothing());
    let error = read.otherwise(Requirement::all([])).unwrap_err();
    assert!(matches!(error, DeclarationError::MistakenDefault { .. }));
}

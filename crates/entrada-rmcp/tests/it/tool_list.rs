//! Which tools are listed to whom.

use std::sync::Arc;

use axum::Router;
use entrada::policy::Requirement;
use entrada_rmcp::ToolRequirements;
use rmcp::model::{CacheScope, ListToolsResult, PaginatedRequestParams};
use rmcp::service::RequestContext;
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tower::Layer as _;

use crate::client::{LEGACY, MODERN, Sent, call, message};
use crate::guard::guard;
use crate::vault::{ERAS, Stack, Vault};

async fn list(stack: &Stack, token: &str, version: &str) -> Value {
    let answer = stack.ask(token, version, "tools/list", json!({})).await;
    message(answer).await["result"].clone()
}

fn names(list: &Value) -> String {
    let tools = list["tools"].as_array().unwrap().iter();
    let names: Vec<&str> = tools.map(|tool| tool["name"].as_str().unwrap()).collect();
    names.join(" ")
}

#[tokio::test]
async fn tools_are_listed_to_those_who_could_call_them() {
    let stack = Stack::new(|requirements| requirements);
    for version in ERAS {
        for (token, expected) in [
            ("alice", "at_home look open read search sync write"),
            (
                "alice+files.read",
                "at_home look open read search sync write",
            ),
            (
                "administrator",
                "administer at_home erase look open read search sync write",
            ),
            (
                "member",
                "at_home for_staff look open read search sync write",
            ),
            ("guest", "look open read search sync write"),
            (
                "carol",
                "at_home look open read search sync through_trusted write",
            ),
            ("program", "at_home look open sync"),
        ] {
            let list = list(&stack, token, version).await;
            assert_eq!(names(&list), expected, "{token} {version}");
        }
    }
}

#[tokio::test]
async fn tools_can_be_hidden_until_they_are_allowed() {
    let stack = Stack::new(ToolRequirements::hide_until_allowed);
    for (token, expected) in [
        ("alice", "at_home look open"),
        ("alice+files.read", "at_home look open read search"),
        (
            "alice+files.read+files.write",
            "at_home look open read search sync write",
        ),
        (
            "administrator+files.all",
            "administer at_home erase look open search",
        ),
        ("program", "at_home look open sync"),
    ] {
        assert_eq!(
            names(&list(&stack, token, MODERN).await),
            expected,
            "{token}"
        );
    }
    // They are challenged all the same.
    assert_eq!(stack.call("alice", MODERN, "read").await.status(), 403);
}

#[tokio::test]
async fn what_declares_nothing_is_listed_by_what_is_required_otherwise() {
    let stack = Stack::new(|requirements| {
        let otherwise = Requirement::roles(["Files.Admin"]);
        requirements.otherwise(otherwise).unwrap()
    });
    for (token, expected) in [
        ("program", "at_home sync"),
        (
            "administrator",
            "administer at_home erase look open read search sync write",
        ),
    ] {
        let list = list(&stack, token, MODERN).await;
        assert_eq!(names(&list), expected, "{token}");
    }
}

#[tokio::test]
async fn what_tools_require_never_leaves() {
    let stack = Stack::new(|requirements| requirements);
    for version in ERAS {
        let list = list(&stack, "administrator", version).await;
        for tool in list["tools"].as_array().unwrap() {
            let expected = match tool["name"].as_str().unwrap() {
                "search" => json!({ "com.example/icon": "lens" }),
                _ => Value::Null,
            };
            assert_eq!(tool["_meta"], expected, "{tool}");
        }
        assert!(!list.to_string().contains("Files.Admin"), "{list}");
    }
}

#[tokio::test]
async fn nobody_shares_a_list_that_depends_on_who_asks() {
    let stack = Stack::new(|requirements| requirements);
    let modern = list(&stack, "alice", MODERN).await;
    assert_eq!(modern["cacheScope"], "private", "{modern}");
    let legacy = list(&stack, "alice", LEGACY).await;
    assert_eq!(legacy["cacheScope"], Value::Null, "{legacy}");
}

/// Answers with a page that everybody may keep for an hour.
#[derive(Clone, Debug)]
struct Paged(Vault);

impl ServerHandler for Paged {
    fn get_info(&self) -> rmcp::model::ServerConfig {
        self.0.get_info()
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.0.tool_router.list_all();
        let list = ListToolsResult::with_all_items(tools).with_ttl_ms(3_600_000);
        let mut list = list.with_cache_scope(CacheScope::Public);
        list.next_cursor = page.and_then(|page| page.cursor);
        Ok(list)
    }
}

#[tokio::test]
async fn pages_stay_pages_and_are_kept_no_longer_than_they_hold() {
    for (hide, ttl) in [(false, 3_600_000), (true, 0)] {
        let server = Paged(Vault::new());
        let mut requirements = ToolRequirements::of(&server.0.tool_router).unwrap();
        if hide {
            requirements = requirements.hide_until_allowed();
        }
        let service = requirements.service(
            move || Ok(server.clone()),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        let app = Router::new().route_service("/mcp", guard().layer(service));
        let sent = Sent {
            user: "program",
            session: None,
            version: MODERN,
        };
        let request = call("tools/list", json!({ "cursor": "page 2" }), MODERN);
        let list = message(sent.post(&app, &request).await).await["result"].clone();
        assert_eq!(list["nextCursor"], "page 2", "{list}");
        assert_eq!(list["cacheScope"], "private", "{list}");
        assert_eq!(list["ttlMs"], ttl, "{list}");
        assert_eq!(names(&list), "at_home look open sync");
    }
}

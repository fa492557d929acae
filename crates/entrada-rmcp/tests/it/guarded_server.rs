//! Who calls, as tools and handler methods know it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use entrada_rmcp::CurrentUser;
use http::{Method, StatusCode};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{ListResourcesResult, PaginatedRequestParams};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _};

use crate::client::{LEGACY, MODERN, Sent, call, message, open};
use crate::guard::guard;

#[derive(Clone, Debug)]
struct Server {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Server {
    /// Says who calls.
    #[tool]
    async fn whoami(&self, user: CurrentUser) -> String {
        user.subject.clone()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Server {
    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let user = CurrentUser::from_extensions(&context.extensions)?;
        Err(ErrorData::invalid_request(user.subject.clone(), None))
    }
}

fn server() -> StreamableHttpService<Server, LocalSessionManager> {
    let server = Server {
        tool_router: Server::tool_router(),
    };
    StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    )
}

fn guarded() -> Router {
    Router::new().route_service("/mcp", guard().layer(server()))
}

#[tokio::test]
async fn tools_and_handler_methods_know_who_calls_in_a_session() {
    let app = guarded();
    let session = open(&app, "alice").await;
    let sent = Sent {
        user: "alice",
        session: Some(&session),
        version: LEGACY,
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), LEGACY);
    let answer = message(sent.post(&app, &whoami).await).await;
    assert_eq!(answer["result"]["content"][0]["text"], "alice", "{answer}");
    let answer = message(
        sent.post(&app, &call("resources/list", json!({}), LEGACY))
            .await,
    )
    .await;
    assert_eq!(answer["error"]["message"], "alice", "{answer}");
}

#[tokio::test]
async fn tools_and_handler_methods_know_who_calls_without_sessions() {
    let app = guarded();
    let sent = Sent {
        user: "bob",
        session: None,
        version: MODERN,
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), MODERN);
    let answer = message(sent.post(&app, &whoami).await).await;
    assert_eq!(answer["result"]["content"][0]["text"], "bob", "{answer}");
    let answer = message(
        sent.post(&app, &call("resources/list", json!({}), MODERN))
            .await,
    )
    .await;
    assert_eq!(answer["error"]["message"], "bob", "{answer}");
}

#[tokio::test]
async fn a_stolen_session_neither_answers_nor_streams_nor_ends() {
    let app = guarded();
    let session = open(&app, "alice").await;
    let thief = Sent {
        user: "bob",
        session: Some(&session),
        version: LEGACY,
    };
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let request = thief.request(method.clone()).header("last-event-id", "0/0");
        let request = request.body(Body::from("{}")).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method}");
    }
    let owner = Sent {
        user: "alice",
        ..thief
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), LEGACY);
    assert_eq!(owner.post(&app, &whoami).await.status(), StatusCode::OK);
    let stranger = Sent {
        user: "mallory",
        ..thief
    };
    assert_eq!(
        stranger.post(&app, &whoami).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn without_a_guard_nobody_is_anybody() {
    let app = Router::new().route_service("/mcp", server());
    let sent = Sent {
        user: "alice",
        session: None,
        version: MODERN,
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), MODERN);
    let answer = message(sent.post(&app, &whoami).await).await;
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let expected = "nobody is authenticated: the server has no guard";
    assert_eq!(answer["error"]["message"], expected);
}

//! A server whose tools call APIs as their caller.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use entrada::on_behalf_of::Downstream;
use entrada_rmcp::{CurrentUser, EntraOboToken, ToolRequirements};
use http::Response;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{ProgressNotificationParam, RequestMetaObject};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};

use crate::mcp_server::claims_of;
use crate::rpc::{LEGACY, MODERN, Sent, call, open};

pub(crate) const USER_READ: &str = "https://graph.microsoft.com/User.Read";

struct ReadUser;

impl Downstream for ReadUser {
    const SCOPE: &str = USER_READ;
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) tool_router: ToolRouter<Self>,
}

fn whom(token: &str) -> String {
    claims_of(token)["oid"]
        .as_str()
        .unwrap_or("an application")
        .to_owned()
}

#[tool_router]
impl Server {
    /// Its argument says what it needs.
    #[tool]
    async fn declared(&self, graph: EntraOboToken<ReadUser>) -> Result<String, ErrorData> {
        assert_eq!(format!("{graph:?}"), "EntraOboToken(…)");
        Ok(whom(graph.get().await?.expose()))
    }

    /// It asks.
    #[tool]
    async fn asked(&self, user: CurrentUser) -> Result<String, ErrorData> {
        Ok(whom(user.downstream_token(USER_READ).await?.expose()))
    }

    /// It asks for what only an administrator gives.
    #[tool]
    async fn ambitious(&self, user: CurrentUser) -> Result<String, ErrorData> {
        let default = "api://unconsented.contoso.onmicrosoft.com/.default";
        Ok(whom(user.downstream_token(default).await?.expose()))
    }

    /// It asks after it has begun to answer.
    #[tool]
    async fn late(
        &self,
        user: CurrentUser,
        meta: RequestMetaObject,
        peer: Peer<RoleServer>,
    ) -> Result<String, ErrorData> {
        let token = meta.get_progress_token().expect("the client wants to know");
        let begun = ProgressNotificationParam::new(token, 0.5);
        peer.notify_progress(begun)
            .await
            .expect("the client is there");
        Ok(whom(user.downstream_token(USER_READ).await?.expose()))
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Server {}

/// How a server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Session,
    Stream,
    Json,
}

pub(crate) const MODES: [Mode; 3] = [Mode::Session, Mode::Stream, Mode::Json];

impl Mode {
    fn config(self) -> StreamableHttpServerConfig {
        let config = StreamableHttpServerConfig::default().disable_allowed_hosts();
        config.with_json_response(matches!(self, Self::Json))
    }

    fn version(self) -> &'static str {
        match self {
            Self::Session => LEGACY,
            Self::Stream | Self::Json => MODERN,
        }
    }

    /// Calls a tool, in a session of its own where there are such.
    pub(crate) async fn call(self, app: &Router, token: &str, tool: &str) -> Response<Body> {
        let session = match self {
            Self::Session => Some(open(app, token).await),
            Self::Stream | Self::Json => None,
        };
        let sent = Sent {
            user: token,
            session: session.as_deref(),
            version: self.version(),
        };
        let mut message = call("tools/call", json!({ "name": tool }), self.version());
        message["params"]["_meta"]["progressToken"] = json!("p");
        sent.post(app, &message).await
    }
}

pub(crate) fn server() -> Server {
    let tool_router = Server::tool_router();
    Server { tool_router }
}

type Service = entrada_rmcp::ProtectedServer<Server, LocalSessionManager>;

/// The server as it is meant to stand.
pub(crate) fn service(mode: Mode) -> Service {
    let server = server();
    let requirements = ToolRequirements::of(&server.tool_router).unwrap();
    let sessions = Arc::new(LocalSessionManager::default());
    requirements.service(move || Ok(server.clone()), sessions, mode.config())
}

/// The server with nothing before it that could challenge.
pub(crate) fn bare(mode: Mode) -> StreamableHttpService<Server, LocalSessionManager> {
    let server = server();
    let sessions = Arc::new(LocalSessionManager::default());
    StreamableHttpService::new(move || Ok(server.clone()), sessions, mode.config())
}

/// The text a tool answered.
#[track_caller]
pub(crate) fn text(answer: &Value) -> &str {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}"))
}

//! A server whose tools require different things, and count how often they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use entrada::policy::Requirement;
use entrada_rmcp::{CurrentUser, ToolRequirements, requires, requires_with};
use http::Response;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CustomNotification, CustomRequest, CustomResult, MetaObject, ServerCapabilities, ServerConfig,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::Layer as _;

use crate::client::{LEGACY, MODERN, Sent, call, open};
use crate::guard::guard;

#[derive(Clone, Debug)]
pub(crate) struct Vault {
    pub(crate) runs: Arc<AtomicUsize>,
    pub(crate) notified: Arc<Notify>,
    pub(crate) tool_router: ToolRouter<Self>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Path {
    path: String,
}

#[tool_router]
impl Vault {
    pub(crate) fn new() -> Self {
        Self {
            runs: Arc::default(),
            notified: Arc::default(),
            tool_router: Self::tool_router(),
        }
    }

    fn run(&self) -> String {
        self.runs.fetch_add(1, Ordering::SeqCst);
        "ran".to_owned()
    }

    /// Declares nothing.
    #[tool]
    async fn look(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(Requirement::scopes(["files.read"])))]
    async fn read(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(Requirement::scopes(["files.read files.write"])))]
    async fn write(&self) -> String {
        self.run()
    }

    #[tool(meta = requires_with(Requirement::any_scope(["files.read", "files.all"]), icon()))]
    async fn search(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(Requirement::roles(["Files.Admin"])))]
    async fn administer(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(Requirement::roles(["Files.Admin"]).and(Requirement::scopes(["files.all"]))))]
    async fn erase(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(Requirement::any_group(["staff"])))]
    async fn for_staff(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(Requirement::any_tenant(["home"])))]
    async fn at_home(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(Requirement::any_client(["trusted"])))]
    async fn through_trusted(&self) -> String {
        self.run()
    }

    #[tool(meta = requires(people_or_programs()))]
    async fn sync(&self) -> String {
        self.run()
    }

    /// Requires more of some arguments.
    #[tool]
    async fn open(
        &self,
        user: CurrentUser,
        Parameters(Path { path }): Parameters<Path>,
    ) -> Result<String, ErrorData> {
        match path.as_str() {
            "payroll" => user.require(&Requirement::roles(["Payroll.Read"]))?,
            "drafts" => user.require(&Requirement::scopes(["files.write"]))?,
            _ => {}
        }
        Ok(self.run())
    }
}

fn icon() -> MetaObject {
    MetaObject(rmcp::model::object(json!({ "com.example/icon": "lens" })))
}

fn people_or_programs() -> Requirement {
    Requirement::any([
        Requirement::all([Requirement::user(), Requirement::scopes(["files.write"])]),
        Requirement::all([
            Requirement::application(),
            Requirement::roles(["Files.Write.All"]),
        ]),
    ])
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Vault {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities).with_instructions("put it back")
    }

    /// Runs whatever it is told to.
    async fn on_custom_request(
        &self,
        _: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Ok(CustomResult::new(json!({ "custom": self.run() })))
    }

    async fn on_custom_notification(
        &self,
        _: CustomNotification,
        _: NotificationContext<RoleServer>,
    ) {
        self.run();
        self.notified.notify_one();
    }
}

/// The vault behind the guard.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) app: Router,
    pub(crate) vault: Vault,
}

impl Stack {
    /// With both halves of what is required.
    pub(crate) fn new(require: impl FnOnce(ToolRequirements) -> ToolRequirements) -> Self {
        let vault = Vault::new();
        let requirements = require(ToolRequirements::of(&vault.tool_router).unwrap());
        let server = vault.clone();
        let service = requirements.service(
            move || Ok(server.clone()),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        let app = Router::new().route_service("/mcp", guard().layer(service));
        Self { app, vault }
    }

    /// How often tools ran since this was asked last.
    pub(crate) fn runs(&self) -> usize {
        self.vault.runs.swap(0, Ordering::SeqCst)
    }

    /// Sends a request, in a session of its own in the era that has them.
    pub(crate) async fn ask(
        &self,
        token: &str,
        version: &str,
        method: &str,
        params: Value,
    ) -> Response<Body> {
        let session = match version {
            LEGACY => Some(open(&self.app, token).await),
            _ => None,
        };
        let sent = Sent {
            user: token,
            session: session.as_deref(),
            version,
        };
        sent.post(&self.app, &call(method, params, version)).await
    }

    pub(crate) async fn call(&self, token: &str, version: &str, tool: &str) -> Response<Body> {
        let params = json!({ "name": tool });
        self.ask(token, version, "tools/call", params).await
    }
}

pub(crate) const ERAS: [&str; 2] = [LEGACY, MODERN];

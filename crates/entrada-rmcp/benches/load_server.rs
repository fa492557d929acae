//! Serves the same things with the guard and without it, for `bench/load.py` to drive in turns.
//!
//! | guarded | without | what |
//! |---|---|---|
//! | `/mcp` | `/bare/mcp` | the tool `echo` of `examples/protect_a_server.rs` |
//! | `/guarded/hello` | `/bare/hello` | a handler that does next to nothing |
//!
//! Configured by the `ENTRADA_*` variables of that example; all of them must be set.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use entrada::{AzureConfig, AzureProvider, Platform};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // `cargo bench` runs whatever is here.
    let Ok(address) = variable("LISTEN") else {
        return Ok(());
    };
    let platform = Platform::system_trusting(&std::fs::read(variable("CA_FILE")?)?)?;
    let config = AzureConfig::new(
        variable("TENANT_ID")?,
        variable("CLIENT_ID")?,
        variable("BASE_URL")?,
    )
    .client_secret(variable("CLIENT_SECRET")?)
    .required_scopes([variable("REQUIRED_SCOPES")?])
    .authority_host(variable("AUTHORITY_HOST")?)
    .data_dir(variable("DATA_DIR")?);
    let provider = AzureProvider::new(config, platform)?;
    let mcp = mcp();
    let hello = Router::new().route("/hello", post(async || "hello\n"));
    let app = provider
        .protect(mcp.clone())
        .route_service("/bare/mcp", mcp)
        .nest("/guarded", hello.clone().layer(provider.guard()))
        .nest("/bare", hello);
    let listener = TcpListener::bind(address).await?.tap_io(send_at_once);
    Ok(axum::serve(listener, app).await?)
}

/// An event must not wait until the client has acknowledged the one before.
fn send_at_once(connection: &mut TcpStream) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "events may be late");
    }
}

fn mcp() -> StreamableHttpService<Tools, LocalSessionManager> {
    let tools = Tools {
        tool_router: Tools::tool_router(),
    };
    StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    )
}

#[derive(Clone, Debug)]
struct Tools {
    tool_router: ToolRouter<Self>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Echo {
    /// What to say.
    message: String,
}

#[tool_router]
impl Tools {
    /// Says what it is told.
    #[tool]
    async fn echo(&self, Parameters(Echo { message }): Parameters<Echo>) -> String {
        message
    }
}

// Without `router`, rmcp builds the router anew for every call.
#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {}

#[expect(
    clippy::disallowed_methods,
    reason = "configured by its environment, as the example is"
)]
fn variable(name: &str) -> Result<String, Failure> {
    let name = format!("ENTRADA_{name}");
    std::env::var(&name).map_err(|_| format!("{name} is not set").into())
}

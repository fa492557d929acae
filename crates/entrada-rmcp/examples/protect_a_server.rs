//! An MCP server with five tools, protected in its own process. One is for administrators, and two
//! call Microsoft Graph as the user.
//!
//! | variable | what it is |
//! |---|---|
//! | `ENTRADA_TENANT_ID` | the tenant's id or domain |
//! | `ENTRADA_CLIENT_ID` | the Application (client) ID |
//! | `ENTRADA_CLIENT_SECRET` | the value of a client secret |
//! | `ENTRADA_BASE_URL` | the public URL of this server |
//! | `ENTRADA_REQUIRED_SCOPES` | scopes of your own API, separated by spaces |
//! | `ENTRADA_ADDITIONAL_SCOPES` | scopes of Microsoft Graph, for `graph_me` and `list_mails` (optional: what is not asked for at the first login is asked for once it is needed) |
//! | `ENTRADA_LISTEN` | the address to listen on, `127.0.0.1:8000` if not set |
//! | `ENTRADA_DATA_DIR` | where keys and grants are kept, `entrada-data` if not set |
//! | `ENTRADA_AUTHORITY_HOST` | another cloud, or an emulator: `host` or `host:port` (optional) |
//! | `ENTRADA_CA_FILE` | a certificate authority to trust besides the system's (optional) |
//! | `ENTRADA_GRAPH_URL` | another Microsoft Graph (optional) |

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt as _;
use entrada::on_behalf_of::Downstream;
use entrada::platform::HttpTransport;
use entrada::policy::Requirement;
use entrada::secret::EntraAccessToken;
use entrada::{AzureConfig, AzureProvider, Platform};
use entrada_rmcp::{CurrentUser, EntraOboToken, ProtectedServer, ToolRequirements, requires};
use http::Request;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::EnvFilter;
use url::Url;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    log();
    let platform = platform()?;
    let provider = AzureProvider::new(config()?, platform.clone())?;
    let tools = Tools::new(platform.http);
    let app = provider.protect(mcp(tools, &required("ENTRADA_BASE_URL")?)?);
    tokio::select! {
        served = serve(app) => served,
        stopped = stopped() => stopped,
    }
}

/// Logs to standard error. rmcp is kept quiet: it writes session ids.
fn log() {
    let filter = EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info,rmcp=warn")))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

/// What the library is told.
fn config() -> Result<AzureConfig, Failure> {
    let mut config = AzureConfig::new(
        required("ENTRADA_TENANT_ID")?,
        required("ENTRADA_CLIENT_ID")?,
        required("ENTRADA_BASE_URL")?,
    )
    .client_secret(required("ENTRADA_CLIENT_SECRET")?)
    .required_scopes([required("ENTRADA_REQUIRED_SCOPES")?]);
    if let Some(scopes) = optional("ENTRADA_ADDITIONAL_SCOPES") {
        config = config.additional_scopes([scopes]);
    }
    if let Some(host) = optional("ENTRADA_AUTHORITY_HOST") {
        config = config.authority_host(host);
    }
    if let Some(folder) = optional("ENTRADA_DATA_DIR") {
        config = config.data_dir(folder);
    }
    Ok(config)
}

fn platform() -> Result<Platform, Failure> {
    let Some(file) = optional("ENTRADA_CA_FILE") else {
        return Ok(Platform::system()?);
    };
    let pem = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    Ok(Platform::system_trusting(&pem)?)
}

/// The server as rmcp runs it, with what its tools require. Who calls is not yet known.
fn mcp(
    tools: Tools,
    base_url: &str,
) -> Result<ProtectedServer<Tools, LocalSessionManager>, Failure> {
    let base_url = Url::parse(base_url)?;
    let host = base_url.host_str().ok_or("ENTRADA_BASE_URL has no host")?;
    let requirements = ToolRequirements::of(&tools.tool_router)?;
    Ok(requirements.service(
        move || Ok(tools.clone()),
        Arc::new(LocalSessionManager::default()),
        // rmcp answers for loopback alone unless told its name.
        StreamableHttpServerConfig::default().with_allowed_hosts([host]),
    ))
}

async fn serve(app: Router) -> Result<(), Failure> {
    let address = optional("ENTRADA_LISTEN").unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    Ok(axum::serve(listener.tap_io(send_at_once), app).await?)
}

/// An event must not wait until the client has acknowledged the one before.
fn send_at_once(connection: &mut TcpStream) {
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "events may be late");
    }
}

/// Waits for Ctrl-C or, where there is one, for SIGTERM.
async fn stopped() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// The tools. rmcp makes one for every session, so it must be cheap to clone.
#[derive(Clone, Debug)]
struct Tools {
    http: Arc<dyn HttpTransport>,
    graph_url: String,
    tool_router: ToolRouter<Self>,
}

/// What `list_mails` needs of Microsoft Graph.
struct ReadMail;

impl Downstream for ReadMail {
    const SCOPE: &str = "https://graph.microsoft.com/Mail.Read";
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Echo {
    /// What to say.
    message: String,
}

#[tool_router]
impl Tools {
    fn new(http: Arc<dyn HttpTransport>) -> Self {
        let graph = optional("ENTRADA_GRAPH_URL");
        Self {
            http,
            graph_url: graph.unwrap_or_else(|| "https://graph.microsoft.com".to_owned()),
            tool_router: Self::tool_router(),
        }
    }

    /// Says what it is told.
    #[tool]
    async fn echo(&self, Parameters(Echo { message }): Parameters<Echo>) -> String {
        message
    }

    /// Says who calls, as which client, and what they may do.
    #[tool]
    async fn whoami(&self, user: CurrentUser) -> String {
        let caller = json!({
            "tenant_id": user.principal.tenant_id,
            "object_id": user.principal.object_id,
            "name": user.principal.name,
            "preferred_username": user.principal.preferred_username,
            "client_id": user.client_id.as_str(),
            "scope": user.scope,
        });
        caller.to_string()
    }

    /// Says which Microsoft Graph the server talks to.
    #[tool(meta = requires(Requirement::roles(["Mcp.Admin"])))]
    async fn settings(&self) -> String {
        json!({ "graph_url": self.graph_url }).to_string()
    }

    /// Reads the caller's profile from Microsoft Graph, in the caller's name.
    #[tool]
    async fn graph_me(&self, user: CurrentUser) -> Result<String, ErrorData> {
        let token = user.downstream_token("https://graph.microsoft.com/User.Read");
        let me = self.graph("/me", token.await?).await?;
        Ok(me.to_string())
    }

    /// Lists the caller's mails, which Microsoft Graph keeps. What is asked of it stands in the type
    /// of the argument.
    #[tool]
    async fn list_mails(&self, graph: EntraOboToken<ReadMail>) -> Result<String, ErrorData> {
        let mails = self.graph("/me/messages", graph.get().await?).await?;
        let mails = mails.get("value").and_then(Value::as_array);
        let subject = |mail: &Value| Some(mail.get("subject")?.as_str()?.to_owned());
        let subjects: Vec<_> = mails.into_iter().flatten().filter_map(subject).collect();
        Ok(subjects.join("\n"))
    }

    /// Asks Microsoft Graph.
    async fn graph(&self, path: &str, token: EntraAccessToken) -> Result<Value, ErrorData> {
        let failed = |error: &dyn Error| {
            tracing::error!(%error, "no answer from Graph");
            ErrorData::internal_error("Microsoft Graph does not answer", None)
        };
        let request = Request::get(format!("{}/v1.0{path}", self.graph_url))
            .header("authorization", format!("Bearer {}", token.expose()))
            .body(bytes::Bytes::new())
            .map_err(|error| failed(&error))?;
        let response = self.http.send(request).await;
        let response = response.map_err(|error| failed(&error))?;
        if !response.status().is_success() {
            let refused = format!("Microsoft Graph answers {}", response.status());
            return Err(ErrorData::internal_error(refused, None));
        }
        serde_json::from_slice(response.body()).map_err(|error| failed(&error))
    }
}

// Without `router`, rmcp builds the router anew for every call.
#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {}

fn required(name: &str) -> Result<String, Failure> {
    optional(name).ok_or_else(|| format!("{name} is not set").into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "an example is configured by its environment"
)]
fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

//! An MCP server like any other: all it knows of its users is in the gateway's headers.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use entrada::platform::HttpTransport;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Request};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::upstream::identity::IdentityHeader;

/// What is asked of Microsoft Graph.
pub(super) const GRAPH_SCOPES: &str =
    "https://graph.microsoft.com/Mail.Read https://graph.microsoft.com/User.Read";

/// Where the gateway puts a token for it.
pub(super) const GRAPH_TOKEN: HeaderName = HeaderName::from_static("x-graph-token");

/// The sample server, at `/mcp`.
pub(super) fn sample_server(graph: Graph) -> Router {
    let server = SampleServer {
        graph: Arc::new(graph),
        tool_router: SampleServer::tool_router(),
    };
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    Router::new().route_service("/mcp", service)
}

#[derive(Clone)]
struct SampleServer {
    graph: Arc<Graph>,
    tool_router: ToolRouter<Self>,
}

/// What `echo` is given.
#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to say back.
    message: String,
}

#[tool_router]
impl SampleServer {
    /// Say the message back.
    #[tool]
    #[expect(clippy::unused_self, reason = "tools are methods")]
    fn echo(&self, Parameters(Echo { message }): Parameters<Echo>) -> String {
        message
    }

    /// Tell who the gateway says is calling.
    #[tool]
    #[expect(clippy::unused_self, reason = "tools are methods")]
    fn whoami(&self, Extension(parts): Extension<Parts>) -> String {
        let known = IdentityHeader::DEFAULT.iter().filter_map(|header| {
            let name = header.header();
            let value = parts.headers.get(&name)?.to_str().ok()?;
            let name = name.as_str().trim_start_matches("x-entrada-");
            Some((name.replace('-', "_"), Value::from(decoded(value))))
        });
        let known: Map<String, Value> = known.collect();
        format!("{:#}", Value::from(known))
    }

    /// Ask Microsoft Graph who you are, with a token in your name.
    #[tool]
    async fn graph_me(&self, Extension(parts): Extension<Parts>) -> Result<String, String> {
        let me = self.graph.get("/me", &parts.headers).await?;
        Ok(me.to_string())
    }

    /// List your mails, which Microsoft Graph keeps.
    #[tool]
    async fn list_mails(&self, Extension(parts): Extension<Parts>) -> Result<String, String> {
        let mails = self.graph.get("/me/messages", &parts.headers).await?;
        let mails = mails.get("value").and_then(Value::as_array);
        let subject = |mail: &Value| Some(mail.get("subject")?.as_str()?.to_owned());
        let subjects: Vec<_> = mails.into_iter().flatten().filter_map(subject).collect();
        Ok(subjects.join("\n"))
    }
}

#[tool_handler(router = self.tool_router, name = "entrada-demo")]
impl ServerHandler for SampleServer {}

/// The way to Microsoft Graph, in the name of whoever the gateway sent a token for.
#[derive(Debug)]
pub(super) struct Graph {
    http: Arc<dyn HttpTransport>,
    base_url: String,
}

impl Graph {
    /// Asks the Graph of the pretend Entra at `entra_host`.
    pub(super) fn new(http: Arc<dyn HttpTransport>, entra_host: &str) -> Self {
        let base_url = format!("http://{entra_host}/graph/v1.0");
        Self { http, base_url }
    }

    async fn get(&self, path: &str, headers: &HeaderMap) -> Result<Value, String> {
        let token = headers.get(GRAPH_TOKEN);
        let token = token.and_then(|token| token.to_str().ok());
        let token = token.ok_or("the gateway sent no token")?;
        let request = Request::get(format!("{}{path}", self.base_url))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let response = self.http.send(request).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status().is_success() {
            serde_json::from_slice(response.body()).map_err(|error| error.to_string())
        } else {
            Err(String::from_utf8_lossy(response.body()).into_owned())
        }
    }
}

/// Undoes percent-encoding (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let [b'%', high, low, after @ ..] = rest
            && let Some((high, low)) = hex(*high).zip(hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written() {
        for (text, expected) in [
            ("Al%C3%AFce%20Anders", "Alïce Anders"),
            ("100%25", "100%"),
            ("%", "%"),
            ("%zz%4", "%zz%4"),
            ("", ""),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }
}

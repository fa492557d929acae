//! An rmcp client that signs a person in, calls tools, refreshes, and gives its grant back.
//!
//! `interop/clients.py` runs it against `entrada demo`: `INTEROP_DEMO` holds that program's ready
//! line, and `INTEROP_AGENT` the command that plays the person at the browser.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use reqwest::Client as HttpClient;
use rmcp::model::{CallToolRequestParams, JsonObject};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt as _};
use serde::Deserialize;

const REDIRECT_URI: &str = "http://127.0.0.1:39396/callback";

type Failure = Box<dyn Error + Send + Sync>;

/// What `entrada demo --json` prints when it is ready.
#[derive(Deserialize)]
struct Demo {
    mcp_url: String,
    issuer: String,
    username: String,
}

/// What the token endpoint answered.
#[derive(Deserialize)]
struct Tokens {
    refresh_token: String,
    expires_in: u64,
}

impl Tokens {
    /// Waits until the access token has expired.
    async fn outlive(&self) {
        tokio::time::sleep(Duration::from_secs(self.expires_in + 1)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let demo: Demo = from_environment("INTEROP_DEMO")?;
    let http = sign_in(&demo).await?;
    let config = StreamableHttpClientTransportConfig::with_uri(demo.mcp_url.as_str());
    let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
    let client = ().serve(transport).await?;

    assert_eq!(call(&client, "echo", Some("hello")).await?, "hello");
    assert!(
        call(&client, "whoami", None)
            .await?
            .contains(&demo.username)
    );

    let (before, client_id) = credentials(&http).await?;
    before.outlive().await;
    assert_eq!(call(&client, "echo", Some("again")).await?, "again");
    let (after, _) = credentials(&http).await?;
    assert_ne!(before.refresh_token, after.refresh_token);

    revoke(&demo, &after.refresh_token, &client_id).await?;
    after.outlive().await;
    assert!(call(&client, "echo", Some("revoked")).await.is_err());
    Ok(())
}

/// Finds the authorization server, registers there, and sends the person to it.
async fn sign_in(demo: &Demo) -> Result<AuthClient<HttpClient>, Failure> {
    let mut state = OAuthState::new(demo.mcp_url.as_str(), None).await?;
    let request = AuthorizationRequest::new(REDIRECT_URI).with_client_name("rmcp");
    state.start_authorization(request).await?;

    let agent: Vec<String> = from_environment("INTEROP_AGENT")?;
    let (program, arguments) = agent.split_first().ok_or("no command")?;
    let visit = Command::new(program)
        .args(arguments)
        .arg(state.get_authorization_url().await?)
        .output()?;
    let callback = String::from_utf8(visit.stdout)?;
    state.handle_callback_url(callback.trim()).await?;

    let manager = state.into_authorization_manager().ok_or("not signed in")?;
    Ok(AuthClient::new(HttpClient::default(), manager))
}

/// The text a tool answers with.
async fn call(
    client: &RunningService<RoleClient, ()>,
    tool: &'static str,
    message: Option<&str>,
) -> Result<String, Failure> {
    let arguments =
        message.map(|text| JsonObject::from_iter([("message".to_owned(), text.into())]));
    let mut request = CallToolRequestParams::new(tool);
    request.arguments = arguments;
    let result = client.call_tool(request).await?;
    let text = result.content.first().and_then(|content| content.as_text());
    Ok(text.ok_or("no text")?.text.clone())
}

/// What the client was given, and who the server knows it as.
async fn credentials(http: &AuthClient<HttpClient>) -> Result<(Tokens, String), Failure> {
    let (client_id, tokens) = http.auth_manager.lock().await.get_credentials().await?;
    let tokens = serde_json::to_value(tokens.ok_or("no tokens")?)?;
    Ok((serde_json::from_value(tokens)?, client_id))
}

/// Tells the authorization server that the grant is over (RFC 7009 §2.1).
#[expect(
    clippy::disallowed_methods,
    reason = "a client of its own, with no platform to go through"
)]
async fn revoke(demo: &Demo, refresh_token: &str, client_id: &str) -> Result<(), Failure> {
    let reply = HttpClient::default()
        .post(format!("{}/revoke", demo.issuer))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={refresh_token}&client_id={client_id}"))
        .send()
        .await?;
    reply.error_for_status()?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "an example is configured by its environment"
)]
fn from_environment<T: for<'de> Deserialize<'de>>(name: &str) -> Result<T, Failure> {
    Ok(serde_json::from_str(&std::env::var(name)?)?)
}

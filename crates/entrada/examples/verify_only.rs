//! Takes tokens that Entra itself issued, to people and to programs: no authorization server of
//! ours, no secret and no data.
//!
//! Configured by `ENTRADA_*`: `TENANT_ID`, `CLIENT_ID`, `BASE_URL`, `REQUIRED_SCOPES` (what people
//! need) and `REQUIRED_APP_ROLES` (what programs need); `LISTEN`, `AUTHORITY_HOST` and `CA_FILE`
//! (all with the same prefix) may be left out.

use std::error::Error;

use axum::Router;
use axum::routing::post;
use entrada::entra::verifier::AppOnlyTokens;
use entrada::policy::Requirement;
use entrada::provider::RemoteAuthConfig;
use entrada::resource_server::RequireLayer;
use entrada::{AzureJwtConfig, AzureJwtVerifier, Platform, RemoteAuthProvider, VerifiedToken};
use tokio::net::TcpListener;

/// Whatever the guard protects can ask who calls.
async fn greet(caller: VerifiedToken) -> String {
    let name = caller.principal.preferred_username.as_deref();
    format!("hello, {}\n", name.unwrap_or(caller.client_id.as_str()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let platform = match optional("CA_FILE") {
        Some(file) => Platform::system_trusting(
            &std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?,
        )?,
        None => Platform::system()?,
    };
    let verifier = AzureJwtVerifier::new(config()?, platform)?;
    let resource = RemoteAuthConfig::new(format!(
        "{}/mcp",
        required("BASE_URL")?.trim_end_matches('/')
    ));
    let provider = RemoteAuthProvider::new(resource, verifier)?;
    // One route needs more than the server does: whose token lacks it is told what to ask for.
    let write = RequireLayer::new(Requirement::scopes(["mcp.write"]));
    let routes = Router::new()
        .route("/mcp", post(greet))
        .route("/mcp/write", post(greet).layer(write));
    let address = optional("LISTEN").unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address).await?;
    Ok(axum::serve(listener, provider.protect(routes)).await?)
}

fn config() -> Result<AzureJwtConfig, String> {
    let mut config = AzureJwtConfig::new(required("TENANT_ID")?, required("CLIENT_ID")?)
        .required_scopes([required("REQUIRED_SCOPES")?])
        .app_only(AppOnlyTokens::Allow)
        .required_app_roles(required("REQUIRED_APP_ROLES")?.split(' '));
    if let Some(host) = optional("AUTHORITY_HOST") {
        config = config.authority_host(host);
    }
    Ok(config)
}

fn required(name: &str) -> Result<String, String> {
    optional(name).ok_or_else(|| format!("ENTRADA_{name} is not set"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "an example is configured by its environment"
)]
fn optional(name: &str) -> Option<String> {
    std::env::var(format!("ENTRADA_{name}")).ok()
}

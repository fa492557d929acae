//! Protects an axum app: whoever is not signed in is sent to Entra, and the app learns who calls.
//!
//! Configured by `ENTRADA_*`: `TENANT_ID`, `CLIENT_ID`, `CLIENT_SECRET`, `BASE_URL` and
//! `REQUIRED_SCOPES`; `LISTEN`, `DATA_DIR`, `AUTHORITY_HOST` and `CA_FILE` may be left out.

use std::error::Error;

use axum::Router;
use axum::routing::post;
use entrada::{AzureConfig, AzureProvider, Platform, VerifiedToken};
use tokio::net::TcpListener;

/// Whatever the guard protects can ask who calls.
async fn greet(caller: VerifiedToken) -> String {
    let principal = &caller.principal;
    let name = principal.preferred_username.as_deref();
    format!("hello, {}\n", name.unwrap_or("stranger"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let platform = match optional("CA_FILE") {
        Some(file) => Platform::system_trusting(&std::fs::read(file)?)?,
        None => Platform::system()?,
    };
    let provider = AzureProvider::new(config()?, platform)?;
    let app = provider.protect(Router::new().route("/mcp", post(greet)));
    let address = optional("LISTEN").unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    Ok(axum::serve(TcpListener::bind(address).await?, app).await?)
}

fn config() -> Result<AzureConfig, String> {
    let tenant = required("TENANT_ID")?;
    let mut config = AzureConfig::new(tenant, required("CLIENT_ID")?, required("BASE_URL")?)
        .client_secret(required("CLIENT_SECRET")?)
        .required_scopes([required("REQUIRED_SCOPES")?]);
    if let Some(host) = optional("AUTHORITY_HOST") {
        config = config.authority_host(host);
    }
    if let Some(folder) = optional("DATA_DIR") {
        config = config.data_dir(folder);
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

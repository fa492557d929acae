//! Reads a secret from Azure Key Vault as whoever calls, with a client of the Azure SDK for Rust.
//!
//! Configured by `ENTRADA_*`: `TENANT_ID`, `CLIENT_ID`, `CLIENT_SECRET`, `BASE_URL`,
//! `REQUIRED_SCOPES` and `VAULT_URL`; `LISTEN`, `DATA_DIR`, `AUTHORITY_HOST` and `CA_FILE` may be left
//! out. The app registration needs the permission *Azure Key Vault: `user_impersonation`*.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use azure_core::http::{ClientOptions, Transport};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use entrada::on_behalf_of::{OboError, create_obo_credential};
use entrada::{AzureConfig, AzureProvider, Platform, VerifiedToken};
use http::StatusCode;
use tokio::net::TcpListener;

/// The way to the vault. Clients are made anew for each caller: they keep their tokens.
#[derive(Clone, Debug)]
struct Vault {
    url: String,
    http: reqwest::Client,
}

impl Vault {
    fn client(&self, caller: &VerifiedToken) -> azure_core::Result<SecretClient> {
        let options = SecretClientOptions {
            client_options: ClientOptions {
                transport: Some(Transport::new(Arc::new(self.http.clone()))),
                ..ClientOptions::default()
            },
            // A vault of Azure's names a resource of its own domain. An emulated one cannot.
            verify_challenge_resource: Some(optional("CA_FILE").is_none()),
            ..SecretClientOptions::default()
        };
        SecretClient::new(&self.url, create_obo_credential(caller), Some(options))
    }
}

/// Tells the secret `greeting`, if Key Vault lets the caller read it.
async fn greet(State(vault): State<Vault>, caller: VerifiedToken) -> Result<String, Refused> {
    let secret = vault.client(&caller)?.get_secret("greeting", None).await?;
    let secret = secret.into_model()?;
    Ok(secret.value.unwrap_or_default())
}

/// Why there is no answer.
struct Refused(azure_core::Error);

impl From<azure_core::Error> for Refused {
    fn from(error: azure_core::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        // Where Entra wants to see the user, the guard makes a challenge of it.
        let shortfall = OboError::among_causes(&self.0).and_then(OboError::shortfall);
        if let Some(shortfall) = shortfall {
            return shortfall.into_response();
        }
        tracing::error!(error = %self.0, "no answer from Key Vault");
        StatusCode::BAD_GATEWAY.into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = optional("CA_FILE").map(std::fs::read).transpose()?;
    let platform = Platform::system_trusting(ca.as_deref().unwrap_or_default())?;
    let mut http = reqwest::Client::builder();
    for certificate in reqwest::Certificate::from_pem_bundle(&ca.unwrap_or_default())? {
        http = http.tls_certs_merge([certificate]);
    }
    let vault = Vault {
        url: required("VAULT_URL")?,
        http: http.build()?,
    };
    let provider = AzureProvider::new(config()?, platform)?;
    let app = Router::new().route("/mcp", post(greet)).with_state(vault);
    let address = optional("LISTEN").unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address).await?;
    Ok(axum::serve(listener, provider.protect(app)).await?)
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

//! `entrada serve`: protect one MCP server.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::command::CommandError;
use crate::config::{ConfigError, Environment, Flags, Problem, Settings};
use crate::gateway::gateway;
use crate::server::Server;
use crate::signals::StopSignals;
use crate::telemetry;
use crate::upstream::http::ReverseProxy;

/// Serves with the settings in `flags` and in the environment, until a signal.
///
/// # Errors
///
/// [`CommandError`] if it cannot begin.
pub async fn serve(flags: &Flags) -> Result<(), CommandError> {
    let mut settings = Settings::read(flags, &Environment::of_process())?;
    telemetry::init(&settings.log);
    let signals = StopSignals::listen().map_err(CommandError::Signals)?;
    let provider = settings.provider.provider()?;
    settings.upstream.resource_path = resource_path(provider.resource())?;
    let proxy = ReverseProxy::new(&settings.upstream)?;
    let listener = listen(settings.server.listen).await?;
    let address = listener.local_addr().unwrap_or(settings.server.listen);
    let router = gateway(&provider, proxy);
    tracing::info!(
        listen = %address,
        resource = provider.resource(),
        upstream = settings.upstream.url.origin().ascii_serialization(),
        "ready"
    );
    let stop = CancellationToken::new();
    let server = Server::new(listener, router, settings.server.drain_timeout);
    signals.govern(server.run(stop.clone()), stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// Opens a listener on `address`.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| CommandError::Listen { address, source })
}

/// The path of the resource on this host: that of the setting, below the base URL's own.
pub(crate) fn resource_path(resource: &str) -> Result<String, ConfigError> {
    match Url::parse(resource) {
        Ok(url) => Ok(url.path().to_owned()),
        Err(error) => Err(ConfigError::new(vec![Problem::new(format!(
            "resource_path: {error}"
        ))])),
    }
}

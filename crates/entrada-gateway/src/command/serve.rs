//! `entrada serve`: protect one MCP server.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::command::CommandError;
use crate::config::{ConfigError, Environment, Flags, Problem, Settings};
use crate::gateway::gateway;
use crate::route::Routes;
use crate::server::Server;
use crate::signals::StopSignals;
use crate::telemetry;

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
    let base = path_of(&settings.provider.base_url)?;
    for server in &mut settings.upstreams {
        server
            .resource_path
            .insert_str(0, base.trim_end_matches('/'));
    }
    let servers = Routes::new(&settings.upstreams)?;
    let listener = listen(settings.server.listen).await?;
    let address = listener.local_addr().unwrap_or(settings.server.listen);
    let router = gateway(&provider, servers);
    for server in &settings.upstreams {
        let upstream = server.url.origin().ascii_serialization();
        tracing::info!(path = server.resource_path, upstream, "route");
    }
    tracing::info!(listen = %address, resource = provider.resource(), "ready");
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

/// The path of `url`.
pub(crate) fn path_of(url: &str) -> Result<String, ConfigError> {
    match Url::parse(url) {
        Ok(url) => Ok(url.path().to_owned()),
        Err(error) => {
            let problem = Problem::new(format!("{url}: {error}"));
            Err(ConfigError::new(vec![problem]))
        }
    }
}

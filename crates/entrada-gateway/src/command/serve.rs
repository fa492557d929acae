//! `entrada serve`: protect one MCP server.

use std::net::SocketAddr;
use std::time::Duration;

use entrada::AzureProvider;
use entrada::authorization_server::TrustedProxies;
use entrada::platform::{Clock as _, SystemClock};
use entrada::store::Moving;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::access_log::observed;
use crate::command::CommandError;
use crate::config::{AdminListener, ConfigError, Environment, Flags, Problem, Settings};
use crate::gateway::gateway;
use crate::route::Routes;
use crate::server::Server;
use crate::signals::StopSignals;
use crate::telemetry::{self, WithCauses};

/// Serves with the settings in `flags` and in the environment, until a signal.
///
/// # Errors
///
/// [`CommandError`] if it cannot begin.
pub async fn serve(flags: &Flags) -> Result<(), CommandError> {
    let mut settings = Settings::read(flags, &Environment::of_process())?;
    telemetry::init(&settings.log);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let signals = StopSignals::listen().map_err(CommandError::Signals)?;
    let opened = settings.provider.open_store()?;
    let provider = settings.provider.provider_on(opened.store)?;
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
    let operators = match &settings.admin {
        Some(admin) => Some(operators(&settings, &provider, admin).await?),
        None => None,
    };
    let mut tending = JoinSet::new();
    tending.spawn(look_at_entra(provider.clone()));
    tending.spawn(tend_keys(provider, settings.server.key_rotation));
    if let Some(moving) = opened.to_move {
        tending.spawn(move_all(moving));
    }
    let all = async {
        let operators = async {
            if let Some(operators) = operators {
                operators.run(stop.clone()).await;
            }
        };
        tokio::join!(server.run(stop.clone()), operators);
    };
    signals.govern(all, stop.clone()).await;
    tracing::info!("stopped");
    Ok(())
}

/// What serves operators, on a listener of its own.
async fn operators(
    settings: &Settings,
    provider: &AzureProvider,
    admin: &AdminListener,
) -> Result<Server, CommandError> {
    let site = settings.provider.admin_site(provider, admin)?;
    let listener = listen(admin.listen).await?;
    let address = listener.local_addr().unwrap_or(admin.listen);
    tracing::info!(listen = %address, url = format!("{}/admin", admin.base_url), role = admin.role, "operators are served");
    // Nobody stands before it whose word is taken on who calls.
    let router = observed(site, TrustedProxies::default());
    Ok(Server::new(listener, router, settings.server.drain_timeout))
}

/// Says whether Entra can be used: nothing waits for it, and nothing else asks it before the first login.
async fn look_at_entra(provider: AzureProvider) {
    match provider.entra_ready().await {
        Ok(()) => tracing::info!("entra answers, and knows the tenant"),
        Err(error) => {
            let (advice, cause) = (error.advice(), WithCauses::of(&error));
            tracing::warn!(advice, %cause, "as it is, nobody can sign in with entra");
        }
    }
}

/// Looks after the keys until it is dropped. Those in the store are read at the start.
async fn tend_keys(provider: AzureProvider, rotation: Option<Duration>) {
    let mut failing = false;
    loop {
        match provider.tend_keys(rotation).await {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("the key ring can be used again");
            }
            Err(error) if !failing => {
                failing = true;
                let cause = WithCauses::of(&error);
                tracing::error!(%cause, "the keys in use stay, for the key ring cannot be used");
            }
            Ok(()) | Err(_) => {}
        }
        tokio::time::sleep(TEND_EVERY).await;
    }
}

/// Moves what is left in the store before, which no other process can.
async fn move_all(moving: Moving) {
    let clock = SystemClock::default();
    loop {
        let moved = moving.move_all(clock.now(), drop).await;
        match &moved {
            Ok(moved) => tracing::info!(
                moved = moved.moved,
                already_there = moved.already_there,
                expired = moved.expired,
                "all grants are in the new store: take store_before out of the settings"
            ),
            Err(error) => {
                let cause = WithCauses::of(error);
                tracing::warn!(%cause, "not all grants have moved to the new store: trying again");
            }
        }
        if moved.is_ok() {
            return;
        }
        tokio::time::sleep(MOVE_AGAIN).await;
    }
}

/// How soon after a store failed what is left is moved.
const MOVE_AGAIN: Duration = Duration::from_secs(60);

/// How soon a change of the key ring is taken over.
const TEND_EVERY: Duration = Duration::from_secs(5);

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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use entrada::AzureConfig;
    use entrada::keys::KeyFile;
    use entrada::platform::{Platform, SystemRandom};
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn published(provider: &AzureProvider) -> usize {
        let request = Request::get("/.well-known/jwks.json").body(Body::empty());
        let answer = provider.router().oneshot(request.unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let keys: serde_json::Value = serde_json::from_slice(&body).unwrap();
        keys["keys"].as_array().unwrap().len()
    }

    /// Waits until the keys were looked at.
    async fn look() {
        tokio::time::sleep(TEND_EVERY + Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_to_the_key_file_is_taken_over_while_serving() {
        let folder = tempfile::tempdir().unwrap();
        let config = AzureConfig::new(
            "11111111-1111-1111-1111-111111111111",
            "22222222-2222-2222-2222-222222222222",
            "https://mcp.example.com",
        );
        let config = config
            .client_secret("secret")
            .required_scopes(["mcp.access"])
            .data_dir(folder.path());
        let provider = AzureProvider::new(config, Platform::system().unwrap()).unwrap();
        let mut tending = JoinSet::new();
        tending.spawn(tend_keys(provider.clone(), None));
        look().await;
        assert_eq!(published(&provider).await, 1);

        let path = folder.path().join("keys.json");
        let (file, random) = (KeyFile::new(&path), SystemRandom::default());
        let now = SystemClock::default().now();
        let ring = file.load(now).unwrap();
        let rotated = ring.rotated(entrada::jwt::jwks::Algorithm::Es256, &random, now);
        file.save(&rotated.unwrap()).unwrap();
        look().await;
        assert_eq!(published(&provider).await, 2);

        // One that cannot be read changes nothing.
        std::fs::write(&path, "").unwrap();
        look().await;
        assert_eq!(published(&provider).await, 2);
        std::fs::remove_file(&path).unwrap();
        look().await;
        assert_eq!(published(&provider).await, 2);
        file.save(&ring).unwrap();
        look().await;
        assert_eq!(published(&provider).await, 1);

        // The key is older than that.
        tending.spawn(tend_keys(provider.clone(), Some(Duration::ZERO)));
        look().await;
        assert_eq!(published(&provider).await, 2);
        assert_eq!(file.load(now).unwrap().facts().count(), 4);
    }
}

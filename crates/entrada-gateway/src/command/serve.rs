//! `entrada serve`: protect one MCP server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use entrada::AzureProvider;
use entrada::platform::{Clock as _, SystemClock};
use entrada::store::Moving;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::command::CommandError;
use crate::command::kept::control_socket;
use crate::command::serve::certificate::Certificate;
use crate::command::serve::observing::{Books, Logging};
use crate::command::serve::probes::probes;
use crate::config::{AdminListener, Environment, Flags, ServerSettings, Settings};
#[cfg(unix)]
use crate::control::ControlSocket;
use crate::live::Live;
use crate::reload::{InUse, Reloading, for_operators};
use crate::route::Routes;
use crate::server::{ConnectionLimits, Server};
use crate::signals::{Hangups, StopSignals};
use crate::telemetry::WithCauses;
use crate::tls::Certificates;

mod certificate;
mod observing;
mod probes;

/// Serves with the settings in `flags` and in the environment, until a signal.
///
/// # Errors
///
/// [`CommandError`] if it cannot begin.
pub async fn serve(flags: &Flags) -> Result<(), CommandError> {
    // From the beginning on, so that being told to read something again ends nothing.
    let hangups = Hangups::listen().map_err(CommandError::Signals)?;
    let environment = Environment::of_process();
    let mut settings = Settings::read(flags, &environment)?;
    let logging = Logging::begin(&mut settings);
    let signals = StopSignals::listen().map_err(CommandError::Signals)?;
    let certificate = Certificate::open(&settings)?;
    let opened = settings.provider.open_store()?;
    let books = Books::open(&mut settings).await?;
    let provider = settings.provider.provider_on(opened.store)?;
    let in_use = in_use(&settings, &provider, books.audit())?;
    let listener = listen("listen", settings.server.listen).await?;
    let address = listener.local_addr().unwrap_or(settings.server.listen);
    tell_what_is_where(&settings, &provider);
    tracing::info!(listen = %address, tls = certificate.is_some(), "listening");
    let live = answering(in_use.router(logging.tracer()), &settings.server, &provider);
    let server = Server::live(listener, live.clone());
    let operators = match &settings.admin {
        Some(admin) => Some(operators(&settings, &provider, admin).await?),
        None => None,
    };
    let (operators, live_operators) = operators.unzip();
    let read = (flags.clone(), environment);
    let reloading = Reloading::new(read, in_use, (live, live_operators), logging.tracer());
    let reloading = reloading.logging(logging.level.clone());
    let mut tending = JoinSet::new();
    let (server, certificates) = in_tls(server, certificate, &mut tending)?;
    let stop = CancellationToken::new();
    let probes = probes(reloading.in_use(), certificates.clone());
    let http = settings.provider.http()?;
    let last = books.keep((logging, http), (probes, stop.clone()), &mut tending);
    let socket = control_socket(&settings.provider);
    tending.spawn(answer_commands(socket, reloading.in_use(), stop.clone()));
    if let Some(moving) = opened.to_move {
        tending.spawn(move_all(moving));
    }
    let reached = (address, certificates);
    tend_to(&mut tending, &provider, reached, reloading.in_use());
    let serving = run((server, operators), (reloading, hangups), stop.clone());
    signals.govern(serving, stop).await;
    last.told().await;
    tracing::info!("stopped");
    Ok(())
}

/// What is served by `settings`.
fn in_use(
    settings: &Settings,
    provider: &AzureProvider,
    audit: Option<Audit>,
) -> Result<InUse, CommandError> {
    Ok(InUse {
        routes: Routes::audited(provider, &settings.upstreams, audit.as_ref())?,
        provider: provider.clone(),
        audit,
        numbers: settings.provider.numbers.clone(),
        prints: settings.prints.clone(),
        key_rotation: settings.server.key_rotation,
    })
}

/// What answers at the gateway's address, within its limits.
fn answering(router: Router, settings: &ServerSettings, provider: &AzureProvider) -> Live {
    let live = Live::new(router, settings.drain_timeout);
    live.limit_connections(ConnectionLimits::of(settings, provider.trusted_proxies()));
    live
}

/// The same server inside TLS, where there is a certificate for it, or will be.
fn in_tls(
    server: Server,
    certificate: Option<Certificate>,
    tending: &mut JoinSet<()>,
) -> Result<(Server, Option<Certificates>), CommandError> {
    let Some(certificate) = certificate else {
        return Ok((server, None));
    };
    let shown = certificate.shown().clone();
    let hangups = Hangups::listen().map_err(CommandError::Signals)?;
    tending.spawn(certificate.tend(hangups));
    Ok((server.tls(shown.clone()), Some(shown)))
}

/// What is done beside serving, for as long as that lasts.
fn tend_to(
    tending: &mut JoinSet<()>,
    provider: &AzureProvider,
    (address, certificates): (SocketAddr, Option<Certificates>),
    in_use: watch::Receiver<InUse>,
) {
    tending.spawn(look_at_entra(provider.clone()));
    tending.spawn(tell_when_ready(provider.clone(), certificates, address));
    tending.spawn(tend_keys(in_use));
}

/// Serves until `stop`, by the settings that are there meanwhile.
async fn run(
    (server, operators): (Server, Option<Server>),
    (mut reloading, hangups): (Reloading, Hangups),
    stop: CancellationToken,
) {
    let operators = async {
        if let Some(operators) = operators {
            operators.run(stop.clone()).await;
        }
    };
    let reload = reloading.run(hangups, stop.clone());
    tokio::join!(server.run(stop.clone()), operators, reload);
    reloading.close().await;
}

/// Says which server is behind which resource, and where grants and keys are.
fn tell_what_is_where(settings: &Settings, provider: &AzureProvider) {
    for (resource, server) in provider.resources().zip(&settings.upstreams) {
        let upstream = server.transport.shown();
        tracing::info!(resource, upstream, "route");
    }
    let (store, keys) = settings.provider.places();
    tracing::info!(store, keys, "what is kept where");
}

/// What serves operators, on a listener of its own.
async fn operators(
    settings: &Settings,
    provider: &AzureProvider,
    admin: &AdminListener,
) -> Result<(Server, Live), CommandError> {
    let site = settings.provider.admin_site(provider, admin)?;
    let listener = listen("admin-listen", admin.listen).await?;
    let address = listener.local_addr().unwrap_or(admin.listen);
    tracing::info!(listen = %address, url = format!("{}/admin", admin.base_url), role = admin.role, "operators are served");
    let live = Live::new(for_operators(site), settings.server.drain_timeout);
    Ok((Server::live(listener, live.clone()), live))
}

/// Answers commands of this machine, which cannot open what is kept themselves.
#[cfg(unix)]
async fn answer_commands(
    socket: Option<PathBuf>,
    in_use: watch::Receiver<InUse>,
    stop: CancellationToken,
) {
    let Some(socket) = socket else { return };
    match ControlSocket::open(&socket) {
        Ok(control) => {
            let socket = tracing::field::display(socket.display());
            tracing::info!(socket, "commands are answered");
            let administration = move || in_use.borrow().provider.administration();
            control.serve(administration, stop).await;
        }
        Err(error) => {
            let socket = tracing::field::display(socket.display());
            tracing::warn!(socket, %error, "commands beside this gateway cannot ask it");
        }
    }
}

#[cfg(not(unix))]
async fn answer_commands(_: Option<PathBuf>, _: watch::Receiver<InUse>, _: CancellationToken) {}

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

/// Says when there are keys, a store that answers, and a certificate where one is needed: what `/readyz`
/// says from then on.
async fn tell_when_ready(
    provider: AzureProvider,
    certificates: Option<Certificates>,
    address: SocketAddr,
) {
    let can_be_reached = || certificates.as_ref().is_none_or(Certificates::are_there);
    while !can_be_reached() || provider.ready().await.is_err() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    tracing::info!(listen = %address, resource = provider.resource(), "ready");
}

/// Looks after the keys until it is dropped. Those in the store are read at the start.
async fn tend_keys(in_use: watch::Receiver<InUse>) {
    let mut failing = false;
    loop {
        let (provider, rotation) = {
            let in_use = in_use.borrow();
            (in_use.provider.clone(), in_use.key_rotation)
        };
        match provider.tend_keys(rotation).await {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("the key ring can be used again");
            }
            Err(error) if !failing => {
                failing = true;
                let cause = WithCauses::of(&error);
                if provider.has_keys() {
                    tracing::error!(%cause, "the keys in use stay, for the key ring cannot be used");
                } else {
                    tracing::error!(%cause, "there are no keys yet, for the key ring cannot be used");
                }
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

/// How soon after it was not there yet what is needed to serve is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How soon after a store failed what is left is moved.
const MOVE_AGAIN: Duration = Duration::from_secs(60);

/// How soon a change of the key ring is taken over.
const TEND_EVERY: Duration = Duration::from_secs(5);

/// Opens a listener on `address`, which `flag` names.
pub(crate) async fn listen(
    flag: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, CommandError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| CommandError::Listen {
        address,
        flag,
        source,
    })
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
    use crate::config::Prints;

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
        let in_use = |rotation| {
            watch::Sender::new(InUse {
                provider: provider.clone(),
                routes: Routes::of_all([]),
                audit: None,
                numbers: None,
                prints: Prints::default(),
                key_rotation: rotation,
            })
        };
        let unbounded = in_use(None);
        tending.spawn(tend_keys(unbounded.subscribe()));
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
        unbounded.send_replace(in_use(Some(Duration::ZERO)).borrow().clone());
        look().await;
        assert_eq!(published(&provider).await, 2);
        assert_eq!(file.load(now).unwrap().facts().count(), 4);
    }
}

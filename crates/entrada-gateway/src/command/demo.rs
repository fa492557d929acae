//! `entrada demo`: everything in one process, with nothing to set up.

mod page;
mod sample_server;

use std::io::{Write as _, stdout};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use clap::Args;
use entra_emulator::{Emulator, Listen, builtin};
use entrada::authorization_server::ConsentMode;
use entrada::grant::Remember;
use entrada::platform::{Platform, PublicWeb, PublicWebSettings};
use entrada::{AzureConfig, AzureProvider};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::command::CommandError;
use crate::command::demo::page::Demonstration;
use crate::command::demo::sample_server::{GRAPH_SCOPES, GRAPH_TOKEN, Graph, sample_server};
use crate::command::serve::listen;
use crate::config::{ConfigError, Problem, UpstreamSettings, address, authorities, duration};
use crate::gateway::gateway;
use crate::route::Routes;
use crate::server::Server;
use crate::signals::StopSignals;
use crate::telemetry::{self, LogFormat, LogLevel, LogSettings, WithCauses};
use crate::upstream::exchange::Exchange;
use crate::upstream::identity::IdentityHeader;

/// How the demo is to be.
#[derive(Clone, Debug, Args)]
#[non_exhaustive]
pub struct Options {
    /// Where the gateway listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000", value_parser = loopback)]
    listen: SocketAddr,
    /// Where the pretend Entra listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0", value_parser = loopback)]
    emulator_listen: SocketAddr,
    /// How long an access token lives, such as 30s, to see it refreshed
    #[arg(long, value_name = "TIME", value_parser = duration)]
    access_token_lifetime: Option<Duration>,
    /// Ask users once for each app, and not at every login
    #[arg(long)]
    remember_consent: bool,
    /// Take clients that a document on the internet describes, as Claude and VS Code are
    #[arg(long)]
    client_documents: bool,
    /// Certificate authorities (PEM) to trust where such documents are, for tests
    #[arg(long, value_name = "FILE", requires = "client_documents")]
    ca_file: Option<String>,
    /// An IP address where such documents may be though it is not public, for tests
    #[arg(long, value_name = "ADDRESS", requires = "client_documents")]
    insecure_document_address: Vec<IpAddr>,
    /// Print one line of JSON when ready, for scripts
    #[arg(long)]
    json: bool,
    /// How log lines are written: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// From which level on there are log lines
    #[arg(long, value_name = "LEVEL", default_value = "info,rmcp=warn")]
    log_level: LogLevel,
}

/// Runs the demo until a signal.
///
/// # Errors
///
/// [`CommandError`] if it cannot begin.
pub async fn demo(options: &Options) -> Result<(), CommandError> {
    telemetry::init(&LogSettings::new(
        options.log_format,
        options.log_level.clone(),
    ));
    let signals = StopSignals::listen().map_err(CommandError::Signals)?;
    let stop = CancellationToken::new();
    let directory = TempDir::new().map_err(CommandError::Directory)?;
    let emulator = Emulator::new(entra_emulator::Options::default());
    let entra = emulator
        .serve(Listen {
            http: Some(options.emulator_listen),
            https: None,
        })
        .await?;
    let entra_host = entra.authority_host();
    let gateway = Parts::new(options, entra_host, &directory).await?;
    let demonstration = Demonstration {
        mcp_url: gateway.provider.resource(),
        issuer: &gateway.base_url,
        emulator_url: &format!("http://{entra_host}"),
    };
    announce(&demonstration, options.json).map_err(CommandError::Output)?;
    signals.govern(gateway.run(stop.clone()), stop).await;
    entra.shutdown().await;
    Ok(())
}

fn announce(demonstration: &Demonstration<'_>, json: bool) -> std::io::Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", demonstration.ready_line())?;
    } else {
        write!(out, "{demonstration}")?;
    }
    out.flush()
}

/// The gateway and the sample server, ready to run.
struct Parts {
    base_url: String,
    provider: AzureProvider,
    gateway: Server,
    sample: Server,
}

impl Parts {
    async fn new(
        options: &Options,
        entra_host: &str,
        directory: &TempDir,
    ) -> Result<Self, CommandError> {
        let listener = listen("listen", options.listen).await?;
        let address = listener.local_addr().unwrap_or(options.listen);
        let base_url = format!("http://{address}");
        let platform = Platform::system()?.with_public_web(Arc::new(public_web(options)?));
        let config = config(options, &base_url, entra_host).data_dir(directory.path());
        let provider = AzureProvider::new(config, platform.clone()).map_err(|found| {
            let problems = found
                .iter()
                .map(|error| Problem::new(WithCauses::of(error).to_string()));
            ConfigError::new(problems.collect())
        })?;
        let graph = Graph::new(platform.http, entra_host);
        let (sample, sample_listener) = sample(graph).await?;
        let mut upstream = UpstreamSettings::new(sample);
        upstream.forward_identity.plain = IdentityHeader::DEFAULT.to_vec();
        upstream.exchange = Some(graph_token()?);
        let router = gateway(&provider, &Routes::new(&provider, &[upstream])?);
        let front = format!("Entrada demo: the MCP server is {}\n", provider.resource());
        let router = router.route("/", get(|| async { front }));
        Ok(Self {
            base_url,
            provider,
            gateway: Server::new(listener, router, DRAIN_TIMEOUT),
            sample: sample_listener,
        })
    }

    async fn run(self, stop: CancellationToken) {
        let mut servers = JoinSet::new();
        let sample_stop = stop.child_token();
        servers.spawn(self.sample.run(sample_stop));
        self.gateway.run(stop).await;
        while servers.join_next().await.is_some() {}
    }
}

/// The app registration the pretend Entra has for us.
fn config(options: &Options, base_url: &str, entra_host: &str) -> AzureConfig {
    let config = AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, base_url)
        .client_secret(builtin::CLIENT_SECRET)
        .required_scopes(["mcp.read"])
        .additional_scopes([GRAPH_SCOPES])
        .resource_name("Entrada demo")
        .authority_host(entra_host)
        .insecure_http_authority();
    // Whoever tries this out may have no way to the internet, and clients that can register do.
    let config = if options.client_documents {
        config
    } else {
        config.client_document_hosts(Vec::<String>::new())
    };
    let config = if options.remember_consent {
        config.consent(ConsentMode::Remember(Remember::default()))
    } else {
        config
    };
    match options.access_token_lifetime {
        Some(lifetime) => config.access_token_lifetime(lifetime),
        None => config,
    }
}

/// Where the documents of clients are.
fn public_web(options: &Options) -> Result<PublicWeb, CommandError> {
    let mut settings = PublicWebSettings::default();
    if let Some(file) = &options.ca_file {
        let wrong = |what| ConfigError::new(vec![Problem::new(format!("--ca-file: {what}"))]);
        settings.certificate_authorities = authorities(file).map_err(wrong)?;
    }
    settings
        .insecure_addresses
        .clone_from(&options.insecure_document_address);
    Ok(PublicWeb::new(settings)?)
}

/// What the sample server calls Graph with.
fn graph_token() -> Result<Exchange, CommandError> {
    let exchange = Exchange::new(GRAPH_SCOPES).map_err(|what| {
        let problem = Problem::new(format!("upstream_scope: {what}"));
        ConfigError::new(vec![problem])
    })?;
    Ok(exchange.header(GRAPH_TOKEN))
}

/// The sample server on a free port, and its URL.
async fn sample(graph: Graph) -> Result<(Url, Server), CommandError> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = listen("listen", address).await?;
    let url = url_of(&listener).map_err(|source| CommandError::Listen {
        address,
        flag: "listen",
        source,
    })?;
    let server = Server::new(listener, sample_server(graph), DRAIN_TIMEOUT);
    Ok((url, server))
}

fn url_of(listener: &TcpListener) -> std::io::Result<Url> {
    let address = listener.local_addr()?;
    Url::parse(&format!("http://{address}/mcp")).map_err(std::io::Error::other)
}

/// An address only this machine reaches: every password of the demo is public.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(
            "every password of the demo is public: write an address of this machine alone, such \
             as 127.0.0.1:8000"
                .to_owned(),
        )
    }
}

/// How long requests under way may take to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

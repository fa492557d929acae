//! The binary: a pretend Microsoft Entra ID for people and scripts.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use entra_emulator::directory::DirectoryError;
use entra_emulator::quirks::Quirks;
use entra_emulator::{Cloud, Directory, Emulator, Listen, Options, Running, ServeError, builtin};
use serde_json::json;
use url::Url;

/// A pretend Microsoft Entra ID, for tests and demonstrations.
///
/// Prints one line of JSON when it is ready, and serves until it is interrupted. The line tells the
/// URLs and the file with the certificate authority. Everything the emulator knows is
/// public: keep it on loopback.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
struct Arguments {
    /// Listen here for HTTPS; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        help_heading = "Listening"
    )]
    https: SocketAddr,
    /// Listen here for plain HTTP too
    #[arg(long, value_name = "ADDRESS", help_heading = "Listening")]
    http: Option<SocketAddr>,
    /// Do not listen for HTTPS
    #[arg(long, requires = "http", help_heading = "Listening")]
    no_https: bool,
    /// Write the certificate authority made at start to this file, as PEM
    #[arg(long, value_name = "FILE", help_heading = "Listening")]
    ca_file: Option<PathBuf>,
    /// Say to be here, whatever address a request came in on
    #[arg(long, value_name = "URL", help_heading = "Listening")]
    base_url: Option<Url>,
    /// Say that Microsoft Graph is here rather than under /graph
    #[arg(long, value_name = "URL", help_heading = "Listening")]
    graph_url: Option<Url>,

    /// Read tenants, users and applications from this TOML file
    #[arg(long, value_name = "FILE", help_heading = "Directory")]
    directory: Option<PathBuf>,
    /// Print the built-in directory, which is the example of the format, and stop
    #[arg(long, help_heading = "Directory")]
    print_directory: bool,
    /// Sign in whoever a login hint names, without showing a page
    #[arg(long, help_heading = "Directory")]
    auto_sign_in: bool,
    /// Take requests without a login hint to name this user
    #[arg(long, value_name = "USER", help_heading = "Directory")]
    default_login_hint: Option<String>,

    /// Be this cloud: public, us-government, china, bleu, delos or gov-sg
    #[arg(
        long,
        value_name = "CLOUD",
        default_value = "public",
        help_heading = "Which Entra"
    )]
    cloud: Cloud,
    /// Give error pages status 400 rather than Entra's 200
    #[arg(long, help_heading = "Which Entra")]
    strict_error_pages: bool,
    /// Refuse every resource parameter, as before March 2026
    #[arg(long, help_heading = "Which Entra")]
    pre_2026_resource: bool,
    /// Say in the metadata that PKCE is supported, which Entra does not
    #[arg(long, help_heading = "Which Entra")]
    advertise_pkce: bool,
    /// Vary the token lifetimes from this seed
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        help_heading = "Which Entra"
    )]
    seed: u64,
}

const EXAMPLES: &str = "\
Examples:
  entra-emulator --ca-file ca.pem
  entra-emulator --http 127.0.0.1:8400 --no-https --auto-sign-in --default-login-hint alice@contoso.onmicrosoft.com
  entra-emulator --print-directory > directory.toml
  curl --cacert ca.pem -X POST https://127.0.0.1:PORT/control/rotate-keys";

/// Why the emulator stopped.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    #[error("cannot use the directory")]
    Directory(#[from] DirectoryError),
    #[error("cannot serve")]
    Serve(#[from] ServeError),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot wait for signals")]
    Signal(#[source] io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            // Standard error is the last resort; when it fails too there is nobody to tell.
            let _ = writeln!(io::stderr(), "entra-emulator: {}", with_causes(&failed));
            ExitCode::FAILURE
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

async fn run(arguments: Arguments) -> Result<(), Failed> {
    if arguments.print_directory {
        let text = builtin::DIRECTORY_TOML.as_bytes();
        return io::stdout().write_all(text).map_err(Failed::Output);
    }
    let emulator = Emulator::new(arguments.options()?);
    let running = emulator.serve(arguments.listen()).await?;
    if let (Some(path), Some(pem)) = (&arguments.ca_file, running.ca_pem()) {
        fs::write(path, pem).map_err(|source| Failed::Write(path.clone(), source))?;
    }
    // Before the ready line: who reads it may interrupt at once.
    let interruption = Interruption::listen().map_err(Failed::Signal)?;
    announce(&running, arguments.ca_file.as_deref()).map_err(Failed::Output)?;
    interruption.arrives().await.map_err(Failed::Signal)?;
    running.shutdown().await;
    Ok(())
}

impl Arguments {
    fn listen(&self) -> Listen {
        Listen {
            http: self.http,
            https: (!self.no_https).then_some(self.https),
        }
    }

    fn options(&self) -> Result<Options, Failed> {
        Ok(Options {
            directory: self.directory()?,
            base_url: self.base_url.clone(),
            graph_url: self.graph_url.clone(),
            cloud: self.cloud,
            seed: self.seed,
            quirks: Quirks {
                strict_error_pages: self.strict_error_pages,
                pre_2026_resource: self.pre_2026_resource,
                advertise_pkce: self.advertise_pkce,
            },
            ..Options::default()
        })
    }

    fn directory(&self) -> Result<Directory, Failed> {
        let mut directory = match &self.directory {
            None => Directory::default(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|source| Failed::Read(path.clone(), source))?;
                Directory::from_toml(&text)?
            }
        };
        directory.auto_sign_in |= self.auto_sign_in;
        if self.default_login_hint.is_some() {
            directory
                .default_login_hint
                .clone_from(&self.default_login_hint);
        }
        Ok(directory)
    }
}

fn announce(running: &Running, ca_file: Option<&Path>) -> io::Result<()> {
    let url = |url: Option<Url>| url.map(|url| url.as_str().trim_end_matches('/').to_owned());
    let ready = json!({
        "ready": true,
        "https_url": url(running.https_url()),
        "http_url": url(running.http_url()),
        "authority_host": running.authority_host(),
        "ca_file": ca_file,
        "pid": std::process::id(),
    });
    let mut out = io::stdout();
    writeln!(out, "{ready}")?;
    out.flush()
}

/// The signals that end the emulator.
struct Interruption {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Interruption {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn arrives(mut self) -> io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn arrives(self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}

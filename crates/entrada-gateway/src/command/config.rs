//! `entrada config`: what is wrong with the settings, all of it at once, and what they come to.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use entrada::AzureProvider;
use serde::Serialize;

use super::grants::json_line;
use super::terminal::{GOOD, STRONG, WARNING, styled};
use crate::command::CommandError;
use crate::config::{ConfigError, Environment, Flags, Problem, Settings};
use crate::route as gateway;
use crate::telemetry::WithCauses;

/// What to do with the settings.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Look for everything that is wrong, and tell what is to be registered where. Nothing is asked of the
    /// network, and nothing is written
    Check(Check),
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    flags: Flags,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// What the settings come to.
#[derive(Debug, Serialize)]
struct Outcome {
    ok: bool,
    problems: Vec<Told>,
    warnings: Vec<Told>,
    #[serde(flatten)]
    leads_to: Option<LeadsTo>,
}

/// What is wrong, or may be meant.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    file: Option<String>,
    line: Option<usize>,
    setting: Option<String>,
    route: Option<String>,
    message: String,
}

/// Where things are, once it serves.
#[derive(Debug, Serialize)]
struct LeadsTo {
    mcp_urls: Vec<String>,
    redirect_uri: String,
    /// That of operators, where they are served.
    admin_redirect_uri: Option<String>,
    issuer: String,
    listen: String,
    /// The authority that issues the certificate, where one does.
    acme: Option<Acme>,
    routes: Vec<Route>,
}

#[derive(Debug, Serialize)]
struct Acme {
    directory: String,
    domains: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Route {
    path: String,
    upstream: String,
}

impl Options {
    /// Looks at the settings, and says what it found to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError::Config`] if they cannot be used; [`CommandError::Told`] if that was said to `out`.
    pub fn run(
        &self,
        environment: &Environment,
        out: &mut (dyn Write + Send),
    ) -> Result<(), CommandError> {
        let Action::Check(check) = &self.action;
        let found = look(&check.flags, environment);
        if !check.json {
            let (leads_to, warnings) = found?;
            return tell(&leads_to, &warnings, out).map_err(CommandError::Output);
        }
        let outcome = match found {
            Ok((leads_to, warnings)) => Outcome {
                ok: true,
                problems: Vec::new(),
                warnings: warnings.iter().map(Told::of).collect(),
                leads_to: Some(leads_to),
            },
            Err(error) => Outcome {
                ok: false,
                problems: error.problems().iter().map(Told::of).collect(),
                warnings: Vec::new(),
                leads_to: None,
            },
        };
        json_line(&outcome, out).map_err(CommandError::Output)?;
        outcome.ok.then_some(()).ok_or(CommandError::Told)
    }
}

/// What the settings lead to, and what may be meant by them.
fn look(flags: &Flags, environment: &Environment) -> Result<(LeadsTo, Vec<Problem>), ConfigError> {
    let settings = Settings::read(flags, environment)?;
    let mcp_urls = provider_of(&settings)?
        .resources()
        .map(str::to_owned)
        .collect();
    let provider = &settings.provider;
    let routes = settings.upstreams.iter().map(|server| Route {
        path: server.resource_path.clone(),
        upstream: server.transport.whole(),
    });
    let routes: Vec<_> = routes.collect();
    let leads_to = LeadsTo {
        mcp_urls,
        redirect_uri: provider.callback(),
        issuer: provider.issuer(),
        admin_redirect_uri: settings
            .admin
            .as_ref()
            .and_then(|admin| admin.settings().redirect_uri().ok()),
        listen: settings.server.listen.to_string(),
        acme: settings.acme.as_ref().map(|acme| Acme {
            directory: acme.directory.to_string(),
            domains: acme.domains.clone(),
        }),
        routes,
    };
    Ok((leads_to, settings.warnings))
}

/// A provider by `settings` that keeps nothing, where they can be used, the way to the servers among them.
pub(super) fn provider_of(settings: &Settings) -> Result<AzureProvider, ConfigError> {
    let provider = settings.provider.rehearsed();
    let mut problems = match &provider {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().to_vec(),
    };
    let base = &settings.provider.base_url;
    let resources = settings.provider.resources.iter();
    let servers = resources.map(|resource| resource.url(base));
    for (resource, server) in servers.zip(&settings.upstreams) {
        if let Err(error) = gateway::Route::new(&resource, server, None) {
            problems.push(Problem::new(WithCauses::of(&error).to_string()));
        }
    }
    match provider {
        Ok(provider) if problems.is_empty() => Ok(provider),
        _ => Err(ConfigError::new(problems)),
    }
}

impl Told {
    pub(super) fn of(problem: &Problem) -> Self {
        Self {
            file: problem.file().map(str::to_owned),
            line: problem.line(),
            setting: problem.setting().map(str::to_owned),
            route: problem.route().map(str::to_owned),
            message: problem.to_string(),
        }
    }
}

fn tell(leads_to: &LeadsTo, warnings: &[Problem], out: &mut (dyn Write + Send)) -> io::Result<()> {
    for warning in warnings {
        writeln!(out, "{} {warning}", styled("warning:", WARNING))?;
    }
    writeln!(out, "{}", styled("the configuration can be used", GOOD))?;
    writeln!(out, "  listens on    {}", leads_to.listen)?;
    if let Some(Acme { directory, domains }) = &leads_to.acme {
        let domains = domains.join(", ");
        writeln!(out, "  certificate   for {domains}, from {directory}")?;
    }
    for (route, url) in leads_to.routes.iter().zip(&leads_to.mcp_urls) {
        writeln!(
            out,
            "  MCP URL       {}  leads to  {}",
            styled(url, STRONG),
            route.upstream
        )?;
    }
    let uri = styled(&leads_to.redirect_uri, STRONG);
    writeln!(
        out,
        "  redirect URI  {uri}  (register it in Entra: Authentication, platform Web)"
    )?;
    if let Some(uri) = &leads_to.admin_redirect_uri {
        let uri = styled(uri, STRONG);
        writeln!(
            out,
            "  and           {uri}  (register it, too, for operators)"
        )?;
    }
    writeln!(out, "  issuer        {}", leads_to.issuer)
}

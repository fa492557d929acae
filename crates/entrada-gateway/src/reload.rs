//! Taking over settings that changed, while requests are served.
//!
//! They are read as a whole, by the same flags and environment, and taken over as a whole or not at all. What
//! came before goes on as it began.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use entrada::AzureProvider;
use entrada::admin_site::LiveNumbers;
use entrada::authorization_server::TrustedProxies;
use entrada::platform::{Clock as _, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access_log::observed;
use crate::audit::Audit;
use crate::config::{Change, ConfigError, Environment, Flags, Prints, Settings};
use crate::gateway::observed_gateway;
use crate::live::{Before, Drained, Live};
use crate::metrics;
use crate::route::Routes;
use crate::server::ConnectionLimits;
use crate::signals::Hangups;
use crate::telemetry::{LiveLevel, WithCauses};
use crate::traces::Tracer;
use crate::upstream::{McpServer, UpstreamError};

/// What is there by the settings in use.
#[derive(Clone, Debug)]
pub(crate) struct InUse {
    pub(crate) provider: AzureProvider,
    pub(crate) routes: Routes,
    pub(crate) audit: Option<Audit>,
    /// What operators are shown.
    pub(crate) numbers: Option<Arc<dyn LiveNumbers>>,
    /// What tells these settings from others.
    pub(crate) prints: Prints,
    /// How old the newest signing key becomes.
    pub(crate) key_rotation: Option<Duration>,
}

impl InUse {
    /// All that answers on the gateway's port.
    pub(crate) fn router(&self, tracer: Option<Tracer>) -> Router {
        observed_gateway(&self.provider, &self.routes, self.audit.clone(), tracer)
    }
}

/// What answers, where, and what becomes of what did.
#[derive(Debug)]
pub(crate) struct Reloading {
    read: Arc<(Flags, Environment)>,
    in_use: watch::Sender<InUse>,
    tracer: Option<Tracer>,
    live: Live,
    operators: Option<Live>,
    level: Option<LiveLevel>,
    /// What was there at the last look, where that is not what is in use.
    seen: Option<Prints>,
    /// Why the settings that are there were not taken, as it was told.
    refused: Option<Vec<String>>,
    leaving: JoinSet<()>,
    /// That there is no more time.
    hurry: CancellationToken,
}

/// What there is at a look.
enum Found {
    /// What is in use.
    Nothing,
    /// Something else, which may be on its way: half a file can be a whole configuration that says less.
    Unsettled(Prints),
    /// What can be taken over.
    Settled(Box<Made>),
}

/// Settings that can be taken over, and what they come to.
struct Made {
    in_use: InUse,
    operators: Option<Router>,
    settings: Settings,
}

/// Why settings are not taken over.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// They cannot be used.
    #[error(transparent)]
    Wrong(#[from] ConfigError),
    /// The way to an MCP server cannot be prepared.
    #[error("{} cannot be used", .0.setting().unwrap_or("the upstream"))]
    Upstream(#[from] UpstreamError),
    /// They would need a new process.
    #[error("cannot change while the gateway runs, so nothing does until it is started anew: {}", .0.join(", "))]
    UntilRestart(Vec<&'static str>),
}

impl Refused {
    /// Each problem, as `config check` tells it.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Wrong(error) => error.problems().iter().map(ToString::to_string).collect(),
            Self::Upstream(_) | Self::UntilRestart(_) => vec![WithCauses::of(self).to_string()],
        }
    }
}

impl Reloading {
    /// Goes by what `read` says from now on; what `live` and `operators` have is made of what is `in_use`.
    pub(crate) fn new(
        read: (Flags, Environment),
        in_use: InUse,
        (live, operators): (Live, Option<Live>),
        tracer: Option<Tracer>,
    ) -> Self {
        metrics::configuration_taken(SystemClock::default().now());
        Self {
            read: Arc::new(read),
            in_use: watch::Sender::new(in_use),
            tracer,
            live,
            operators,
            level: None,
            seen: None,
            refused: None,
            leaving: JoinSet::new(),
            hurry: CancellationToken::new(),
        }
    }

    /// The same, where `level` says from which level on there are lines in the log.
    pub(crate) fn logging(self, level: LiveLevel) -> Self {
        let level = Some(level);
        Self { level, ..self }
    }

    /// What is there by the settings in use, whichever those are.
    pub(crate) fn in_use(&self) -> watch::Receiver<InUse> {
        self.in_use.subscribe()
    }

    /// Looks whether the settings changed, every few seconds and at each hangup, until `stop`.
    pub(crate) async fn run(&mut self, mut hangups: Hangups, stop: CancellationToken) {
        let mut next = LOOK_EVERY;
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(next) => false,
                () = hangups.next() => true,
            };
            next = self.look(asked).await;
            while self.leaving.try_join_next().is_some() {}
        }
    }

    /// Ends what was started for MCP servers, all at once.
    pub(crate) async fn close(mut self) {
        self.hurry.cancel();
        let routes = self.in_use.borrow().routes.clone();
        let left = async { while self.leaving.join_next().await.is_some() {} };
        tokio::join!(routes.close(), left);
    }

    /// Takes over what changed, if it was seen before or somebody `asked`; says what came of it where somebody
    /// did, or it is news. In how long to look again.
    async fn look(&mut self, asked: bool) -> Duration {
        let (read, before) = (Arc::clone(&self.read), self.in_use.borrow().clone());
        let has_operators = self.operators.is_some();
        let seen = self.seen.take();
        // Whoever asks says that it is whole.
        let is_settled = move |there: &Prints| asked || seen.as_ref() == Some(there);
        let look = move || look(&read, &before, has_operators, is_settled);
        // It fails where the process ends.
        let Ok(found) = tokio::task::spawn_blocking(look).await else {
            return LOOK_EVERY;
        };
        match found {
            Ok(Found::Settled(made)) => self.take(*made),
            Ok(Found::Nothing) => self.nothing_new(asked),
            Ok(Found::Unsettled(prints)) => {
                self.seen = Some(prints);
                return SETTLED_AFTER;
            }
            Err(refused) => self.refuse(refused.lines(), asked),
        }
        LOOK_EVERY
    }

    fn take(&mut self, made: Made) {
        let Made {
            in_use,
            operators,
            settings,
        } = made;
        let drain_timeout = settings.server.drain_timeout;
        if let Some(level) = &self.level {
            level.set(&settings.log.level);
        }
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        for (resource, server) in in_use.provider.resources().zip(&settings.upstreams) {
            tracing::info!(resource, upstream = server.transport.shown(), "route");
        }
        let proxies = in_use.provider.trusted_proxies();
        let limits = ConnectionLimits::of(&settings.server, proxies);
        self.live.limit_connections(limits);
        let router = in_use.router(self.tracer.clone());
        let before = self.live.replace(router, drain_timeout);
        if let (Some(live), Some(router)) = (&self.operators, operators) {
            live.replace(router, drain_timeout);
        }
        let replaced = self.in_use.send_replace(in_use);
        for server in replaced.routes.not_in(&self.in_use.borrow().routes) {
            let (server, hurry) = (server.clone(), self.hurry.clone());
            let before = (before.clone(), drain_timeout);
            self.leaving.spawn(leave(server, before, hurry));
        }
        self.refused = None;
        metrics::reloaded("taken");
        metrics::configuration_taken(SystemClock::default().now());
        tracing::info!("the configuration was taken over");
    }

    fn is_told(&self, lines: &[String]) -> bool {
        self.refused.as_deref() == Some(lines)
    }

    fn nothing_new(&mut self, asked: bool) {
        if self.refused.take().is_some() {
            metrics::configuration_refused(false);
            tracing::info!("the configuration is again the one in use");
        } else if asked {
            tracing::info!("the configuration has not changed");
        }
    }

    fn refuse(&mut self, lines: Vec<String>, asked: bool) {
        if !asked && self.is_told(&lines) {
            return;
        }
        for problem in &lines {
            tracing::error!(problem, "the configuration in use stays");
        }
        metrics::reloaded("refused");
        metrics::configuration_refused(true);
        self.refused = Some(lines);
    }
}

/// What is there, where `before` is in use.
fn look(
    read: &(Flags, Environment),
    before: &InUse,
    has_operators: bool,
    is_settled: impl FnOnce(&Prints) -> bool,
) -> Result<Found, Refused> {
    let (flags, environment) = read;
    // Before they are read: what changes meanwhile differs the next time.
    let prints = Settings::prints(flags, environment)?;
    if Change::of(&before.prints, &prints) == Change::Nothing {
        return Ok(Found::Nothing);
    }
    if !is_settled(&prints) {
        return Ok(Found::Unsettled(prints));
    }
    let settings = Settings::read(flags, environment)?;
    // Else it would be in use for as long as what was there before is there again.
    if settings.prints != prints {
        return Ok(Found::Unsettled(prints));
    }
    let made = make(settings, before, has_operators)?;
    Ok(Found::Settled(Box::new(made)))
}

/// What `settings` come to in the place of `before`.
fn make(mut settings: Settings, before: &InUse, has_operators: bool) -> Result<Made, Refused> {
    if let Change::Kept(names) = Change::of(&before.prints, &settings.prints) {
        return Err(Refused::UntilRestart(names));
    }
    let arguments = settings.audit.as_ref().is_some_and(|audit| audit.arguments);
    let audit = before.audit.as_ref();
    let audit = audit.map(|audit| audit.telling_arguments(arguments));
    settings.provider.audit = audit.clone().map(|audit| Arc::new(audit) as _);
    settings.provider.numbers.clone_from(&before.numbers);
    let provider = settings.provider.renewed(&before.provider)?;
    let upstreams = &settings.upstreams;
    let routes = before
        .routes
        .renewed(&provider, upstreams, audit.as_ref())?;
    let operators = match settings.admin.as_ref().filter(|_| has_operators) {
        Some(admin) => {
            let site = settings.provider.admin_site(&provider, admin)?;
            Some(for_operators(site))
        }
        None => None,
    };
    let in_use = InUse {
        provider,
        routes,
        audit,
        numbers: before.numbers.clone(),
        prints: settings.prints.clone(),
        key_rotation: settings.server.key_rotation,
    };
    Ok(Made {
        in_use,
        operators,
        settings,
    })
}

/// What serves operators: nobody stands before it whose word is taken on who calls.
pub(crate) fn for_operators(site: Router) -> Router {
    let site = site.route("/", get(async || Redirect::to("/admin")));
    observed(site, TrustedProxies::default())
}

/// Ends a server that nobody is sent to any more, once what was asked of it `before` is answered.
async fn leave(server: McpServer, (before, within): (Before, Duration), hurry: CancellationToken) {
    let answered = server.answered();
    if before.and_then(answered, within, &hurry).await == Drained::CutOff {
        tracing::warn!(
            "requests to a server that is no route any more were cut off at the drain limit"
        );
    }
    server.close().await;
}

/// How soon a change is seen.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// How long it must have been as it is before it is taken over.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

//! Taking over settings that changed, while requests are served.
//!
//! They are read as a whole, by the same flags and environment, and taken over as a whole or not at all. What
//! came before goes on as it began.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use entrada::AzureProvider;
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
use crate::signals::Hangups;
use crate::telemetry::WithCauses;
use crate::traces::Tracer;
use crate::upstream::{McpServer, UpstreamError};

/// What is there by the settings in use.
#[derive(Clone, Debug)]
pub(crate) struct InUse {
    pub(crate) provider: AzureProvider,
    pub(crate) routes: Routes,
    pub(crate) audit: Option<Audit>,
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
    /// Why the settings that are there were not taken, as it was told.
    refused: Option<Vec<String>>,
    leaving: JoinSet<()>,
    /// That there is no more time.
    hurry: CancellationToken,
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
    #[error("the upstream cannot be used")]
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
            refused: None,
            leaving: JoinSet::new(),
            hurry: CancellationToken::new(),
        }
    }

    /// What is there by the settings in use, whichever those are.
    pub(crate) fn in_use(&self) -> watch::Receiver<InUse> {
        self.in_use.subscribe()
    }

    /// Looks whether the settings changed, every few seconds and at each hangup, until `stop`.
    pub(crate) async fn run(&mut self, mut hangups: Hangups, stop: CancellationToken) {
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = hangups.next() => true,
            };
            self.look(asked).await;
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

    /// Takes over what changed; says what came of it where somebody `asked`, or it is news.
    async fn look(&mut self, asked: bool) {
        let (read, before) = (Arc::clone(&self.read), self.in_use.borrow().clone());
        let has_operators = self.operators.is_some();
        let made = move || make(&read, &before, has_operators);
        // It fails where the process ends.
        let Ok(made) = tokio::task::spawn_blocking(made).await else {
            return;
        };
        match made {
            Ok(Some(made)) => self.take(*made),
            Ok(None) => self.nothing_new(asked),
            Err(refused) => self.refuse(refused.lines(), asked),
        }
    }

    fn take(&mut self, made: Made) {
        let Made {
            in_use,
            operators,
            settings,
        } = made;
        let drain_timeout = settings.server.drain_timeout;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        for (resource, server) in in_use.provider.resources().zip(&settings.upstreams) {
            tracing::info!(resource, upstream = server.transport.shown(), "route");
        }
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

/// What the settings come to that are there now; nothing, if they are those of `before`.
fn make(
    (flags, environment): &(Flags, Environment),
    before: &InUse,
    has_operators: bool,
) -> Result<Option<Box<Made>>, Refused> {
    // Before they are read: what changes meanwhile differs the next time.
    let prints = Settings::prints(flags, environment)?;
    if Change::of(&before.prints, &prints) == Change::Nothing {
        return Ok(None);
    }
    let mut settings = Settings::read(flags, environment)?;
    if let Change::Kept(names) = Change::of(&before.prints, &settings.prints) {
        return Err(Refused::UntilRestart(names));
    }
    let arguments = settings.audit.as_ref().is_some_and(|audit| audit.arguments);
    let audit = before.audit.as_ref();
    let audit = audit.map(|audit| audit.telling_arguments(arguments));
    settings.provider.audit = audit.clone().map(|audit| Arc::new(audit) as _);
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
        prints,
        key_rotation: settings.server.key_rotation,
    };
    Ok(Some(Box::new(Made {
        in_use,
        operators,
        settings,
    })))
}

/// What serves operators: nobody stands before it whose word is taken on who calls.
pub(crate) fn for_operators(site: Router) -> Router {
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

/// How soon a change is taken over.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

//! The place of a child: who runs there, and how it is spoken to first when it has been started.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::upstream::stdio::backoff::Restarts;
use crate::upstream::stdio::channel::{Audience, Channel, Destination};
use crate::upstream::stdio::envelope::{Envelope, Kind};
use crate::upstream::stdio::error::StdioError;
use crate::upstream::stdio::outbox::Outbox;
use crate::upstream::stdio::pool::Pool;
use crate::upstream::stdio::revision::STATELESS_SINCE;
use crate::upstream::stdio::usage::Usage;

/// The place of a child. When this is dropped, the child there ends.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) audience: Arc<Audience>,
    /// What the child is told in its environment.
    pub(super) told: Vec<(String, String)>,
    /// How it fared before.
    pub(super) restarts: Arc<Mutex<Restarts>>,
    pub(super) usage: Arc<Usage>,
    opening: Mutex<Opening>,
    /// What the child answered to `initialize`, where it was we who asked.
    opened: Mutex<Option<String>>,
    running: Mutex<Option<Arc<Channel>>>,
    /// One start at a time.
    turn: tokio::sync::Mutex<()>,
    ended: CancellationToken,
}

/// How a child is spoken to first.
#[derive(Clone, Debug)]
pub(super) enum Opening {
    /// By the client, which is about to.
    ByClient,
    /// With `initialize` and these parameters: the client has done it, with a child before this.
    Initialize(String),
    /// With `server/discover`, to learn whether it knows this revision's kind of conversation.
    Discover,
}

impl Slot {
    /// An empty place.
    pub(super) fn new(
        audience: Audience,
        told: Vec<(String, String)>,
        opening: Opening,
        restarts: Arc<Mutex<Restarts>>,
        usage: Arc<Usage>,
    ) -> Self {
        Self {
            audience: Arc::new(audience),
            told,
            restarts,
            usage,
            opening: Mutex::new(opening),
            opened: Mutex::default(),
            running: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            ended: CancellationToken::new(),
        }
    }

    /// The way to the child, which is started if it does not run.
    pub(super) async fn channel(&self, pool: &Pool) -> Result<Arc<Channel>, StdioError> {
        // Where a child does not come to answer, those that wait would wait for each before them.
        let turn = async { Ok(self.turn.lock().await) };
        let _turn = pool.in_time(turn).await?;
        if let Some(channel) = lock(&self.running).as_ref()
            && !channel.is_over()
        {
            return Ok(Arc::clone(channel));
        }
        let starting = Starting(Some(pool.start(self)?));
        if let Some(channel) = &starting.0 {
            let opening = lock(&self.opening).clone();
            tokio::select! {
                opened = self.open(channel, &opening, pool) => opened?,
                () = self.ended.cancelled() => return Err(StdioError::Gone),
            }
        }
        let channel = starting.done().ok_or(StdioError::Gone)?;
        *lock(&self.running) = Some(Arc::clone(&channel));
        if self.ended.is_cancelled() {
            self.stop();
        }
        Ok(channel)
    }

    /// When the child must be started again, it is told what the client told the first one.
    pub(super) fn opened_by_client(&self, params: Option<&str>) {
        let params = params.unwrap_or("{}").to_owned();
        *lock(&self.opening) = Opening::Initialize(params);
    }

    /// What the child answered to our `initialize`.
    pub(super) fn opened(&self) -> Option<String> {
        lock(&self.opened).clone()
    }

    /// A session that was served here has ended.
    pub(super) fn leave(&self, outbox: &Arc<Outbox>) {
        if let Some(channel) = lock(&self.running).as_ref() {
            channel.leave(outbox);
        }
    }

    /// Ends the child. The next that is wanted is another.
    pub(super) fn stop(&self) {
        if let Some(channel) = lock(&self.running).take() {
            channel.stop();
        }
    }

    /// Ends the child, for good.
    pub(super) fn end(&self) {
        self.ended.cancel();
        self.stop();
    }

    async fn open(
        &self,
        channel: &Arc<Channel>,
        opening: &Opening,
        pool: &Pool,
    ) -> Result<(), StdioError> {
        match opening {
            Opening::ByClient => Ok(()),
            Opening::Initialize(params) => {
                let answer = asked(channel, "initialize", params, pool.response_timeout()).await?;
                if is_error(&answer).is_some() {
                    return Err(StdioError::NotOpened(answer));
                }
                *lock(&self.opened) = Some(answer);
                let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
                channel.say(initialized.to_owned()).await?;
                Ok(())
            }
            Opening::Discover => {
                let params = discovery();
                let limit = Some(DISCOVERY);
                match asked(channel, "server/discover", &params, limit).await {
                    Ok(answer) if is_error(&answer).is_some_and(is_of_another_era) => {
                        Err(StdioError::NoSuchEra(Some(answer)))
                    }
                    Ok(_) => Ok(()),
                    // A child that waits for `initialize` may answer nothing else.
                    Err(StdioError::TimedOut) => Err(StdioError::NoSuchEra(None)),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A child that is being started, and ends if that is given up.
struct Starting(Option<Arc<Channel>>);

impl Starting {
    fn done(mut self) -> Option<Arc<Channel>> {
        self.0.take()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(channel) = &self.0 {
            channel.stop();
        }
    }
}

/// Asks the child on our own behalf.
async fn asked(
    channel: &Channel,
    method: &str,
    params: &str,
    limit: Option<Duration>,
) -> Result<String, StdioError> {
    let request =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"{method}\",\"params\":{params}}}");
    let envelope = Envelope::read(&request).map_err(|_| StdioError::Gone)?;
    let (answer, answered) = oneshot::channel();
    let asking = async {
        channel.ask(&envelope, Destination::Us(answer)).await?;
        answered.await.map_err(|_| StdioError::Gone)
    };
    match limit {
        Some(limit) => tokio::time::timeout(limit, asking)
            .await
            .map_err(|_| StdioError::TimedOut)?,
        None => asking.await,
    }
}

/// The code of the error that `answer` is, if it is one.
fn is_error(answer: &str) -> Option<i64> {
    match *Envelope::read(answer).ok()?.kind() {
        Kind::Response { error, .. } => error,
        Kind::Request { .. } | Kind::Notification { .. } => None,
    }
}

/// Whether a child that answers `server/discover` with this error needs an `initialize` (MCP 2026-07-28,
/// stdio, *Backward Compatibility*).
fn is_of_another_era(code: i64) -> bool {
    !(-32022..=-32020).contains(&code)
}

/// Parameters of `server/discover`. The revision is no client's: what a child says to one that is made up
/// would be believed of it for all.
fn discovery() -> String {
    let ours = env!("CARGO_PKG_VERSION");
    format!(
        "{{\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"{STATELESS_SINCE}\",\
         \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"entrada\",\"version\":\"{ours}\"}},\
         \"io.modelcontextprotocol/clientCapabilities\":{{}}}}}}"
    )
}

/// Parameters of `initialize` for a child that many share: nobody can be asked by it.
pub(super) fn initialization(version: &str) -> String {
    let ours = env!("CARGO_PKG_VERSION");
    format!(
        "{{\"protocolVersion\":\"{version}\",\"capabilities\":{{}},\
         \"clientInfo\":{{\"name\":\"entrada\",\"version\":\"{ours}\"}}}}"
    )
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a child may take to answer `server/discover`, its start included.
const DISCOVERY: Duration = Duration::from_secs(30);

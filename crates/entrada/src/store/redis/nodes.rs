//! Sends each command to the server that has its key, again only if it certainly was not done.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::{Instant, sleep_until};

use super::cluster::Cluster;
use super::dial::{Dialler, Sentinels, Target};
use super::failure::{Failure, Redirect, Remedy};
use super::line::{Around, Line};
use super::scripts::Script;
use super::settings::{Place, RedisSettings, WaitFor};

/// How often a command is sent at most.
const ATTEMPTS: u32 = 4;

/// How long to wait before a command is sent again, for each time it was.
const PAUSE: Duration = Duration::from_millis(50);

/// A command on one key.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) key: Vec<u8>,
    verb: Verb,
    arguments: Vec<Vec<u8>>,
    /// Whether doing it twice comes to the same as doing it once.
    repeatable: bool,
}

#[derive(Debug)]
enum Verb {
    Read,
    Set,
    Script(&'static Script),
}

impl Request {
    /// Reads what lies under a key.
    pub(super) fn read(key: Vec<u8>) -> Self {
        Self {
            key,
            verb: Verb::Read,
            arguments: Vec::new(),
            repeatable: true,
        }
    }

    /// Puts something under a key.
    pub(super) fn set(key: Vec<u8>, arguments: Vec<Vec<u8>>) -> Self {
        Self {
            key,
            verb: Verb::Set,
            arguments,
            repeatable: false,
        }
    }

    /// Runs a script on a key.
    pub(super) fn script(
        key: Vec<u8>,
        script: &'static LazyLock<Script>,
        arguments: Vec<Vec<u8>>,
    ) -> Self {
        Self {
            key,
            verb: Verb::Script(script),
            arguments,
            repeatable: false,
        }
    }

    /// The same, and it may be done twice.
    pub(super) fn repeatable(self) -> Self {
        Self {
            repeatable: true,
            ..self
        }
    }

    fn writes(&self) -> bool {
        match self.verb {
            Verb::Read => false,
            Verb::Set | Verb::Script(_) => true,
        }
    }

    fn command(&self, whole: bool) -> Cmd {
        let mut command = match self.verb {
            Verb::Read => redis::cmd("GET"),
            Verb::Set => redis::cmd("SET"),
            Verb::Script(script) if whole => {
                let mut eval = redis::cmd("EVAL");
                eval.arg(script.text).arg(1);
                eval
            }
            Verb::Script(script) => {
                let mut evalsha = redis::cmd("EVALSHA");
                evalsha.arg(&script.sha1).arg(1);
                evalsha
            }
        };
        command.arg(&self.key);
        for argument in &self.arguments {
            command.arg(argument);
        }
        command
    }
}

/// A server.
#[derive(Debug)]
pub(super) struct Node {
    /// For what no replica need confirm.
    pub(super) line: Line,
    /// For writes that replicas must confirm: nothing else may be behind them, for until they are
    /// confirmed the server reads nothing more from this connection.
    confirmed: Option<(Line, WaitFor)>,
}

impl Node {
    pub(super) fn new(target: &Target, plan: &Plan) -> Self {
        let line = || Line::new(target.clone(), Arc::clone(&plan.dialler), plan.timeout);
        Self {
            line: line(),
            confirmed: plan.wait.map(|wait| (line(), wait)),
        }
    }

    async fn send(
        &self,
        request: &Request,
        way: &Way,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let (line, wait) = match &self.confirmed {
            Some((line, wait)) if request.writes() => (line, Some(*wait)),
            Some(_) | None => (&self.line, None),
        };
        let around = Around {
            asking: way.asking,
            wait,
        };
        let command = request.command(way.whole);
        line.send(&command, around, deadline).await
    }
}

/// How nodes are spoken to.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) dialler: Arc<Dialler>,
    pub(super) timeout: Duration,
    pub(super) wait: Option<WaitFor>,
}

/// All servers that there are.
#[derive(Debug)]
pub(super) struct Nodes {
    kind: Kind,
    timeout: Duration,
}

#[derive(Debug)]
pub(super) enum Kind {
    One(Arc<Node>),
    Cluster(Cluster),
}

/// Where to send a command next, and how.
#[derive(Default)]
struct Way {
    /// Whom to ask; whoever has the slot if it is nobody.
    to: Option<Arc<Node>>,
    /// That the slot is still on its way there.
    asking: bool,
    /// That the script is sent itself, and not its name.
    whole: bool,
}

impl Nodes {
    pub(super) fn new(settings: &RedisSettings, plan: Plan) -> Self {
        let timeout = plan.timeout;
        let one = |target: &Target| Kind::One(Arc::new(Node::new(target, &plan)));
        let kind = match &settings.place {
            Place::One(peer) => one(&Target::Peer(peer.clone())),
            Place::Sentinels { sentinels, service } => {
                let sentinels = Sentinels::new(sentinels.clone(), service.clone());
                one(&Target::PrimaryOf(Arc::new(sentinels)))
            }
            Place::Cluster(seeds) => Kind::Cluster(Cluster::new(seeds.clone(), plan)),
        };
        Self { kind, timeout }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// By when an answer must be there.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Sends a command to the server that has its key.
    pub(super) async fn ask(&self, request: &Request) -> Result<Value, Failure> {
        let deadline = self.deadline();
        let mut way = Way::default();
        let mut attempt = 1;
        loop {
            let node = match way.to.take() {
                Some(node) => node,
                None => self.node(&request.key, deadline).await?,
            };
            let failure = match node.send(request, &way, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if matches!(self.kind, Kind::One(_)) && failure.is_redirect() {
                return Err(Failure::IsCluster);
            }
            way.asking = false;
            let again = self.mend(&failure, request, &node, &mut way);
            let pause = match again.pause(attempt) {
                Some(pause) if attempt < ATTEMPTS && Instant::now() + pause < deadline => pause,
                Some(_) | None => return Err(failure),
            };
            sleep_until(Instant::now() + pause).await;
            attempt += 1;
        }
    }

    async fn node(&self, key: &[u8], deadline: Instant) -> Result<Arc<Node>, Failure> {
        match &self.kind {
            Kind::One(node) => Ok(Arc::clone(node)),
            Kind::Cluster(cluster) => cluster.node(key, deadline).await,
        }
    }

    /// Does what can be done about a failure, and says whether to send the command again.
    fn mend(&self, failure: &Failure, request: &Request, asked: &Node, way: &mut Way) -> Again {
        let clustered = match &self.kind {
            Kind::One(_) => false,
            Kind::Cluster(cluster) if follow(cluster, failure, asked, way) => return Again::AtOnce,
            Kind::Cluster(cluster) => {
                if failure.is_of_connection() || failure.remedy().doubts_place() {
                    cluster.doubt();
                }
                true
            }
        };
        match failure.remedy() {
            Remedy::Script if !way.whole => {
                way.whole = true;
                Again::AtOnce
            }
            Remedy::Later | Remedy::NewPrimary => Again::AfterPause,
            Remedy::Script | Remedy::None => match failure {
                Failure::Unreachable(_) if clustered => Again::Once,
                Failure::Broken(_) if request.repeatable => Again::AtOnce,
                Failure::Unreachable(_)
                | Failure::Broken(_)
                | Failure::NoAnswer(_)
                | Failure::Refused(_)
                | Failure::Unconfirmed { .. }
                | Failure::NotWaited(_)
                | Failure::Unserved(_)
                | Failure::IsCluster
                | Failure::ExportInterrupted
                | Failure::NotUnderstood => Again::Never,
            },
        }
    }
}

/// Goes where the node that was asked says that the slot is, if it says so.
fn follow(cluster: &Cluster, failure: &Failure, asked: &Node, way: &mut Way) -> bool {
    let redirect = match asked.line.target() {
        Target::Peer(asked) => failure.redirect(asked),
        Target::PrimaryOf(_) => None,
    };
    let Some(Redirect { to, once }) = redirect else {
        return false;
    };
    if !once {
        cluster.doubt();
    }
    way.to = Some(cluster.node_at(&to));
    way.asking = once;
    true
}

/// Whether to send a command again.
#[derive(Clone, Copy)]
enum Again {
    Never,
    Once,
    AtOnce,
    AfterPause,
}

impl Again {
    /// How long to wait before the next attempt, if there is to be one.
    fn pause(self, attempt: u32) -> Option<Duration> {
        match self {
            // Another may have the slot by now; if not, nobody need wait for long.
            Self::Once if attempt == 1 => Some(PAUSE),
            Self::Once | Self::Never => None,
            Self::AtOnce => Some(Duration::ZERO),
            Self::AfterPause => Some(PAUSE * attempt),
        }
    }
}

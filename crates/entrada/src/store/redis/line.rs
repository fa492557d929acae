//! One connection, made when it is needed and made anew when it broke.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::dial::{Dialler, Target, Wire};
use super::failure::{Failure, Remedy, Unreachable};
use super::settings::WaitFor;
use crate::platform::{SecureRandom as _, SystemRandom};

/// How long to leave a server alone that could not be reached, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How far apart connections are made at least, whatever becomes of them.
const APART: Duration = Duration::from_millis(50);

/// One connection to a server.
///
/// Commands wait while it is being made, for as long as they may take; after that failed they fail
/// at once, until it is time to try again.
pub(super) struct Line {
    target: Target,
    dialler: Arc<Dialler>,
    timeout: Duration,
    state: watch::Sender<State>,
    dials: Mutex<Dials>,
}

#[derive(Default)]
struct Dials {
    tasks: JoinSet<()>,
    last: Option<Instant>,
}

#[derive(Clone)]
enum State {
    Idle,
    Dialling {
        failures: u32,
    },
    Up(Arc<Wire>),
    Down {
        until: Instant,
        failures: u32,
        why: Arc<Unreachable>,
    },
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").field(&self.target.name()).finish()
    }
}

/// What is sent with a command.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    /// That the node has a slot that is still coming.
    pub(super) asking: bool,
    /// That replicas are to confirm it.
    pub(super) wait: Option<WaitFor>,
}

impl Line {
    pub(super) fn new(target: Target, dialler: Arc<Dialler>, timeout: Duration) -> Self {
        Self {
            target,
            dialler,
            timeout,
            state: watch::Sender::new(State::Idle),
            dials: Mutex::default(),
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether there is a connection now.
    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(wire) if !wire.is_closed())
    }

    /// Sends a command once, and no more than once.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        around: Around,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let mut pipeline = Pipeline::with_capacity(3);
        if around.asking {
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(command.clone());
        if let Some(wait) = around.wait {
            let limit = u64::try_from(wait.timeout.as_millis()).unwrap_or(u64::MAX);
            pipeline.cmd("WAIT").arg(wait.replicas).arg(limit);
        }
        let wire = self.wire(deadline).await?;
        let answers = self.send_over(&wire, &pipeline, deadline).await?;
        let mut answers = answers.into_iter().skip(usize::from(around.asking));
        let answer = answers.next().ok_or(Failure::NotUnderstood)?;
        let answer = answer.extract_error().map_err(Failure::Refused);
        let answer = answer.inspect_err(|failure| {
            if failure.remedy() == Remedy::NewPrimary {
                self.leave(&wire);
            }
        })?;
        match around.wait {
            Some(wait) => confirmed(wait, answers.next()).map(|()| answer),
            None => Ok(answer),
        }
    }

    /// Sends commands together; errors stand among the answers.
    pub(super) async fn send_all(
        &self,
        pipeline: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, Failure> {
        let wire = self.wire(deadline).await?;
        self.send_over(&wire, pipeline, deadline).await
    }

    async fn send_over(
        &self,
        wire: &Arc<Wire>,
        pipeline: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, Failure> {
        let mut connection = wire.connection();
        let sent = connection.send_packed_commands(pipeline, 0, pipeline.len());
        match timeout_at(deadline, sent).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => {
                self.leave(wire);
                Err(Failure::Broken(error))
            }
            // A server that hangs, or a network that swallows: only a new connection tells.
            Err(_) => {
                self.leave(wire);
                Err(Failure::NoAnswer(self.timeout))
            }
        }
    }

    /// Makes the next command go over a new connection.
    fn leave(&self, left: &Arc<Wire>) {
        self.state.send_if_modified(|state| {
            let same = matches!(state, State::Up(wire) if Arc::ptr_eq(wire, left));
            if same {
                *state = State::Idle;
            }
            same
        });
    }

    async fn wire(&self, deadline: Instant) -> Result<Arc<Wire>, Failure> {
        if let State::Up(wire) = &*self.state.borrow()
            && !wire.is_closed()
        {
            return Ok(Arc::clone(wire));
        }
        let mut states = self.state.subscribe();
        self.dial_if_due();
        let settled = states.wait_for(|state| !matches!(state, State::Dialling { .. }));
        let settled = timeout_at(deadline, settled).await;
        let state = match settled {
            Ok(Ok(state)) => state.clone(),
            // `self` holds the sender.
            Ok(Err(_)) | Err(_) => State::Idle,
        };
        match state {
            State::Up(wire) => Ok(wire),
            State::Down { why, .. } => Err(Failure::Unreachable(why)),
            State::Idle | State::Dialling { .. } => {
                Err(Failure::Unreachable(Arc::new(Unreachable::TimedOut {
                    name: self.target.name(),
                    limit: self.timeout,
                })))
            }
        }
    }

    /// Begins to make a connection if there is none and nobody is at it.
    fn dial_if_due(&self) {
        let mut dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        while dials.tasks.try_join_next().is_some() {}
        let mut begun = None;
        self.state.send_if_modified(|state| {
            let failures = match state {
                State::Idle => Some(0),
                State::Up(wire) if wire.is_closed() => Some(0),
                State::Down {
                    until, failures, ..
                } if *until <= Instant::now() => Some(*failures),
                // Its runtime has ended.
                State::Dialling { failures } if dials.tasks.is_empty() => Some(*failures),
                State::Up(_) | State::Down { .. } | State::Dialling { .. } => None,
            };
            begun = failures;
            if let Some(failures) = failures {
                *state = State::Dialling { failures };
            }
            failures.is_some()
        });
        if let Some(failures) = begun {
            let now = Instant::now();
            let at = dials.last.map_or(now, |last| now.max(last + APART));
            dials.last = Some(at);
            let (target, dialler) = (self.target.clone(), Arc::clone(&self.dialler));
            let state = self.state.clone();
            dials.tasks.spawn(async move {
                sleep_until(at).await;
                dial(target, dialler, state, failures).await;
            });
        }
    }
}

/// Makes a connection, and says what came of it.
async fn dial(target: Target, dialler: Arc<Dialler>, state: watch::Sender<State>, failures: u32) {
    let redis = target.name();
    match dialler.dial(&target).await {
        Ok(wire) => {
            if failures > 0 {
                tracing::info!(redis, "redis is there again");
            }
            state.send_replace(State::Up(Arc::new(wire)));
        }
        Err(why) => {
            if failures == 0 {
                let why = &why as &(dyn std::error::Error + 'static);
                tracing::warn!(redis, why, "redis cannot be reached");
            }
            state.send_replace(State::Down {
                until: Instant::now() + back_off(failures),
                failures: failures.saturating_add(1),
                why: Arc::new(why),
            });
        }
    }
}

/// Twice as long after each failure, less up to half by chance: replicas must not come all at once.
fn back_off(failures: u32) -> Duration {
    let (first, most) = BACK_OFF;
    let longest = first
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(most);
    let mut chance = [0];
    SystemRandom.fill(&mut chance);
    longest.mul_f32(1.0 - f32::from(chance[0]) / 512.0)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "nothing but a number is an answer"
)]
fn confirmed(wait: WaitFor, answer: Option<Value>) -> Result<(), Failure> {
    let answer = answer.ok_or(Failure::NotUnderstood)?;
    // Whatever this error is, the write was made: it must not be made again.
    match answer.extract_error().map_err(Failure::NotWaited)? {
        Value::Int(confirmed) if confirmed >= i64::from(wait.replicas) => Ok(()),
        Value::Int(confirmed) => Err(Failure::Unconfirmed {
            confirmed,
            wanted: wait.replicas,
        }),
        _ => Err(Failure::NotUnderstood),
    }
}

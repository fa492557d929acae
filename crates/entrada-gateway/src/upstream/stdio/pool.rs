//! All children of one MCP server, and the sessions they serve.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entrada::VerifiedToken;
use entrada::platform::{SecureRandom as _, SystemRandom};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::upstream::identity::{IdentityHeader, variables};
use crate::upstream::stdio::backoff::Restarts;
use crate::upstream::stdio::channel::{Audience, Channel, Unsaid};
use crate::upstream::stdio::child::Process;
use crate::upstream::stdio::error::StdioError;
use crate::upstream::stdio::events::EventLimits;
use crate::upstream::stdio::outbox::Outbox;
use crate::upstream::stdio::slot::{Opening, Slot, initialization};
use crate::upstream::stdio::usage::{Held, Usage};
use crate::upstream::stdio::{ChildMode, StdioSettings};

/// The children of one MCP server.
#[derive(Debug)]
pub(super) struct Pool {
    settings: StdioSettings,
    told: Vec<IdentityHeader>,
    response_timeout: Option<Duration>,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    random: SystemRandom,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<String, Arc<Session>>,
    slots: HashMap<Place, Arc<Slot>>,
    restarts: HashMap<Whose, Arc<Mutex<Restarts>>>,
    tasks: JoinSet<()>,
    is_tended: bool,
    is_closing: bool,
    /// Children answered that they know no conversation without sessions.
    has_sessions_alone: bool,
}

/// A session of a client's (MCP transports, *Session Management*).
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) slot: Arc<Slot>,
    pub(super) outbox: Arc<Outbox>,
    usage: Arc<Usage>,
    pub(super) owner: Owner,
}

/// Who calls.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Owner {
    pub(super) user: Arc<User>,
    client_id: String,
    /// What a child of theirs is told, and would be told wrong if this changed.
    told: Vec<(String, String)>,
}

/// A user, whatever client they use.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct User {
    issuer: String,
    subject: String,
}

/// A place that is not one session's own.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Place {
    /// Of all sessions of a revision.
    Sessions(&'static str),
    /// Of all requests without a session.
    Callers,
    /// Of one caller's requests without a session.
    Caller(Owner),
}

/// Whose children stop, and are started again.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Whose {
    Everybodys,
    Ones(Arc<User>),
}

impl Pool {
    /// No child yet.
    pub(super) fn new(
        settings: StdioSettings,
        told: Vec<IdentityHeader>,
        response_timeout: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(settings.max_children)),
            told,
            response_timeout,
            settings,
            state: Mutex::default(),
            random: SystemRandom::default(),
        })
    }

    pub(super) const fn response_timeout(&self) -> Option<Duration> {
        self.response_timeout
    }

    /// What comes of `waiting`, until the child reads or has started, for no longer than for an answer.
    pub(super) async fn in_time<T>(
        &self,
        waiting: impl Future<Output = Result<T, Unsaid>>,
    ) -> Result<T, StdioError> {
        match self.response_timeout {
            Some(limit) => Ok(tokio::time::timeout(limit, waiting)
                .await
                .map_err(|_| StdioError::TimedOut)??),
            None => Ok(waiting.await?),
        }
    }

    pub(super) fn program(&self) -> &str {
        &self.settings.command.program
    }

    pub(super) fn is_shared(&self) -> bool {
        self.settings.mode == ChildMode::Shared
    }

    /// Who `caller` is to us.
    pub(super) fn owner(&self, caller: &VerifiedToken) -> Owner {
        let told = match self.settings.mode {
            ChildMode::PerSession => variables(&self.told, caller),
            ChildMode::Shared => Vec::new(),
        };
        Owner {
            user: Arc::new(User {
                issuer: caller.issuer.clone(),
                subject: caller.subject.clone(),
            }),
            client_id: caller.client_id.as_str().to_owned(),
            told,
        }
    }

    /// Streams for one client.
    pub(super) fn outbox(&self) -> Arc<Outbox> {
        // Two of the largest messages may wait to be sent.
        let unsent = self.settings.message_limit.saturating_mul(2);
        Outbox::new(EventLimits::new(RESUMABLE, unsent))
    }

    /// A new session of `owner`'s, who speaks revision `version`.
    pub(super) fn begin(
        self: &Arc<Self>,
        owner: Owner,
        version: &'static str,
        now: Instant,
    ) -> Result<Arc<Session>, StdioError> {
        let mut id = [0; 24];
        self.random.fill(&mut id);
        let id = URL_SAFE_NO_PAD.encode(id);
        let (outbox, usage) = (self.outbox(), Usage::new(now));
        let mut state = self.state();
        self.admit(&mut state, &owner)?;
        let slot = if self.is_shared() {
            let slot = state.shared(version, now);
            if let Audience::Sessions(all) = &*slot.audience {
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.insert(id.clone(), Arc::downgrade(&outbox));
            }
            slot
        } else {
            let restarts = state.restarts(Whose::Ones(owner.user.clone()), now);
            let audience = Audience::Session(Arc::clone(&outbox));
            let told = owner.told.clone();
            let slot = Slot::new(audience, told, Opening::ByClient, restarts, Usage::new(now));
            Arc::new(slot)
        };
        let session = Arc::new(Session {
            id: id.clone(),
            slot,
            outbox,
            usage,
            owner,
        });
        state.sessions.insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// The session called `id`, if it is `owner`'s.
    ///
    /// The guard has seen to that already; nobody else is to depend on it.
    pub(super) fn session(&self, id: &str, owner: &Owner) -> Option<Arc<Session>> {
        let state = self.state();
        let session = state.sessions.get(id)?;
        (session.owner == *owner).then(|| Arc::clone(session))
    }

    /// Ends a session.
    pub(super) fn end(&self, session: &Session) {
        self.state().sessions.remove(&session.id);
        session.close(self.is_shared());
    }

    /// The place for a request of `owner`'s that has no session.
    pub(super) fn stateless(&self, owner: &Owner, now: Instant) -> Result<Arc<Slot>, StdioError> {
        let mut state = self.state();
        let place = if self.is_shared() {
            Place::Callers
        } else {
            Place::Caller(owner.clone())
        };
        if let Some(slot) = state.slots.get(&place) {
            return Ok(Arc::clone(slot));
        }
        if let Place::Caller(owner) = &place {
            state.make_room_for(&owner.user, self.settings.max_sessions)?;
        }
        let (whose, audience) = if self.is_shared() {
            (Whose::Everybodys, Audience::Callers)
        } else {
            (Whose::Ones(owner.user.clone()), Audience::Caller)
        };
        let restarts = state.restarts(whose, now);
        let opening = Opening::Discover;
        let told = owner.told.clone();
        let slot = Slot::new(audience, told, opening, restarts, Usage::new(now));
        let slot = Arc::new(slot);
        state.slots.insert(place, Arc::clone(&slot));
        Ok(slot)
    }

    /// Forgets a place whose child is of no use.
    pub(super) fn leave(&self, slot: &Arc<Slot>) {
        self.state()
            .slots
            .retain(|_, known| !Arc::ptr_eq(known, slot));
        slot.end();
    }

    /// Whether children are known to have sessions alone.
    pub(super) fn has_sessions_alone(&self) -> bool {
        self.state().has_sessions_alone
    }

    /// A child said that it has sessions alone: so do the others, and need not be asked.
    pub(super) fn learn_sessions_alone(&self) {
        self.state().has_sessions_alone = true;
    }

    /// Starts a child in `slot`.
    pub(super) fn start(&self, slot: &Slot) -> Result<Arc<Channel>, StdioError> {
        let now = Instant::now();
        let mut state = self.state();
        if state.is_closing {
            return Err(StdioError::Stopping);
        }
        if let Some(wait) = lock(&slot.restarts).wait(now) {
            return Err(StdioError::BackingOff(wait));
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| StdioError::Full(self.settings.max_children))?;
        let started = Process::start(&self.settings.command, &slot.told);
        let (process, pipes) = started.map_err(|error| {
            lock(&slot.restarts).stopped(Duration::ZERO, now);
            StdioError::Start(error)
        })?;
        tracing::info!(
            pid = process.id(),
            program = self.program(),
            "a child was started"
        );
        let audience = Arc::clone(&slot.audience);
        let (channel, lines) = Channel::new(audience, self.settings.message_limit);
        let (running, restarts) = (Arc::clone(&channel), Arc::clone(&slot.restarts));
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(async move {
            let by_itself = running.run(process, pipes, lines).await;
            if by_itself {
                let ended = Instant::now();
                lock(&restarts).stopped(ended.duration_since(now), ended);
            }
            drop(permit);
        });
        Ok(channel)
    }

    /// Has somebody look after what is idle, from now on.
    pub(super) fn tend(self: &Arc<Self>) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.is_tended, true) {
            let idle = self.settings.idle_timeout;
            let pool = Arc::downgrade(self);
            state.tasks.spawn(look_after(pool, idle));
        }
    }

    /// Ends all children, in good order, and waits until they have ended.
    pub(super) async fn close(&self) {
        let mut tasks = {
            let mut state = self.state();
            state.is_closing = true;
            for (_, session) in state.sessions.drain() {
                session.slot.end();
                session.outbox.close();
            }
            for (_, slot) in state.slots.drain() {
                slot.end();
            }
            std::mem::take(&mut state.tasks)
        };
        // The one that looks after the others has no end of its own.
        while self.permits.available_permits() < self.settings.max_children {
            if tasks.join_next().await.is_none() {
                break;
            }
        }
    }

    /// Ends what nobody has used for too long.
    fn end_idle(&self, now: Instant) {
        let timeout = self.settings.idle_timeout;
        let mut state = self.state();
        let idle: Vec<_> = state
            .sessions
            .extract_if(|_, session| session.usage.is_idle(timeout, now))
            .collect();
        for (_, session) in idle {
            session.close(self.is_shared());
        }
        state.slots.retain(|place, slot| {
            let is_idle = slot.usage.is_idle(timeout, now);
            if is_idle {
                slot.stop();
            }
            !is_idle || matches!(place, Place::Sessions(_))
        });
    }

    /// Makes room for a session of `owner`'s, at the cost of their own alone.
    fn admit(&self, state: &mut State, owner: &Owner) -> Result<(), StdioError> {
        if state.is_closing {
            return Err(StdioError::Stopping);
        }
        if state.sessions.len() >= MOST_SESSIONS {
            return Err(StdioError::Full(MOST_SESSIONS));
        }
        let most = self.settings.max_sessions;
        let theirs = |session: &&Arc<Session>| session.owner.user == owner.user;
        let sessions = state.sessions.values().filter(theirs);
        if sessions.clone().count() < most {
            return Ok(());
        }
        let unused = sessions.filter_map(|session| Some((session.usage.unused_since()?, session)));
        let oldest = unused.min_by_key(|(since, _)| *since);
        let Some(oldest) = oldest.map(|(_, session)| Arc::clone(session)) else {
            return Err(StdioError::TooManySessions(most));
        };
        state.sessions.remove(&oldest.id);
        oldest.close(self.is_shared());
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Makes room for a child of `user`'s that serves requests without a session, at the cost of their own
    /// alone: they have as many as they have clients.
    fn make_room_for(&mut self, user: &User, most: usize) -> Result<(), StdioError> {
        let theirs = |place: &Place| matches!(place, Place::Caller(owner) if *owner.user == *user);
        let slots = self.slots.iter().filter(|(place, _)| theirs(place));
        if slots.clone().count() < most {
            return Ok(());
        }
        let unused = slots.filter_map(|(place, slot)| Some((slot.usage.unused_since()?, place)));
        let oldest = unused.min_by_key(|(since, _)| *since);
        let Some(oldest) = oldest.map(|(_, place)| place.clone()) else {
            return Err(StdioError::TooManySessions(most));
        };
        if let Some(slot) = self.slots.remove(&oldest) {
            slot.stop();
        }
        Ok(())
    }

    /// The place of all sessions of revision `version`.
    fn shared(&mut self, version: &'static str, now: Instant) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(&Place::Sessions(version)) {
            return Arc::clone(slot);
        }
        let restarts = self.restarts(Whose::Everybodys, now);
        let audience = Audience::Sessions(Mutex::new(BTreeMap::new()));
        let opening = Opening::Initialize(initialization(version));
        let slot = Slot::new(audience, Vec::new(), opening, restarts, Usage::new(now));
        let slot = Arc::new(slot);
        self.slots
            .insert(Place::Sessions(version), Arc::clone(&slot));
        slot
    }

    fn restarts(&mut self, whose: Whose, now: Instant) -> Arc<Mutex<Restarts>> {
        self.restarts.retain(|_, restarts| {
            Arc::strong_count(restarts) > 1 || !lock(restarts).is_forgotten(now)
        });
        Arc::clone(self.restarts.entry(whose).or_default())
    }
}

impl Session {
    /// Uses it until what this gives is dropped.
    pub(super) fn hold(&self) -> [Held; 2] {
        [self.usage.hold(), self.slot.usage.hold()]
    }

    fn close(&self, is_shared: bool) {
        if let Audience::Sessions(all) = &*self.slot.audience {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.remove(&self.id);
        }
        self.outbox.close();
        if is_shared {
            self.slot.leave(&self.outbox);
        } else {
            self.slot.end();
        }
    }
}

async fn look_after(pool: Weak<Pool>, idle: Duration) {
    loop {
        tokio::time::sleep((idle / 4).clamp(SOONEST, LATEST)).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        pool.end_idle(Instant::now());
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much of what a session was sent is kept, to be sent again.
const RESUMABLE: usize = 1 << 20;
/// How many sessions there may be in all, where each has no child of its own.
const MOST_SESSIONS: usize = 10_000;
/// How often one looks for what is idle.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(30);

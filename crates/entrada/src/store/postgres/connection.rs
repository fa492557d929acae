//! Connections: made, set up, and looked over before they are used again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{OpenPostgresError, PostgresError};
use super::pace::Pace;
use super::schema::{self, Standing};
use super::session::{self, Mark};
use super::settings::PostgresSettings;
use super::statements::Statements;
use crate::causes::Causes;
use crate::store::tls::TlsFiles;

/// A connection that is ready for every verb.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) statements: Statements,
    /// Whether an answer is to come: if nobody waits for it any more, nobody else shall.
    pub(super) is_awaited: bool,
    _permit: OwnedSemaphorePermit,
    /// What speaks to the server; ends with the connection.
    _speaking: JoinSet<()>,
}

/// Makes connections.
///
/// Each is made by a task, which goes on when whoever asked for it has run out of time: the
/// connection is then there for the next who comes. Were it given up, a server that is slow because
/// all come at once would never get to a statement. For the same reason a migration has the time it
/// needs.
pub(super) struct Connector {
    maker: Arc<Maker>,
    /// One for each connection that there may be, made or being made.
    permits: Arc<Semaphore>,
    /// They end with the pool.
    making: Mutex<JoinSet<()>>,
}

/// What a task needs to make a connection.
struct Maker {
    settings: PostgresSettings,
    tls: Option<MakeRustlsConnect>,
    pace: Pace,
    /// Made for somebody who has gone.
    spare: Mutex<Vec<Connection>>,
    spared: Notify,
}

type Made = Result<Connection, PostgresError>;

/// The least time a connection has to be made, even if no verb waits as long.
const SETTING_UP: Duration = Duration::from_secs(2);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("settings", &self.maker.settings)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(settings: PostgresSettings) -> Result<Self, OpenPostgresError> {
        let tls = settings.tls.as_ref().map(TlsFiles::read).transpose()?;
        let tls = tls.map(MakeRustlsConnect::new);
        Ok(Self {
            permits: Arc::new(Semaphore::new(settings.pool)),
            maker: Arc::new(Maker {
                settings,
                tls,
                pace: Pace::default(),
                spare: Mutex::default(),
                spared: Notify::new(),
            }),
            making: Mutex::default(),
        })
    }

    /// Makes the tables, whatever the settings say.
    pub(super) async fn migrate(&self) -> Result<(), PostgresError> {
        let (mut client, _speaking) = self.maker.connect().await?;
        schema::migrate(&mut client, &self.maker.settings.schema).await
    }

    /// Starts to make a connection.
    fn start(&self, permit: OwnedSemaphorePermit) -> oneshot::Receiver<Made> {
        let (sender, made) = oneshot::channel();
        let maker = Arc::clone(&self.maker);
        let mut making = held(&self.making);
        while making.try_join_next().is_some() {}
        making.spawn(async move {
            if let Err(Ok(unwanted)) = sender.send(maker.make(permit).await) {
                held(&maker.spare).push(unwanted);
                maker.spared.notify_waiters();
            }
        });
        made
    }

    /// Why the last attempt to connect failed, if it did.
    pub(super) fn trouble(&self) -> Option<String> {
        self.maker.pace.trouble()
    }

    /// Forgets what leads to a server that is no longer to be used.
    pub(super) fn forget_spare(&self) {
        held(&self.maker.spare).clear();
    }
}

impl Manager for Connector {
    type Type = Connection;
    type Error = PostgresError;

    async fn create(&self) -> Result<Connection, PostgresError> {
        let gone = || PostgresError::Connect("nobody makes connections any more".into());
        let permit = loop {
            // Before the look at the spare ones, or one that comes in between would go unheard.
            let spared = self.maker.spared.notified();
            if let Some(connection) = self.maker.take_spare() {
                return Ok(connection);
            }
            tokio::select! {
                permit = Arc::clone(&self.permits).acquire_owned() => break permit,
                () = spared => {}
            }
        };
        let made = self.start(permit.map_err(|_| gone())?);
        made.await.map_err(|_| gone())?
    }

    /// Nothing of whoever takes it was sent on a connection that is found useless here.
    async fn recycle(
        &self,
        connection: &mut Connection,
        _: &Metrics,
    ) -> RecycleResult<PostgresError> {
        if connection.is_useless() {
            return Err(RecycleError::message("the connection is of no use"));
        }
        Ok(())
    }
}

impl Connection {
    fn is_useless(&self) -> bool {
        self.client.is_closed() || self.is_awaited
    }
}

impl Maker {
    async fn make(&self, permit: OwnedSemaphorePermit) -> Made {
        let attempt = self.pace.attempt().await;
        let opened = self.open(permit).await;
        match &opened {
            Ok(_) => attempt.succeeded(),
            Err(error) => attempt.failed(error),
        }
        opened
    }

    fn take_spare(&self) -> Option<Connection> {
        let mut spare = held(&self.spare);
        spare.retain(|connection| !connection.is_useless());
        spare.pop()
    }

    /// A connection whose tables are there.
    async fn open(&self, permit: OwnedSemaphorePermit) -> Made {
        let (mut client, speaking) = self.connect().await?;
        let schema = &self.settings.schema;
        let looked = self.in_time(async {
            let mark = if self.settings.prepare {
                Some(session::set_up(&client, self.settings.timeout).await?)
            } else {
                session::look_over(&client).await?;
                None
            };
            Ok((mark, schema::standing(&client, schema).await?))
        });
        let (mark, standing) = looked.await?;
        match standing {
            Standing::Ready => {}
            Standing::Behind(_) if self.settings.migrate => {
                schema::migrate(&mut client, schema).await?;
            }
            Standing::Behind(found) => return Err(schema::outdated(found)),
        }
        let statements = match mark {
            Some(mark) => self.prepared(&client, mark).await?,
            None => Statements::unprepared(schema),
        };
        Ok(Connection {
            statements,
            client,
            is_awaited: false,
            _permit: permit,
            _speaking: speaking,
        })
    }

    /// What each verb says, prepared in the session with `mark`.
    async fn prepared(&self, client: &Client, mark: Mark) -> Result<Statements, PostgresError> {
        // Large, for it prepares all at once, and rare.
        let prepared = Box::pin(Statements::prepare(client, &self.settings.schema));
        self.in_time(async {
            let statements = prepared.await.map_err(PostgresError::of_statement)?;
            session::look_again(client, &mark).await?;
            Ok(statements)
        })
        .await
    }

    /// How long each step to a connection may take.
    fn time(&self) -> Duration {
        self.settings.timeout.max(SETTING_UP)
    }

    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, PostgresError>>,
    ) -> Result<T, PostgresError> {
        match timeout(self.time(), step).await {
            Ok(done) => done,
            Err(elapsed) => Err(PostgresError::Connect(elapsed.into())),
        }
    }

    /// Connects to the first host that takes writes. Each has its part of the time, so that one that
    /// is silent leaves some for the next.
    async fn connect(&self) -> Result<(Client, JoinSet<()>), PostgresError> {
        let mut config = self.settings.config.clone();
        config.tcp_user_timeout(self.time());
        if let Some(source) = &self.settings.password {
            let told = async { source.password().await.map_err(PostgresError::Password) };
            config.password(self.in_time(told).await?.expose());
        }
        let hosts = u32::try_from(self.settings.hosts.len()).unwrap_or(u32::MAX);
        let part = self.time() / hosts.max(1);
        let mut last = PostgresError::Connect("there is no host".into());
        for (host, port) in &self.settings.hosts {
            let mut config = config.clone();
            config.host(host).port(*port);
            match timeout(part, self.connect_to(&config)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => last = PostgresError::connecting(error),
                Err(elapsed) => last = PostgresError::Connect(elapsed.into()),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, config: &Config) -> Result<(Client, JoinSet<()>), Error> {
        match &self.tls {
            Some(tls) => connect(config, tls.clone()).await,
            None => connect(config, NoTls).await,
        }
    }
}

async fn connect<T>(config: &Config, tls: T) -> Result<(Client, JoinSet<()>), Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    let mut speaking = JoinSet::new();
    speaking.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %Causes(&error), "a connection to PostgreSQL ended");
        }
    });
    Ok((client, speaking))
}

fn held<T>(locked: &Mutex<T>) -> MutexGuard<'_, T> {
    locked.lock().unwrap_or_else(PoisonError::into_inner)
}

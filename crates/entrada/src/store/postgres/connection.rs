//! Connections: made, set up, and looked over before they are used again.

use std::fmt;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use tokio::task::JoinSet;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::pace::Pace;
use super::schema::{self, Standing};
use super::settings::PostgresSettings;
use super::statements::Statements;
use super::tls::{self, OpenPostgresError};
use super::PostgresError;
use crate::causes::Causes;

/// A connection that is ready for every verb.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) statements: Statements,
    /// What speaks to the server; ends with the connection.
    _speaking: JoinSet<()>,
}

/// Makes connections.
pub(super) struct Connector {
    settings: PostgresSettings,
    tls: Option<MakeRustlsConnect>,
    pace: Pace,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("settings", &self.settings)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(settings: PostgresSettings) -> Result<Self, OpenPostgresError> {
        let tls = settings.tls.as_ref().map(tls::verified).transpose()?;
        Ok(Self {
            settings,
            tls,
            pace: Pace::default(),
        })
    }

    pub(super) fn settings(&self) -> &PostgresSettings {
        &self.settings
    }

    /// Makes the tables, whatever the settings say and however long it takes.
    pub(super) async fn migrate(&self) -> Result<(), PostgresError> {
        let (mut client, _speaking) = self.connect().await?;
        schema::migrate(&mut client, &self.settings.schema).await
    }

    /// A connection whose tables are there.
    async fn open(&self) -> Result<Connection, PostgresError> {
        let (mut client, speaking) = self.connect().await?;
        let schema = &self.settings.schema;
        client
            .batch_execute(&self.session())
            .await
            .map_err(|error| PostgresError::Connect(error.into()))?;
        match schema::standing(&client, schema).await? {
            Standing::Ready => {}
            Standing::Behind(_) if self.settings.migrate => {
                schema::migrate(&mut client, schema).await?;
            }
            Standing::Behind(found) => return Err(schema::outdated(found)),
        }
        let statements = Statements::prepare(&client, schema).await;
        Ok(Connection {
            statements: statements.map_err(|error| PostgresError::Statement(error.into()))?,
            client,
            _speaking: speaking,
        })
    }

    async fn connect(&self) -> Result<(Client, JoinSet<()>), PostgresError> {
        let mut config = self.settings.config.clone();
        // Each host has its part of the time, so that one that is silent leaves some for the next.
        let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX);
        config.connect_timeout(self.settings.timeout / hosts.max(1));
        config.tcp_user_timeout(self.settings.timeout);
        if let Some(source) = &self.settings.password {
            let password = source.password().await.map_err(PostgresError::Password)?;
            config.password(password.expose());
        }
        let connected = match &self.tls {
            Some(tls) => connect(&config, tls.clone()).await,
            None => connect(&config, NoTls).await,
        };
        connected.map_err(|error| PostgresError::Connect(error.into()))
    }

    /// What the statements rely on, whatever the database or the role has as its own. What nobody
    /// waits for any more is not to be done long after; what is acknowledged is to be on the disk.
    fn session(&self) -> String {
        let milliseconds = self.settings.timeout.as_millis();
        format!(
            "SELECT set_config('default_transaction_isolation', 'read committed', false),
                set_config('statement_timeout', '{milliseconds}', false),
                CASE current_setting('synchronous_commit')
                    WHEN 'off' THEN set_config('synchronous_commit', 'on', false)
                END"
        )
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

impl Manager for Connector {
    type Type = Connection;
    type Error = PostgresError;

    async fn create(&self) -> Result<Connection, PostgresError> {
        let attempt = self.pace.attempt().await;
        let connection = self.open().await?;
        attempt.succeeded();
        Ok(connection)
    }

    /// Nothing was sent on a connection that is found dead here, so nobody is told.
    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<PostgresError> {
        if connection.client.is_closed() {
            return Err(RecycleError::message("the connection ended"));
        }
        Ok(())
    }
}

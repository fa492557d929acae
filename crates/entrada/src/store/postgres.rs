//! A store in a PostgreSQL database, for any number of replicas.

use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;

use super::{
    Cursor, Entry, Lease, LeaseHolder, RecordKey, Slot, SlotPage, Store, StoreError, Stored, Taken,
    Written,
};
use crate::platform::Timestamp;

mod connection;
mod error;
mod pace;
mod row;
mod schema;
mod session;
mod settings;
mod statements;

pub use error::{OpenPostgresError, PostgresError};
pub use settings::{PasswordSource, PostgresSettings, PostgresUrlError};

use connection::Connector;
use error::Remedy;
use row::expiry;
use statements::{Parameters, Statement, Statements};

/// How much one statement of a sweep removes, so that no other write waits for all of it.
const SWEPT_AT_ONCE: i64 = 1000;

/// How often a statement is tried that certainly did nothing.
const TRIES: u32 = 5;

/// The longest term of a lease.
const LONGEST_TERM: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A store in a PostgreSQL database, version 15 or later, for any number of replicas.
///
/// Each verb is one statement, and what it acknowledged is on the server's disk: on the disks of
/// as many servers as `synchronous_commit` and `synchronous_standby_names` say. With a standby that
/// the primary does not wait for, a fail-over may take back the last moments, spent codes and
/// revocations among them.
///
/// It opens while the database is down, connects when it is used, and after a restart or a fail-over
/// connects anew: with pauses of a second at most, so that replicas do not storm a server that comes
/// up. No verb waits longer than the `timeout` of the [settings](PostgresSettings), a sweep for each of
/// its parts. A statement whose answer was lost is an error and is not sent again, unless it only
/// reads: nobody knows whether it was carried out.
///
/// The tables are made when the first connection is, one replica at a time, or by
/// [`migrate`](Self::migrate). Tables that a later release made are used if that release says that
/// they may be, so that replicas can be replaced one by one; others are refused. They lie in a
/// schema of their own, so several deployments may share a database.
///
/// Between it and the server there may be a pooler, such as PgBouncer. One that shares sessions out
/// by transactions needs `prepare=false` in the URL: what is prepared and set for a session would
/// be met by others there. The role then needs `default_transaction_isolation` as `read committed`
/// and `synchronous_commit` other than `off` of its own, as they are unless somebody changed them.
#[derive(Debug)]
pub struct PostgresStore {
    pool: Pool<Connector>,
    timeout: Duration,
}

/// Whether a statement whose answer was lost may be sent again.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// It changes nothing.
    Reads,
    /// It may have been carried out.
    Writes,
}

impl PostgresStore {
    /// Opens the store. The server need not be there yet.
    ///
    /// # Errors
    ///
    /// [`OpenPostgresError`] if the files that the settings name cannot be used.
    pub fn open(settings: PostgresSettings) -> Result<Self, OpenPostgresError> {
        let (timeout, size) = (settings.timeout, settings.pool);
        let pool = Pool::builder(Connector::new(settings)?)
            .max_size(size)
            // Those that are idle longest are left alone, so as few stay as are needed.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| OpenPostgresError::Pool(error.into()))?;
        Ok(Self { pool, timeout })
    }

    /// Makes the tables, or brings those of an earlier release up to date, however long it takes. All
    /// is done or nothing.
    ///
    /// # Errors
    ///
    /// [`PostgresError`] if there is no connection, if the role may not make tables, or if a later
    /// release made some that this one does not understand.
    pub async fn migrate(&self) -> Result<(), PostgresError> {
        self.pool.manager().migrate().await
    }

    /// Sends a statement that changes nothing, and answers with its rows.
    async fn reads(
        &self,
        statement: fn(&Statements) -> &Statement,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows(Effect::Reads, statement, parameters).await;
        rows.map_err(StoreError::new)
    }

    /// Sends any other statement, and answers with its rows.
    async fn writes(
        &self,
        statement: fn(&Statements) -> &Statement,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows(Effect::Writes, statement, parameters).await;
        rows.map_err(StoreError::new)
    }

    async fn rows(
        &self,
        effect: Effect,
        statement: fn(&Statements) -> &Statement,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, PostgresError> {
        let deadline = Instant::now() + self.timeout;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut connection = self.connection(deadline).await?;
            connection.is_awaited = true;
            let sent = statement(&connection.statements).send(&connection.client, parameters);
            let Ok(answer) = timeout_at(deadline, sent).await else {
                // Whoever comes next must not wait behind it.
                self.discard(connection);
                return Err(self.timed_out());
            };
            connection.is_awaited = false;
            let error = match answer {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let again = match (Remedy::of(&error), effect) {
                (Remedy::Refused, _) => false,
                (Remedy::Again, _) => true,
                (Remedy::Reconnect, _) | (Remedy::Lost, Effect::Writes) => {
                    self.discard(connection);
                    false
                }
                (Remedy::Elsewhere, _) | (Remedy::Lost, Effect::Reads) => {
                    self.discard(connection);
                    true
                }
            };
            if !again || tries == TRIES {
                return Err(PostgresError::of_statement(error));
            }
        }
    }

    /// A connection: one that is free, or a new one, tried for until `deadline` if need be.
    async fn connection(&self, deadline: Instant) -> Result<Object<Connector>, PostgresError> {
        loop {
            match timeout_at(deadline, self.pool.get()).await {
                Ok(Ok(connection)) => return Ok(connection),
                // The next attempt waits for its turn.
                Ok(Err(PoolError::Backend(error))) if error.passes() => {}
                Ok(Err(PoolError::Backend(error))) => return Err(error),
                Ok(Err(other)) => return Err(PostgresError::Connect(other.to_string().into())),
                Err(_) => return Err(self.timed_out()),
            }
        }
    }

    fn timed_out(&self) -> PostgresError {
        PostgresError::TimedOut {
            within: self.timeout,
            connecting: self.pool.manager().trouble().map(Into::into),
        }
    }

    /// Ends a connection, and those that are idle: they lead to the same server.
    fn discard(&self, connection: Object<Connector>) {
        drop(Object::take(connection));
        drop(self.pool.retain(|_, _| false));
        self.pool.manager().forget_spare();
    }

    /// Keeps a slot where there is none.
    async fn keep_new(&self, key: &RecordKey, slot: &Slot) -> Result<Written, StoreError> {
        let (expires_at, version, grant, sealed) = row::columns(slot);
        let parameters: Parameters<'_> = &[&key.as_bytes(), &expires_at, &version, &grant, &sealed];
        let rows = self.writes(|it| &it.put_new, parameters).await?;
        Ok(row::written(&rows))
    }

    /// Sends a sweep's statement until there is nothing left for it.
    async fn sweep_all(
        &self,
        statement: fn(&Statements) -> &Statement,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        let mut swept = 0;
        loop {
            let rows = self.writes(statement, parameters).await?;
            let some = row::count(&rows)?;
            swept += some.unsigned_abs();
            if some < SWEPT_AT_ONCE {
                return Ok(swept);
            }
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        let rows = self.reads(|it| &it.read, &[&key.as_bytes()]).await?;
        row::stored(&rows)
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        let (expires_at, grant, sealed) = row::parts(&entry);
        let parameters: Parameters<'_> = &[&key.as_bytes(), &expires_at, &grant, &sealed];
        self.writes(|it| &it.put, parameters).await?;
        Ok(())
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        let slot = Slot::from_stored(entry.expires_at, 1, entry.grant, Some(entry.sealed));
        self.keep_new(key, &slot).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        let (key, (expires_at, grant, sealed)) = (key.as_bytes(), row::parts(&entry));
        // Before version 0 there is none, and no version equals that.
        let before = version.checked_sub(1).map(u64::cast_signed);
        let rows = if before == Some(0) {
            let parameters: Parameters<'_> = &[&key, &expires_at, &grant, &sealed];
            self.writes(|it| &it.put_first, parameters).await?
        } else {
            let version = version.cast_signed();
            let parameters: Parameters<'_> =
                &[&key, &expires_at, &version, &grant, &sealed, &before];
            self.writes(|it| &it.put_next, parameters).await?
        };
        row::version_written(&rows)
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        let rows = self.writes(|it| &it.take, &[&key.as_bytes()]).await?;
        row::taken(&rows)
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        let parameters: Parameters<'_> = &[&key.as_bytes(), &expiry(until)];
        self.writes(|it| &it.revoke, parameters).await?;
        Ok(())
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        _now: Timestamp,
    ) -> Result<Lease, StoreError> {
        let term = row::microseconds(term.min(LONGEST_TERM));
        let holder = holder.as_bytes().as_slice();
        let parameters: Parameters<'_> = &[&flight.as_bytes(), &holder, &term];
        let rows = self.writes(|it| &it.lease, parameters).await?;
        row::leased(&rows)
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        let (flight, holder) = (flight.as_bytes(), holder.as_bytes().as_slice());
        let rows = match answer {
            Some(entry) => {
                let until = row::microseconds(entry.expires_at.since(Timestamp::default()));
                let answer = entry.sealed.as_bytes().as_ref();
                let parameters: Parameters<'_> = &[&flight, &holder, &until, &answer];
                self.writes(|it| &it.answer, parameters).await?
            }
            None => self.writes(|it| &it.give_back, &[&flight, &holder]).await?,
        };
        Ok(row::written(&rows))
    }

    /// Leases go by the server's clock.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let parameters: Parameters<'_> = &[&expiry(now), &SWEPT_AT_ONCE];
        let slots = self.sweep_all(|it| &it.sweep_slots, parameters).await?;
        let leases = self.sweep_all(|it| &it.sweep_leases, &[&SWEPT_AT_ONCE]);
        Ok(slots + leases.await?)
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        let after = after.map_or(&[][..], Cursor::as_bytes);
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.reads(|it| &it.export, &[&after, &limit]).await?;
        row::page(&rows, most)
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        let rows = self.reads(|it| &it.slot, &[&key.as_bytes()]).await?;
        let found = rows.first().map(row::slot).transpose()?;
        Ok(found.map(|(_, slot)| slot))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        let Some(found) = found else {
            return self.keep_new(key, &slot).await;
        };
        let (is, was) = (row::columns(&slot), row::columns(found));
        let parameters: Parameters<'_> = &[
            &key.as_bytes(),
            &is.0,
            &is.1,
            &is.2,
            &is.3,
            &was.0,
            &was.1,
            &was.2,
            &was.3,
        ];
        let rows = self.writes(|it| &it.replace, parameters).await?;
        Ok(row::written(&rows))
    }
}

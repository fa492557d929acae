//! What each verb says to the server: one statement, so that it holds or it does not.
//!
//! All of them are right under READ COMMITTED, which a connection asks for. There a statement sees
//! what was committed when it began, but decides on what is there now: `INSERT … ON CONFLICT` waits
//! for whoever writes the row that is in its way and judges that row as it then is, seen or not;
//! `UPDATE … WHERE` and `SELECT … FOR UPDATE` wait for whoever writes a row that they see, and judge
//! it again. What a statement does not see and does not collide with was written after it, as far
//! as anyone can tell.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

/// Microseconds since 1970 by the clock of the server, the same all through a statement: the moment
/// it was asked, so whoever had to wait for the row thinks it earlier, never later.
const NOW: &str = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint";

/// What a statement is told.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One statement.
pub(super) enum Statement {
    /// Its session knows it: the server need not read and plan it again.
    Prepared(tokio_postgres::Statement),
    /// It is told whole each time, and leaves nothing in the session.
    Unprepared {
        text: String,
        types: &'static [Type],
    },
}

impl Statement {
    /// Sends it, and answers with its rows.
    pub(super) async fn send(
        &self,
        client: &Client,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        match self {
            Self::Prepared(prepared) => client.query(prepared, parameters).await,
            Self::Unprepared { text, types } => {
                let parameters = parameters.iter().copied();
                let typed: Vec<_> = parameters.zip(types.iter().cloned()).collect();
                client.query_typed(text, &typed).await
            }
        }
    }
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident($($type:ident),+): $sql:expr;)+) => {
        /// The statements of one connection.
        pub(super) struct Statements {$(
            $(#[$doc])*
            pub(super) $name: Statement,
        )+}

        impl Statements {
            /// Prepares all of them at once: a verb then costs one round trip, and a role that
            /// lacks a right is found out when it connects.
            pub(super) async fn prepare(client: &Client, schema: &str) -> Result<Self, Error> {
                $(
                    let text = filled_in($sql, schema);
                    let $name = async move {
                        client.prepare_typed(&text, &[$(Type::$type),+]).await
                    };
                )+
                let ($($name,)+) = tokio::try_join!($($name,)+)?;
                Ok(Self { $($name: Statement::Prepared($name),)+ })
            }

            /// Prepares none of them.
            pub(super) fn unprepared(schema: &str) -> Self {
                Self {$(
                    $name: {
                        const TYPES: &[Type] = &[$(Type::$type),+];
                        let text = filled_in($sql, schema);
                        Statement::Unprepared { text, types: TYPES }
                    },
                )+}
            }
        }
    };
}

fn filled_in(sql: &str, schema: &str) -> String {
    sql.replace("{schema}", schema).replace("{now}", NOW)
}

statements! {
    /// `key`
    read(BYTEA):
        "SELECT version, sealed FROM {schema}.slots WHERE key = $1 AND sealed IS NOT NULL";

    /// `key`, `expires_at`, `grant`, `sealed`
    put(BYTEA, INT8, BYTEA, BYTEA):
        "INSERT INTO {schema}.slots (key, expires_at, version, grant_id, sealed)
         VALUES ($1, $2, 1, $3, $4)
         ON CONFLICT (key) DO UPDATE SET
             expires_at = EXCLUDED.expires_at,
             version = EXCLUDED.version,
             grant_id = EXCLUDED.grant_id,
             sealed = EXCLUDED.sealed";

    /// `key`, `expires_at`, `version`, `grant`, `sealed`; a row if nothing was there.
    put_new(BYTEA, INT8, INT8, BYTEA, BYTEA):
        "INSERT INTO {schema}.slots (key, expires_at, version, grant_id, sealed)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (key) DO NOTHING
         RETURNING true";

    /// `key`, `expires_at`, `grant`, `sealed`; no row if another version is there.
    ///
    /// With DO NOTHING, a row that came after this statement began would be in its way and yet not
    /// be seen, and nobody could say whether it is a revocation. So one that is revoked is written
    /// as it is, which hands it out.
    put_first(BYTEA, INT8, BYTEA, BYTEA):
        "INSERT INTO {schema}.slots AS slot (key, expires_at, version, grant_id, sealed)
         VALUES ($1, $2, 1, $3, $4)
         ON CONFLICT (key) DO UPDATE SET version = slot.version WHERE slot.sealed IS NULL
         RETURNING slot.sealed IS NULL";

    /// `key`, `expires_at`, `version`, `grant`, `sealed`, the version before; no row if another
    /// version is there, or none.
    ///
    /// One that is revoked is written as it is, which hands it out: of two looks, the second could
    /// find what the first did not.
    put_next(BYTEA, INT8, INT8, BYTEA, BYTEA, INT8):
        "UPDATE {schema}.slots AS slot SET
             expires_at = CASE WHEN slot.sealed IS NULL THEN slot.expires_at ELSE $2 END,
             version = CASE WHEN slot.sealed IS NULL THEN slot.version ELSE $3 END,
             grant_id = CASE WHEN slot.sealed IS NULL THEN slot.grant_id ELSE $4 END,
             sealed = CASE WHEN slot.sealed IS NULL THEN NULL ELSE $5::bytea END
         WHERE key = $1 AND (slot.sealed IS NULL OR slot.version = $6)
         RETURNING slot.sealed IS NULL";

    /// `key`
    ///
    /// The row is locked before it is emptied, and what the lock found decides and is the answer:
    /// an UPDATE alone does not tell what it replaced.
    take(BYTEA):
        "WITH found AS (
             SELECT key, grant_id, sealed FROM {schema}.slots WHERE key = $1 FOR UPDATE
         ), emptied AS (
             UPDATE {schema}.slots AS slot SET sealed = NULL FROM found
             WHERE slot.key = found.key AND found.sealed IS NOT NULL
         )
         SELECT grant_id, sealed FROM found";

    /// `key`, `until`
    revoke(BYTEA, INT8):
        "INSERT INTO {schema}.slots AS slot (key, expires_at, version, grant_id, sealed)
         VALUES ($1, $2, 0, NULL, NULL)
         ON CONFLICT (key) DO UPDATE SET
             expires_at = CASE
                 WHEN slot.sealed IS NULL THEN greatest(slot.expires_at, EXCLUDED.expires_at)
                 ELSE EXCLUDED.expires_at
             END,
             grant_id = NULL,
             sealed = NULL";

    /// `flight`, `holder`, the term in microseconds; no row if another holder has the lease, one
    /// with the answer if there is one, one without if the lease is the caller's.
    lease(BYTEA, BYTEA, INT8):
        "INSERT INTO {schema}.leases AS lease (flight, holder, until)
         VALUES ($1, $2, {now} + $3)
         ON CONFLICT (flight) DO UPDATE SET
             holder = CASE
                 WHEN lease.answer IS NOT NULL AND lease.until > {now} THEN NULL
                 ELSE EXCLUDED.holder
             END,
             until = CASE
                 WHEN lease.until <= {now} THEN EXCLUDED.until
                 WHEN lease.answer IS NOT NULL THEN lease.until
                 ELSE greatest(lease.until, EXCLUDED.until)
             END,
             answer = CASE WHEN lease.until > {now} THEN lease.answer END
         WHERE lease.until <= {now}
             OR lease.answer IS NOT NULL
             OR lease.holder = EXCLUDED.holder
         RETURNING lease.answer";

    /// `flight`, `holder`; a row if the holder had the lease.
    give_back(BYTEA, BYTEA):
        "DELETE FROM {schema}.leases WHERE flight = $1 AND holder = $2 RETURNING true";

    /// `flight`, `holder`, until when, the answer; a row if the holder had the lease.
    answer(BYTEA, BYTEA, INT8, BYTEA):
        "UPDATE {schema}.leases SET holder = NULL, until = $3, answer = $4
         WHERE flight = $1 AND holder = $2
         RETURNING true";

    /// `now`, how many at most; how many it was.
    ///
    /// Rows that another replica sweeps, or that are being written, are left to whoever has them.
    /// The lock judges a row again, so one that was renewed since stays.
    sweep_slots(INT8, INT8):
        "WITH expired AS MATERIALIZED (
             SELECT key FROM {schema}.slots WHERE expires_at < $1
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ), swept AS (
             DELETE FROM {schema}.slots AS slot USING expired
             WHERE slot.key = expired.key RETURNING true
         )
         SELECT count(*) FROM swept";

    /// How many at most; how many it was.
    sweep_leases(INT8):
        "WITH ended AS MATERIALIZED (
             SELECT flight FROM {schema}.leases WHERE until <= {now}
             ORDER BY until LIMIT $1 FOR UPDATE SKIP LOCKED
         ), swept AS (
             DELETE FROM {schema}.leases AS lease USING ended
             WHERE lease.flight = ended.flight RETURNING true
         )
         SELECT count(*) FROM swept";

    /// `key`
    slot(BYTEA):
        "SELECT key, expires_at, version, grant_id, sealed FROM {schema}.slots WHERE key = $1";

    /// `key`, then `expires_at`, `version`, `grant` and `sealed` as they shall be, and as they were
    /// found; a row if they were so still.
    replace(BYTEA, INT8, INT8, BYTEA, BYTEA, INT8, INT8, BYTEA, BYTEA):
        "UPDATE {schema}.slots SET expires_at = $2, version = $3, grant_id = $4, sealed = $5
         WHERE key = $1 AND expires_at = $6 AND version = $7
             AND grant_id IS NOT DISTINCT FROM $8 AND sealed IS NOT DISTINCT FROM $9
         RETURNING true";

    /// The key before, how many.
    export(BYTEA, INT8):
        "SELECT key, expires_at, version, grant_id, sealed FROM {schema}.slots
         WHERE key > $1 ORDER BY key LIMIT $2";
}

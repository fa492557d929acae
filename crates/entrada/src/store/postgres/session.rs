//! Sessions: one of our own, which is set up, or one that a pooler shares out, which is looked over.
//!
//! What the statements rely on holds whatever the database or the role has as its own: they run at
//! READ COMMITTED, and what is acknowledged is on the disk.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::PostgresError;

/// Whether a session is the one with a mark.
const IS_MARKED: &str = "SELECT coalesce(current_setting('entrada.session', true), '') = $1";

/// Whether the role has what a session of our own would be given.
const IS_FIT: &str = "SELECT current_setting('default_transaction_isolation') = 'read committed'
    AND current_setting('synchronous_commit') <> 'off'";

/// What a session that was set up is known by.
pub(super) struct Mark(String);

/// Sets up a session of our own, where nobody has set it up before: nobody but a pooler brings us to one that was.
/// What nobody waits for any more is not to be done long after.
pub(super) async fn set_up(client: &Client, timeout: Duration) -> Result<Mark, PostgresError> {
    let milliseconds = timeout.as_millis();
    // In one statement, or the look may be at one session and the mark on another.
    let settings = format!(
        "WITH found AS MATERIALIZED (
             SELECT coalesce(current_setting('entrada.session', true), '') = '' AS is_fresh
         )
         SELECT set_config('entrada.session', gen_random_uuid()::text, false),
             set_config('default_transaction_isolation', 'read committed', false),
             set_config('statement_timeout', '{milliseconds}', false),
             CASE current_setting('synchronous_commit')
                 WHEN 'off' THEN set_config('synchronous_commit', 'on', false)
             END
         FROM found WHERE is_fresh"
    );
    let rows = client.query_typed(&settings, &[]).await;
    let rows = rows.map_err(|error| PostgresError::Connect(error.into()))?;
    let marked = rows
        .first()
        .ok_or(PostgresError::SharedSession { source: None })?;
    let mark = marked.try_get(0);
    mark.map(Mark)
        .map_err(|error| PostgresError::Connect(error.into()))
}

/// Looks whether the session is the one with `mark` still. A pooler may lead elsewhere later on, too, and that is
/// not seen.
pub(super) async fn look_again(client: &Client, mark: &Mark) -> Result<(), PostgresError> {
    let parameters: &[(&(dyn ToSql + Sync), Type)] = &[(&mark.0, Type::TEXT)];
    let row = client.query_typed_one(IS_MARKED, parameters).await;
    if read(row)? {
        Ok(())
    } else {
        Err(PostgresError::SharedSession { source: None })
    }
}

/// Looks whether sessions that nothing may be set in are fit as they are.
pub(super) async fn look_over(client: &Client) -> Result<(), PostgresError> {
    let row = client.query_typed_one(IS_FIT, &[]).await;
    if read(row)? {
        Ok(())
    } else {
        Err(PostgresError::UnfitRole)
    }
}

/// What is answered to a question.
fn read(row: Result<Row, Error>) -> Result<bool, PostgresError> {
    row.and_then(|row| row.try_get(0))
        .map_err(|error| PostgresError::Connect(error.into()))
}

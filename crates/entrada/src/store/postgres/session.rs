//! Sessions: one of our own, which is set up, or one that a pooler shares out, which is looked over.
//!
//! What the statements rely on holds whatever the database or the role has as its own: they run at
//! READ COMMITTED, and what is acknowledged is on the disk.

use std::time::Duration;

use tokio_postgres::Client;

use super::PostgresError;

/// Whether a session was set up before: nobody but a pooler brings us to one that was.
const IS_OURS: &str = "SELECT coalesce(current_setting('entrada.session', true), '') <> ''";

/// Whether the role has what a session of our own would be given.
const IS_FIT: &str = "SELECT current_setting('default_transaction_isolation') = 'read committed'
    AND current_setting('synchronous_commit') <> 'off'";

/// Sets up a session of our own. What nobody waits for any more is not to be done long after.
pub(super) async fn set_up(client: &Client, timeout: Duration) -> Result<(), PostgresError> {
    if is_so(client, IS_OURS).await? {
        return Err(PostgresError::SharedSession { source: None });
    }
    let milliseconds = timeout.as_millis();
    let settings = format!(
        "SELECT set_config('entrada.session', 'ours', false),
            set_config('default_transaction_isolation', 'read committed', false),
            set_config('statement_timeout', '{milliseconds}', false),
            CASE current_setting('synchronous_commit')
                WHEN 'off' THEN set_config('synchronous_commit', 'on', false)
            END"
    );
    let set = client.batch_execute(&settings).await;
    set.map_err(|error| PostgresError::Connect(error.into()))
}

/// Looks whether sessions that nothing may be set in are fit as they are.
pub(super) async fn look_over(client: &Client) -> Result<(), PostgresError> {
    if is_so(client, IS_FIT).await? {
        Ok(())
    } else {
        Err(PostgresError::UnfitRole)
    }
}

async fn is_so(client: &Client, question: &str) -> Result<bool, PostgresError> {
    let row = client.query_typed_one(question, &[]).await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| PostgresError::Connect(error.into()))
}

//! The tables, and how those of an older release become those of this one.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::PostgresError;

/// What turns the tables of one version into those of the next.
struct Migration {
    version: i32,
    /// The oldest version whose releases may go on with the tables: replicas are replaced one by
    /// one, so a migration that older ones do not survive must raise this.
    oldest: i32,
    sql: &'static str,
}

/// Once released, a migration never changes.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        oldest: 1,
        sql: include_str!("1.sql"),
    },
    Migration {
        version: 2,
        oldest: 1,
        sql: include_str!("2.sql"),
    },
];

/// The version of this release.
const KNOWN: i32 = 2;

/// Which versions there were, and from which on releases understand the tables.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version integer PRIMARY KEY,
    oldest integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
";

/// Held by whoever migrates: "entrada" and a zero byte.
const LOCK: i64 = 0x656e_7472_6164_6100;

/// What is to be done before the tables can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Nothing.
    Ready,
    /// Whatever follows this version is missing.
    Behind(i32),
}

/// Compares the tables with what this release knows.
pub(super) async fn standing(client: &Client, schema: &str) -> Result<Standing, PostgresError> {
    let sql = format!("SELECT max(version), max(oldest) FROM {schema}.migrations");
    let row = match client.query_typed_one(&sql, &[]).await {
        Ok(row) => row,
        Err(error) if is_missing(&error) => return Ok(Standing::Behind(0)),
        Err(error) => return Err(PostgresError::Statement(error.into())),
    };
    let read = |at| row.try_get::<_, Option<i32>>(at);
    let (version, oldest) = match (read(0), read(1)) {
        (Ok(version), Ok(oldest)) => (version.unwrap_or(0), oldest.unwrap_or(0)),
        (Err(error), _) | (_, Err(error)) => return Err(PostgresError::Statement(error.into())),
    };
    if oldest > KNOWN {
        return Err(PostgresError::Newer {
            found: version,
            known: KNOWN,
        });
    }
    if version < KNOWN {
        return Ok(Standing::Behind(version));
    }
    Ok(Standing::Ready)
}

/// The refusal of tables that are `found` to be too old, where none may be made.
pub(super) fn outdated(found: i32) -> PostgresError {
    PostgresError::Outdated {
        found,
        known: KNOWN,
    }
}

/// Makes the tables, or what this release adds to them: all of it or nothing. Whoever comes at the
/// same time waits, and finds nothing left to do.
pub(super) async fn migrate(client: &mut Client, schema: &str) -> Result<(), PostgresError> {
    let failed = |source: Error| PostgresError::Migration(source.into());
    let transaction = client.transaction().await.map_err(failed)?;
    // However long it takes, and however long another has been at it.
    let lock = format!("SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})");
    transaction.batch_execute(&lock).await.map_err(failed)?;
    // Asks first: who may use a schema that is there may not make one, be it `IF NOT EXISTS`.
    let there = "SELECT true FROM pg_namespace WHERE nspname = $1";
    let name = schema.trim_matches('"');
    let there = transaction
        .query_typed_opt(there, &[(&name, Type::TEXT)])
        .await;
    if there.map_err(failed)?.is_none() {
        let make = format!("CREATE SCHEMA {schema}");
        transaction.batch_execute(&make).await.map_err(failed)?;
    }
    // Likewise, for the server says of a table that is there already that it is.
    let there = "SELECT to_regclass($1) IS NOT NULL";
    let name = format!("{schema}.migrations");
    let there = transaction
        .query_typed_one(there, &[(&name, Type::TEXT)])
        .await;
    if !there.and_then(|row| row.try_get(0)).map_err(failed)? {
        let versions = VERSIONS.replace("{schema}", schema);
        transaction.batch_execute(&versions).await.map_err(failed)?;
    }
    let behind = match standing(transaction.client(), schema).await? {
        Standing::Ready => return Ok(()),
        Standing::Behind(version) => version,
    };
    for migration in MIGRATIONS.iter().filter(|it| it.version > behind) {
        let sql = migration.script(schema);
        transaction.batch_execute(&sql).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    tracing::info!(from = behind, to = KNOWN, "the database was migrated");
    Ok(())
}

/// All migrations, for whoever makes the tables by hand.
pub(super) fn script(schema: &str) -> String {
    let versions = VERSIONS.replace("{schema}", schema);
    let migrations: String = MIGRATIONS.iter().map(|it| it.script(schema)).collect();
    format!("BEGIN;\nCREATE SCHEMA IF NOT EXISTS {schema};\n{versions}{migrations}COMMIT;\n")
}

impl Migration {
    fn script(&self, schema: &str) -> String {
        let Self {
            version,
            oldest,
            sql,
        } = self;
        let sql = sql.replace("{schema}", schema);
        format!(
            "{sql}INSERT INTO {schema}.migrations (version, oldest) VALUES ({version}, {oldest});\n"
        )
    }
}

/// Whether there are no tables yet.
fn is_missing(error: &Error) -> bool {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| missing.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_to_the_one_that_is_known() {
        let versions: Vec<_> = MIGRATIONS.iter().map(|it| it.version).collect();
        assert_eq!(versions, (1..=KNOWN).collect::<Vec<_>>());
        assert!(MIGRATIONS.iter().all(|it| it.oldest <= it.version));
        assert!(MIGRATIONS.is_sorted_by_key(|it| it.oldest));
    }

    #[test]
    fn administrators_are_shown_the_script() {
        let page = include_str!("../../../../../docs/POSTGRESQL.md");
        assert!(page.contains(&script("\"entrada\"")));
    }

    #[test]
    fn the_script_names_the_schema_and_leaves_nothing_to_fill_in() {
        let script = script("\"other\"");
        assert!(script.contains("CREATE TABLE \"other\".slots"));
        assert!(!script.contains('{'));
    }
}

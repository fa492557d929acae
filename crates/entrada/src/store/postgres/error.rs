//! What goes wrong between a store and its database, and what is left to do then.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::StoreError;
use crate::store::StoreTlsError;

/// Why a [`PostgresStore`](super::PostgresStore) could not be opened. Whether the server is there
/// plays no part in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenPostgresError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] StoreTlsError),
    /// The pool cannot be made.
    #[error("cannot make a pool of connections")]
    Pool(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a [`PostgresStore`](super::PostgresStore) could not do what it was asked: what is behind the
/// [`StoreError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// There is no connection to the server: it is not there, does not know us, or is not the one
    /// it should be.
    #[error("cannot connect to PostgreSQL")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server asks for a password, and nobody said one.
    #[error(
        "PostgreSQL asks for a password, and there is none: put it in the URL, or in the file that \
         store_password_file of the gateway names"
    )]
    NoPassword,
    /// Whoever tells the password does not.
    #[error("there is no password for PostgreSQL")]
    Password(#[source] StoreError),
    /// The server did not answer, or no connection became free; why the last attempt to connect
    /// failed, if it did.
    #[error("PostgreSQL gave no answer within {within:?}")]
    TimedOut {
        /// The time it had.
        within: Duration,
        /// Why there was no connection.
        #[source]
        connecting: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A later release changed the tables, and this one no longer understands them.
    #[error(
        "a later release made the tables, version {found}: this one knows version {known}, so update it"
    )]
    Newer {
        /// The version of the tables.
        found: i32,
        /// The version that is known.
        known: i32,
    },
    /// The tables are not there, or of an earlier release, and must not be made.
    #[error(
        "the tables have version {found}, this release needs version {known}: migrate the database, or leave out migrate=false"
    )]
    Outdated {
        /// The version of the tables, 0 if there are none.
        found: i32,
        /// The version that is needed.
        known: i32,
    },
    /// The tables could not be made: nothing was changed.
    #[error("cannot migrate the database")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused a statement, or its answer was lost; then it may have done it.
    #[error("PostgreSQL failed a statement")]
    Statement(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A pooler brought us to a session that others use too, where statements would be mixed up.
    #[error(
        "a pooler between this and PostgreSQL shares its sessions, such as PgBouncer with \
         pool_mode = transaction: put prepare=false into the URL, or have the pooler share by session"
    )]
    SharedSession {
        /// What the server said, if that is how it was noticed.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The role has settings with which statements do not hold what they promise, and with
    /// `prepare=false` nothing else is set for a session.
    #[error(
        "with prepare=false the role itself needs default_transaction_isolation = 'read committed' \
         and synchronous_commit = 'on': ALTER ROLE sets them"
    )]
    UnfitRole,
    /// The tables hold something that this release does not understand.
    #[error("PostgreSQL keeps something under a key that this release does not know")]
    UnknownKey,
}

impl PostgresError {
    /// Why there is no connection.
    pub(super) fn connecting(error: Error) -> Self {
        // The crate has no other word for it.
        let is_of_password =
            |source: &(dyn std::error::Error + 'static)| source.to_string() == "password missing";
        match error.source() {
            Some(source) if is_of_password(source) => Self::NoPassword,
            Some(_) | None => Self::Connect(error.into()),
        }
    }

    /// Why a statement did nothing, or nobody knows whether it did.
    pub(super) fn of_statement(error: Error) -> Self {
        let of_others = [
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
        ];
        if error.code().is_some_and(|code| of_others.contains(code)) {
            let source = Some(error.into());
            return Self::SharedSession { source };
        }
        Self::Statement(error.into())
    }

    /// Whether the next attempt may go better without anybody doing anything.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Connect(source) => match source.downcast_ref::<Error>() {
                Some(error) => is_passing(error),
                None => true,
            },
            Self::TimedOut { .. } | Self::Statement(_) => true,
            Self::NoPassword
            | Self::Password(_)
            | Self::Newer { .. }
            | Self::Outdated { .. }
            | Self::Migration(_)
            | Self::SharedSession { .. }
            | Self::UnfitRole
            | Self::UnknownKey => false,
        }
    }
}

/// Whether a connection may be made later: the server refuses none for good, and TLS works.
fn is_passing(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // What comes from the network passes, but for a certificate that is not believed. The rest is
        // TLS that the server does not have, or a login that cannot be done.
        let source = error.source();
        let io = source.and_then(|it| it.downcast_ref::<io::Error>());
        return error.is_closed() || io.is_some_and(|io| io.kind() != io::ErrorKind::InvalidData);
    };
    *code == SqlState::CANNOT_CONNECT_NOW || !["28", "3D", "42"].contains(&class(code))
}

/// What is left to do with a statement that failed, and with its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remedy {
    /// It certainly did nothing: again, on the same connection.
    Again,
    /// It certainly did nothing: again, on another connection.
    Elsewhere,
    /// Nobody knows whether it did anything, and the connection is of no use.
    Lost,
    /// It did nothing, nor would it another time; the connection may be of no use.
    Reconnect,
    /// It did nothing, nor would it another time.
    Refused,
}

impl Remedy {
    /// What a failure means. What the server says while it shuts down means nothing certain: it may
    /// say so to a statement that it has carried out, and that only waits for a standby.
    pub(super) fn of(error: &Error) -> Self {
        let Some(code) = error.code() else {
            return Self::Lost;
        };
        let stale = [
            // A statement whose tables were changed since it was prepared.
            SqlState::FEATURE_NOT_SUPPORTED,
            // The server became a standby, or took to reading alone.
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        match class(code) {
            _ if stale.contains(code) => Self::Elsewhere,
            // Rolled back, to be tried again: a deadlock, or another level of isolation.
            "40" => Self::Again,
            // The tables or the rights are gone: whoever connects looks for them. Or what was
            // prepared is: a pooler gave the session to somebody else.
            "42" | "3F" | "26" => Self::Reconnect,
            // Its time is up, or an administrator canceled it.
            "57" if *code == SqlState::QUERY_CANCELED => Self::Refused,
            "57" | "58" | "08" | "XX" => Self::Lost,
            _ => Self::Refused,
        }
    }
}

/// The kind of error: the first two characters of its code.
fn class(code: &SqlState) -> &str {
    code.code().get(..2).unwrap_or_default()
}

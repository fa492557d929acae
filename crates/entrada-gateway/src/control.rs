//! The way into a running gateway for commands on the same machine, where what is kept is its alone: in its
//! memory, or in a file that one process at a time can open.
//!
//! A Unix socket in the data directory. One connection is one order: a line of JSON each way, and more on
//! the way back while it takes long. Both ends are of one version, or do not understand each other and say so.

use std::path::{Path, PathBuf};

use entrada::administration::{Ended, GrantFilter, Page, Selection};
use entrada::oauth::client::ClientId;
use serde::{Deserialize, Serialize};

#[cfg(unix)]
mod asking;
#[cfg(unix)]
mod serving;

#[cfg(unix)]
pub use asking::AskError;
#[cfg(unix)]
pub(crate) use asking::Gateway;
#[cfg(unix)]
pub(crate) use serving::ControlSocket;

/// The socket of a gateway whose data directory this is.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// What is asked for.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// Grants, after what an answer before called next.
    Grants {
        filter: GrantFilter,
        after: Option<String>,
    },
    /// Clients, after what an answer before called next.
    Clients { after: Option<String> },
    /// That grants end.
    Revoke(Selection),
    /// That a client is removed.
    Remove(ClientId),
}

/// What comes back.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Reply<T> {
    /// How far it has come; there is more to come.
    SoFar(Ended),
    /// What came of it: [`Listed`] or [`Ended`].
    Done(T),
    /// Why not.
    Refused(String),
}

/// Some of a list.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    /// What to go on after; nothing if this is the end.
    pub(crate) next: Option<String>,
}

impl<T> From<Page<T>> for Listed<T> {
    fn from(page: Page<T>) -> Self {
        Self {
            items: page.items,
            next: page.next.map(|next| next.to_string()),
        }
    }
}

/// How many items are told at once.
pub(crate) const PAGE: usize = 500;

/// How long an order may be: ids and names.
const ORDER_LIMIT: u64 = 64 * 1024;

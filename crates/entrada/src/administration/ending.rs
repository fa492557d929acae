//! Grants and clients, ended.

use serde::{Deserialize, Serialize};

use super::noted::Noted;
use super::run::Run;
use super::{Administration, Selection};
use crate::audit::Act;
use crate::authorization_server::is_held;
use crate::oauth::client::ClientId;
use crate::store::StoreError;

/// What came of ending grants, so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Ended {
    /// Grants that stood, and stand no more.
    pub grants: u64,
    /// Logins whose code no client had exchanged yet: it is of no use now.
    pub codes: u64,
    /// Grants that no key opens, so that nobody knows whose they are. They are of no use to anybody either.
    pub unopened: u64,
    /// How much was looked at.
    pub seen: u64,
}

/// Why a client is not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveClientError {
    /// The operator says that it is one.
    #[error("the client stands in the configuration: take it out there, and end its grants")]
    Configured,
    /// It holds its registration itself.
    #[error(
        "the client holds its registration in its id, so there is nothing to remove: end its grants"
    )]
    Held,
    /// It is not known.
    #[error("there is no such client")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Administration {
    /// Ends the grants of `selection`, and tells `told` now and then how far that has come. Their tokens
    /// are good nowhere within [`GRANT_CACHE_TTL`](crate::authorization_server::GRANT_CACHE_TTL); consent
    /// that was remembered with them is taken back.
    ///
    /// What was there when it began does not stand when it is done, whoever refreshes it meanwhile, and no
    /// code that was issued before it began becomes a grant. What is certain of logins that end meanwhile:
    ///
    /// | selection | |
    /// |---|---|
    /// | one user, by id | no code that was issued to them before it was done becomes a grant |
    /// | one user by name, one tenant | the same, of those users who had a grant or a code when it began |
    /// | one client, all | the same, of those users who had approved a client when it began |
    ///
    /// Who signs in afterwards may do so: block them in Entra first, or
    /// [remove](Self::remove_client) the client.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails: what was ended stays so, and the rest is ended by doing it again.
    pub async fn revoke(
        &self,
        selection: &Selection,
        told: impl FnMut(Ended) + Send,
    ) -> Result<Ended, StoreError> {
        let noted = Noted::begin(self, Act::GrantsEnded, Some(selection.to_string()));
        noted.end(self.end(selection, told).await)
    }

    async fn end(
        &self,
        selection: &Selection,
        told: impl FnMut(Ended) + Send,
    ) -> Result<Ended, StoreError> {
        let run = Run::new(self.store.clone(), self.now());
        run.end(selection, told).await
    }

    /// Removes a client that registered, and ends its grants: no login through it that is under way comes
    /// to anything. One that a document describes may come back with the next login.
    ///
    /// # Errors
    ///
    /// [`RemoveClientError`] if there is nothing to remove, or the store fails.
    pub async fn remove_client(
        &self,
        id: &ClientId,
        told: impl FnMut(Ended) + Send,
    ) -> Result<Ended, RemoveClientError> {
        let noted = Noted::begin(self, Act::ClientRemoved, Some(format!("client {id}")));
        noted.end(self.remove(id, told).await)
    }

    async fn remove(
        &self,
        id: &ClientId,
        told: impl FnMut(Ended) + Send,
    ) -> Result<Ended, RemoveClientError> {
        if self.configured.contains_key(id) {
            return Err(RemoveClientError::Configured);
        }
        if is_held(id) {
            return Err(RemoveClientError::Held);
        }
        let now = self.now();
        let known = self.store.client(id, now).await?;
        // First: whoever comes with a code from now on is no client of ours.
        self.store.remove_client(id, now).await?;
        let ended = self.end(&Selection::Client(id.clone()), told).await?;
        // Where its removal was interrupted its grants may be left.
        if known.is_none() && ended.grants == 0 && ended.codes == 0 {
            return Err(RemoveClientError::Unknown);
        }
        Ok(ended)
    }
}

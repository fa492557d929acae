//! Which client an identifier names: one that registered, or one that a document describes.

use std::sync::Arc;

use super::register::USED_LIFETIME;
use super::{AuthorizationServer, CorrelationId, held_registration};
use crate::causes::Causes;
use crate::client_documents::ClientFetchError;
use crate::oauth::client::{Client, ClientId};
use crate::platform::Timestamp;
use crate::store::StoreError;

/// Why a client is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No such client is registered.
    #[error("the client is not registered")]
    Unknown,
    /// Its document is not believed, or not there.
    #[error("the client's document is of no use")]
    Document(#[source] Arc<ClientFetchError>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ClientError {
    /// Whether it may pass: then nothing is said against the client.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Document(error) => error.may_pass(),
            Self::Store(_) => true,
        }
    }
}

impl AuthorizationServer {
    /// The client called `id`.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if there is none, or nobody can tell.
    pub(super) async fn client(
        &self,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<Client, ClientError> {
        if let Some(client) = self.0.config.clients.get(id) {
            return Ok(client.clone());
        }
        if held_registration::is_held(id) {
            let held = held_registration::holder(&self.0.store, id).await?;
            return held.ok_or(ClientError::Unknown);
        }
        if !id.is_document_url() {
            let client = self.0.store.client(id, now).await?;
            return client.ok_or(ClientError::Unknown);
        }
        if let Some(ended) = self.0.documents.at_hand(id) {
            return ended.map_err(ClientError::Document);
        }
        // What was last in use: a replica that just started has no document yet, and its host may be
        // down.
        let before = self.0.store.client(id, now).await?;
        let found = self.0.documents.client(id, before.as_ref()).await;
        if let Some(before) = before {
            self.supersede(&before, &found, now).await;
        }
        found.map_err(ClientError::Document)
    }

    /// Keeps what a document says now in place of what it said `before`, or that it says nothing: what
    /// was withdrawn must not come back anywhere when its host next stumbles.
    async fn supersede(
        &self,
        before: &Client,
        found: &Result<Client, Arc<ClientFetchError>>,
        now: Timestamp,
    ) {
        let (client, until) = match found {
            Ok(client) if client.metadata() == before.metadata() => return,
            Ok(client) => (client, now + USED_LIFETIME),
            Err(error) if error.may_pass() => return,
            Err(_) => (before, now),
        };
        if let Err(error) = self.0.store.put_client(client, until).await {
            let cause = Causes(&error);
            tracing::warn!(client_id = %client.id(), %cause, "what a client's document says now is not kept");
        }
    }

    /// Keeps a client that is in use. Code or token is spent by now: that this may fail must not cost
    /// the client its answer.
    pub(super) async fn keep(&self, client: &Client, now: Timestamp, correlation: &CorrelationId) {
        let id = client.id();
        if self.0.config.clients.get(id).is_some() || held_registration::is_held(id) {
            return;
        }
        let until = now + USED_LIFETIME;
        let kept = if id.is_document_url() {
            if !self.0.documents.is_first_use(client) {
                return;
            }
            self.0.store.put_client(client, until).await
        } else {
            let Some(used) = client.used(now) else { return };
            // One that was removed meanwhile does not come back.
            let renewed = self.0.store.renew_client(&used, until).await;
            renewed.map(drop)
        };
        if let Err(error) = kept {
            let cause = Causes(&error);
            tracing::warn!(correlation_id = %correlation, client_id = %id, %cause, "client not kept");
        }
    }
}

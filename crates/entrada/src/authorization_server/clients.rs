//! Which client an identifier names: one that registered, or one that a document describes.

use std::sync::Arc;

use super::{AuthorizationServer, CorrelationId};
use crate::causes::Causes;
use crate::client_documents::{ClientFetchError, LONGEST_OUTAGE};
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
        if !id.is_document_url() {
            let client = self.0.store.client(id, now).await?;
            return client.ok_or(ClientError::Unknown);
        }
        match self.0.documents.client(id).await {
            Ok(client) => Ok(client),
            // A replica that just started has no document yet, and its host may be down.
            Err(error) if error.may_pass() => {
                let kept = self.0.store.client(id, now).await?;
                kept.ok_or(ClientError::Document(error))
            }
            Err(error) => Err(ClientError::Document(error)),
        }
    }

    /// Keeps a client that is in use. Code or token is spent by now: that this may fail must not cost
    /// the client its answer.
    pub(super) async fn keep(&self, client: &Client, now: Timestamp, correlation: &CorrelationId) {
        let (client, until) = if client.id().is_document_url() {
            if !self.0.documents.is_first_use(client) {
                return;
            }
            (client.clone(), client.issued_at() + LONGEST_OUTAGE)
        } else {
            let Some(client) = client.used(now) else {
                return;
            };
            (client, now + super::register::USED_LIFETIME)
        };
        if let Err(error) = self.0.store.put_client(&client, until).await {
            let cause = Causes(&error);
            tracing::warn!(correlation_id = %correlation, client_id = %client.id(), %cause, "client not kept");
        }
    }
}

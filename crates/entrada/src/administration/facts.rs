//! What is told of grants and clients.

use serde::{Deserialize, Serialize};

use crate::access_token::PrincipalKind;
use crate::authorization_server::PreregisteredClient;
use crate::grant::{Grant, GrantId};
use crate::oauth::client::{Client, ClientAuthentication, ClientId};
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::store::Kept;

/// What may be told of a grant: no token, and nothing that leads to one.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct GrantFacts {
    /// Its name, as it stands in the log and in `sid`.
    pub id: GrantId,
    /// Whom it speaks for.
    pub holder: GrantHolder,
    /// The client that acts.
    pub client_id: ClientId,
    /// What that client calls itself, if it is known still: nobody checked it.
    pub client_name: Option<String>,
    /// What it allows.
    pub scope: Scope,
    /// What it is for.
    pub resource: String,
    /// When it was given.
    pub issued_at: Timestamp,
    /// When it was last refreshed, if it ever was.
    pub refreshed_at: Option<Timestamp>,
    /// When it ends if it is not used.
    pub expires_at: Timestamp,
    /// Whether it can be refreshed.
    pub is_refreshable: bool,
}

/// Whom a grant speaks for.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct GrantHolder {
    /// Whether it is a person or a program.
    pub kind: PrincipalKind,
    /// Their tenant, if Entra knows them.
    pub tenant_id: Option<String>,
    /// Who they are there.
    pub object_id: Option<String>,
    /// What they sign in as: it can change.
    pub username: Option<String>,
    /// What they are called.
    pub name: Option<String>,
    /// Who they are to us, where Entra does not know them.
    pub subject: Option<String>,
}

impl GrantFacts {
    pub(super) fn of(grant: &Grant, client_name: Option<String>) -> Self {
        let principal = grant.principal();
        let tenant_id = &principal.tenant_id;
        Self {
            id: grant.id(),
            holder: GrantHolder {
                kind: principal.kind,
                tenant_id: (!tenant_id.is_empty()).then(|| tenant_id.clone()),
                object_id: principal.object_id.clone(),
                username: principal.preferred_username.clone(),
                name: principal.name.clone(),
                subject: grant.subject().map(str::to_owned),
            },
            client_id: grant.client_id().clone(),
            client_name,
            scope: grant.scope().clone(),
            resource: grant.resource().as_str().to_owned(),
            issued_at: grant.issued_at(),
            refreshed_at: grant.refreshed_at(),
            expires_at: grant.expires_at(),
            is_refreshable: grant.is_refreshable(),
        }
    }
}

/// Where what is known of a client comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientOrigin {
    /// The operator knows it.
    Configured,
    /// It registered.
    Registered,
    /// A document on the web describes it.
    Document,
}

impl ClientOrigin {
    pub(super) fn of(stored: &ClientId) -> Self {
        if stored.is_document_url() {
            Self::Document
        } else {
            Self::Registered
        }
    }
}

/// What may be told of a client.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct ClientFacts {
    /// Its id.
    pub id: ClientId,
    /// What it calls itself: nobody checked it.
    pub name: Option<String>,
    /// Where what is known of it comes from.
    pub origin: ClientOrigin,
    /// Where codes may go.
    pub redirect_uris: Vec<String>,
    /// Whether it proves who it is, by a secret or a key.
    pub is_confidential: bool,
    /// When it registered, or its document was last seen to have changed; `None` of one that the operator knows.
    pub registered_at: Option<Timestamp>,
    /// When it was last used, to the day, if that is known.
    pub used_at: Option<Timestamp>,
}

impl ClientFacts {
    pub(super) fn of(client: &Client, origin: ClientOrigin) -> Self {
        let metadata = client.metadata();
        let uris = metadata.redirect_uris().iter();
        Self {
            id: client.id().clone(),
            name: metadata.unverified_name().map(str::to_owned),
            origin,
            redirect_uris: uris.map(|uri| uri.as_str().to_owned()).collect(),
            is_confidential: *metadata.authentication() != ClientAuthentication::None,
            registered_at: (origin != ClientOrigin::Configured).then(|| client.issued_at()),
            used_at: client.used_at(),
        }
    }

    /// Those of a client of a configuration, which nobody held against the rules: `None` if its id is none.
    pub(super) fn as_given(client: &PreregisteredClient) -> Option<Self> {
        Some(Self {
            id: ClientId::parse(client.client_id()).ok()?,
            name: client.called().map(str::to_owned),
            origin: ClientOrigin::Configured,
            redirect_uris: client.redirect_uris().to_vec(),
            is_confidential: client.is_confidential(),
            registered_at: None,
            used_at: None,
        })
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Grants that stand.
    pub grants: u64,
    /// Clients that registered, or whose document was in use.
    pub clients: u64,
    /// Records that no key opens.
    pub unopened: u64,
}

impl Counts {
    pub(super) fn add(&mut self, records: &[Kept], now: Timestamp) {
        for record in records {
            match record {
                Kept::Grant(grant) if grant.is_live(now) => self.grants += 1,
                Kept::Client(_) => self.clients += 1,
                Kept::Unopened(_) => self.unopened += 1,
                Kept::Grant(_) | Kept::Code(_) | Kept::Spent(_) | Kept::Approvals(_) => {}
            }
        }
    }
}

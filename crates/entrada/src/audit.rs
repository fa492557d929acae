//! What was decided about whom: the events of an audit log.

use std::fmt::Debug;
use std::net::IpAddr;

use crate::access_token::Principal;
use crate::oauth::client::ClientId;
use crate::oauth::error::ErrorCode;
use crate::platform::Timestamp;

/// Takes events of the authorization server as they are decided.
///
/// What the guard decides is not among them: whoever stands behind it finds a
/// [`VerifiedToken`](crate::VerifiedToken) in the request, whoever stands before it a
/// [`Refusal`](crate::resource_server::Refusal) in the response.
///
/// # Security
///
/// It is called within a request and must not wait. Names in an event were chosen by strangers: write
/// them so that they cannot pass for something else, as JSON does.
pub trait AuditSink: Debug + Send + Sync {
    /// Takes an event.
    fn record(&self, event: AuditEvent);

    /// Whether operators may do something, by their pages and their API. Where it must be written and cannot
    /// be, they may not; sinks that require nothing leave this as it is.
    ///
    /// # Errors
    ///
    /// [`AuditUnavailable`] if not.
    fn ready(&self) -> Result<(), AuditUnavailable> {
        Ok(())
    }
}

/// What is done must be written down, and cannot be now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the audit log cannot be written now")]
#[expect(clippy::exhaustive_structs, reason = "sinks make it")]
pub struct AuditUnavailable;

/// One decision.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// What was to be done.
    pub act: Act,
    /// What came of it.
    pub decision: Decision,
    /// Whom it is about, where that is known.
    pub who: Option<Who>,
    /// The client it is about, where that is known.
    pub client_id: Option<ClientId>,
    /// What the client calls itself.
    pub unverified_client_name: Option<String>,
    /// The name of the grant it is about.
    pub grant: Option<String>,
    /// What an operator's act is about: `user …`, `client …`, `tenant …`, `grant …`, `all`.
    pub object: Option<String>,
    /// The name of the request; empty where there is none.
    pub correlation_id: String,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

/// What was to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Act {
    /// A client registers.
    Registration,
    /// A user lets a client act for them.
    Consent,
    /// A user comes back from Entra.
    Login,
    /// A client redeems a code.
    Code,
    /// A client refreshes.
    Refresh,
    /// A program asks for a token of its own.
    ClientCredentials,
    /// A client redeems what another issuer vouches for.
    IdentityAssertion,
    /// Something else is asked of the token endpoint.
    Token,
    /// A grant is revoked by its client.
    Revocation,
    /// A user takes a client's access away.
    Removal,
    /// A code came again, and its grant was revoked for it.
    ReplayedCode,
    /// A refresh token came again, and its grant was revoked for it.
    ReplayedRefreshToken,
    /// An operator ends grants.
    GrantsEnded,
    /// An operator removes a client.
    ClientRemoved,
    /// An operator replaces the keys.
    KeysRotated,
}

impl Act {
    /// Its name in a log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Consent => "consent",
            Self::Login => "login",
            Self::Code => "code",
            Self::Refresh => "refresh",
            Self::ClientCredentials => "client_credentials",
            Self::IdentityAssertion => "identity_assertion",
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Removal => "removal",
            Self::ReplayedCode => "replayed_code",
            Self::ReplayedRefreshToken => "replayed_refresh_token",
            Self::GrantsEnded => "grants_ended",
            Self::ClientRemoved => "client_removed",
            Self::KeysRotated => "keys_rotated",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// It was done.
    Allowed,
    /// It was not.
    Denied {
        /// What the client was told.
        code: ErrorCode,
        /// Why.
        reason: String,
    },
}

impl Decision {
    /// A label for it: `ok`, or the code.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Allowed => "ok",
            Self::Denied { code, .. } => code.as_str(),
        }
    }
}

/// A user, or an application.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Who {
    /// The tenant; it is empty for a program that the operator set up.
    pub tenant_id: String,
    /// The object id in that tenant.
    pub object_id: Option<String>,
    /// The name they sign in with. It can change, and another can have it later.
    pub username: Option<String>,
}

impl Who {
    /// Somebody of whom no more than their name is known.
    pub fn named(username: impl Into<String>) -> Self {
        let username = Some(username.into());
        Self {
            username,
            ..Self::default()
        }
    }
}

impl From<&Principal> for Who {
    fn from(principal: &Principal) -> Self {
        Self {
            tenant_id: principal.tenant_id.clone(),
            object_id: principal.object_id.clone(),
            username: principal.preferred_username.clone(),
        }
    }
}

impl AuditEvent {
    /// An event of a request, about nobody yet.
    pub(crate) fn new(act: Act, decision: Decision, at: Timestamp) -> Self {
        Self {
            at,
            act,
            decision,
            who: None,
            client_id: None,
            unverified_client_name: None,
            grant: None,
            object: None,
            correlation_id: String::new(),
            address: None,
        }
    }

    pub(crate) fn about(self, principal: &Principal) -> Self {
        let who = Some(principal.into());
        Self { who, ..self }
    }

    pub(crate) fn of_client(self, client_id: &ClientId, name: Option<&str>) -> Self {
        Self {
            client_id: Some(client_id.clone()),
            unverified_client_name: name.map(str::to_owned),
            ..self
        }
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "the name of a grant is a few bytes"
    )]
    pub(crate) fn of_grant(self, grant: impl ToString) -> Self {
        let grant = Some(grant.to_string());
        Self { grant, ..self }
    }
}

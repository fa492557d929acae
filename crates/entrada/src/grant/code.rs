//! From a code to a grant.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::binding::Binding;
use super::{
    AuthorizationRequest, CLOCK_DIFFERENCE, Grant, GrantId, HeldTokens, RefreshTerm, Rotation,
    SignedIn,
};
use crate::access_token::Principal;
use crate::jwt::thumbprint::JwkThumbprint;
use crate::oauth::client::ClientId;
use crate::oauth::resource::AskedResources;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, CodeVerifier};

/// How long a code may wait (OAuth 2.1 §4.1.2 says at most ten minutes; we say one), by a clock as far ahead of
/// the one that issued it as clocks may be.
pub(crate) const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// A code we issued, with what it stands for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct IssuedCode {
    id: GrantId,
    request: AuthorizationRequest,
    principal: Principal,
    held: HeldTokens,
    scope: Scope,
    issued_at: Timestamp,
}

/// An `authorization_code` token request (RFC 6749 §4.1.3, RFC 7636 §4.5, RFC 8707 §2.2).
#[derive(Clone, Debug)]
pub(crate) struct CodeRequest {
    /// The code presented.
    pub(crate) code: AuthorizationCode,
    /// The verifier presented.
    pub(crate) code_verifier: CodeVerifier,
    /// The redirect URI presented.
    pub(crate) redirect_uri: Option<String>,
    /// What it can be for.
    pub(crate) resources: AskedResources,
}

impl CodeRequest {
    /// A request without redirect URI.
    pub(crate) fn new(
        code: AuthorizationCode,
        code_verifier: CodeVerifier,
        resources: AskedResources,
    ) -> Self {
        Self {
            code,
            code_verifier,
            redirect_uri: None,
            resources,
        }
    }
}

/// Why a code did not become a grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// The code was issued to another client: `invalid_grant`.
    #[error("the code was issued to another client")]
    WrongClient,
    /// The redirect URI is not the one the code was sent to: `invalid_grant`.
    #[error("redirect_uri differs from the authorization request")]
    WrongRedirectUri,
    /// The verifier does not answer the challenge: `invalid_grant`.
    #[error("code_verifier does not answer the code_challenge")]
    WrongVerifier,
    /// The code is bound to a key that the client did not prove to have: `invalid_grant`.
    #[error("the code is bound to another key")]
    WrongKey,
    /// The code is too old: `invalid_grant`.
    #[error("the code has expired")]
    Expired,
    /// Another resource was asked for: `invalid_target`.
    #[error("the code is for another resource")]
    WrongResource,
}

/// A client that proved who it is at the token endpoint (OAuth 2.1 §2.4).
///
/// Made by client authentication only: see `authorization_server/client_auth.rs`.
#[derive(Clone, Debug)]
pub(crate) struct AuthenticatedClient {
    id: ClientId,
    is_confidential: bool,
    key: Option<JwkThumbprint>,
}

impl AuthenticatedClient {
    /// Claims the proof, of a client that is known by its name. Called by client authentication, and
    /// nowhere else.
    pub(crate) fn assertion(id: ClientId) -> Self {
        Self {
            id,
            is_confidential: false,
            key: None,
        }
    }

    /// The same of one that has a secret or keys, and used them.
    pub(crate) fn confidential(self) -> Self {
        Self {
            is_confidential: true,
            ..self
        }
    }

    /// The same of one that proved to have `key` (RFC 9449 §5).
    pub(crate) fn with_key(self, key: Option<JwkThumbprint>) -> Self {
        Self { key, ..self }
    }

    /// Which client it is.
    pub(crate) fn id(&self) -> &ClientId {
        &self.id
    }

    /// The key that its access token is bound to.
    pub(crate) fn key(&self) -> Option<JwkThumbprint> {
        self.key
    }

    /// The key that its refresh token is bound to.
    pub(super) fn refresh_key(&self) -> Option<JwkThumbprint> {
        self.key.filter(|_| !self.is_confidential)
    }
}

impl IssuedCode {
    pub(super) fn new(
        id: GrantId,
        request: AuthorizationRequest,
        signed_in: SignedIn,
        now: Timestamp,
    ) -> Self {
        let SignedIn {
            principal,
            held,
            scope,
        } = signed_in;
        Self {
            id,
            request,
            principal,
            held,
            scope,
            issued_at: now,
        }
    }

    /// The grant this code will become.
    pub(crate) fn grant_id(&self) -> GrantId {
        self.id
    }

    /// The client it was issued to.
    pub(crate) fn client_id(&self) -> &ClientId {
        &self.request.client_id
    }

    /// The user who signed in for it.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What the grant will allow.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether the grant comes with a refresh token: the client can use one, and so can we.
    pub(crate) fn is_refreshable(&self) -> bool {
        self.request.refreshable && self.held.refresh_token.is_some()
    }

    /// Turns the code into a grant (RFC 6749 §4.1.3).
    ///
    /// # Errors
    ///
    /// [`RedeemError`] if client, redirect URI, verifier, key, age or resource do not fit.
    pub(crate) fn redeem(
        self,
        presented: &CodeRequest,
        client: &AuthenticatedClient,
        first: Option<RefreshTerm>,
        now: Timestamp,
    ) -> Result<Grant, RedeemError> {
        let request = self.request;
        if request.client_id != *client.id() {
            return Err(RedeemError::WrongClient);
        }
        // OAuth 2.1 §4.1.3 dropped the parameter: the verifier binds the code. If it is sent, it
        // must be right.
        let sent_to = request.redirect.uri().as_str();
        if presented
            .redirect_uri
            .as_ref()
            .is_some_and(|uri| uri != sent_to)
        {
            return Err(RedeemError::WrongRedirectUri);
        }
        if !request.challenge.is_answered_by(&presented.code_verifier) {
            return Err(RedeemError::WrongVerifier);
        }
        // RFC 9449 §10.
        if request.dpop_jkt.is_some() && request.dpop_jkt != client.key() {
            return Err(RedeemError::WrongKey);
        }
        if now.since(self.issued_at) > CODE_LIFETIME + CLOCK_DIFFERENCE {
            return Err(RedeemError::Expired);
        }
        if !presented.resources.admit(&request.resource) {
            return Err(RedeemError::WrongResource);
        }
        // Without a refresh token nothing outlives Entra's own token.
        let expires_at = first.map_or(self.held.expires_at, |first| first.expires_at);
        Ok(Grant {
            id: self.id,
            version: 1,
            client_id: request.client_id,
            principal: self.principal,
            subject: None,
            scope: self.scope,
            resource: request.resource,
            held: Some(self.held),
            refresh: first.map(|first| Rotation {
                current: first.token,
                previous: None,
            }),
            bound: Binding::first(client),
            issued_at: now,
            expires_at,
        })
    }
}

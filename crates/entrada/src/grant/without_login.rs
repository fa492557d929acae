//! Grants that no login at Entra stands behind.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{AuthenticatedClient, Grant, GrantId};
use crate::access_token::{Principal, PrincipalKind};
use crate::jwt::identity_assertion::IdentityAssertion;
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::Hashed;

/// Whom such a grant speaks for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct OwnPrincipal {
    /// In the terms of Entra, of which it has few.
    principal: Principal,
    /// The `sub` of its access tokens.
    subject: String,
}

/// A user, as the issuer of an assertion knows them.
#[derive(Clone, Copy, Debug)]
struct AssertedUser;

impl OwnPrincipal {
    /// A client that acts for itself (RFC 6749 §4.4): its id is its subject (RFC 9068 §2.2).
    pub(crate) fn client(
        client: &AuthenticatedClient,
        name: Option<&str>,
        roles: &[String],
    ) -> Self {
        Self {
            principal: Principal {
                kind: PrincipalKind::Application,
                name: name.map(str::to_owned),
                roles: roles.to_vec(),
                ..Principal::default()
            },
            subject: client.id().as_str().to_owned(),
        }
    }

    /// A user another issuer vouches for. Who they are is their subject there, within their tenant if
    /// it has some; never their mail, which is somebody else's tomorrow.
    pub(crate) fn asserted(assertion: &IdentityAssertion) -> Self {
        let IdentityAssertion {
            issuer,
            tenant,
            subject,
            ..
        } = assertion;
        let tenant = tenant.as_deref().unwrap_or_default();
        // With their lengths: else the end of one name could be the beginning of the next.
        let parts = [issuer, tenant, subject].map(|part| format!("{}:{part}", part.len()));
        let user = format!("entrada asserted user {}", parts.concat());
        Self {
            principal: Principal {
                preferred_username: assertion.email.clone(),
                ..Principal::default()
            },
            subject: URL_SAFE_NO_PAD.encode(Hashed::<AssertedUser>::of(&user).as_bytes()),
        }
    }
}

/// What such a grant allows, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct WithoutLogin {
    pub(crate) id: GrantId,
    pub(crate) who: OwnPrincipal,
    pub(crate) scope: Scope,
    pub(crate) resource: ResourceIndicator,
    /// There is no refresh token: it ends with its access token.
    pub(crate) expires_at: Timestamp,
}

impl Grant {
    /// A grant that no login at Entra stands behind.
    pub(crate) fn without_login(
        client: &AuthenticatedClient,
        new: WithoutLogin,
        now: Timestamp,
    ) -> Self {
        Self {
            id: new.id,
            version: 1,
            client_id: client.id().clone(),
            principal: new.who.principal,
            subject: Some(new.who.subject),
            scope: new.scope,
            resource: new.resource,
            held: None,
            refresh: None,
            bound: None,
            issued_at: now,
            expires_at: new.expires_at,
        }
    }

    /// The same, of a client that has this scope and these roles now.
    #[must_use]
    pub(crate) fn limited_to(self, scope: &Scope, roles: &[String]) -> Self {
        Self {
            scope: self.scope.intersection(scope),
            principal: Principal {
                roles: roles.to_vec(),
                ..self.principal
            },
            ..self
        }
    }
}

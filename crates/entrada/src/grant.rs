//! The life of one authorization: a request, a consent, a code, a grant, each made by consuming
//! the one before. Pure: `now` and drawn bytes are arguments.
//!
//! The records stay within the crate: each proves that the step before it was taken, so nobody else
//! may make one, nor read one from JSON.
//!
//! ```compile_fail
//! use entrada::grant::ConsentedRequest;
//! let consented: ConsentedRequest = serde_json::from_str("{}").unwrap();
//! ```
//!
//! ```
//! use entrada::grant::GrantId;
//! let named: GrantId = serde_json::from_str(r#""AAAAAAAAAAAAAAAAAAAAAA""#).unwrap();
//! ```

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::access_token::Principal;
use crate::keys::SealingKeys;
use crate::oauth::client::ClientId;
use crate::oauth::resource::{AskedResources, ResourceIndicator};
use crate::oauth::scope::Scope;
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::{EntraAccessToken, EntraRefreshToken, Hashed, RefreshToken, sealable};

mod approvals;
mod binding;
mod code;
mod entra_login;
mod interaction;
mod refresh_token;
mod request;
mod rotation;
mod sign_in_again;
mod without_login;

pub(crate) use approvals::{Approvals, ApprovedClient, NewGrant, Remembered, Wanted};
pub use approvals::{Remember, UserKey};
pub use code::RedeemError;
pub(crate) use code::{AuthenticatedClient, CodeRequest, IssuedCode};
pub(crate) use entra_login::{EntraLogin, Upstream};
pub use interaction::InteractionKey;
pub(crate) use interaction::{INTERACTION_LIFETIME, NeededInteraction};
pub(crate) use refresh_token::{PresentedRefreshToken, RefreshTerm, Succession};
pub(crate) use request::{
    AuthorizationRequest, Consent, ConsentedRequest, LOGIN_LIFETIME, Login, LoginHints, SignedIn,
};
pub use rotation::{CLOCK_DIFFERENCE, ROTATION_GRACE};
pub(crate) use rotation::{Outage, ReplicaId, Vantage};
pub(crate) use sign_in_again::{
    PageLogin, PendingLogin, SignInAgain, SignInAgainLink, SignInAgainRequest,
};
pub(crate) use without_login::{OwnPrincipal, WithoutLogin};

use binding::{Binding, Holds};
use rotation::{Rotated, Rotation};

/// Names a [`Grant`]; the `sid` of every token issued under it. 128 random bits.
#[derive(Clone, Copy, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantId([u8; 16]);

/// The text names no grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the name of a grant")]
#[non_exhaustive]
pub struct GrantIdError;

impl GrantId {
    /// Draws a new name.
    pub fn generate(random: &dyn SecureRandom) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// Parses a name as it stands in `sid`.
    ///
    /// # Errors
    ///
    /// [`GrantIdError`] if it is not 16 bytes in base64url.
    pub fn parse(text: &str) -> Result<Self, GrantIdError> {
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(GrantIdError),
        }
    }

    /// The name, to use as a key in a store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Wraps a key read back from a store.
    pub fn from_stored(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantId({self})")
    }
}

impl TryFrom<String> for GrantId {
    type Error = GrantIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<GrantId> for String {
    fn from(id: GrantId) -> Self {
        id.to_string()
    }
}

/// The tokens Entra gave for a grant. They never leave the server except towards Entra.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct HeldTokens {
    /// For our own API: what on-behalf-of presents.
    #[serde(with = "sealable")]
    pub(crate) access_token: EntraAccessToken,
    /// When the access token ends.
    pub(crate) expires_at: Timestamp,
    /// Present if Entra granted `offline_access`.
    #[serde(with = "sealable::optional")]
    pub(crate) refresh_token: Option<EntraRefreshToken>,
}

impl HeldTokens {
    /// Holds what Entra gave.
    pub(crate) fn new(
        access_token: EntraAccessToken,
        refresh_token: Option<EntraRefreshToken>,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            access_token,
            expires_at,
            refresh_token,
        }
    }

    /// What Entra gave now; the refresh token it gave before stays if it sent no new one
    /// (RFC 6749 §6).
    fn renewed(&self, newer: Self) -> Self {
        let refresh_token = newer.refresh_token.or_else(|| self.refresh_token.clone());
        Self {
            refresh_token,
            ..newer
        }
    }
}

/// How long things live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lifetimes {
    /// Our access tokens.
    pub access_token: Duration,
    /// Our refresh tokens, counted anew at each use: Entra's own last 90 days without use.
    pub refresh_token: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            access_token: Duration::from_secs(60 * 60),
            refresh_token: 90 * day,
        }
    }
}

/// What one user allowed one client to do, and the Entra tokens behind it; or what a client may do that
/// came without a login at Entra.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Grant {
    id: GrantId,
    version: u64,
    client_id: ClientId,
    principal: Principal,
    /// The `sub` of its access tokens, where the principal is none of Entra's.
    subject: Option<String>,
    scope: Scope,
    resource: ResourceIndicator,
    held: Option<HeldTokens>,
    refresh: Option<Rotation>,
    /// What its refresh tokens are bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bound: Option<Binding>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// What to do with a refresh request.
#[derive(Clone, Debug)]
pub(crate) enum RefreshDecision {
    /// The newest token: refresh at Entra, then rotate.
    Rotate,
    /// The last answer was lost, or two requests raced: give this token again.
    Repeat(RefreshToken),
    /// A token of ours from before the last one: it was stolen or replayed. Revoke the grant,
    /// then answer `invalid_grant` (RFC 9700 §4.14.2).
    Revoke,
}

/// Why a refresh was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The token was issued to another client: `invalid_grant`.
    #[error("the refresh token was issued to another client")]
    WrongClient,
    /// The token is bound to a key that the client did not prove to have: `invalid_grant`. The grant
    /// stands.
    #[error("the refresh token is bound to another key")]
    WrongKey,
    /// The grant was not used for too long: `invalid_grant`.
    #[error("the grant has expired")]
    Expired,
    /// More was asked for than was granted: `invalid_scope` (RFC 6749 §6).
    #[error("the scope exceeds what was granted")]
    ScopeExceeded,
    /// Another resource was asked for: `invalid_target` (RFC 8707 §2.2).
    #[error("the grant is for another resource")]
    WrongResource,
}

/// What a client asks of the refresh grant besides the token (RFC 6749 §6, RFC 8707 §2.2).
#[derive(Clone, Debug)]
pub(crate) struct RefreshRequest {
    /// A narrower scope.
    pub(crate) scope: Option<Scope>,
    /// What it can be for.
    pub(crate) resources: AskedResources,
}

impl RefreshRequest {
    /// Asks for `scope` at `resources`.
    pub(crate) fn new(scope: Option<Scope>, resources: AskedResources) -> Self {
        Self { scope, resources }
    }
}

/// What Entra said when it refreshed.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    /// The new tokens.
    pub(crate) held: HeldTokens,
    /// The user, if Entra told anew.
    pub(crate) principal: Option<Principal>,
    /// What Entra still grants.
    pub(crate) scope: Scope,
}

impl Renewal {
    /// What Entra said.
    pub(crate) fn new(held: HeldTokens, principal: Option<Principal>, scope: Scope) -> Self {
        Self {
            held,
            principal,
            scope,
        }
    }
}

impl Grant {
    /// The grant's name.
    pub(crate) fn id(&self) -> GrantId {
        self.id
    }

    /// How often it was stored; the fence of [`Store::put_version`](crate::store::Store::put_version).
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What its access tokens are for.
    pub(crate) fn resource(&self) -> &ResourceIndicator {
        &self.resource
    }

    /// The client that holds it.
    pub(crate) fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// What it is remembered by that its user must bring to the next login through its client.
    pub(crate) fn interaction_key(&self) -> Option<Hashed<InteractionKey>> {
        NeededInteraction::key(&self.client_id, &self.principal)
    }

    /// The user who gave it.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What it allows.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The `sub` of its access tokens, where the principal is none of Entra's.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The Entra tokens behind it, if there was a login at Entra.
    pub(crate) fn held(&self) -> Option<&HeldTokens> {
        self.held.as_ref()
    }

    /// When the Entra access token behind it ends.
    pub(crate) fn entra_token_expires_at(&self) -> Timestamp {
        self.held().map_or(self.expires_at, |held| held.expires_at)
    }

    /// When it was given.
    pub(crate) fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// When its refresh token was last exchanged, if it ever was.
    pub(crate) fn refreshed_at(&self) -> Option<Timestamp> {
        let previous = self.refresh.as_ref()?.previous.as_ref();
        previous.map(|rotated| rotated.at)
    }

    /// Whether there is a refresh token.
    pub(crate) fn is_refreshable(&self) -> bool {
        self.refresh.is_some()
    }

    /// When it ends if it is not used.
    pub(crate) fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether it still stands.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// How long an access token issued now may live: without a refresh token, no longer than
    /// Entra's own.
    pub(crate) fn access_token_lifetime(&self, lifetimes: Lifetimes, now: Timestamp) -> Duration {
        match self.refresh {
            Some(_) => lifetimes.access_token,
            None => lifetimes
                .access_token
                .min(self.entra_token_expires_at().since(now)),
        }
    }

    /// Decides a refresh request (RFC 6749 §6).
    ///
    /// # Errors
    ///
    /// [`RefreshError`] if client, key, age, scope or resource do not fit.
    pub(crate) fn refresh(
        &self,
        presented: &PresentedRefreshToken,
        client: &AuthenticatedClient,
        request: &RefreshRequest,
        seen_from: &Vantage,
    ) -> Result<RefreshDecision, RefreshError> {
        let now = seen_from.now;
        if self.client_id != *client.id() {
            return Err(RefreshError::WrongClient);
        }
        if !self.is_live(now) {
            return Err(RefreshError::Expired);
        }
        let holds = Binding::holds(self.bound, client);
        if holds == Holds::Nothing {
            return Err(RefreshError::WrongKey);
        }
        if request
            .scope
            .as_ref()
            .is_some_and(|scope| !self.scope.covers(scope))
        {
            return Err(RefreshError::ScopeExceeded);
        }
        if !request.resources.admit(&self.resource) {
            return Err(RefreshError::WrongResource);
        }
        let hashed = presented.token().hashed();
        let Some(rotation) = &self.refresh else {
            return Ok(RefreshDecision::Revoke);
        };
        match (holds, hashed == rotation.current) {
            (Holds::Key, true) => return Ok(RefreshDecision::Rotate),
            (Holds::Key, false) => {}
            // An older token was good without a key: it may be a thief who bound the next.
            (Holds::NotTheLater, false) => return Ok(RefreshDecision::Revoke),
            (Holds::NotTheLater, true) | (Holds::Nothing, _) => {
                return Err(RefreshError::WrongKey);
            }
        }
        let repeated = rotation
            .previous
            .as_ref()
            .filter(|last| last.token == hashed && seen_from.may_have_lost_answer(last))
            .and_then(|last| presented.open_successor(&last.successor));
        Ok(repeated.map_or(RefreshDecision::Revoke, RefreshDecision::Repeat))
    }

    /// The grant, whose next refresh token is bound to the key that `client` proved to have
    /// (RFC 9449 §5).
    #[must_use]
    pub(crate) fn bound_by(self, client: &AuthenticatedClient) -> Self {
        Self {
            bound: Binding::next(self.bound, client),
            ..self
        }
    }

    /// Puts the successor in place of the presented token (RFC 9700 §4.14.2), with what Entra said
    /// if it was asked.
    #[must_use]
    pub(crate) fn rotated(
        &self,
        succession: Succession,
        renewal: Option<Renewal>,
        seen_from: &Vantage,
    ) -> Self {
        let mut grant = renewal.map_or_else(|| self.clone(), |renewal| self.renewed(renewal));
        grant.version = self.version + 1;
        grant.expires_at = succession.next.expires_at;
        grant.refresh = Some(Rotation {
            current: succession.next.token,
            previous: Some(Rotated {
                token: succession.presented,
                at: seen_from.now,
                by: Some(seen_from.replica),
                successor: succession.sealed,
            }),
        });
        grant
    }

    /// The grant with what Entra said; its refresh token stays.
    #[must_use]
    pub(crate) fn refreshed(&self, renewal: Renewal) -> Self {
        Self {
            version: self.version + 1,
            ..self.renewed(renewal)
        }
    }

    /// Whether what Entra said is about the user who gave this grant (OpenID Connect Core §12.2).
    pub(crate) fn is_of(&self, renewal: &Renewal) -> bool {
        let (tenant_id, object_id) = (&self.principal.tenant_id, &self.principal.object_id);
        renewal
            .principal
            .as_ref()
            .is_none_or(|now| now.tenant_id == *tenant_id && now.object_id == *object_id)
    }

    /// The grant after Entra was asked for it: its scope can only shrink.
    fn renewed(&self, renewal: Renewal) -> Self {
        Self {
            held: Some(match &self.held {
                Some(held) => held.renewed(renewal.held),
                None => renewal.held,
            }),
            principal: renewal.principal.unwrap_or_else(|| self.principal.clone()),
            scope: self.scope.intersection(&renewal.scope),
            ..self.clone()
        }
    }
}

impl RefreshToken {
    /// Draws a token for the grant `id`, and marks it as ours.
    pub(crate) fn issue(id: GrantId, keys: &SealingKeys, random: &dyn SecureRandom) -> Self {
        refresh_token::issue(id, keys, random)
    }
}

#[cfg(test)]
mod tests;

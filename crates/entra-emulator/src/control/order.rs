//! What a token minted without a login is to be.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

/// An order for a token: what Entra would issue, edited before it is signed.
///
/// ```
/// use entra_emulator::{Emulator, Options, Signer, TokenOrder, builtin};
///
/// let control = Emulator::new(Options::default()).control();
/// let order = TokenOrder::delegated(builtin::ALICE, builtin::CLIENT_ID, builtin::CLIENT_ID)
///     .scopes(["mcp.read"])
///     .claim("exp", 0)
///     .signed_by(Signer::Unpublished);
/// assert_eq!(control.mint(&order).split('.').count(), 3);
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenOrder {
    pub(super) kind: Kind,
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) resource: Option<String>,
    #[serde(default)]
    pub(super) scopes: Option<Vec<String>>,
    #[serde(default = "yes")]
    pub(super) profile: bool,
    #[serde(default)]
    pub(super) nonce: Option<String>,
    #[serde(default)]
    pub(super) tenant: Option<String>,
    #[serde(default)]
    pub(super) policy: Option<String>,
    #[serde(default)]
    pub(super) audience: Option<String>,
    #[serde(default)]
    pub(super) base_url: Option<String>,
    #[serde(default)]
    pub(super) header: Edits,
    #[serde(default)]
    pub(super) claims: Edits,
    #[serde(default)]
    pub(super) signed_by: Signer,
}

/// Which token is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Delegated,
    AppOnly,
    IdToken,
}

/// Changes to a token's header or claims.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Edits {
    pub(super) set: Map<String, Value>,
    pub(super) remove: BTreeSet<String>,
}

/// What signs a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Signer {
    /// The key that signs for the tenant at the moment.
    #[default]
    Active,
    /// The published key with this `kid`, whoever's it is.
    Published(String),
    /// The key of personal accounts.
    Personal,
    /// A key nobody publishes; the header's `kid` stays that of the active key.
    Unpublished,
    /// Nobody: the signature is empty, and `alg` stays what it was.
    Nobody,
    /// This text as a secret, with HMAC-SHA256; `alg` becomes `HS256` unless it is edited.
    SecretOf(String),
}

impl TokenOrder {
    /// The access token for `resource` that `client_id` gets when `user` signed in.
    ///
    /// It carries every scope the resource defines, and the user's names.
    pub fn delegated(user: &str, client_id: &str, resource: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            resource: Some(resource.to_owned()),
            ..Self::new(Kind::Delegated, client_id)
        }
    }

    /// The access token for `resource` that `client_id` gets for itself.
    pub fn app_only(client_id: &str, resource: &str) -> Self {
        Self {
            resource: Some(resource.to_owned()),
            ..Self::new(Kind::AppOnly, client_id)
        }
    }

    /// The v2 id token `client_id` gets when `user` signed in with `openid profile email`.
    ///
    /// It has a random `nonce` unless one is given.
    pub fn id_token(user: &str, client_id: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            ..Self::new(Kind::IdToken, client_id)
        }
    }

    fn new(kind: Kind, client_id: &str) -> Self {
        Self {
            kind,
            client_id: client_id.to_owned(),
            user: None,
            resource: None,
            scopes: None,
            profile: true,
            nonce: None,
            tenant: None,
            policy: None,
            audience: None,
            base_url: None,
            header: Edits::default(),
            claims: Edits::default(),
            signed_by: Signer::Active,
        }
    }

    /// Grants these scopes instead of every one; with none, there is no `scp`.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Leaves out what `profile` and `email` put into a token.
    #[must_use]
    pub fn without_profile(mut self) -> Self {
        self.profile = false;
        self
    }

    /// The `nonce` of an id token.
    #[must_use]
    pub fn nonce(mut self, nonce: &str) -> Self {
        self.nonce = Some(nonce.to_owned());
        self
    }

    /// The tenant that issues it, by GUID or domain.
    ///
    /// It is the user's own when none is given, and the client's for an app-only token.
    #[must_use]
    pub fn tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.to_owned());
        self
    }

    /// The user flow it comes from, in a tenant of Azure AD B2C; its first when none is given.
    ///
    /// Its issuer then has the tenant's `b2clogin.com` host, unless a base URL is given.
    #[must_use]
    pub fn policy(mut self, policy: &str) -> Self {
        self.policy = Some(policy.to_owned());
        self
    }

    /// How the resource was named when a v1 token was asked for, which becomes its `aud`.
    ///
    /// Its application id, one of its Application ID URIs, or either with a slash behind; its first
    /// URI when nothing is said.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.to_owned());
        self
    }

    /// Where the emulator is for whoever asked, which decides the issuer of v2 tokens.
    ///
    /// When nothing is said it is `Options::base_url`, then [`builtin::BASE_URL`]; over HTTP, it is
    /// where the order came in. That of a cloud's login host makes a token of that cloud.
    ///
    /// [`builtin::BASE_URL`]: crate::builtin::BASE_URL
    #[must_use]
    pub fn base_url(mut self, base_url: &str) -> Self {
        self.base_url = Some(base_url.trim_end_matches('/').to_owned());
        self
    }

    // Where the order came in, unless it says where it is for.
    pub(super) fn asked_at(mut self, base: &str) -> Self {
        self.base_url.get_or_insert_with(|| base.to_owned());
        self
    }

    /// Sets a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.put(name, value.into());
        self
    }

    /// Takes a header field away.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.take(name);
        self
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.put(name, value.into());
        self
    }

    /// Takes a claim away.
    #[must_use]
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.take(name);
        self
    }

    /// Has it signed by something other than the active key.
    #[must_use]
    pub fn signed_by(mut self, signer: Signer) -> Self {
        self.signed_by = signer;
        self
    }
}

impl Edits {
    fn put(&mut self, name: &str, value: Value) {
        self.remove.remove(name);
        self.set.insert(name.to_owned(), value);
    }

    fn take(&mut self, name: &str) {
        self.set.remove(name);
        self.remove.insert(name.to_owned());
    }
}

fn yes() -> bool {
    true
}

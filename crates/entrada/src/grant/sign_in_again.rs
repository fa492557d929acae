//! A user goes back to Entra for a grant they have given.

use serde::{Deserialize, Serialize};

use super::entra_login::Purpose;
use super::{
    ConsentedRequest, EntraLogin, Grant, GrantId, INTERACTION_LIFETIME, LOGIN_LIFETIME, Login,
    LoginHints, NeededInteraction,
};
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, Hashed, UpstreamState, sealable};

/// What a link leads to on which a user signs in again without their client.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct SignInAgainLink {
    grant: GrantId,
    made_at: Timestamp,
}

impl SignInAgainLink {
    pub(crate) fn new(grant: GrantId, now: Timestamp) -> Self {
        Self {
            grant,
            made_at: now,
        }
    }

    /// The grant, while the link is good.
    pub(crate) fn grant(&self, now: Timestamp) -> Option<GrantId> {
        (now.since(self.made_at) < INTERACTION_LIFETIME).then_some(self.grant)
    }
}

/// What a user is asked who followed such a link.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SignInAgainRequest {
    #[serde(with = "sealable")]
    state: UpstreamState,
    grant: GrantId,
    scope: Scope,
    needed: NeededInteraction,
    browser: Hashed<BrowserBinding>,
    asked_at: Timestamp,
}

impl SignInAgainRequest {
    /// Asks the user of `grant` in `browser`.
    pub(crate) fn new(
        grant: &Grant,
        needed: NeededInteraction,
        state: UpstreamState,
        browser: Hashed<BrowserBinding>,
        now: Timestamp,
    ) -> Self {
        Self {
            state,
            grant: grant.id(),
            scope: grant.scope().clone(),
            needed,
            browser,
            asked_at: now,
        }
    }

    /// The browser that was shown the page.
    pub(crate) fn browser(&self) -> Hashed<BrowserBinding> {
        self.browser
    }

    /// Whether the page is too old to be answered.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now.since(self.asked_at) > LOGIN_LIFETIME
    }

    /// The user wants to.
    pub(crate) fn proceed(self, login: Login, now: Timestamp) -> SignInAgain {
        let purpose = Purpose {
            scope: self.scope,
            // Whoever holds the link would read a hint in the redirect.
            hints: LoginHints::default(),
            needed: Some(self.needed),
        };
        SignInAgain {
            grant: self.grant,
            login: EntraLogin::new(self.state, login, purpose, now),
        }
    }
}

/// A user is on the way to Entra for a grant they have given.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SignInAgain {
    grant: GrantId,
    login: EntraLogin,
}

impl SignInAgain {
    pub(crate) fn grant(&self) -> GrantId {
        self.grant
    }
}

/// A user is on the way to Entra to see a page of their own.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PageLogin(EntraLogin);

impl PageLogin {
    /// The user asked for the page; `scope` is what Entra is asked for.
    pub(crate) fn new(state: UpstreamState, login: Login, scope: Scope, now: Timestamp) -> Self {
        let purpose = Purpose {
            scope,
            hints: LoginHints::default(),
            needed: None,
        };
        Self(EntraLogin::new(state, login, purpose, now))
    }
}

/// A user is on the way to Entra.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum PendingLogin {
    /// For a client that asked.
    Authorization(Box<ConsentedRequest>),
    /// For a grant they have given.
    SignInAgain(Box<SignInAgain>),
    /// For a page of their own.
    Page(Box<PageLogin>),
}

impl PendingLogin {
    /// The way there and back.
    pub(crate) fn login(&self) -> &EntraLogin {
        match self {
            Self::Authorization(request) => request.login(),
            Self::SignInAgain(again) => &again.login,
            Self::Page(page) => &page.0,
        }
    }
}

impl From<ConsentedRequest> for PendingLogin {
    fn from(request: ConsentedRequest) -> Self {
        Self::Authorization(Box::new(request))
    }
}

impl From<SignInAgain> for PendingLogin {
    fn from(again: SignInAgain) -> Self {
        Self::SignInAgain(Box::new(again))
    }
}

impl From<PageLogin> for PendingLogin {
    fn from(page: PageLogin) -> Self {
        Self::Page(Box::new(page))
    }
}

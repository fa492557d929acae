//! From what a client asks to what a user allowed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::entra_login::Purpose;
use super::{
    EntraLogin, GrantId, HeldTokens, InteractionKey, IssuedCode, NeededInteraction, NewGrant,
    Remembered, Wanted,
};
use crate::access_token::Principal;
use crate::jwt::thumbprint::JwkThumbprint;
use crate::oauth::client::ClientId;
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::redirect_uri::{self, TrustedRedirect};
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, CodeVerifier, Hashed, Nonce, UpstreamState, sealable};

/// How long a user may take from the consent page to the way back from Entra, each.
pub(crate) const LOGIN_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// A checked authorization request that waits for the user's consent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct AuthorizationRequest {
    /// The `state` Entra will see once the user consents, and not before.
    #[serde(with = "sealable")]
    pub(crate) upstream_state: UpstreamState,
    pub(crate) client_id: ClientId,
    /// What it calls itself.
    pub(crate) client_name: Option<String>,
    #[serde(with = "redirect_uri::sealed")]
    pub(crate) redirect: TrustedRedirect,
    pub(crate) state: Option<String>,
    pub(crate) challenge: CodeChallenge,
    /// The key that the client will prove to have (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dpop_jkt: Option<JwkThumbprint>,
    pub(crate) scope: Scope,
    pub(crate) resource: ResourceIndicator,
    pub(crate) hints: LoginHints,
    /// Whether the client can use a refresh token.
    pub(crate) refreshable: bool,
    /// The browser that was shown the consent page.
    pub(crate) browser: Hashed<BrowserBinding>,
    pub(crate) asked_at: Timestamp,
}

/// What the client would like Entra's login page to do.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) struct LoginHints {
    /// `login_hint` (OpenID Connect Core §3.1.2.1)
    pub(crate) login_hint: Option<String>,
    /// `domain_hint`, Microsoft's own
    pub(crate) domain_hint: Option<String>,
    /// `prompt=login` was asked for: the user must type the password again.
    pub(crate) fresh_login: bool,
}

/// On what ground a request may go on to Entra.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Consent {
    /// The user said yes to it on our page.
    Given,
    /// They said so before; at Entra it must turn out that it was they.
    Remembered(Remembered),
    /// The operator answers for it.
    Configured,
}

/// Fresh secrets of one login at Entra.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// Answers the challenge we send (RFC 7636 §4.1).
    pub(crate) code_verifier: CodeVerifier,
    /// Comes back in the ID token.
    pub(crate) nonce: Nonce,
    /// Is in the cookie of the browser that consented.
    pub(crate) browser: BrowserBinding,
}

impl Login {
    /// Puts the secrets of one login together.
    pub(crate) fn new(code_verifier: CodeVerifier, nonce: Nonce, browser: BrowserBinding) -> Self {
        Self {
            code_verifier,
            nonce,
            browser,
        }
    }
}

impl AuthorizationRequest {
    /// Whether the consent page is too old to be answered.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now.since(self.asked_at) > LOGIN_LIFETIME
    }

    /// What the user is to approve, and what Entra is asked for besides.
    pub(crate) fn wanted<'a>(&'a self, microsoft: &'a Scope) -> Wanted<'a> {
        Wanted {
            client_id: &self.client_id,
            redirect: self.redirect.uri(),
            resource: &self.resource,
            scope: &self.scope,
            microsoft,
        }
    }

    /// Records that the user consented.
    pub(crate) fn consent(
        self,
        consent: Consent,
        login: Login,
        now: Timestamp,
    ) -> ConsentedRequest {
        let mut hints = self.hints.clone();
        // Who is not asked by us chooses an account at Entra: with the name of a federated domain Entra
        // would send them on to where they are signed in unseen.
        if matches!(consent, Consent::Remembered(_)) {
            hints.domain_hint = None;
        }
        let purpose = Purpose {
            scope: self.scope.clone(),
            hints,
            needed: None,
        };
        let state = self.upstream_state.clone();
        ConsentedRequest {
            request: self,
            consent,
            login: EntraLogin::new(state, login, purpose, now),
            signed_in: None,
        }
    }
}

/// A request the user consented to: the only value that can be sent on to Entra.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ConsentedRequest {
    request: AuthorizationRequest,
    consent: Consent,
    login: EntraLogin,
    /// What came of a first login that needs a second.
    signed_in: Option<SignedIn>,
}

/// Entra signed the user in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SignedIn {
    /// Who it is, from a verified ID token.
    pub(crate) principal: Principal,
    /// What Entra gave.
    pub(crate) held: HeldTokens,
    /// What Entra granted, in short spelling.
    pub(crate) scope: Scope,
}

impl SignedIn {
    /// What came of the login.
    pub(crate) fn new(principal: Principal, held: HeldTokens, scope: Scope) -> Self {
        Self {
            principal,
            held,
            scope,
        }
    }
}

impl ConsentedRequest {
    /// Where this login's answer may go.
    pub(crate) fn redirect(&self) -> &TrustedRedirect {
        &self.request.redirect
    }

    /// The client's own `state`.
    pub(crate) fn state(&self) -> Option<&str> {
        self.request.state.as_deref()
    }

    /// The way to Entra and back.
    pub(crate) fn login(&self) -> &EntraLogin {
        &self.login
    }

    /// What it is remembered by that this user must bring to a login through this client.
    pub(crate) fn interaction_key(&self, signed_in: &SignedIn) -> Option<Hashed<InteractionKey>> {
        NeededInteraction::key(&self.request.client_id, &signed_in.principal)
    }

    /// Sends the user back to Entra at once: this login did not bring what is needed. If the second
    /// does not either, the first counts.
    pub(crate) fn again(
        self,
        (signed_in, needed): (SignedIn, NeededInteraction),
        state: UpstreamState,
        login: Login,
        now: Timestamp,
    ) -> Self {
        let hints = LoginHints {
            login_hint: signed_in.principal.preferred_username.clone(),
            ..LoginHints::default()
        };
        let purpose = Purpose {
            scope: self.request.scope.clone(),
            hints,
            needed: Some(needed),
        };
        Self {
            request: self.request,
            consent: self.consent,
            login: EntraLogin::new(state, login, purpose, now),
            signed_in: Some(signed_in),
        }
    }

    /// Whether the user who signed in consented to it.
    pub(crate) fn is_consented_by(&self, signed_in: &SignedIn) -> bool {
        match self.consent {
            Consent::Given | Consent::Configured => true,
            Consent::Remembered(remembered) => remembered.is_of(&signed_in.principal),
        }
    }

    /// Whether it rests on a consent that was given before.
    pub(crate) fn is_remembered(&self) -> bool {
        matches!(self.consent, Consent::Remembered(_))
    }

    /// The request again, to ask a user who did not consent to it, or does no more.
    pub(crate) fn ask_again(
        self,
        signed_in: &SignedIn,
        state: UpstreamState,
        browser: Hashed<BrowserBinding>,
        now: Timestamp,
    ) -> AuthorizationRequest {
        let hints = LoginHints {
            login_hint: signed_in.principal.preferred_username.clone(),
            ..self.request.hints
        };
        AuthorizationRequest {
            upstream_state: state,
            hints,
            browser,
            asked_at: now,
            ..self.request
        }
    }

    /// The grant it is about to become, for its user's record.
    pub(crate) fn new_grant<'a>(&'a self, id: GrantId, microsoft: &'a Scope) -> NewGrant<'a> {
        NewGrant {
            id,
            wanted: self.request.wanted(microsoft),
            client_name: self.request.client_name.as_deref(),
            asked: matches!(self.consent, Consent::Given),
        }
    }

    /// The client it is of, and the name that gave itself.
    pub(crate) fn client(&self) -> (&ClientId, Option<&str>) {
        (&self.request.client_id, self.request.client_name.as_deref())
    }

    /// What came of a first login, if this is the second.
    pub(crate) fn signed_in_before(&self) -> Option<&SignedIn> {
        self.signed_in.as_ref()
    }

    /// Entra signed the user in: a code may be issued.
    pub(crate) fn complete(self, id: GrantId, signed_in: SignedIn, now: Timestamp) -> IssuedCode {
        let scope = self.request.scope.intersection(&signed_in.scope);
        IssuedCode::new(id, self.request, SignedIn { scope, ..signed_in }, now)
    }
}

//! From what a client asks to what a user allowed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{GrantId, HeldTokens, IssuedCode};
use crate::access_token::Principal;
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
    #[serde(with = "redirect_uri::sealed")]
    pub(crate) redirect: TrustedRedirect,
    pub(crate) state: Option<String>,
    pub(crate) challenge: CodeChallenge,
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

/// What the user answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConsentAnswer {
    /// Go on to Entra.
    Allow,
    /// Do not.
    Deny,
}

/// The user said no: `access_denied` (RFC 6749 §4.1.2.1).
#[derive(Clone, Debug, thiserror::Error)]
#[error("the user denied consent")]
pub(crate) struct ConsentDenied {
    /// Where to say so.
    pub(crate) redirect: TrustedRedirect,
    /// What to say it with.
    pub(crate) state: Option<String>,
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

/// Our app registration, as Entra's authorization endpoint wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstream<'a> {
    /// Entra's authorization endpoint.
    pub(crate) authorization_endpoint: &'a Url,
    /// Our `client_id` there.
    pub(crate) client_id: &'a str,
    /// Our callback.
    pub(crate) redirect_uri: &'a str,
    /// The scope in Entra's spelling.
    pub(crate) scope: &'a str,
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

impl<'a> Upstream<'a> {
    /// Our app registration.
    pub(crate) fn new(
        authorization_endpoint: &'a Url,
        client_id: &'a str,
        redirect_uri: &'a str,
        scope: &'a str,
    ) -> Self {
        Self {
            authorization_endpoint,
            client_id,
            redirect_uri,
            scope,
        }
    }
}

impl AuthorizationRequest {
    /// Whether the consent page is too old to be answered.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now.since(self.asked_at) > LOGIN_LIFETIME
    }

    /// Records the user's answer.
    ///
    /// # Errors
    ///
    /// [`ConsentDenied`] if the user said no (`access_denied`, RFC 6749 §4.1.2.1).
    pub(crate) fn consent(
        self,
        answer: ConsentAnswer,
        login: Login,
        now: Timestamp,
    ) -> Result<ConsentedRequest, ConsentDenied> {
        match answer {
            ConsentAnswer::Allow => Ok(ConsentedRequest {
                request: self,
                code_verifier: login.code_verifier,
                nonce: login.nonce,
                browser: login.browser.hashed(),
                consented_at: now,
            }),
            ConsentAnswer::Deny => Err(ConsentDenied {
                redirect: self.redirect,
                state: self.state,
            }),
        }
    }
}

/// A request the user consented to: the only value that can be sent on to Entra.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ConsentedRequest {
    request: AuthorizationRequest,
    #[serde(with = "sealable")]
    code_verifier: CodeVerifier,
    #[serde(with = "sealable")]
    nonce: Nonce,
    browser: Hashed<BrowserBinding>,
    consented_at: Timestamp,
}

/// Entra signed the user in.
#[derive(Clone, Debug)]
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

    /// What was asked for.
    pub(crate) fn scope(&self) -> &Scope {
        &self.request.scope
    }

    /// What answers the challenge we sent Entra.
    pub(crate) fn code_verifier(&self) -> &CodeVerifier {
        &self.code_verifier
    }

    /// What Entra's ID token must bring back.
    pub(crate) fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    pub(crate) fn upstream_state(&self) -> &UpstreamState {
        &self.request.upstream_state
    }

    /// Whether `presented` is the cookie of the browser that consented.
    pub(crate) fn is_from(&self, presented: &BrowserBinding) -> bool {
        self.browser == presented.hashed()
    }

    /// Whether the user took too long at Entra.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now.since(self.consented_at) > LOGIN_LIFETIME
    }

    /// Entra's authorization URL for this request (RFC 6749 §4.1.1).
    ///
    /// The client's `resource` is never in it, and neither is `prompt=consent`: Entra refuses the
    /// one (AADSTS9010010) and asks every user for an administrator on the other.
    pub(crate) fn entra_url(&self, upstream: Upstream<'_>) -> Url {
        let challenge = String::from(CodeChallenge::of(&self.code_verifier));
        let hints = &self.request.hints;
        // With a hint alone Entra would sign the user in unseen, and a hint is the client's word.
        let prompt = if hints.fresh_login {
            "login"
        } else {
            "select_account"
        };
        let mut url = upstream.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", upstream.client_id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", upstream.redirect_uri)
            .append_pair("response_mode", "query")
            .append_pair("scope", upstream.scope)
            .append_pair("state", self.request.upstream_state.expose())
            .append_pair("nonce", self.nonce.expose())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("prompt", prompt)
            .extend_pairs(hints.login_hint.as_ref().map(|hint| ("login_hint", hint)))
            .extend_pairs(hints.domain_hint.as_ref().map(|hint| ("domain_hint", hint)));
        url
    }

    /// Entra signed the user in: a code may be issued.
    pub(crate) fn complete(self, id: GrantId, signed_in: SignedIn, now: Timestamp) -> IssuedCode {
        let scope = self.request.scope.intersection(&signed_in.scope);
        IssuedCode::new(id, self.request, SignedIn { scope, ..signed_in }, now)
    }
}

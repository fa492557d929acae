//! One way through Entra's login page and back.

use serde::{Deserialize, Serialize};
use url::Url;

use super::NeededInteraction;
use super::request::{LOGIN_LIFETIME, Login, LoginHints};
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, CodeVerifier, Hashed, Nonce, UpstreamState, sealable};

/// One way through Entra's login page and back.
///
/// Made where a user said that they want to go there, and nowhere else.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct EntraLogin {
    #[serde(with = "sealable")]
    state: UpstreamState,
    #[serde(with = "sealable")]
    code_verifier: CodeVerifier,
    #[serde(with = "sealable")]
    nonce: Nonce,
    browser: Hashed<BrowserBinding>,
    scope: Scope,
    hints: LoginHints,
    needed: Option<NeededInteraction>,
    began_at: Timestamp,
}

/// Our app registration, as Entra's authorization endpoint wants it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream<'a> {
    /// Entra's authorization endpoint.
    pub(crate) authorization_endpoint: &'a Url,
    /// Our `client_id` there.
    pub(crate) client_id: &'a str,
    /// Our callback.
    pub(crate) redirect_uri: &'a str,
    /// The scope in Entra's spelling.
    pub(crate) scope: &'a str,
    /// What the tokens must say.
    pub(crate) claims: Option<ClaimsRequest>,
}

/// What a login is for.
#[derive(Clone, Debug)]
pub(super) struct Purpose {
    /// What is asked for, in short spelling.
    pub(super) scope: Scope,
    pub(super) hints: LoginHints,
    pub(super) needed: Option<NeededInteraction>,
}

impl EntraLogin {
    pub(super) fn new(
        state: UpstreamState,
        login: Login,
        purpose: Purpose,
        now: Timestamp,
    ) -> Self {
        let Purpose {
            scope,
            hints,
            needed,
        } = purpose;
        Self {
            state,
            code_verifier: login.code_verifier,
            nonce: login.nonce,
            browser: login.browser.hashed(),
            scope,
            hints,
            needed,
            began_at: now,
        }
    }

    /// The `state` that comes back.
    pub(crate) fn state(&self) -> &UpstreamState {
        &self.state
    }

    /// What is asked for, in short spelling.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What it must bring besides.
    pub(crate) fn needed(&self) -> Option<&NeededInteraction> {
        self.needed.as_ref()
    }

    /// What answers the challenge we sent.
    pub(crate) fn code_verifier(&self) -> &CodeVerifier {
        &self.code_verifier
    }

    /// What the ID token must bring back.
    pub(crate) fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Whether `presented` is the cookie of the browser that went there.
    pub(crate) fn is_from(&self, presented: &BrowserBinding) -> bool {
        self.browser == presented.hashed()
    }

    /// Whether the user took too long.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        now.since(self.began_at) > LOGIN_LIFETIME
    }

    /// Entra's authorization URL (RFC 6749 §4.1.1).
    ///
    /// The client's `resource` is never in it, and neither is `prompt=consent`: Entra refuses the
    /// one (AADSTS9010010) and asks every user for an administrator on the other.
    pub(crate) fn url(&self, upstream: &Upstream<'_>) -> Url {
        let challenge = String::from(CodeChallenge::of(&self.code_verifier));
        let mut url = upstream.authorization_endpoint.clone();
        let claims = upstream.claims.as_ref().map(ClaimsRequest::as_str);
        let hints = &self.hints;
        url.query_pairs_mut()
            .append_pair("client_id", upstream.client_id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", upstream.redirect_uri)
            .append_pair("response_mode", "query")
            .append_pair("scope", upstream.scope)
            .append_pair("state", self.state.expose())
            .append_pair("nonce", self.nonce.expose())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(self.prompt().map(|prompt| ("prompt", prompt)))
            .extend_pairs(claims.map(|claims| ("claims", claims)))
            .extend_pairs(hints.login_hint.as_ref().map(|hint| ("login_hint", hint)))
            .extend_pairs(hints.domain_hint.as_ref().map(|hint| ("domain_hint", hint)));
        url
    }

    fn prompt(&self) -> Option<&'static str> {
        if self.hints.fresh_login {
            Some("login")
        } else if self.needed.is_some() {
            // Who it is about is known, and Entra asks for what lacks alone.
            None
        } else {
            // With a hint alone Entra would sign the user in unseen, and a hint is the client's
            // word.
            Some("select_account")
        }
    }
}

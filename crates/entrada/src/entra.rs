//! Microsoft Entra ID, as its client sees it.

use crate::grant::{EntraLogin, HeldTokens, NeededInteraction, Renewal, SignedIn, Upstream};
use crate::oauth::scope::{Scope, ScopeToken};
use crate::platform::{Platform, Timestamp};
use crate::secret::{EntraCode, EntraRefreshToken};

pub(crate) mod app;
pub mod authority;
mod claims;
pub mod cloud;
pub mod credential;
pub mod error;
pub mod examination;
pub mod groups;
mod id_token;
mod issuer;
pub(crate) mod scope;
pub mod token;
mod trust;
pub mod verifier;

use app::EntraApp;
use authority::Authority;
use credential::ClientProver;
use error::EntraError;
use id_token::IdTokenVerifier;
use scope::ScopeNames;
use token::{EntraGrant, EntraTokens};

/// Our app registration at Entra: everything we ask Entra goes through here.
#[derive(Debug)]
pub(crate) struct EntraClient {
    app: EntraApp,
    redirect_uri: String,
    names: ScopeNames,
    additional: Scope,
    incremental: Scope,
    id_tokens: IdTokenVerifier,
}

/// What it takes to speak for an app registration.
#[derive(Clone, Debug)]
pub(crate) struct AppRegistration {
    /// Where it lives.
    pub(crate) authority: Authority,
    /// Its application (client) id.
    pub(crate) client_id: String,
    /// Our callback, as registered under the platform *Web*.
    pub(crate) redirect_uri: String,
    /// How it proves itself.
    pub(crate) credential: ClientProver,
    /// How its scopes are spelled.
    pub(crate) names: ScopeNames,
    /// Scopes that are asked for besides, of any resource.
    pub(crate) additional: Scope,
    /// Scopes of other APIs that are asked for once they are needed.
    pub(crate) incremental: Scope,
    /// Whether it understands continuous access evaluation.
    pub(crate) continuous_access_evaluation: bool,
}

impl EntraClient {
    /// Speaks for `app`.
    pub(crate) fn new(app: AppRegistration, platform: Platform) -> Self {
        let AppRegistration {
            authority,
            client_id,
            redirect_uri,
            credential,
            names,
            additional,
            incremental,
            continuous_access_evaluation,
        } = app;
        let id_tokens = IdTokenVerifier::new(&authority, client_id.clone(), platform.clone());
        let app = EntraApp::new(authority, client_id, credential, platform)
            .capable_of_continuous_access_evaluation(continuous_access_evaluation);
        Self {
            app,
            redirect_uri,
            names,
            additional,
            incremental,
            id_tokens,
        }
    }

    /// Our callback.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Our app registration.
    pub(crate) fn app(&self) -> &EntraApp {
        &self.app
    }

    /// Where the user's browser goes to sign in.
    pub(crate) fn login_url(&self, login: &EntraLogin) -> url::Url {
        let needed = login.needed();
        let scope = self.login_scope(login).to_string();
        login.url(&Upstream {
            authorization_endpoint: self.app.authority().authorization_endpoint(),
            client_id: self.app.client_id(),
            redirect_uri: &self.redirect_uri,
            scope: &scope,
            claims: self.app.claims(needed.and_then(NeededInteraction::claims)),
        })
    }

    /// Where that is, for content security policies.
    pub(crate) fn login_origin(&self) -> String {
        let endpoint = self.app.authority().authorization_endpoint();
        endpoint.origin().ascii_serialization()
    }

    /// What a login asks Entra for, in its spelling.
    pub(crate) fn login_scope(&self, login: &EntraLogin) -> Scope {
        let mut scope = self.names.to_entra(login.scope()).union(&self.additional);
        if let Some(needed) = login.needed() {
            scope = scope.union(needed.scope());
        }
        scope.union(&scope::openid_connect())
    }

    /// Scopes asked for besides those of our own API.
    pub(crate) fn additional_scope(&self) -> &Scope {
        &self.additional
    }

    /// Scopes that are asked for once they are needed.
    pub(crate) fn incremental_scope(&self) -> &Scope {
        &self.incremental
    }

    /// What a user can be asked to consent to where `scope` of a downstream API lacks consent.
    ///
    /// `.default` cannot be asked for beside scopes with names (AADSTS70011), as those of our own
    /// API are: the names that are known at that API stand for it.
    pub(crate) fn consentable(&self, scope: &str) -> Scope {
        let Some(api) = scope.strip_suffix("/.default") else {
            return Scope::parse(scope).unwrap_or_default();
        };
        let all = self.additional.union(&self.incremental);
        let of_api = |token: &&ScopeToken| scope::api(token) == api;
        all.iter().filter(of_api).cloned().collect()
    }

    /// Redeems the code Entra sent to our callback, and verifies who signed in.
    ///
    /// # Errors
    ///
    /// [`EntraError`]: Entra refused, could not be asked, or answered with an ID token that does
    /// not hold.
    pub(crate) async fn redeem(
        &self,
        login: &EntraLogin,
        code: &EntraCode,
        now: Timestamp,
    ) -> Result<SignedIn, EntraError> {
        let grant = EntraGrant::AuthorizationCode {
            code,
            code_verifier: login.code_verifier(),
            redirect_uri: &self.redirect_uri,
        };
        let tokens = self.ask(grant, &self.own_scope(login.scope())).await?;
        let id_token = tokens.id_token.as_ref().ok_or(EntraError::Malformed)?;
        let nonce = Some(login.nonce());
        let principal = self.id_tokens.verify(id_token, nonce, now).await?;
        let scope = self.granted(&tokens, login.scope());
        Ok(SignedIn::new(principal, held(tokens, now), scope))
    }

    /// Refreshes the tokens behind a grant that allows `scope`.
    ///
    /// # Errors
    ///
    /// [`EntraError`]; its [`remedy`](EntraError::remedy) says whether the grant is over.
    pub(crate) async fn refresh(
        &self,
        token: &EntraRefreshToken,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Renewal, EntraError> {
        let grant = EntraGrant::RefreshToken(token);
        let tokens = self.ask(grant, &self.own_scope(scope)).await?;
        let principal = match &tokens.id_token {
            Some(id_token) => Some(self.id_tokens.verify(id_token, None, now).await?),
            None => None,
        };
        let granted = self.granted(&tokens, scope);
        Ok(Renewal::new(held(tokens, now), principal, granted))
    }

    async fn ask(&self, grant: EntraGrant<'_>, scope: &str) -> Result<EntraTokens, EntraError> {
        let endpoint = self.app.authority().token_endpoint();
        self.app.ask(endpoint, grant, scope, None).await
    }

    /// What a token request may ask for: one resource's scopes, for Entra refuses two
    /// (AADSTS28000), and some, for it refuses none (AADSTS28003).
    fn own_scope(&self, scope: &Scope) -> String {
        let own = self.names.to_entra(scope);
        own.union(&scope::openid_connect()).to_string()
    }

    /// What Entra says it granted, in short spelling; what was asked for if it says nothing.
    fn granted(&self, tokens: &EntraTokens, asked: &Scope) -> Scope {
        match &tokens.scope {
            Some(echo) => self.names.to_short(echo),
            None => asked.clone(),
        }
    }
}

fn held(tokens: EntraTokens, now: Timestamp) -> HeldTokens {
    let expires_at = now + tokens.expires_in;
    HeldTokens::new(tokens.access_token, tokens.refresh_token, expires_at)
}

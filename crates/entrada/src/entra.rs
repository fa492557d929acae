//! Microsoft Entra ID, as its client sees it.

use http::Uri;

use crate::grant::{ConsentedRequest, HeldTokens, Renewal, SignedIn};
use crate::oauth::scope::Scope;
use crate::platform::{Platform, Timestamp};
use crate::secret::{EntraAccessToken, EntraCode, EntraRefreshToken};

pub mod authority;
mod claims;
pub mod cloud;
pub mod credential;
pub mod error;
pub mod groups;
mod id_token;
mod issuer;
pub(crate) mod scope;
pub mod token;
mod trust;
pub mod verifier;

use authority::Authority;
use credential::ClientProver;
use error::EntraError;
use id_token::IdTokenVerifier;
use scope::ScopeNames;
use token::{EntraGrant, EntraTokens, TokenRequest};

/// Our app registration at Entra: everything we ask Entra goes through here.
#[derive(Debug)]
pub(crate) struct EntraClient {
    authority: Authority,
    client_id: String,
    redirect_uri: String,
    credential: ClientProver,
    names: ScopeNames,
    additional: Scope,
    id_tokens: IdTokenVerifier,
    platform: Platform,
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
        } = app;
        let id_tokens = IdTokenVerifier::new(&authority, client_id.clone(), platform.clone());
        Self {
            authority,
            client_id,
            redirect_uri,
            credential,
            names,
            additional,
            id_tokens,
            platform,
        }
    }

    /// Where the user's browser goes to sign in.
    pub(crate) fn login_url(&self, request: &ConsentedRequest) -> url::Url {
        let scope = self.names.to_entra(request.scope()).union(&self.additional);
        let scope = scope.union(&scope::openid_connect()).to_string();
        request.entra_url(crate::grant::Upstream::new(
            self.authority.authorization_endpoint(),
            &self.client_id,
            &self.redirect_uri,
            &scope,
        ))
    }

    /// Where that is, for content security policies.
    pub(crate) fn login_origin(&self) -> String {
        let endpoint = self.authority.authorization_endpoint();
        endpoint.origin().ascii_serialization()
    }

    /// Scopes asked for besides those of our own API.
    pub(crate) fn additional_scope(&self) -> &Scope {
        &self.additional
    }

    /// Redeems the code Entra sent to our callback, and verifies who signed in.
    ///
    /// # Errors
    ///
    /// [`EntraError`]: Entra refused, could not be asked, or answered with an ID token that does
    /// not hold.
    pub(crate) async fn redeem(
        &self,
        request: &ConsentedRequest,
        code: &EntraCode,
        now: Timestamp,
    ) -> Result<SignedIn, EntraError> {
        let grant = EntraGrant::AuthorizationCode {
            code,
            code_verifier: request.code_verifier(),
            redirect_uri: &self.redirect_uri,
        };
        let tokens = self.ask(grant, &self.own_scope(request.scope())).await?;
        let id_token = tokens.id_token.as_ref().ok_or(EntraError::Malformed)?;
        let nonce = Some(request.nonce());
        let principal = self.id_tokens.verify(id_token, nonce, now).await?;
        let scope = self.granted(&tokens, request.scope());
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

    /// Exchanges a user's token for one to a downstream API (Microsoft, *on-behalf-of flow*).
    ///
    /// # Errors
    ///
    /// [`EntraError`]: Entra refused or could not be asked.
    pub(crate) async fn on_behalf_of(
        &self,
        assertion: &EntraAccessToken,
        tenant_id: &str,
        scope: &str,
    ) -> Result<EntraTokens, EntraError> {
        // The user's own tenant: at /organizations guests would be looked for in the wrong one.
        let endpoint = self.authority.token_endpoint_of(tenant_id);
        let grant = EntraGrant::OnBehalfOf(assertion);
        self.request(&endpoint, grant, scope)
            .send(&self.platform)
            .await
    }

    async fn ask(&self, grant: EntraGrant<'_>, scope: &str) -> Result<EntraTokens, EntraError> {
        let request = self.request(self.authority.token_endpoint(), grant, scope);
        request.send(&self.platform).await
    }

    fn request<'a>(
        &'a self,
        endpoint: &'a Uri,
        grant: EntraGrant<'a>,
        scope: &'a str,
    ) -> TokenRequest<'a> {
        TokenRequest {
            endpoint,
            client_id: &self.client_id,
            credential: &self.credential,
            grant,
            scope,
        }
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

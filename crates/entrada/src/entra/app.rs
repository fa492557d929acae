//! Our app registration at Entra's token endpoint.

use bytes::Bytes;
use http::{Response, Uri};
use serde::Deserialize;
use url::form_urlencoded;

use super::authority::Authority;
use super::credential::ClientProver;
use super::error::EntraError;
use super::token::{EntraGrant, EntraTokens, TokenRequest};
use crate::oauth::claims_request::ClaimsRequest;
use crate::platform::Platform;
use crate::secret::EntraAccessToken;

/// Our app registration, as it asks for tokens.
#[derive(Clone, Debug)]
pub(crate) struct EntraApp {
    authority: Authority,
    client_id: String,
    credential: ClientProver,
    /// What we say we are capable of, with every request.
    capabilities: Option<ClaimsRequest>,
    platform: Platform,
}

/// What every OpenID configuration has.
#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "issuer")]
    _issuer: String,
}

impl EntraApp {
    /// Speaks for the app registration `client_id` at `authority`.
    pub(crate) fn new(
        authority: Authority,
        client_id: impl Into<String>,
        credential: ClientProver,
        platform: Platform,
    ) -> Self {
        Self {
            authority,
            client_id: client_id.into(),
            credential,
            capabilities: None,
            platform,
        }
    }

    /// Says with every request that we understand continuous access evaluation.
    pub(crate) fn capable_of_continuous_access_evaluation(self, capable: bool) -> Self {
        let capabilities = capable.then(ClaimsRequest::capable_of_continuous_access_evaluation);
        Self {
            capabilities,
            ..self
        }
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether anything is asked in our name.
    pub(super) fn has_credential(&self) -> bool {
        !matches!(self.credential, ClientProver::Nothing)
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where an administrator consents to `scope` for everybody in a tenant (Microsoft, *admin
    /// consent endpoint*).
    pub(crate) fn admin_consent_url(
        &self,
        tenant_id: Option<&str>,
        scope: &str,
        redirect_uri: Option<&str>,
    ) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", scope)
            .extend_pairs(redirect_uri.map(|uri| ("redirect_uri", uri)));
        let endpoint = self.authority.admin_consent_endpoint(tenant_id);
        format!("{endpoint}?{}", query.finish())
    }

    /// Asks for the OpenID configuration (OpenID Connect Discovery §4), of which nothing is kept: Entra is
    /// there, and knows the tenant.
    ///
    /// # Errors
    ///
    /// [`EntraError`]: Entra refused or could not be asked, or something else answered.
    pub(crate) async fn ready(&self) -> Result<(), EntraError> {
        self.configuration().await.map(drop)
    }

    /// The answer that holds the OpenID configuration.
    ///
    /// # Errors
    ///
    /// [`EntraError`] likewise.
    pub(super) async fn configuration(&self) -> Result<Response<Bytes>, EntraError> {
        let mut request = http::Request::new(Bytes::new());
        let configuration = self.authority.openid_configuration();
        request.uri_mut().clone_from(configuration);
        let response = self.platform.http.send(request).await?;
        if !response.status().is_success() {
            return Err(EntraError::from_http(&response));
        }
        match serde_json::from_slice::<Configuration>(response.body()) {
            Ok(_) => Ok(response),
            Err(_) => Err(EntraError::Malformed),
        }
    }

    /// What a request for tokens asks of them, `claims` included.
    pub(crate) fn claims(&self, claims: Option<&ClaimsRequest>) -> Option<ClaimsRequest> {
        match (claims, &self.capabilities) {
            (Some(claims), Some(capabilities)) => Some(claims.and(capabilities)),
            (claims, capabilities) => claims.or(capabilities.as_ref()).cloned(),
        }
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
        claims: Option<&ClaimsRequest>,
    ) -> Result<EntraTokens, EntraError> {
        // The user's own tenant: at /organizations guests would be looked for in the wrong one.
        let endpoint = self.authority.token_endpoint_of(tenant_id);
        let grant = EntraGrant::OnBehalfOf(assertion);
        self.ask(&endpoint, grant, scope, claims).await
    }

    /// Asks for a token that speaks for ourselves in a tenant (RFC 6749 §4.4).
    ///
    /// # Errors
    ///
    /// [`EntraError`]: Entra refused or could not be asked.
    pub(crate) async fn client_credentials(
        &self,
        tenant_id: &str,
        scope: &str,
        claims: Option<&ClaimsRequest>,
    ) -> Result<EntraTokens, EntraError> {
        let endpoint = self.authority.token_endpoint_of(tenant_id);
        self.ask(&endpoint, EntraGrant::ClientCredentials, scope, claims)
            .await
    }

    pub(super) async fn ask(
        &self,
        endpoint: &Uri,
        grant: EntraGrant<'_>,
        scope: &str,
        claims: Option<&ClaimsRequest>,
    ) -> Result<EntraTokens, EntraError> {
        let request = TokenRequest {
            endpoint,
            client_id: &self.client_id,
            credential: &self.credential,
            grant,
            scope,
            claims: self.claims(claims),
        };
        request.send(&self.platform).await
    }
}

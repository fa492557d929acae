//! The discovery documents.

use serde::Serialize;

use super::issuer::Issuer;
use super::resource::ResourceIndicator;
use super::scope::ScopeToken;

/// Authorization server metadata (RFC 8414 §2). Nothing that is unset is written.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AuthorizationServerMetadata {
    /// The issuer, as configured.
    pub issuer: Issuer,
    /// Where the browser goes.
    pub authorization_endpoint: String,
    /// Where codes become tokens.
    pub token_endpoint: String,
    /// Where clients register (RFC 7591 §3).
    pub registration_endpoint: String,
    /// Where tokens are revoked (RFC 7009 §2).
    pub revocation_endpoint: String,
    /// The keys of our access tokens.
    pub jwks_uri: String,
    /// Scopes a client may ask for.
    pub scopes_supported: Vec<ScopeToken>,
    /// `code`, and no other.
    pub response_types_supported: &'static [&'static str],
    /// How the code comes back.
    pub response_modes_supported: &'static [&'static str],
    /// What the token endpoint takes.
    pub grant_types_supported: Vec<&'static str>,
    /// Which assertions it takes (draft-ietf-oauth-identity-assertion-authz-grant §7.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_grant_profiles_supported: Option<&'static [&'static str]>,
    /// How clients prove themselves there.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What those sign with who prove themselves by a signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg_values_supported: Option<Vec<&'static str>>,
    /// How clients prove themselves at the revocation endpoint.
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// What they sign with there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint_auth_signing_alg_values_supported: Option<Vec<&'static str>>,
    /// `S256`, and no other (RFC 7636).
    pub code_challenge_methods_supported: &'static [&'static str],
    /// Every answer carries `iss` (RFC 9207 §3).
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a client may be named by the URL of a document that describes it.
    pub client_id_metadata_document_supported: bool,
    /// What may sign a proof of possession, where tokens can be bound to a key (RFC 9449 §5.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_signing_alg_values_supported: Option<Vec<&'static str>>,
}

/// Protected resource metadata (RFC 9728 §2). Nothing that is unset is written.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProtectedResourceMetadata {
    /// The resource, as configured.
    pub resource: String,
    /// Who issues tokens for it.
    pub authorization_servers: Vec<Issuer>,
    /// The scopes a client needs at least; never `offline_access`.
    pub scopes_supported: Vec<ScopeToken>,
    /// `header`, and no other (RFC 6750 §2.1).
    pub bearer_methods_supported: &'static [&'static str],
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// What may sign a proof of possession, where it takes tokens bound to a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_signing_alg_values_supported: Option<Vec<&'static str>>,
    /// Whether it takes no others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_bound_access_tokens_required: Option<bool>,
}

impl ProtectedResourceMetadata {
    /// The document of `resource`, whose tokens come from `authorization_servers`; it names no
    /// scopes yet.
    pub fn new(resource: &ResourceIndicator, authorization_servers: Vec<Issuer>) -> Self {
        Self {
            resource: resource.as_str().to_owned(),
            authorization_servers,
            scopes_supported: Vec::new(),
            bearer_methods_supported: &["header"],
            resource_name: None,
            dpop_signing_alg_values_supported: None,
            dpop_bound_access_tokens_required: None,
        }
    }
}

impl Serialize for ScopeToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

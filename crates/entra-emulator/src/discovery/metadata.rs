//! The metadata documents, field by field and in the order Entra writes them.

use serde::Serialize;

use crate::authorize::tenant::TenantSpecifier;
use crate::builtin::CONSUMERS_TENANT_ID;
use crate::emulator::{Call, Shared};
use crate::state::State;

/// The v2.0 document.
///
/// It says nothing of PKCE, grant types, registration, revocation or `iss` in responses.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the document has as many")]
pub(crate) struct MetadataV2 {
    token_endpoint: String,
    token_endpoint_auth_methods_supported: &'static [&'static str],
    mtls_endpoint_aliases: MtlsAliases,
    jwks_uri: String,
    response_modes_supported: &'static [&'static str],
    subject_types_supported: &'static [&'static str],
    id_token_signing_alg_values_supported: &'static [&'static str],
    response_types_supported: &'static [&'static str],
    scopes_supported: &'static [&'static str],
    issuer: String,
    request_uri_parameter_supported: bool,
    userinfo_endpoint: String,
    authorization_endpoint: String,
    device_authorization_endpoint: String,
    http_logout_supported: bool,
    frontchannel_logout_supported: bool,
    tls_client_certificate_bound_access_tokens: bool,
    end_session_endpoint: String,
    claims_supported: &'static [&'static str],
    kerberos_endpoint: String,
    tenant_region_scope: Option<String>,
    cloud_instance_name: &'static str,
    cloud_graph_host_name: &'static str,
    msgraph_host: &'static str,
    rbac_url: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_challenge_methods_supported: Option<&'static [&'static str]>,
}

/// The v1.0 document.
#[derive(Debug, Serialize)]
pub(crate) struct MetadataV1 {
    token_endpoint: String,
    token_endpoint_auth_methods_supported: &'static [&'static str],
    jwks_uri: String,
    response_modes_supported: &'static [&'static str],
    subject_types_supported: &'static [&'static str],
    id_token_signing_alg_values_supported: &'static [&'static str],
    response_types_supported: &'static [&'static str],
    scopes_supported: &'static [&'static str],
    issuer: String,
    microsoft_multi_refresh_token: bool,
    authorization_endpoint: String,
    device_authorization_endpoint: String,
    http_logout_supported: bool,
    frontchannel_logout_supported: bool,
    end_session_endpoint: String,
    claims_supported: &'static [&'static str],
    check_session_iframe: String,
    userinfo_endpoint: String,
    kerberos_endpoint: String,
    tenant_region_scope: Option<String>,
    cloud_instance_name: &'static str,
    cloud_graph_host_name: &'static str,
    msgraph_host: &'static str,
    rbac_url: &'static str,
}

#[derive(Debug, Serialize)]
struct MtlsAliases {
    token_endpoint: String,
}

const CLAIMS_V2: &[&str] = &[
    "sub",
    "iss",
    "cloud_instance_name",
    "cloud_instance_host_name",
    "cloud_graph_host_name",
    "msgraph_host",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "acr",
    "nonce",
    "preferred_username",
    "name",
    "tid",
    "ver",
    "at_hash",
    "c_hash",
    "email",
];

const CLAIMS_V1: &[&str] = &[
    "sub",
    "iss",
    "cloud_instance_name",
    "cloud_instance_host_name",
    "cloud_graph_host_name",
    "msgraph_host",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "acr",
    "amr",
    "nonce",
    "email",
    "given_name",
    "family_name",
    "nickname",
];

// A tenant is written by its GUID however it was asked for; the words stay words.
fn segment(specifier: &TenantSpecifier) -> &str {
    match specifier {
        TenantSpecifier::Common => "common",
        TenantSpecifier::Organizations => "organizations",
        TenantSpecifier::Consumers => "consumers",
        TenantSpecifier::Tenant(id) => id,
    }
}

fn issuer(call: &Call, state: &State, specifier: &TenantSpecifier) -> String {
    match specifier.tenant(&state.directory) {
        Some(tenant) => call.place.issuer_of(tenant),
        None => call.place.v2_issuer(issuer_tenant(specifier)),
    }
}

fn issuer_tenant(specifier: &TenantSpecifier) -> &str {
    match specifier {
        TenantSpecifier::Common | TenantSpecifier::Organizations => "{tenantid}",
        TenantSpecifier::Consumers => CONSUMERS_TENANT_ID,
        TenantSpecifier::Tenant(id) => id,
    }
}

fn region(state: &State, specifier: &TenantSpecifier) -> Option<String> {
    let TenantSpecifier::Tenant(id) = specifier else {
        return None;
    };
    let tenant = state.directory.tenant_by_id(id)?;
    (!tenant.region.is_empty()).then(|| tenant.region.clone())
}

pub(crate) fn metadata_v2(
    shared: &Shared,
    state: &State,
    call: &Call,
    specifier: &TenantSpecifier,
) -> MetadataV2 {
    let root = format!("{}/{}", call.place.base, segment(specifier));
    let names = call.place.cloud.names();
    MetadataV2 {
        token_endpoint: format!("{root}/oauth2/v2.0/token"),
        token_endpoint_auth_methods_supported: &[
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
            "self_signed_tls_client_auth",
        ],
        mtls_endpoint_aliases: MtlsAliases {
            token_endpoint: format!(
                "https://mtlsauth.microsoft.com/{}/oauth2/v2.0/token",
                segment(specifier)
            ),
        },
        jwks_uri: format!("{root}/discovery/v2.0/keys"),
        response_modes_supported: &["query", "fragment", "form_post"],
        subject_types_supported: &["pairwise"],
        id_token_signing_alg_values_supported: &["RS256"],
        response_types_supported: &["code", "id_token", "code id_token", "id_token token"],
        scopes_supported: &["openid", "profile", "email", "offline_access"],
        issuer: issuer(call, state, specifier),
        request_uri_parameter_supported: false,
        userinfo_endpoint: format!("{}/oidc/userinfo", shared.graph_url(&call.place.base)),
        authorization_endpoint: format!("{root}/oauth2/v2.0/authorize"),
        device_authorization_endpoint: format!("{root}/oauth2/v2.0/devicecode"),
        http_logout_supported: true,
        frontchannel_logout_supported: true,
        tls_client_certificate_bound_access_tokens: true,
        end_session_endpoint: format!("{root}/oauth2/v2.0/logout"),
        claims_supported: CLAIMS_V2,
        kerberos_endpoint: format!("{root}/kerberos"),
        tenant_region_scope: region(state, specifier),
        cloud_instance_name: names.instance,
        cloud_graph_host_name: names.directory_host,
        msgraph_host: names.graph_host,
        rbac_url: names.rbac_url,
        code_challenge_methods_supported: shared
            .options
            .quirks
            .advertise_pkce
            .then_some(&["plain", "S256"]),
    }
}

pub(crate) fn metadata_v1(state: &State, call: &Call, specifier: &TenantSpecifier) -> MetadataV1 {
    let root = format!("{}/{}", call.place.base, segment(specifier));
    let names = call.place.cloud.names();
    MetadataV1 {
        token_endpoint: format!("{root}/oauth2/token"),
        token_endpoint_auth_methods_supported: &[
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        // The v1 document points to the keys of `common`, whatever the tenant.
        jwks_uri: format!("{}/common/discovery/keys", call.place.base),
        response_modes_supported: &["query", "fragment", "form_post"],
        subject_types_supported: &["pairwise"],
        id_token_signing_alg_values_supported: &["RS256"],
        response_types_supported: &[
            "code",
            "id_token",
            "code id_token",
            "token id_token",
            "token",
        ],
        scopes_supported: &["openid"],
        issuer: call.place.v1_issuer(issuer_tenant(specifier)),
        microsoft_multi_refresh_token: true,
        authorization_endpoint: format!("{root}/oauth2/authorize"),
        device_authorization_endpoint: format!("{root}/oauth2/devicecode"),
        http_logout_supported: true,
        frontchannel_logout_supported: true,
        end_session_endpoint: format!("{root}/oauth2/logout"),
        claims_supported: CLAIMS_V1,
        check_session_iframe: format!("{root}/oauth2/checksession"),
        userinfo_endpoint: format!("{root}/openid/userinfo"),
        kerberos_endpoint: format!("{root}/kerberos"),
        tenant_region_scope: region(state, specifier),
        cloud_instance_name: names.instance,
        cloud_graph_host_name: names.directory_host,
        msgraph_host: names.graph_host,
        rbac_url: names.rbac_url,
    }
}

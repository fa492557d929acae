//! Claims a token has because the resource wants them, or because the resource is Microsoft Graph.

use serde_json::json;

use crate::access_token::{Delegation, list};
use crate::directory::app::App;
use crate::jwt::Claims;
use crate::scope::Party;

/// `aud` of a v1 token: the resource as it was asked for, unless it wants its application id.
pub(super) fn audience<'a>(resource: &'a App, asked: &'a str) -> &'a str {
    let wanted = &resource.optional_claims.access_token;
    if wanted.iter().any(|name| name == "aud:use_guid") {
        &resource.client_id
    } else {
        asked
    }
}

pub(super) fn put_optional(claims: &mut Claims, delegation: &Delegation<'_>) {
    let Party { tenant, user, .. } = delegation.party;
    for name in &delegation.resource.optional_claims.access_token {
        match name.as_str() {
            "acct" => claims.put("acct", u8::from(user.is_guest())),
            "auth_time" => claims.put("auth_time", delegation.sign_in.auth_time),
            "email" => claims.put_some("email", user.email.clone()),
            "family_name" => claims.put("family_name", user.family_name.as_str()),
            "given_name" => claims.put("given_name", user.given_name.as_str()),
            "idtyp" => claims.put("idtyp", "user"),
            "tenant_region_scope" => claims.put("tenant_region_scope", tenant.region.as_str()),
            "upn" => claims.put("upn", user.username.as_str()),
            "xms_cc" => claims.put_some("xms_cc", list(delegation.capabilities)),
            _ => {}
        }
    }
}

pub(super) fn put_graph_extras(claims: &mut Claims, delegation: &Delegation<'_>) {
    let Party {
        tenant,
        client,
        user,
        ..
    } = delegation.party;
    claims.put("acct", u8::from(user.is_guest()));
    claims.put("app_displayname", client.display_name.as_str());
    claims.put("idtyp", "user");
    claims.put("platf", "14");
    claims.put("puid", "10032000ABCDEF01");
    claims.put("tenant_region_scope", tenant.region.as_str());
    claims.put_list("wids", user.directory_roles.clone());
    claims.put_some("xms_cc", list(delegation.capabilities));
    if let Some(sub) = delegation.assertion_sub {
        claims.put("xms_st", json!({"sub": sub}));
    }
    claims.put("xms_tcdt", 1_500_000_000);
}

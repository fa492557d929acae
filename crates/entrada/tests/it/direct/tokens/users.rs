//! Tokens of users, as they are and with one claim changed.

use entra_emulator::{TokenOrder, builtin};
use serde_json::json;

use super::*;
use crate::direct::world::{config, good};

/// When every world begins.
const NOW: u64 = 1_800_000_000;

fn v1(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

fn v2(tenant: &str) -> String {
    format!("https://login.emulator.test/{tenant}/v2.0")
}

#[tokio::test]
async fn a_users_token_needs_no_more_than_it_has() {
    let guest = || {
        TokenOrder::delegated(
            builtin::DANA_GUEST,
            builtin::PUBLIC_CLIENT_ID,
            builtin::CLIENT_ID,
        )
        .tenant(builtin::TENANT_ID)
    };
    let rows = rows! {
        "as it is": good() => GOOD;
        "one scope of several": good().scopes(["mcp.read"]) => GOOD;
        "by another client": good().claim("azp", builtin::CLIENT_ID) => GOOD;
        "without names": good().without_profile() => GOOD;
        "of a guest": guest() => GOOD;
        "with a claim nobody knows": good().claim("xms_new", json!({"a": [1]})) => GOOD;
    };
    judge(config(), rows).await;
}

#[tokio::test]
async fn scopes_are_words_of_one_claim() {
    let uri = builtin::IDENTIFIER_URI;
    let rows = rows! {
        "another scope": good().scopes(["mcp.write"]) => SCOPE;
        "a scope that begins alike": good().claim("scp", "mcp.readwrite mcp.rea") => SCOPE;
        "the scope with its API": good().claim("scp", format!("{uri}/mcp.read")) => SCOPE;
        "the scope in capitals": good().claim("scp", "MCP.READ") => SCOPE;
        "scopes that are empty": good().claim("scp", "") => SCOPE;
        "scopes with two spaces": good().claim("scp", "mcp.write  mcp.read") => GOOD;
        "scopes as a list": good().claim("scp", json!(["mcp.read"])) => CLAIMS;
        "scopes in the claim of others": good().without_claim("scp").claim("scope", "mcp.read") => NO_APPS;
        "a scope that is none": good().claim("scp", "mcp.read a\"b") => CLAIMS;
    };
    judge(config(), rows).await;
}

#[tokio::test]
async fn the_issuer_is_that_of_the_tokens_own_tenant() {
    let tid = builtin::TENANT_ID;
    let other = builtin::FABRIKAM_TENANT_ID;
    let rows = rows! {
        "no issuer": good().without_claim("iss") => CLAIMS;
        "the issuer with a slash": good().claim("iss", v2(tid) + "/") => ISSUER;
        "the issuer in capitals": good().claim("iss", v2(tid).to_uppercase()) => ISSUER;
        "the issuer of v1.0": good().claim("iss", v1(tid)) => ISSUER;
        "the issuer of another cloud": good().claim("iss", format!("https://login.microsoftonline.us/{tid}/v2.0")) => ISSUER;
        "an issuer that looks alike": good().claim("iss", format!("https://login.emulator.test.evil.example/{tid}/v2.0")) => ISSUER;
        "the issuer's template": good().claim("iss", v2("{tenantid}")) => ISSUER;
        "a list of issuers": good().claim("iss", json!([v2(tid)])) => CLAIMS;
        "another tenant's issuer": good().claim("iss", v2(other)) => ISSUER;
        "another tenant": good().claim("tid", other) => ISSUER;
        "another tenant, with its issuer": good().claim("tid", other).claim("iss", v2(other)) => TENANT;
        "no tenant": good().without_claim("tid") => TENANT;
        "a tenant that is no id": good().claim("tid", "common").claim("iss", v2("common")) => TENANT;
    };
    judge(config(), rows).await;
}

#[tokio::test]
async fn the_version_is_that_of_the_issuer() {
    let tid = builtin::TENANT_ID;
    let rows = rows! {
        "no version": good().without_claim("ver") => VERSION;
        "version 1.0, from the issuer of v2.0": good().claim("ver", "1.0") => ISSUER_V1;
        "version 1.0, with its issuer": good().claim("ver", "1.0").claim("iss", v1(tid)) => GOOD;
        "version 3.0": good().claim("ver", "3.0") => VERSION;
        "a number for a version": good().claim("ver", 2.0) => CLAIMS;
    };
    judge(config(), rows).await;
}

#[tokio::test]
async fn the_audience_is_one_of_our_names() {
    let uri = builtin::IDENTIFIER_URI;
    let rows = rows! {
        "no audience": good().without_claim("aud") => CLAIMS;
        "the URI for an audience": good().claim("aud", uri) => GOOD;
        "the URI with a slash": good().claim("aud", format!("{uri}/")) => GOOD;
        "the URI of a scope": good().claim("aud", format!("{uri}/mcp.read")) => AUDIENCE;
        "another app": good().claim("aud", builtin::DOWNSTREAM_CLIENT_ID) => AUDIENCE;
        "our own URL": good().claim("aud", "https://mcp.example.com/mcp") => AUDIENCE;
        "us among others": good().claim("aud", json!(["x", builtin::CLIENT_ID])) => GOOD;
        "others alone": good().claim("aud", json!(["x"])) => AUDIENCE;
        "nobody": good().claim("aud", json!([])) => AUDIENCE;
    };
    judge(config(), rows).await;
}

#[tokio::test]
async fn a_token_is_good_for_its_time_and_a_minute() {
    let rows = rows! {
        "no end": good().without_claim("exp") => CLAIMS;
        "an end in words": good().claim("exp", "never") => CLAIMS;
        "an end before time began": good().claim("exp", -1) => CLAIMS;
        "ended a minute ago, less a second": good().claim("exp", NOW - 59) => GOOD;
        "ended a minute ago": good().claim("exp", NOW - 60) => EXPIRED;
        "begins in a minute": good().claim("nbf", NOW + 60) => GOOD;
        "begins later": good().claim("nbf", NOW + 61) => EARLY;
        "made in the future": good().claim("iat", NOW + 61) => EARLY;
        "no beginning": good().without_claim("nbf").without_claim("iat") => GOOD;
    };
    judge(config(), rows).await;
}

#[tokio::test]
async fn a_token_names_whom_it_is_for_and_who_uses_it() {
    let rows = rows! {
        "no subject": good().without_claim("sub") => CLAIMS;
        "no client": good().without_claim("azp") => CLAIMS;
        "a client that is none": good().claim("azp", "a b") => CLAIMS;
    };
    judge(config(), rows).await;
}

#[tokio::test]
async fn only_access_tokens_for_this_server_are_taken() {
    let id_token = || TokenOrder::id_token(builtin::ALICE, builtin::CLIENT_ID);
    let for_api = |api| TokenOrder::delegated(builtin::ALICE, builtin::CLIENT_ID, api);
    let graph = || for_api(builtin::GRAPH_APP_ID);
    let downstream = || for_api(builtin::DOWNSTREAM_CLIENT_ID);
    let app = || TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let rows = rows! {
        "a user's token that says it is an app's": good().claim("idtyp", "app") => CLAIMS;
        "a user's token that says so": good().claim("idtyp", "user") => GOOD;
        "bound to a key": good().claim("cnf", json!({"jkt": "x"})) => BOUND;
        "bound to a certificate": good().claim("cnf", json!({"x5t#S256": "x"})) => BOUND;
        "an ID token": id_token() => ID_TOKEN;
        "an ID token without a nonce": id_token().without_claim("nonce") => ID_TOKEN;
        "an ID token with roles": id_token().claim("roles", json!(["Reader"])) => ID_TOKEN;
        "a token for Graph": graph() => GRAPH;
        "one without its nonce": graph().without_header("nonce") => GRAPH;
        "Graph for an audience": good().claim("aud", "https://graph.microsoft.com") => GRAPH;
        "a token for another API": downstream() => AUDIENCE;
        "of an application": app() => NO_APPS;
    };
    judge(config(), rows).await;
}

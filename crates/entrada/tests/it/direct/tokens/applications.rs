//! Tokens of applications that signed in as themselves.

use entra_emulator::{TokenOrder, builtin};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::policy::Requirement;
use serde_json::{Value, json};

use super::*;
use crate::direct::world::{config, good};

#[tokio::test]
async fn tokens_of_applications() {
    let app = || TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let roles = |roles: &[&str]| app().claim("roles", json!(roles));
    let allow = |mode| config().app_only(mode).required_app_roles(["Reader"]);
    let rows = rows! {
        "with the role": roles(&["Other", "Reader"]) => GOOD;
        "with another role": roles(&["reader", "Reader2"]) => ROLE;
        "without roles": app().without_claim("roles") => ROLE;
        "with the role as a word": app().claim("roles", "Reader") => CLAIMS;
        "that says it is one": roles(&["Reader"]).claim("idtyp", "app") => GOOD;
        "that says it is a user's": roles(&["Reader"]).claim("idtyp", "user") => CLAIMS;
        "whose subject is no object": roles(&["Reader"]).claim("sub", "/eid1/c/pub") => GOOD;
        "with a nonce": roles(&["Reader"]).claim("nonce", "n") => ID_TOKEN;
        "without a client": roles(&["Reader"]).without_claim("azp") => ID_TOKEN;
        "of a user": good() => GOOD;
        "of a user with the role and no scope": good().scopes(["mcp.write"]).claim("roles", json!(["Reader"])) => SCOPE;
    };
    judge(allow(AppOnlyTokens::Allow), rows).await;
    let rows = rows! {
        "with the role": roles(&["Reader"]) => GOOD;
        "of a user": good().claim("roles", json!(["Reader"])) => NO_USERS;
    };
    judge(allow(AppOnlyTokens::Require), rows).await;
    let rows = rows! {
        "of a client on the list": good() => GOOD;
        "of another": good().claim("azp", builtin::SPA_CLIENT_ID) => CLIENT;
        "of an application on the list": app() => GOOD;
        "of an application off it": TokenOrder::app_only(builtin::MULTI_TENANT_CLIENT_ID, builtin::CLIENT_ID) => CLIENT;
    };
    let clients = [builtin::PUBLIC_CLIENT_ID, builtin::DAEMON_CLIENT_ID];
    let listed = config()
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients(clients);
    judge(listed, rows).await;
}

#[tokio::test]
async fn requirements_are_held_against_entras_own_tokens() {
    let tenant = Requirement::any_tenant([builtin::TENANT_ID]);
    let reader = config().requirement(Requirement::any_role(["Reader"]).and(tenant));
    let rows = rows! {
        "with the role": good().claim("roles", json!(["Reader"])) => GOOD;
        "without it": good().without_claim("roles") => ROLE;
        "with a role that is none": good().claim("roles", Value::Null) => CLAIMS;
    };
    judge(reader, rows).await;
}

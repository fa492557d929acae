use std::time::Duration;

use axum::body::Body;
use entra_emulator::TokenOrder;
use entra_emulator::builtin::*;
use entra_emulator::directory::user::AppRoleAssignment;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::world::{Answer, World, own, peek};

async fn graph_token(world: &World, user: &str) -> String {
    let tokens = world.tokens(user, "User.Read openid profile").await;
    tokens["access_token"].as_str().unwrap().to_owned()
}

async fn call(world: &World, method: Method, path: &str, token: &str, body: &Value) -> Answer {
    let path = path.strip_prefix(BASE_URL).unwrap_or(path);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        })
        .unwrap();
    world.send(request).await
}

pub(crate) async fn get(world: &World, path: &str, token: &str) -> Answer {
    call(
        world,
        Method::GET,
        &format!("/graph/v1.0/{path}"),
        token,
        &Value::Null,
    )
    .await
}

fn denied(answer: &Answer) -> (u16, String) {
    let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn a_profile_and_a_mailbox() {
    let world = World::new();
    let token = graph_token(&world, ALICE).await;
    let me = get(&world, "me", &token).await.ok();
    assert_eq!(me["id"], ALICE_OID);
    assert_eq!(me["userPrincipalName"], ALICE);
    assert_eq!(
        me["@odata.context"],
        format!("{BASE_URL}/graph/v1.0/$metadata#users/$entity")
    );
    let mail = get(&world, "me/messages?$top=1", &token).await.ok();
    assert_eq!(mail["value"][0]["subject"], "Quarterly figures");
    let next = mail["@odata.nextLink"].as_str().unwrap();
    let rest = call(&world, Method::GET, next, &token, &Value::Null)
        .await
        .ok();
    assert_eq!(rest["value"][0]["subject"], "Lunch");
    assert!(rest.get("@odata.nextLink").is_none());
    let info = call(
        &world,
        Method::GET,
        "/graph/oidc/userinfo",
        &token,
        &Value::Null,
    )
    .await
    .ok();
    assert_eq!(info["name"], "Alice Anders");
}

#[tokio::test]
async fn memberships_come_in_pages_and_all_at_once() {
    let world = World::new();
    let token = graph_token(&world, GRACE_MANY_GROUPS).await;
    let mut url = format!("{BASE_URL}/graph/v1.0/me/transitiveMemberOf");
    let mut found = 0;
    let mut pages = 0;
    loop {
        let page = call(&world, Method::GET, &url, &token, &Value::Null)
            .await
            .ok();
        found += page["value"].as_array().unwrap().len();
        pages += 1;
        match page["@odata.nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((found, pages), (251, 3));
    let path = "/graph/v1.0/me/getMemberObjects";
    let body = json!({"securityEnabledOnly": true});
    let all = call(&world, Method::POST, path, &token, &body).await.ok();
    assert_eq!(all["value"].as_array().unwrap().len(), 251);
    let answer = call(&world, Method::POST, path, &token, &json!({})).await;
    assert_eq!(denied(&answer), (400, "BadRequest".to_owned()));
}

#[tokio::test]
async fn an_application_reads_about_others_and_not_about_itself() {
    let world = World::new();
    let token = &daemon_token(&world).await;
    let path = format!("/graph/v1.0/users/{ALICE_OID}/getMemberObjects");
    let groups = call(
        &world,
        Method::POST,
        &path,
        token,
        &json!({"securityEnabledOnly": false}),
    )
    .await;
    assert_eq!(groups.ok()["value"].as_array().unwrap().len(), 2);
    get(&world, &format!("users/{ALICE}/transitiveMemberOf"), token)
        .await
        .ok();
    assert_eq!(
        denied(&get(&world, "me", token).await),
        (400, "BadRequest".to_owned())
    );
    let mail = get(&world, &format!("users/{ALICE_OID}/messages"), token).await;
    assert_eq!(denied(&mail), (403, "ErrorAccessDenied".to_owned()));
    let other = get(&world, &format!("users/{ALICE_OID}"), token).await;
    assert_eq!(
        denied(&other),
        (403, "Authorization_RequestDenied".to_owned())
    );
    let nobody = get(&world, "users/nobody/transitiveMemberOf", token).await;
    assert_eq!(
        denied(&nobody),
        (404, "Request_ResourceNotFound".to_owned())
    );
}

#[tokio::test]
async fn only_graphs_own_tokens_are_read_and_only_as_far_as_they_reach() {
    let world = World::new();
    let invalid = (401, "InvalidAuthenticationToken".to_owned());
    let own = world.tokens(ALICE, &own("mcp.read")).await;
    let own = own["access_token"].as_str().unwrap();
    for token in [own, "nonsense", ""] {
        let answer = get(&world, "me", token).await;
        assert_eq!(denied(&answer), invalid, "{token}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    let good = graph_token(&world, ALICE).await;
    let (message, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        denied(&get(&world, "me", &format!("{message}.AAAA")).await),
        invalid
    );
    let other = get(&world, &format!("users/{BOB_OID}"), &good).await;
    assert_eq!(
        denied(&other),
        (403, "Authorization_RequestDenied".to_owned())
    );
    get(&world, &format!("users/{ALICE_OID}"), &good).await.ok();

    world.control.change_directory(|directory| {
        for consent in &mut directory.consents {
            consent.scopes.retain(|scope| scope != "Mail.Read");
        }
    });
    let narrow = graph_token(&world, ALICE).await;
    let mail = get(&world, "me/messages", &narrow).await;
    assert_eq!(denied(&mail), (403, "ErrorAccessDenied".to_owned()));
    world.control.advance(Duration::from_secs(5400));
    assert_eq!(denied(&get(&world, "me", &good).await), invalid);
}

async fn daemon_token(world: &World) -> String {
    let form = [
        ("client_id", DAEMON_CLIENT_ID),
        ("client_secret", DAEMON_CLIENT_SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let body = world.token(&form).await.ok();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_that_follows_links_gets_every_group() {
    let world = World::new();
    world.control.set_graph_page_size(100);
    let token = daemon_token(&world).await;
    let grace = world.control.mint(&TokenOrder::delegated(
        GRACE_MANY_GROUPS,
        CLIENT_ID,
        CLIENT_ID,
    ));
    let oid = peek(&grace).1["oid"].as_str().unwrap().to_owned();
    for method in [Method::GET, Method::POST] {
        let mut url = format!("/graph/v1.0/users/{oid}/getMemberObjects");
        let body = json!({"securityEnabledOnly": true});
        let mut page = call(&world, Method::POST, &url, &token, &body).await.ok();
        let mut sizes = vec![page["value"].as_array().unwrap().len()];
        while let Some(next) = page["@odata.nextLink"].as_str() {
            url = next.to_owned();
            page = call(&world, method.clone(), &url, &token, &Value::Null)
                .await
                .ok();
            sizes.push(page["value"].as_array().unwrap().len());
        }
        assert_eq!(sizes, [100, 100, 51]);
    }
    let wrong = format!("/graph/v1.0/users/{oid}/getMemberObjects?$skiptoken=x");
    let answer = call(&world, Method::GET, &wrong, &token, &Value::Null).await;
    assert_eq!(denied(&answer), (400, "BadRequest".to_owned()));
    // The other lists too.
    world.control.set_graph_page_size(1);
    let page = get(
        &world,
        &format!("users/{ALICE_OID}/transitiveMemberOf"),
        &token,
    )
    .await;
    assert!(page.ok()["@odata.nextLink"].is_string());
}

#[tokio::test]
async fn programs_are_in_groups_too() {
    let world = World::with(|directory| {
        directory.app_mut(DAEMON_CLIENT_ID).unwrap().filler_groups = 250;
    });
    let order = TokenOrder::app_only(DAEMON_CLIENT_ID, CLIENT_ID);
    let (_, claims) = peek(&world.control.mint(&order));
    let oid = claims["oid"].as_str().unwrap();
    assert!(claims.get("groups").is_none());
    assert_eq!(claims["_claim_names"], json!({"groups": "src1"}));
    assert_eq!(
        claims["_claim_sources"]["src1"]["endpoint"],
        format!("https://graph.windows.net/{TENANT_ID}/servicePrincipals/{oid}/getMemberObjects")
    );
    let path = format!("/graph/v1.0/servicePrincipals/{oid}/getMemberObjects");
    let body = json!({"securityEnabledOnly": true});
    let token = daemon_token(&world).await;
    let ids = call(&world, Method::POST, &path, &token, &body).await.ok();
    assert_eq!(ids["value"].as_array().unwrap().len(), 250);

    let nobody = path.replace(oid, "nobody");
    let answer = call(&world, Method::POST, &nobody, &token, &body).await;
    assert_eq!(
        denied(&answer),
        (404, "Request_ResourceNotFound".to_owned())
    );
    let alice = graph_token(&world, ALICE).await;
    let answer = call(&world, Method::POST, &path, &alice, &body).await;
    assert_eq!(
        denied(&answer),
        (403, "Authorization_RequestDenied".to_owned())
    );

    // Few enough stand in the token.
    let agent = TokenOrder::app_only(AGENT_CLIENT_ID, CLIENT_ID);
    let (_, claims) = peek(&world.control.mint(&agent));
    assert_eq!(claims["groups"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn mail_is_ones_own_and_can_be_selected() {
    let world = World::new();
    let token = graph_token(&world, ALICE).await;
    let mail = get(&world, "me/messages?$select=subject", &token)
        .await
        .ok();
    let first = mail["value"][0].as_object().unwrap();
    assert!(first.keys().eq(["id", "subject"]));
    let path = format!("users/{ALICE}/messages?$top=1");
    let own = get(&world, &path, &token).await.ok();
    assert_eq!(own["value"][0]["from"]["emailAddress"]["address"], BOB);
    assert_eq!(own["value"][0]["receivedDateTime"], "2027-01-15T07:00:00Z");
    let bobs = get(&world, &format!("users/{BOB_OID}/messages"), &token).await;
    assert_eq!(denied(&bobs), (403, "ErrorAccessDenied".to_owned()));
}

#[tokio::test]
async fn an_application_with_the_role_reads_everybodys_mail() {
    let world = World::with(|directory| {
        let mut role = AppRoleAssignment::default();
        role.resource = GRAPH_APP_ID.to_owned();
        role.role = "Mail.Read".to_owned();
        let daemon = directory.app_mut(DAEMON_CLIENT_ID).unwrap();
        daemon.app_role_assignments.push(role);
    });
    let token = daemon_token(&world).await;
    for (user, count) in [(ALICE, 2), (BOB_OID, 1)] {
        let mail = get(&world, &format!("users/{user}/messages"), &token).await;
        assert_eq!(mail.ok()["value"].as_array().unwrap().len(), count);
    }
    let nobody = get(&world, "users/nobody/messages", &token).await;
    assert_eq!(denied(&nobody).0, 404);
}

use std::time::Duration;

use axum::body::Body;
use entra_emulator::builtin::*;
use entra_emulator::{Cloud, Endpoint, Failure};
use http::Request;
use serde_json::Value;

use crate::federated::{APP_ONLY, shown};
use crate::world::{Answer, NOW, Pairs, World, encode, peek};

const GRAPH: &str = "https://graph.microsoft.com";

async fn ask(world: &World, path: &str, query: Pairs<'_>, headers: Pairs<'_>) -> Answer {
    let mut request = Request::get(format!("{path}?{}", encode(query)));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

async fn machine(world: &World, extra: Pairs<'_>) -> Answer {
    let query = [&[("api-version", "2018-02-01")], extra].concat();
    let path = "http://169.254.169.254/metadata/identity/oauth2/token";
    ask(world, path, &query, &[("Metadata", "true")]).await
}

async fn service(world: &World, extra: Pairs<'_>) -> Answer {
    let query = [&[("api-version", "2019-08-01")], extra].concat();
    let headers = [("X-IDENTITY-HEADER", IDENTITY_HEADER)];
    ask(world, "/msi/token", &query, &headers).await
}

fn token(body: &Value) -> &str {
    body["access_token"].as_str().unwrap()
}

#[tokio::test]
async fn a_virtual_machine_is_told_everything_as_text() {
    let world = World::new();
    let body = machine(&world, &[("resource", GRAPH)]).await.ok();
    let mut members: Vec<(&str, &str)> = body
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    members.retain(|(name, _)| *name != "access_token");
    assert_eq!(
        members,
        [
            ("client_id", MANAGED_IDENTITY_CLIENT_ID),
            ("expires_in", "86399"),
            ("expires_on", "1800086399"),
            ("ext_expires_in", "86399"),
            ("not_before", "1799999700"),
            ("resource", GRAPH),
            ("token_type", "Bearer"),
        ]
    );
    let (_, claims) = peek(token(&body));
    assert_eq!(claims["oid"], MANAGED_IDENTITY_PRINCIPAL_ID);
    assert_eq!(claims["appid"], MANAGED_IDENTITY_CLIENT_ID);
    assert_eq!(claims["appidacr"], "2");
    assert_eq!(claims["idtyp"], "app");
    assert_eq!(claims["roles"][0], "GroupMember.Read.All");
    assert_eq!(claims["exp"], NOW + 86_399);
}

#[tokio::test]
async fn app_service_tells_less() {
    let world = World::new();
    world.control.set_token_lifetime(Duration::from_secs(60));
    let body = service(&world, &[("resource", IDENTIFIER_URI)]).await.ok();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        [
            "access_token",
            "client_id",
            "expires_on",
            "resource",
            "token_type"
        ]
    );
    assert_eq!(body["expires_on"], "1800000060");
    let claims = world.verified(TENANT_ID, token(&body)).await.unwrap();
    assert_eq!(claims["aud"], CLIENT_ID);
    assert_eq!(claims["roles"][0], "Mcp.Run");
}

#[tokio::test]
async fn an_identity_is_named_in_three_ways() {
    let world = World::new();
    let with = |name: &'static str, value: &'static str| [("resource", GRAPH), (name, value)];
    for (name, value) in [
        ("client_id", MANAGED_IDENTITY_CLIENT_ID),
        ("object_id", MANAGED_IDENTITY_PRINCIPAL_ID),
        ("msi_res_id", MANAGED_IDENTITY_RESOURCE_ID),
    ] {
        machine(&world, &with(name, value)).await.ok();
        let answer = machine(&world, &with(name, CLIENT_ID)).await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.text,
            r#"{"error":"invalid_request","error_description":"Identity not found"}"#
        );
    }
    for (name, value) in [
        ("client_id", MANAGED_IDENTITY_CLIENT_ID),
        ("principal_id", MANAGED_IDENTITY_PRINCIPAL_ID),
        ("mi_res_id", MANAGED_IDENTITY_RESOURCE_ID),
    ] {
        service(&world, &with(name, value)).await.ok();
        let answer = service(&world, &with(name, CLIENT_ID)).await;
        assert_eq!(answer.status, 400);
        let body = answer.json();
        assert_eq!(body["statusCode"], 400);
        assert!(body["message"].is_string() && body["correlationId"].is_string());
    }
    world.control.change_directory(|directory| {
        let other = directory.managed_identities[0].clone();
        directory.managed_identities.push(other);
    });
    let answer = machine(&world, &[("resource", GRAPH)]).await;
    assert!(answer.text.contains("Multiple user assigned identities"));
}

#[tokio::test]
async fn every_other_way_a_machine_is_refused() {
    let world = World::new();
    let path = "/metadata/identity/oauth2/token";
    let good = [("api-version", "2018-02-01"), ("resource", GRAPH)];
    let metadata = ("Metadata", "true");
    for (name, query, headers, wanted) in [
        ("no header", &good[..], &[][..], "invalid_request"),
        (
            "wrong header",
            &good,
            &[("Metadata", "false")],
            "invalid_request",
        ),
        (
            "forwarded",
            &good,
            &[metadata, ("X-Forwarded-For", "203.0.113.7")],
            "invalid_request",
        ),
        ("no version", &good[1..], &[metadata], "invalid_request"),
        ("no resource", &good[..1], &[metadata], "invalid_request"),
        (
            "unknown resource",
            &[good[0], ("resource", "api://nobody")],
            &[metadata],
            "invalid_resource",
        ),
    ] {
        let answer = ask(&world, path, query, headers).await;
        assert_eq!(answer.status, 400, "{name}");
        assert_eq!(answer.json()["error"], wanted, "{name}");
    }
    for headers in [&[][..], &[("X-IDENTITY-HEADER", "wrong")]] {
        let query = [("api-version", "2019-08-01"), ("resource", GRAPH)];
        let answer = ask(&world, "/msi/token", &query, headers).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["statusCode"], 401);
    }
}

#[tokio::test]
async fn the_endpoints_are_counted_and_fail_on_demand() {
    let world = World::new();
    let endpoint = Endpoint::ManagedIdentity;
    for status in [404, 410, 429, 500] {
        world
            .control
            .fail_next(endpoint, 1, Failure::Status(status));
        let answer = machine(&world, &[("resource", GRAPH)]).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    machine(&world, &[("resource", GRAPH)]).await.ok();
    service(&world, &[("resource", GRAPH)]).await.ok();
    assert_eq!(world.control.calls(endpoint), 6);
    assert_eq!(world.control.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn an_identitys_token_is_a_federated_credential() {
    for (cloud, audience) in [
        (Cloud::Public, TOKEN_EXCHANGE_AUDIENCE),
        (Cloud::UsGovernment, "api://AzureADTokenExchangeUSGov"),
        (Cloud::China, "api://AzureADTokenExchangeChina"),
    ] {
        let world = World::in_cloud(cloud);
        let body = machine(&world, &[("resource", audience)]).await.ok();
        let (header, claims) = peek(token(&body));
        assert_eq!(claims["iss"], format!("{BASE_URL}/{TENANT_ID}/v2.0"));
        assert_eq!(claims["sub"], MANAGED_IDENTITY_PRINCIPAL_ID);
        assert_eq!(claims["aud"], audience);
        assert!(header.get("x5t").is_none());
        let issued = shown(&world, token(&body), APP_ONLY).await.ok();
        let (_, claims) = peek(token(&issued));
        assert_eq!(claims["appid"], CLIENT_ID);
        assert_eq!(claims["appidacr"], "2");
        // One for Graph is for Graph.
        let body = machine(&world, &[("resource", GRAPH)]).await.ok();
        let answer = shown(&world, token(&body), APP_ONLY).await;
        assert_eq!(answer.failure().2, 700_211);
    }
}

// The machine's address is not the login host's.
#[tokio::test]
async fn an_identitys_token_is_good_at_every_address_of_the_emulator() {
    let world = World::new();
    let body = machine(&world, &[("resource", TOKEN_EXCHANGE_AUDIENCE)])
        .await
        .ok();
    let form = [
        APP_ONLY,
        &[
            ("client_id", CLIENT_ID),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", token(&body)),
        ],
    ]
    .concat();
    let path = format!("https://login.microsoftonline.com/{TENANT_ID}/oauth2/v2.0/token");
    world.post(&path, &form, &[]).await.ok();
}

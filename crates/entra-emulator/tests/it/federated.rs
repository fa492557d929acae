use std::time::Duration;

use entra_emulator::builtin::*;
use entra_emulator::{Cloud, Signer, TokenOrder};
use serde_json::{Value, json};

use crate::on_behalf_of::{GRAPH_SCOPE, assertion};
use crate::world::{Answer, Pairs, REDIRECT, World, own, peek};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) async fn shown(world: &World, assertion: &str, form: Pairs<'_>) -> Answer {
    let own = [
        ("client_id", CLIENT_ID),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    world.token(&[&own, form].concat()).await
}

pub(crate) const APP_ONLY: Pairs<'_> = &[
    ("grant_type", "client_credentials"),
    ("scope", "https://graph.microsoft.com/.default"),
];

fn workload(world: &World) -> String {
    let control = &world.control;
    control.mint_workload_token(WORKLOAD_SUBJECT, TOKEN_EXCHANGE_AUDIENCE, HOUR)
}

fn proof(body: &Value) -> Value {
    let (_, claims) = peek(body["access_token"].as_str().unwrap());
    let acr = claims.get("azpacr").or_else(|| claims.get("appidacr"));
    acr.unwrap().clone()
}

#[tokio::test]
async fn a_workloads_token_is_as_good_as_a_certificate_with_every_grant() {
    let world = World::new();
    let credential = workload(&world);
    let scope = format!("{} offline_access", own("mcp.read"));
    let code = world.code(ALICE, &scope).await;
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
    ];
    let tokens = shown(&world, &credential, &redeem).await.ok();
    assert_eq!(proof(&tokens), "2");
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("scope", &scope),
    ];
    assert_eq!(proof(&shown(&world, &credential, &refresh).await.ok()), "2");
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("assertion", tokens["access_token"].as_str().unwrap()),
        ("scope", GRAPH_SCOPE),
    ];
    assert_eq!(
        proof(&shown(&world, &credential, &exchange).await.ok()),
        "2"
    );
    assert_eq!(proof(&shown(&world, &credential, APP_ONLY).await.ok()), "2");
}

#[tokio::test]
async fn a_federated_credential_alone_makes_a_client_confidential() {
    let world = World::with(|directory| {
        let app = directory.app_mut(CLIENT_ID).unwrap();
        app.secrets.clear();
        app.certificates.clear();
    });
    shown(&world, &workload(&world), APP_ONLY).await.ok();
    let form = [APP_ONLY, &[("client_id", CLIENT_ID)]].concat();
    assert_eq!(world.token(&form).await.failure().2, 7_000_216);
}

#[tokio::test]
async fn every_way_a_strangers_token_is_refused() {
    let world = World::new();
    let mint = |subject: &str, audience: &str| {
        world
            .control
            .mint_workload_token(subject, audience, Duration::from_secs(600))
    };
    let good = workload(&world);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = mint(WORKLOAD_SUBJECT, TOKEN_EXCHANGE_AUDIENCE);
    let (other_message, _) = other.rsplit_once('.').unwrap();
    let foreign = TokenOrder::app_only(DAEMON_CLIENT_ID, CLIENT_ID);
    let of_issuer = |issuer: &str| world.control.mint(&foreign.clone().claim("iss", issuer));
    let tenant = format!("{BASE_URL}/{TENANT_ID}/v2.0");
    let old = mint(WORKLOAD_SUBJECT, TOKEN_EXCHANGE_AUDIENCE);
    for (name, assertion, wanted) in [
        (
            "subject",
            mint("system:serviceaccount:mcp:other", TOKEN_EXCHANGE_AUDIENCE),
            700_213,
        ),
        (
            "capitals of the subject",
            mint("system:serviceaccount:MCP:entrada", TOKEN_EXCHANGE_AUDIENCE),
            7_002_138,
        ),
        (
            "audience",
            mint(WORKLOAD_SUBJECT, "sts.amazonaws.com"),
            700_212,
        ),
        (
            "audience of another cloud",
            mint(WORKLOAD_SUBJECT, "api://AzureADTokenExchangeUSGov"),
            700_212,
        ),
        (
            "capitals of the audience",
            mint(WORKLOAD_SUBJECT, "api://azureadtokenexchange"),
            700_212,
        ),
        ("issuer", of_issuer("https://issuer.example"), 700_211),
        (
            "slash behind the issuer",
            of_issuer(&format!("{tenant}/")),
            700_211,
        ),
        (
            "another tenant's issuer",
            of_issuer(&format!("{BASE_URL}/{FABRIKAM_TENANT_ID}/v2.0")),
            700_211,
        ),
        (
            "an issuer elsewhere",
            of_issuer(&format!("https://evil.example/{TENANT_ID}/v2.0")),
            700_211,
        ),
        ("an application", of_issuer(&tenant), 700_213),
        ("unsigned", format!("{message}."), 700_027),
        (
            "signed for another",
            format!("{other_message}.{signature}"),
            700_027,
        ),
    ] {
        let (status, error, code) = shown(&world, &assertion, APP_ONLY).await.failure();
        assert_eq!(
            (status, error.as_str(), code),
            (401, "invalid_client", wanted),
            "{name}"
        );
    }
    world.control.advance(Duration::from_secs(900));
    assert_eq!(shown(&world, &old, APP_ONLY).await.failure().2, 700_024);
    shown(&world, &good, APP_ONLY).await.ok();
}

#[tokio::test]
async fn an_application_without_federated_credentials_knows_no_strangers() {
    let world = World::new();
    let form = [
        ("client_id", URL_CLIENT_ID),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &workload(&world)),
        ("grant_type", "client_credentials"),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let (status, error, code) = world.token(&form).await.failure();
    assert_eq!(
        (status, error.as_str(), code),
        (401, "invalid_client", 70_021)
    );
}

// What would let anybody who signs in be the client.
#[tokio::test]
async fn a_users_token_of_the_tenant_is_no_credential() {
    let world = World::new();
    let token = assertion(&world, ALICE).await;
    let (_, claims) = peek(&token);
    world.control.change_directory(|directory| {
        let app = directory.app_mut(CLIENT_ID).unwrap();
        let credential = &mut app.federated_credentials[1];
        credential.subject = claims["sub"].as_str().unwrap().to_owned();
        credential.audience = claims["aud"].as_str().unwrap().to_owned();
    });
    let (status, error, code) = shown(&world, &token, APP_ONLY).await.failure();
    assert_eq!(
        (status, error.as_str(), code),
        (401, "invalid_client", 700_229)
    );
}

#[tokio::test]
async fn a_tenants_issuer_is_believed_with_the_tenants_key_alone() {
    let world = World::new();
    let order = TokenOrder::app_only(DAEMON_CLIENT_ID, CLIENT_ID)
        .claim("sub", MANAGED_IDENTITY_PRINCIPAL_ID)
        .claim("aud", TOKEN_EXCHANGE_AUDIENCE);
    for (signer, wanted) in [
        (Signer::Active, None),
        (Signer::Unpublished, Some(700_027)),
        (Signer::Personal, Some(700_027)),
        (Signer::Nobody, Some(700_027)),
        (Signer::SecretOf(CLIENT_SECRET.to_owned()), Some(700_027)),
    ] {
        let token = world.control.mint(&order.clone().signed_by(signer.clone()));
        let answer = shown(&world, &token, APP_ONLY).await;
        match wanted {
            None => drop(answer.ok()),
            Some(code) => assert_eq!(answer.failure().2, code, "{signer:?}"),
        }
    }
}

#[tokio::test]
async fn the_audience_is_that_of_the_cloud() {
    for (cloud, audience) in [
        (Cloud::Public, TOKEN_EXCHANGE_AUDIENCE),
        (Cloud::UsGovernment, "api://AzureADTokenExchangeUSGov"),
        (Cloud::China, "api://AzureADTokenExchangeChina"),
    ] {
        let world = World::in_cloud(cloud);
        let token = world
            .control
            .mint_workload_token(WORKLOAD_SUBJECT, audience, HOUR);
        shown(&world, &token, APP_ONLY).await.ok();
    }
}

#[tokio::test]
async fn the_workload_issuer_publishes_its_key() {
    let world = World::new();
    let path = "/workload-issuer/.well-known/openid-configuration";
    let metadata = world.get(path).await.ok();
    assert_eq!(metadata["issuer"], WORKLOAD_ISSUER);
    let keys = metadata["jwks_uri"].as_str().unwrap();
    let keys = world.get(keys.strip_prefix(BASE_URL).unwrap()).await.ok();
    let (header, claims) = peek(&workload(&world));
    assert_eq!(keys["keys"][0]["kid"], header["kid"]);
    assert_eq!(claims["iss"], WORKLOAD_ISSUER);
    assert_eq!(claims["aud"], json!([TOKEN_EXCHANGE_AUDIENCE]));
}

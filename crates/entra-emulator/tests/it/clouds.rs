use entra_emulator::builtin::*;
use entra_emulator::{Cloud, TokenOrder};

use crate::world::{REDIRECT, World, own, peek};

async fn metadata(world: &World, base: &str, version: &str) -> serde_json::Value {
    let url = format!("{base}/{TENANT_ID}{version}/.well-known/openid-configuration");
    world.get(&url).await.ok()
}

#[tokio::test]
async fn a_login_host_is_its_cloud_without_being_told() {
    let world = World::new();
    for (host, issuer_host, instance, graph) in [
        (
            "login.microsoftonline.com",
            "login.microsoftonline.com",
            "microsoftonline.com",
            "graph.microsoft.com",
        ),
        (
            "login.windows.net",
            "login.microsoftonline.com",
            "microsoftonline.com",
            "graph.microsoft.com",
        ),
        (
            "login.microsoftonline.us",
            "login.microsoftonline.us",
            "microsoftonline.us",
            "graph.microsoft.us",
        ),
        (
            "login.chinacloudapi.cn",
            "login.partner.microsoftonline.cn",
            "partner.microsoftonline.cn",
            "microsoftgraph.chinacloudapi.cn",
        ),
        (
            "login.sovcloud-identity.fr",
            "login.sovcloud-identity.fr",
            "sovcloud-identity.fr",
            "graph.svc.sovcloud.fr",
        ),
    ] {
        let base = format!("https://{host}");
        let body = metadata(&world, &base, "/v2.0").await;
        let issuer = format!("https://{issuer_host}/{TENANT_ID}/v2.0");
        assert_eq!(body["issuer"], issuer, "{host}");
        assert_eq!(body["cloud_instance_name"], instance, "{host}");
        assert_eq!(body["msgraph_host"], graph, "{host}");
        let jwks_uri = format!("{base}/{TENANT_ID}/discovery/v2.0/keys");
        assert_eq!(body["jwks_uri"], jwks_uri);
        let keys = world.get(&jwks_uri).await.ok();
        assert_eq!(keys["keys"][0]["issuer"], issuer);
        assert_eq!(keys["keys"][0]["cloud_instance_name"], instance);
        let order = TokenOrder::delegated(ALICE, CLIENT_ID, CLIENT_ID).base_url(&base);
        assert_eq!(peek(&world.control.mint(&order)).1["iss"], issuer);
    }
}

#[tokio::test]
async fn tokens_are_the_clouds_whose_host_was_asked() {
    let world = World::new();
    for (host, v2, v1) in [
        (
            "login.microsoftonline.us",
            "https://login.microsoftonline.us",
            "https://sts.windows.net",
        ),
        (
            "login.partner.microsoftonline.cn",
            "https://login.partner.microsoftonline.cn",
            "https://sts.chinacloudapi.cn",
        ),
    ] {
        let token_endpoint = format!("https://{host}/{TENANT_ID}/oauth2/v2.0/token");
        for (resource, issuer) in [
            (CLIENT_ID, format!("{v2}/{TENANT_ID}/v2.0")),
            (V1_CLIENT_ID, format!("{v1}/{TENANT_ID}/")),
        ] {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", DAEMON_CLIENT_ID),
                ("client_secret", DAEMON_CLIENT_SECRET),
                ("scope", &format!("{resource}/.default")),
            ];
            let body = world.post(&token_endpoint, &form, &[]).await.ok();
            let (_, claims) = peek(body["access_token"].as_str().unwrap());
            assert_eq!(claims["iss"], issuer);
        }
    }
}

#[tokio::test]
async fn a_cloud_that_was_chosen_holds_for_every_other_host() {
    let world = World::in_cloud(Cloud::China);
    let v2 = metadata(&world, BASE_URL, "/v2.0").await;
    assert_eq!(v2["issuer"], format!("{BASE_URL}/{TENANT_ID}/v2.0"));
    assert_eq!(v2["cloud_instance_name"], "partner.microsoftonline.cn");
    assert_eq!(v2["cloud_graph_host_name"], "graph.chinacloudapi.cn");
    let v1 = metadata(&world, BASE_URL, "").await;
    let issuer = format!("https://sts.chinacloudapi.cn/{TENANT_ID}/");
    assert_eq!(v1["issuer"], issuer);
    let order = TokenOrder::delegated(ALICE, CLIENT_ID, V1_CLIENT_ID);
    assert_eq!(peek(&world.control.mint(&order)).1["iss"], issuer);
    let many = TokenOrder::delegated(GRACE_MANY_GROUPS, CLIENT_ID, CLIENT_ID);
    let (_, claims) = peek(&world.control.mint(&many));
    let endpoint = claims["_claim_sources"]["src1"]["endpoint"].as_str();
    assert!(
        endpoint
            .unwrap()
            .starts_with("https://graph.chinacloudapi.cn/")
    );

    let public = metadata(&world, "https://login.microsoftonline.com", "/v2.0").await;
    assert_eq!(public["cloud_instance_name"], "microsoftonline.com");
}

#[tokio::test]
async fn errors_are_explained_at_the_clouds_own_host() {
    let wrong = [("grant_type", "nonsense"), ("client_id", CLIENT_ID)];
    for (cloud, host) in [
        (Cloud::Public, BASE_URL),
        (Cloud::China, "https://login.partner.microsoftonline.cn"),
        (Cloud::Delos, "https://login.sovcloud-identity.de"),
    ] {
        let body = World::in_cloud(cloud).token(&wrong).await.json();
        let uri = body["error_uri"].as_str().unwrap();
        assert!(uri.starts_with(&format!("{host}/error?code=")), "{uri}");
    }
}

#[tokio::test]
async fn whoever_asks_is_told_the_cloud_in_the_callback() {
    let world = World::in_cloud(Cloud::UsGovernment);
    let scope = own("mcp.read");
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", &scope),
        ("instance_aware", "true"),
    ];
    let mut browser = crate::world::Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let end = browser.sign_in(&world, page, ALICE).await;
    let sent = crate::world::callback(&end);
    assert_eq!(sent["cloud_instance_name"], "microsoftonline.us");
    assert_eq!(sent["msgraph_host"], "graph.microsoft.us");
}

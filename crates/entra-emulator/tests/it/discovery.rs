use entra_emulator::builtin::{
    ALICE, B2C_POLICY, B2C_TENANT_ID, CLIENT_ID, CONSUMERS_TENANT_ID, TENANT_DOMAIN, TENANT_ID,
};
use entra_emulator::quirks::Quirks;
use entra_emulator::{Signer, TokenOrder};

use crate::world::World;

const BASE: &str = "https://login.emulator.test";

#[tokio::test]
async fn a_tenants_metadata_is_entras_field_by_field() {
    let world = World::new();
    let answer = world
        .get(&format!(
            "/{TENANT_DOMAIN}/v2.0/.well-known/openid-configuration"
        ))
        .await;
    assert_eq!(answer.headers["cache-control"], "max-age=86400, private");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(answer.headers.contains_key("x-ms-request-id"));
    let root = format!("{BASE}/{TENANT_ID}");
    let wanted = format!(
        concat!(
            r#"{{"token_endpoint":"{root}/oauth2/v2.0/token","#,
            r#""token_endpoint_auth_methods_supported":["client_secret_post","private_key_jwt","client_secret_basic","self_signed_tls_client_auth"],"#,
            r#""mtls_endpoint_aliases":{{"token_endpoint":"https://mtlsauth.microsoft.com/{id}/oauth2/v2.0/token"}},"#,
            r#""jwks_uri":"{root}/discovery/v2.0/keys","#,
            r#""response_modes_supported":["query","fragment","form_post"],"#,
            r#""subject_types_supported":["pairwise"],"#,
            r#""id_token_signing_alg_values_supported":["RS256"],"#,
            r#""response_types_supported":["code","id_token","code id_token","id_token token"],"#,
            r#""scopes_supported":["openid","profile","email","offline_access"],"#,
            r#""issuer":"{root}/v2.0","request_uri_parameter_supported":false,"#,
            r#""userinfo_endpoint":"{base}/graph/oidc/userinfo","#,
            r#""authorization_endpoint":"{root}/oauth2/v2.0/authorize","#,
            r#""device_authorization_endpoint":"{root}/oauth2/v2.0/devicecode","#,
            r#""http_logout_supported":true,"frontchannel_logout_supported":true,"#,
            r#""tls_client_certificate_bound_access_tokens":true,"#,
            r#""end_session_endpoint":"{root}/oauth2/v2.0/logout","#,
            r#""claims_supported":["sub","iss","cloud_instance_name","cloud_instance_host_name","cloud_graph_host_name","msgraph_host","aud","exp","iat","auth_time","acr","nonce","preferred_username","name","tid","ver","at_hash","c_hash","email"],"#,
            r#""kerberos_endpoint":"{root}/kerberos","tenant_region_scope":"EU","#,
            r#""cloud_instance_name":"microsoftonline.com","cloud_graph_host_name":"graph.windows.net","#,
            r#""msgraph_host":"graph.microsoft.com","rbac_url":"https://pas.windows.net"}}"#,
        ),
        root = root,
        base = BASE,
        id = TENANT_ID,
    );
    assert_eq!(answer.text, wanted);
}

#[tokio::test]
async fn issuers_are_templates_where_there_is_no_one_tenant() {
    let world = World::new();
    for (tenant, version, issuer, endpoint) in [
        (
            "common",
            "v2.0/",
            format!("{BASE}/{{tenantid}}/v2.0"),
            "common/oauth2/v2.0/token",
        ),
        (
            "organizations",
            "v2.0/",
            format!("{BASE}/{{tenantid}}/v2.0"),
            "organizations/oauth2/v2.0/token",
        ),
        (
            "consumers",
            "v2.0/",
            format!("{BASE}/{CONSUMERS_TENANT_ID}/v2.0"),
            "consumers/oauth2/v2.0/token",
        ),
        (
            "common",
            "",
            "https://sts.windows.net/{tenantid}/".to_owned(),
            "common/oauth2/token",
        ),
    ] {
        let path = format!("/{tenant}/{version}.well-known/openid-configuration");
        let body = world.get(&path).await.ok();
        assert_eq!(body["issuer"], issuer, "{path}");
        assert_eq!(
            body["token_endpoint"],
            format!("{BASE}/{endpoint}"),
            "{path}"
        );
        assert!(body["tenant_region_scope"].is_null(), "{path}");
    }
    let v1 = world
        .get(&format!("/{TENANT_ID}/.well-known/openid-configuration"))
        .await
        .ok();
    assert_eq!(
        v1["issuer"],
        format!("https://sts.windows.net/{TENANT_ID}/")
    );
    assert_eq!(v1["jwks_uri"], format!("{BASE}/common/discovery/keys"));
    assert_eq!(v1["microsoft_multi_refresh_token"], true);
}

#[tokio::test]
async fn pkce_is_advertised_only_on_demand() {
    let path = format!("/{TENANT_ID}/v2.0/.well-known/openid-configuration");
    let world = World::new();
    assert!(
        world
            .get(&path)
            .await
            .ok()
            .get("code_challenge_methods_supported")
            .is_none()
    );
    let world = World::with_quirks(Quirks {
        advertise_pkce: true,
        ..Quirks::default()
    });
    let body = world.get(&path).await.ok();
    assert_eq!(body["code_challenge_methods_supported"][1], "S256");
}

#[tokio::test]
async fn keys_say_whose_tokens_they_sign_and_not_how() {
    let world = World::new();
    let template = format!("{BASE}/{{tenantid}}/v2.0");
    let personal = format!("{BASE}/{CONSUMERS_TENANT_ID}/v2.0");
    for (path, issuers) in [
        (
            format!("/{TENANT_ID}/discovery/v2.0/keys"),
            vec![(format!("{BASE}/{TENANT_ID}/v2.0"), 4)],
        ),
        (
            "/organizations/discovery/v2.0/keys".to_owned(),
            vec![(template.clone(), 4)],
        ),
        (
            "/consumers/discovery/v2.0/keys".to_owned(),
            vec![(personal.clone(), 2)],
        ),
        (
            "/common/discovery/v2.0/keys".to_owned(),
            // One of them is another cloud's.
            vec![(template, 5), (personal, 2)],
        ),
    ] {
        let body = world.get(&path).await.ok();
        let keys = body["keys"].as_array().unwrap();
        for key in keys {
            assert_eq!(key["kid"], key["x5t"], "{path}");
            assert!(key.get("alg").is_none(), "{path}");
            assert_eq!(key["use"], "sig");
            assert_eq!(key["x5c"].as_array().unwrap().len(), 1);
            let cloud = key["cloud_instance_name"].as_str().unwrap();
            assert!(["microsoftonline.com", "microsoftonline.us"].contains(&cloud));
        }
        for (issuer, count) in issuers {
            let found = keys.iter().filter(|key| key["issuer"] == issuer).count();
            assert_eq!(found, count, "{path} {issuer}");
        }
    }
    let v1 = world.get("/common/discovery/keys").await.ok();
    assert!(v1["keys"][0].get("issuer").is_none());
}

#[tokio::test]
async fn unknown_tenants_and_wrong_names_are_told_apart() {
    let world = World::new();
    for (tenant, wanted) in [
        (
            "00000000-0000-0000-0000-000000000001",
            (400, "invalid_tenant", 90_002),
        ),
        ("nobody.example", (400, "invalid_tenant", 90_002)),
        ("nonsense", (400, "invalid_request", 900_023)),
    ] {
        for path in [
            "v2.0/.well-known/openid-configuration",
            "discovery/v2.0/keys",
        ] {
            let (status, error, code) = world.get(&format!("/{tenant}/{path}")).await.failure();
            assert_eq!((status, error.as_str(), code), wanted, "{tenant} {path}");
        }
    }
}

#[tokio::test]
async fn there_is_no_metadata_of_rfc_8414() {
    let world = World::new();
    for path in [
        "/.well-known/oauth-authorization-server".to_owned(),
        format!("/.well-known/oauth-authorization-server/{TENANT_ID}/v2.0"),
        format!("/{TENANT_ID}/v2.0/.well-known/oauth-authorization-server"),
        format!("/{TENANT_ID}/oauth2/v2.0/register"),
    ] {
        assert_eq!(world.get(&path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn instance_discovery_knows_the_clouds_and_itself() {
    let world = World::new();
    let ask = |version: &str, host: &str| {
        format!(
            "/common/discovery/instance?api-version={version}&authorization_endpoint=\
             https%3A%2F%2F{host}%2F{TENANT_ID}%2Foauth2%2Fv2.0%2Fauthorize"
        )
    };
    let endpoint = format!("{BASE}/{TENANT_ID}/v2.0/.well-known/openid-configuration");
    let known = world
        .get(&ask("1.1", "login.microsoftonline.com"))
        .await
        .ok();
    assert_eq!(known["tenant_discovery_endpoint"], endpoint);
    assert_eq!(known["api-version"], "1.1");
    assert_eq!(known["metadata"].as_array().unwrap().len(), 6);
    assert_eq!(
        known["metadata"][0]["preferred_network"],
        "login.emulator.test"
    );
    assert_eq!(known["metadata"][1]["preferred_cache"], "login.windows.net");
    let own = world.get(&ask("1.0", "login.emulator.test")).await.ok();
    assert_eq!(own.as_object().unwrap().len(), 1);
    let unknown = world.get(&ask("1.1", "example.com")).await;
    assert_eq!(
        unknown.failure(),
        (400, "invalid_instance".to_owned(), 50_049)
    );
}

#[tokio::test]
async fn the_public_common_keys_show_one_of_another_cloud() {
    let world = World::new();
    let foreign = async |url: &str| -> Vec<serde_json::Value> {
        let body = world.get(url).await.ok();
        let keys = body["keys"].as_array().unwrap().iter();
        keys.filter(|key| key["cloud_instance_name"] == "microsoftonline.us")
            .cloned()
            .collect()
    };
    let shown = foreign("/common/discovery/v2.0/keys").await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["issuer"], format!("{BASE}/{{tenantid}}/v2.0"));
    for tenant in ["organizations", "consumers", TENANT_ID] {
        let url = format!("/{tenant}/discovery/v2.0/keys");
        assert!(foreign(&url).await.is_empty(), "{tenant}");
    }
    // In the other cloud every key is its own.
    let own = "https://login.microsoftonline.us/common/discovery/v2.0/keys";
    let own = foreign(own).await;
    assert!(own.len() > 1 && own.iter().all(|key| key["kid"] != shown[0]["kid"]));

    let kid = shown[0]["kid"].as_str().unwrap().to_owned();
    let order = TokenOrder::delegated(ALICE, CLIENT_ID, CLIENT_ID);
    let token = world.control.mint(&order.signed_by(Signer::Published(kid)));
    assert!(world.verified(TENANT_ID, &token).await.is_none());
    assert!(world.verified("common", &token).await.is_some());
}

#[tokio::test]
async fn a_key_can_be_missing_from_some_answers() {
    let world = World::new();
    let kid = world.control.keys()[0].clone();
    let has = async |url: &str, kid: &str| -> bool {
        let body = world.get(url).await.ok();
        let keys = body["keys"].as_array().unwrap();
        keys.iter().any(|key| key["kid"] == kid)
    };
    let url = format!("/{TENANT_ID}/discovery/v2.0/keys");
    assert!(has(&url, &kid).await);
    world.control.omit_key_next(&kid, 2);
    assert!(!has(&url, &kid).await);
    assert!(!has("/common/discovery/keys", &kid).await);
    assert!(has(&url, &kid).await);

    let flow = format!("/{B2C_TENANT_ID}/{B2C_POLICY}/discovery/v2.0/keys");
    let body = world.get(&flow).await.ok();
    let kid = body["keys"][0]["kid"].as_str().unwrap();
    let order = serde_json::json!({"kid": kid, "calls": 1}).to_string();
    let request = http::Request::post("/control/omit-key-next");
    let request = request.body(axum::body::Body::from(order)).unwrap();
    world.send(request).await.ok();
    assert!(!has(&flow, kid).await);
    assert!(has(&flow, kid).await);
}

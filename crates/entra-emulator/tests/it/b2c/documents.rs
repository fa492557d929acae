use entra_emulator::Endpoint;
use entra_emulator::builtin::*;
use serde_json::json;

use crate::b2c::base;
use crate::world::World;

const METADATA: &str = "v2.0/.well-known/openid-configuration";

#[tokio::test]
async fn metadata_is_a_user_flows_field_by_field() {
    let world = World::new();
    let answer = world
        .get(&format!("{}/{METADATA}", base("b2c_1_SIGNIN")))
        .await;
    let root = base("b2c_1_signin");
    let wanted = format!(
        concat!(
            r#"{{"issuer":"https://{host}/{id}/v2.0/","#,
            r#""authorization_endpoint":"{root}/oauth2/v2.0/authorize","#,
            r#""token_endpoint":"{root}/oauth2/v2.0/token","#,
            r#""end_session_endpoint":"{root}/oauth2/v2.0/logout","#,
            r#""jwks_uri":"{root}/discovery/v2.0/keys","#,
            r#""response_modes_supported":["query","fragment","form_post"],"#,
            r#""response_types_supported":["code","code id_token","code token","code id_token token","id_token","id_token token","token","token id_token"],"#,
            r#""scopes_supported":["openid"],"subject_types_supported":["pairwise"],"#,
            r#""id_token_signing_alg_values_supported":["RS256"],"#,
            r#""token_endpoint_auth_methods_supported":["client_secret_post","client_secret_basic"],"#,
            r#""claims_supported":["oid","given_name","family_name","name","emails","sub","iss","iat","exp","aud","nonce","tfp","auth_time"]}}"#,
        ),
        host = B2C_LOGIN_HOST,
        id = B2C_TENANT_ID,
        root = root,
    );
    assert_eq!(answer.text, wanted);
}

#[tokio::test]
async fn the_issuer_follows_the_style_and_the_host() {
    let world = World::new();
    let id = B2C_TENANT_ID;
    let own = format!("https://{B2C_LOGIN_HOST}");
    for (url, issuer) in [
        (
            format!("{own}/{B2C_TENANT_DOMAIN}/{B2C_POLICY}/{METADATA}"),
            format!("{own}/{id}/v2.0/"),
        ),
        (
            format!("{own}/{id}/B2C_1_STRICT/{METADATA}"),
            format!("{own}/tfp/{id}/b2c_1_strict/v2.0/"),
        ),
        (
            format!("https://{B2C_CUSTOM_DOMAIN}/{id}/{B2C_POLICY}/{METADATA}"),
            format!("https://{B2C_CUSTOM_DOMAIN}/{id}/v2.0/"),
        ),
        (
            format!("{BASE_URL}/{id}/{B2C_TFP_POLICY}/{METADATA}"),
            format!("{BASE_URL}/tfp/{id}/b2c_1_strict/v2.0/"),
        ),
    ] {
        assert_eq!(world.get(&url).await.ok()["issuer"], issuer, "{url}");
    }
    // What begins with its own issuer is found there.
    let issuer = format!("{own}/tfp/{id}/b2c_1_strict/v2.0/");
    let url = format!("{issuer}.well-known/openid-configuration");
    assert_eq!(world.get(&url).await.ok()["issuer"], issuer);
}

#[tokio::test]
async fn endpoints_are_named_as_the_user_flow_was() {
    let world = World::new();
    let own = format!("https://{B2C_LOGIN_HOST}");
    for (url, token_endpoint) in [
        (
            format!("{own}/{B2C_TENANT_DOMAIN}/{METADATA}?p=B2C_1_Signin"),
            format!("{own}/{B2C_TENANT_DOMAIN}/oauth2/v2.0/token?p=b2c_1_signin"),
        ),
        (
            format!("{own}/tfp/{B2C_TENANT_ID}/B2C_1_signin/{METADATA}"),
            format!("{own}/tfp/{B2C_TENANT_ID}/b2c_1_signin/oauth2/v2.0/token"),
        ),
    ] {
        let body = world.get(&url).await.ok();
        assert_eq!(body["token_endpoint"], token_endpoint, "{url}");
        let keys = world.get(body["jwks_uri"].as_str().unwrap()).await.ok();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn keys_are_no_entra_keys() {
    let world = World::new();
    let url = format!("{}/discovery/v2.0/keys", base(B2C_POLICY));
    let flow = world.get(&url).await.ok();
    let entra = world.get("/common/discovery/v2.0/keys").await.ok();
    let entra = entra["keys"].as_array().unwrap();
    for key in flow["keys"].as_array().unwrap() {
        let members: Vec<&String> = key.as_object().unwrap().keys().collect();
        let mut members: Vec<&str> = members.iter().map(|name| name.as_str()).collect();
        members.sort_unstable();
        assert_eq!(members, ["e", "kid", "kty", "n", "nbf", "use"]);
        assert_eq!(key["kid"].as_str().unwrap().len(), 43);
        assert!(entra.iter().all(|other| other["n"] != key["n"]));
    }
    assert_eq!(world.control.calls(Endpoint::Keys), 2);
}

#[tokio::test]
async fn an_unknown_user_flow_is_told_from_a_tenant_without_any() {
    let world = World::new();
    let url = format!("{}/{METADATA}", base("B2C_1_nonsense"));
    let unknown = world.get(&url).await;
    assert_eq!(unknown.status, 404);
    let text = unknown.json()["error_description"].clone();
    assert!(
        text.as_str().unwrap().starts_with("AADB2C90022: "),
        "{text}"
    );
    for tenant in [TENANT_ID, CUSTOMERS_TENANT_ID, "nobody.example"] {
        let answer = world
            .get(&format!("/{tenant}/B2C_1_signin/{METADATA}"))
            .await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, ""));
    }
    // Beneath every such tenant is an ordinary one.
    let beneath = world
        .get(&format!("/{B2C_TENANT_ID}/{METADATA}"))
        .await
        .ok();
    assert_eq!(
        beneath["issuer"],
        json!(format!("{BASE_URL}/{B2C_TENANT_ID}/v2.0"))
    );
}

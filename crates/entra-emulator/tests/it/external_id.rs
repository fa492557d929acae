use entra_emulator::TokenOrder;
use entra_emulator::builtin::*;
use http::Method;

use crate::world::{Browser, Pairs, REDIRECT, World, callback, encode, peek};

fn issuer() -> String {
    format!("https://{CUSTOMERS_TENANT_ID}.ciamlogin.com/{CUSTOMERS_TENANT_ID}/v2.0")
}

fn client() -> Pairs<'static> {
    &[
        ("client_id", CUSTOMERS_CLIENT_ID),
        ("client_secret", CUSTOMERS_CLIENT_SECRET),
    ]
}

/// Every way to the tenant: in-process by host, elsewhere by the path alone.
fn bases() -> Vec<String> {
    vec![
        format!("https://{CUSTOMERS_LOGIN_HOST}/{CUSTOMERS_TENANT_ID}"),
        format!("https://{CUSTOMERS_LOGIN_HOST}/{CUSTOMERS_TENANT_DOMAIN}"),
        format!("https://{CUSTOMERS_TENANT_ID}.ciamlogin.com/{CUSTOMERS_TENANT_ID}"),
        format!("https://{CUSTOMERS_CUSTOM_DOMAIN}/{CUSTOMERS_TENANT_ID}"),
        format!("{BASE_URL}/{CUSTOMERS_TENANT_ID}"),
    ]
}

#[tokio::test]
async fn the_issuer_is_the_same_whatever_host_was_asked() {
    let world = World::new();
    for base in bases() {
        let metadata = world
            .get(&format!("{base}/v2.0/.well-known/openid-configuration"))
            .await
            .ok();
        assert_eq!(metadata["issuer"], issuer(), "{base}");
        let host = base.rsplit_once('/').unwrap().0;
        let jwks_uri = format!("{host}/{CUSTOMERS_TENANT_ID}/discovery/v2.0/keys");
        assert_eq!(metadata["jwks_uri"], jwks_uri);
        let keys = world.get(&jwks_uri).await.ok();
        for key in keys["keys"].as_array().unwrap() {
            assert_eq!(key["issuer"], issuer());
        }
    }
}

#[tokio::test]
async fn a_customer_signs_in_and_stays() {
    let world = World::new();
    for base in bases() {
        let scope = format!("{CUSTOMERS_IDENTIFIER_URI}/mcp.read openid profile offline_access");
        let query = encode(&[
            ("client_id", CUSTOMERS_CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", &scope),
        ]);
        let mut browser = Browser::default();
        let path = format!("{base}/oauth2/v2.0/authorize?{query}");
        let page = browser.go(&world, Method::GET, &path, "").await;
        let end = browser.sign_in(&world, page, CAROL_CUSTOMER).await;
        let code = callback(&end)["code"].clone();
        let endpoint = format!("{base}/oauth2/v2.0/token");
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
        ];
        let form = [client(), &form].concat();
        let body = world.post(&endpoint, &form, &[]).await.ok();
        for name in ["access_token", "id_token"] {
            let token = body[name].as_str().unwrap();
            let claims = world.verified(CUSTOMERS_TENANT_ID, token).await.unwrap();
            assert_eq!(claims["iss"], issuer(), "{base}");
            assert_eq!(claims["tid"], CUSTOMERS_TENANT_ID);
            assert_eq!(claims["oid"], CAROL_CUSTOMER_OID);
        }
        let refresh_token = body["refresh_token"].as_str().unwrap();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("scope", &scope),
        ];
        let form = [client(), &form].concat();
        let body = world.post(&endpoint, &form, &[]).await.ok();
        assert_eq!(
            peek(body["access_token"].as_str().unwrap()).1["iss"],
            issuer()
        );
    }
}

#[tokio::test]
async fn an_application_of_the_tenant_signs_in_as_itself() {
    let world = World::new();
    let scope = format!("{CUSTOMERS_CLIENT_ID}/.default");
    let form = [("grant_type", "client_credentials"), ("scope", &scope)];
    for base in bases() {
        let endpoint = format!("{base}/oauth2/v2.0/token");
        let form = [client(), &form].concat();
        let body = world.post(&endpoint, &form, &[]).await.ok();
        let (_, claims) = peek(body["access_token"].as_str().unwrap());
        assert_eq!(claims["iss"], issuer());
        assert_eq!(claims["roles"][0], "Mcp.Run");
    }
}

#[tokio::test]
async fn a_minted_token_has_the_issuer_too() {
    let world = World::new();
    let order = TokenOrder::delegated(CAROL_CUSTOMER, CUSTOMERS_CLIENT_ID, CUSTOMERS_CLIENT_ID);
    let token = world.control.mint(&order);
    let claims = world.verified(CUSTOMERS_TENANT_ID, &token).await.unwrap();
    assert_eq!(claims["iss"], issuer());
}

#[tokio::test]
async fn its_hosts_serve_nobody_else_and_its_accounts_go_nowhere_else() {
    let world = World::new();
    for tenant in [TENANT_ID, "common", "organizations", "consumers"] {
        let url = format!("https://{CUSTOMERS_LOGIN_HOST}/{tenant}/discovery/v2.0/keys");
        let failure = world.get(&url).await.failure();
        assert_eq!(failure, (400, "invalid_tenant".to_owned(), 90_002));
    }
    let form = [
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("client_secret", MULTI_TENANT_CLIENT_SECRET),
        ("grant_type", "password"),
        ("username", CAROL_CUSTOMER),
        ("password", PASSWORD),
        ("scope", "openid"),
    ];
    for tenant in ["common", "organizations", TENANT_ID] {
        let (_, error, code) = world.token_at(tenant, &form).await.failure();
        assert_eq!(
            (error.as_str(), code),
            ("invalid_grant", 50_020),
            "{tenant}"
        );
    }
}

use entra_emulator::builtin::*;
use entra_emulator::{MintError, Signer, TokenOrder};
use serde_json::json;

use crate::world::{World, own, peek};

fn order() -> TokenOrder {
    TokenOrder::delegated(ALICE, CLIENT_ID, CLIENT_ID).scopes(["mcp.read", "mcp.write"])
}

#[tokio::test]
async fn a_minted_token_has_the_claims_of_an_issued_one() {
    let world = World::new();
    let names = |token: &str| {
        let (header, claims) = peek(token);
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        (keys(&header), keys(&claims))
    };
    let issued = world
        .tokens(ALICE, &(own("mcp.read") + " openid profile email"))
        .await;
    let minted = world.control.mint(&order());
    assert_eq!(
        names(&minted),
        names(issued["access_token"].as_str().unwrap())
    );
    let claims = world.verified(TENANT_ID, &minted).await.unwrap();
    assert_eq!(claims["scp"], "mcp.read mcp.write");
    assert_eq!(claims["iss"], format!("{BASE_URL}/{TENANT_ID}/v2.0"));

    let id_token = world.control.mint(&TokenOrder::id_token(ALICE, CLIENT_ID));
    let claims = world.verified(TENANT_ID, &id_token).await.unwrap();
    let (_, mut issued) = peek(issued["id_token"].as_str().unwrap());
    assert!(claims["nonce"].is_string());
    issued["nonce"] = claims["nonce"].clone();
    let names = |value: &serde_json::Value| -> Vec<String> {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&claims), names(&issued));
    let order = TokenOrder::id_token(ALICE, CLIENT_ID)
        .nonce("n")
        .without_profile();
    let (_, claims) = peek(&world.control.mint(&order));
    assert_eq!(claims["nonce"], "n");
    assert!(claims.get("oid").is_none() && claims.get("email").is_none());
}

#[tokio::test]
async fn scopes_are_all_some_or_none() {
    let world = World::new();
    let order = TokenOrder::delegated(ALICE, CLIENT_ID, CLIENT_ID);
    for (order, scp) in [
        (
            order.clone(),
            json!("mcp.read mcp.write mcp.access mcp.admin"),
        ),
        (order.clone().scopes(["mcp.read"]), json!("mcp.read")),
        (order.clone().scopes(Vec::<String>::new()), json!(null)),
    ] {
        let (_, claims) = peek(&world.control.mint(&order));
        assert_eq!(claims["scp"], scp);
    }
    let (_, claims) = peek(&world.control.mint(&order.without_profile()));
    for name in ["name", "oid", "preferred_username"] {
        assert!(claims.get(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn an_application_gets_its_own_token_where_it_is_told_to() {
    let world = World::new();
    let order = TokenOrder::app_only(DAEMON_CLIENT_ID, CLIENT_ID);
    let claims = world
        .verified(TENANT_ID, &world.control.mint(&order))
        .await
        .unwrap();
    assert_eq!(claims["roles"], json!(["Mcp.Run"]));
    assert_eq!(claims["sub"], claims["oid"]);
    let order = order.tenant(FABRIKAM_TENANT_DOMAIN);
    let (_, claims) = peek(&world.control.mint(&order));
    assert_eq!(claims["tid"], FABRIKAM_TENANT_ID);
}

#[tokio::test]
async fn a_guest_is_minted_where_the_order_says() {
    let world = World::new();
    let order = TokenOrder::delegated(DANA_GUEST, CLIENT_ID, CLIENT_ID);
    let (_, home) = peek(&world.control.mint(&order));
    assert_eq!(home["tid"], FABRIKAM_TENANT_ID);
    let (_, guest) = peek(&world.control.mint(&order.tenant(TENANT_ID)));
    assert_eq!(guest["tid"], TENANT_ID);
    assert_eq!(guest["oid"], DANA_GUEST_OID);
    assert_eq!(
        guest["idp"],
        format!("https://sts.windows.net/{FABRIKAM_TENANT_ID}/")
    );
}

#[tokio::test]
async fn edits_are_made_before_signing_and_the_last_one_counts() {
    let world = World::new();
    let order = order()
        .claim("tid", FABRIKAM_TENANT_ID)
        .claim("exp", json!(1.5))
        .claim("scp", "x")
        .without_claim("scp")
        .without_claim("ver")
        .claim("ver", "3.0")
        .header("typ", "at+jwt");
    let token = world.control.mint(&order);
    let claims = world.verified(TENANT_ID, &token).await.unwrap();
    assert_eq!(claims["tid"], FABRIKAM_TENANT_ID);
    assert_eq!(claims["exp"], 1.5);
    assert_eq!(claims["ver"], "3.0");
    assert!(claims.get("scp").is_none());
    assert_eq!(peek(&token).0["typ"], "at+jwt");
    let bare = world.control.mint(&order.without_header("kid"));
    assert!(peek(&bare).0.get("kid").is_none());
}

#[tokio::test]
async fn every_signer_leaves_its_mark() {
    let world = World::new();
    let active = world.control.keys()[0].clone();
    let other = world.control.keys()[1].clone();
    let mint = |signer: Signer| world.control.mint(&order().signed_by(signer));

    let token = mint(Signer::Published(other.clone()));
    assert_eq!(peek(&token).0["kid"], other);
    assert!(world.verified(TENANT_ID, &token).await.is_some());

    let token = mint(Signer::Personal);
    assert!(world.verified(TENANT_ID, &token).await.is_none());
    assert!(world.verified("consumers", &token).await.is_some());

    let token = mint(Signer::Unpublished);
    assert_eq!(peek(&token).0["kid"], active);
    assert!(world.verified(TENANT_ID, &token).await.is_none());

    let token = mint(Signer::Nobody);
    assert_eq!(peek(&token).0["alg"], "RS256");
    assert!(token.ends_with('.'));

    let token = mint(Signer::SecretOf("public key".to_owned()));
    let (header, _) = peek(&token);
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&json!("HS256"), &json!(active))
    );

    let odd = order().header("alg", "none").header("kid", "?");
    let (header, _) = peek(&world.control.mint(&odd.signed_by(Signer::Personal)));
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&json!("none"), &json!("?"))
    );
}

#[tokio::test]
async fn a_minted_graph_token_opens_graph_and_nothing_else() {
    let world = World::new();
    let token = world
        .control
        .mint(&TokenOrder::delegated(ALICE, CLIENT_ID, GRAPH_APP_ID));
    assert!(peek(&token).0["nonce"].is_string());
    assert!(world.verified(TENANT_ID, &token).await.is_none());
    let request = http::Request::get("/graph/v1.0/me")
        .header("authorization", format!("Bearer {token}"))
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(world.send(request).await.ok()["id"], ALICE_OID);
}

#[tokio::test]
async fn orders_come_over_http_too() {
    let world = World::new();
    let send = |body: serde_json::Value| {
        let request = http::Request::post("/control/mint-token");
        world.send(
            request
                .body(axum::body::Body::from(body.to_string()))
                .unwrap(),
        )
    };
    let answer = send(json!({
        "kind": "delegated", "user": ALICE, "client_id": CLIENT_ID, "resource": CLIENT_ID,
        "scopes": ["mcp.read"], "profile": false, "base_url": "https://x.example",
        "claims": {"set": {"amr": ["pwd"]}, "remove": ["sid"]},
        "header": {"set": {"jku": "https://x.example"}},
        "signed_by": {"published": world.control.keys()[1]},
    }));
    let body = answer.await.ok();
    let (header, claims) = peek(body["token"].as_str().unwrap());
    assert_eq!(header["jku"], "https://x.example");
    assert_eq!(header["kid"], world.control.keys()[1]);
    assert_eq!(claims["iss"], format!("https://x.example/{TENANT_ID}/v2.0"));
    assert_eq!(claims["amr"], json!(["pwd"]));
    assert!(claims.get("sid").is_none() && claims.get("name").is_none());
    for (body, wanted) in [
        (
            json!({"kind": "id_token", "client_id": CLIENT_ID}),
            "lacks `user`",
        ),
        (
            json!({"kind": "id_token", "user": "x", "client_id": CLIENT_ID}),
            "no user 'x'",
        ),
        (
            json!({"kind": "app_only", "client_id": CLIENT_ID}),
            "lacks `resource`",
        ),
        (
            json!({"kind": "app_only", "colour": "blue"}),
            "unknown field",
        ),
    ] {
        let answer = send(body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains(wanted), "{}", answer.text);
    }
}

#[test]
fn an_order_for_what_is_not_there_is_refused() {
    let world = World::new();
    let unknown = |text: &str| text.to_owned();
    for (order, wanted) in [
        (
            TokenOrder::delegated("nobody", CLIENT_ID, CLIENT_ID),
            MintError::UnknownUser(unknown("nobody")),
        ),
        (
            order().tenant(FABRIKAM_TENANT_ID),
            MintError::UnknownUser(unknown(ALICE)),
        ),
        (order().tenant("x"), MintError::UnknownTenant(unknown("x"))),
        (
            order().audience("x"),
            MintError::UnknownAudience(unknown("x")),
        ),
        (order().scopes(["x"]), MintError::UnknownScope(unknown("x"))),
        (
            TokenOrder::app_only("x", CLIENT_ID),
            MintError::UnknownApplication(unknown("x")),
        ),
        (
            order().signed_by(Signer::Published(unknown("x"))),
            MintError::UnknownKey(unknown("x")),
        ),
    ] {
        assert_eq!(world.control.try_mint(&order), Err(wanted));
    }
}

#[test]
fn a_v1_token_is_for_the_resource_as_it_was_named() {
    let names = [
        (None, format!("api://{V1_CLIENT_ID}")),
        (Some(V1_CLIENT_ID.to_owned()), V1_CLIENT_ID.to_owned()),
        (
            Some(format!("api://{V1_CLIENT_ID}/")),
            format!("api://{V1_CLIENT_ID}/"),
        ),
    ];
    let orders = [
        TokenOrder::delegated(ALICE, CLIENT_ID, V1_CLIENT_ID),
        TokenOrder::app_only(DAEMON_CLIENT_ID, V1_CLIENT_ID),
    ];
    let guid = World::with(|directory| {
        let app = directory.app_mut(V1_CLIENT_ID).unwrap();
        app.optional_claims.access_token = vec!["aud:use_guid".to_owned()];
    });
    let world = World::new();
    for order in orders {
        for (asked, audience) in &names {
            let mut order = order.clone();
            if let Some(asked) = asked {
                order = order.audience(asked);
            }
            let (header, claims) = peek(&world.control.mint(&order));
            assert_eq!(header["x5t"], header["kid"]);
            assert_eq!(claims["aud"], *audience);
            assert_eq!(
                claims["iss"],
                format!("https://sts.windows.net/{TENANT_ID}/")
            );
            assert_eq!(claims["ver"], "1.0");
            assert_eq!(peek(&guid.control.mint(&order)).1["aud"], V1_CLIENT_ID);
        }
    }
    // A v2 token does not care.
    let order = TokenOrder::delegated(ALICE, CLIENT_ID, CLIENT_ID).audience(IDENTIFIER_URI);
    assert_eq!(peek(&world.control.mint(&order)).1["aud"], CLIENT_ID);
}

#[tokio::test]
async fn a_v1_token_verifies_with_the_v1_keys() {
    let world = World::new();
    let order = TokenOrder::app_only(DAEMON_CLIENT_ID, V1_CLIENT_ID);
    let kid = peek(&world.control.mint(&order)).0["kid"].clone();
    for tenant in ["common", TENANT_ID] {
        let body = world.get(&format!("/{tenant}/discovery/keys")).await.ok();
        let keys = body["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == kid).unwrap();
        assert_eq!(key["x5t"], kid);
        assert!(key.get("alg").is_none() && key.get("issuer").is_none());
    }
}

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entra_emulator::TokenOrder;
use entra_emulator::builtin::*;
use entra_emulator::directory::app::GroupMembershipClaims;
use serde_json::{Value, json};

use crate::world::{Browser, NOW, Pairs, REDIRECT, World, callback, own, peek};

fn names(claims: &Value) -> BTreeSet<&str> {
    claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn set(names: &'static str) -> BTreeSet<&'static str> {
    names.split_whitespace().collect()
}

async fn access_token(world: &World, user: &str, scope: &str) -> String {
    let tokens = world.tokens(user, scope).await;
    tokens["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_v2_access_token_claim_by_claim() {
    let world = World::new();
    let token = access_token(&world, BOB, &own("mcp.read")).await;
    let (header, _) = peek(&token);
    assert_eq!(
        header,
        json!({"typ": "JWT", "alg": "RS256", "kid": world.control.keys()[0]})
    );
    let claims = world.verified(TENANT_ID, &token).await.unwrap();
    assert_eq!(
        names(&claims),
        set(
            "aud iss iat nbf exp aio azp azpacr name oid preferred_username rh scp sid sub tid uti \
             ver xms_ftd groups"
        )
    );
    assert_eq!(claims["aud"], CLIENT_ID);
    assert_eq!(claims["iss"], format!("{BASE_URL}/{TENANT_ID}/v2.0"));
    assert_eq!(claims["iat"], NOW - 300);
    assert_eq!(claims["nbf"], NOW - 300);
    let lifetime = claims["exp"].as_u64().unwrap() - NOW;
    assert!((3600..=5400).contains(&lifetime));
    assert_eq!(claims["azp"], CLIENT_ID);
    assert_eq!(claims["azpacr"], "1");
    assert_eq!(claims["oid"], BOB_OID);
    assert_eq!(claims["preferred_username"], BOB);
    assert_eq!(claims["scp"], "mcp.read mcp.write mcp.access");
    assert_eq!(claims["tid"], TENANT_ID);
    assert_eq!(claims["ver"], "2.0");
}

#[tokio::test]
async fn a_v1_access_token_claim_by_claim() {
    let world = World::new();
    let uri = format!("api://{V1_CLIENT_ID}");
    let client: Pairs<'_> = &[
        ("client_id", V1_CLIENT_ID),
        ("client_secret", V1_CLIENT_SECRET),
    ];
    for (asked, audience) in [(uri.as_str(), uri.as_str()), (V1_CLIENT_ID, V1_CLIENT_ID)] {
        let scope = format!("{asked}/mcp.read openid");
        let query = [
            ("client_id", V1_CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", &scope),
        ];
        let mut browser = Browser::default();
        let page = browser.authorize(&world, TENANT_ID, &query).await;
        let end = browser.sign_in(&world, page, ALICE).await;
        let code = callback(&end)["code"].clone();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
        ];
        let body = world.token(&[client, &form].concat()).await.ok();
        let token = body["access_token"].as_str().unwrap();
        let (header, _) = peek(token);
        assert_eq!(names(&header), set("typ alg x5t kid"));
        assert_eq!(header["x5t"], header["kid"]);
        let claims = world.verified(TENANT_ID, token).await.unwrap();
        assert_eq!(
            names(&claims),
            set(
                "aud iss iat nbf exp acr aio amr appid appidacr family_name given_name ipaddr name \
                 oid rh roles scp sid sub tid unique_name upn uti ver groups"
            )
        );
        assert_eq!(claims["aud"], audience);
        assert_eq!(
            claims["iss"],
            format!("https://sts.windows.net/{TENANT_ID}/")
        );
        assert_eq!(claims["amr"], json!(["pwd"]));
        assert_eq!(claims["appid"], V1_CLIENT_ID);
        assert_eq!(claims["roles"], json!(["Reader"]));
        assert_eq!(claims["ver"], "1.0");
        // The id token's version is the endpoint's.
        let (_, id_claims) = peek(body["id_token"].as_str().unwrap());
        assert_eq!(id_claims["ver"], "2.0");
    }
}

#[tokio::test]
async fn an_id_token_claim_by_claim() {
    let world = World::new();
    let query = |scope: &'static str| {
        [
            ("client_id", CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", scope),
            ("nonce", "n-0S6"),
        ]
    };
    let mut browser = Browser::default();
    let page = browser
        .authorize(&world, TENANT_ID, &query("openid profile email"))
        .await;
    let end = browser.sign_in(&world, page, ALICE).await;
    let code = callback(&end)["code"].clone();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    let body = world.mcp_token(&form).await.ok();
    let claims = world
        .verified(TENANT_ID, body["id_token"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(
        names(&claims),
        set(
            "aud iss iat nbf exp aio email name nonce oid preferred_username rh roles sid sub tid \
             uti ver groups"
        )
    );
    assert_eq!(claims["aud"], CLIENT_ID);
    assert_eq!(claims["nonce"], "n-0S6");
    assert_eq!(claims["email"], "alice.anders@contoso.onmicrosoft.com");
    assert_eq!(claims["exp"], NOW + 3600);
}

#[tokio::test]
async fn names_need_profile() {
    let world = World::with(|directory| {
        for consent in &mut directory.consents {
            consent
                .scopes
                .retain(|scope| scope != "profile" && scope != "email");
        }
    });
    let tokens = world
        .tokens(ALICE, &format!("{} openid", own("mcp.read")))
        .await;
    for token in ["access_token", "id_token"] {
        let (_, claims) = peek(tokens[token].as_str().unwrap());
        for name in ["name", "oid", "preferred_username", "email"] {
            assert!(claims.get(name).is_none(), "{token} {name}");
        }
        assert!(claims["sub"].is_string());
    }
}

#[tokio::test]
async fn subjects_differ_from_application_to_application() {
    let world = World::new();
    let (_, own_token) = peek(&access_token(&world, ALICE, &own("mcp.read")).await);
    let (_, graph) = peek(&access_token(&world, ALICE, "User.Read").await);
    let (_, bob) = peek(&access_token(&world, BOB, &own("mcp.read")).await);
    assert_eq!(own_token["oid"], graph["oid"]);
    assert_ne!(own_token["sub"], graph["sub"]);
    assert_ne!(own_token["sub"], bob["sub"]);
}

#[tokio::test]
async fn an_application_token_claim_by_claim() {
    let world = World::new();
    let token = |scope: &'static str| {
        let form = [
            ("client_id", DAEMON_CLIENT_ID),
            ("client_secret", DAEMON_CLIENT_SECRET),
            ("grant_type", "client_credentials"),
            ("scope", scope),
        ];
        let world = &world;
        async move {
            let body = world.token(&form).await.ok();
            body["access_token"].as_str().unwrap().to_owned()
        }
    };
    let v2 = token("api://30000000-0000-4000-8000-000000000001/.default").await;
    let claims = world.verified(TENANT_ID, &v2).await.unwrap();
    assert_eq!(
        names(&claims),
        set("aio aud azp azpacr exp iat iss nbf oid rh roles sub tid uti ver")
    );
    assert_eq!(claims["aud"], CLIENT_ID);
    assert_eq!(claims["roles"], json!(["Mcp.Run"]));
    assert_eq!(claims["sub"], claims["oid"]);

    // A token is issued even when no role was given.
    let none = token("api://downstream.contoso.onmicrosoft.com/.default").await;
    assert!(peek(&none).1.get("roles").is_none());

    let (header, graph) = peek(&token("https://graph.microsoft.com/.default").await);
    assert!(header["nonce"].is_string());
    assert_eq!(graph["idtyp"], "app");
    assert_eq!(graph["exp"], NOW + 86_399);
    assert_eq!(
        graph["roles"],
        json!(["GroupMember.Read.All", "Application.Read.All"])
    );
}

#[tokio::test]
async fn graph_tokens_fail_the_ordinary_check() {
    let world = World::new();
    let bare = access_token(&world, ALICE, "User.Read openid").await;
    let (header, claims) = peek(&bare);
    assert_eq!(names(&header), set("typ nonce alg x5t kid"));
    assert_eq!(claims["aud"], GRAPH_APP_ID);
    assert_eq!(claims["ver"], "1.0");
    assert!(world.verified(TENANT_ID, &bare).await.is_none());
    let named = access_token(&world, ALICE, "https://graph.microsoft.com/User.Read").await;
    assert_eq!(peek(&named).1["aud"], "https://graph.microsoft.com");
}

#[tokio::test]
async fn optional_claims_are_there_once() {
    let world = World::with(|directory| {
        let app = directory.app_mut(CLIENT_ID).unwrap();
        app.requested_access_token_version = Some(1);
        let names = ["acct", "email", "family_name", "upn", "auth_time", "idtyp"];
        app.optional_claims.access_token = names.map(str::to_owned).to_vec();
    });
    let token = access_token(&world, ALICE, &own("mcp.read")).await;
    let claims = world.verified(TENANT_ID, &token).await.unwrap();
    assert_eq!(claims["upn"], ALICE);
    assert_eq!(claims["acct"], 0);
    assert_eq!(claims["auth_time"], NOW);
    let payload = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let text = String::from_utf8(payload).unwrap();
    assert_eq!(text.matches("\"family_name\"").count(), 1);
}

#[tokio::test]
async fn groups_are_listed_until_there_are_too_many() {
    let world = World::new();
    let (_, few) = peek(&access_token(&world, ALICE, &own("mcp.read")).await);
    assert_eq!(few["groups"].as_array().unwrap().len(), 2);
    let (_, many) = peek(&access_token(&world, GRACE_MANY_GROUPS, &own("mcp.read")).await);
    assert!(many.get("groups").is_none());
    assert_eq!(many["_claim_names"], json!({"groups": "src1"}));
    let oid = many["oid"].as_str().unwrap();
    let endpoint = format!("https://graph.windows.net/{TENANT_ID}/users/{oid}/getMemberObjects");
    assert_eq!(many["_claim_sources"]["src1"]["endpoint"], endpoint);

    let world = World::with(|directory| {
        let app = directory.app_mut(CLIENT_ID).unwrap();
        app.group_membership_claims = GroupMembershipClaims::DirectoryRole;
    });
    let (_, admin) = peek(&access_token(&world, ADMIN, &own("mcp.read")).await);
    assert!(admin["wids"].is_array() && admin.get("groups").is_none());
}

#[tokio::test]
async fn lifetimes_vary_unless_they_are_fixed() {
    let world = World::new();
    let lifetime = |token: &str| peek(token).1["exp"].as_u64().unwrap() - NOW;
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        seen.insert(lifetime(
            &access_token(&world, ALICE, &own("mcp.read")).await,
        ));
    }
    assert!(seen.len() > 1 && seen.iter().all(|seconds| (3600..=5400).contains(seconds)));
    world.control.set_token_lifetime(Duration::from_secs(30));
    assert_eq!(
        lifetime(&access_token(&world, ALICE, &own("mcp.read")).await),
        30
    );
}

#[tokio::test]
async fn personal_accounts_have_their_own_tenant_and_keys() {
    let world = World::new();
    let scope = format!("api://{MULTI_TENANT_CLIENT_ID}/mcp.read openid profile");
    let query = [
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", &scope),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, "common", &query).await;
    let page = browser.sign_in(&world, page, PAT_PERSONAL).await;
    let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
    let code = callback(&end)["code"].clone();
    let form = [
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("client_secret", MULTI_TENANT_CLIENT_SECRET),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    let body = world.token_at("common", &form).await.ok();
    let token = body["access_token"].as_str().unwrap();
    assert!(world.verified(TENANT_ID, token).await.is_none());
    let claims = world.verified("consumers", token).await.unwrap();
    assert_eq!(claims["tid"], CONSUMERS_TENANT_ID);
}

#[tokio::test]
async fn capabilities_are_shown_to_those_who_ask() {
    let world = World::new();
    let assertion = access_token(&world, ALICE, &own("mcp.read")).await;
    assert!(peek(&assertion).1.get("xms_cc").is_none());
    let scope = format!("{DOWNSTREAM_IDENTIFIER_URI}/data.read");
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("assertion", &assertion),
        ("scope", &scope),
        (
            "claims",
            r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#,
        ),
    ];
    let body = world.mcp_token(&form).await.ok();
    assert_eq!(
        peek(body["access_token"].as_str().unwrap()).1["xms_cc"],
        json!(["CP1"])
    );
}

#[tokio::test]
async fn the_v1_endpoints_speak_their_own_dialect() {
    let world = World::new();
    let query = crate::world::encode(&[
        ("client_id", V1_CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("resource", V1_CLIENT_ID),
    ]);
    let mut browser = Browser::default();
    let path = format!("/{TENANT_ID}/oauth2/authorize?{query}");
    let page = browser.go(&world, http::Method::GET, &path, "").await;
    let end = browser.sign_in(&world, page, ALICE).await;
    let code = callback(&end)["code"].clone();
    let form = [
        ("client_id", V1_CLIENT_ID),
        ("client_secret", V1_CLIENT_SECRET),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    // By its URI an application may not ask for itself.
    let by_uri = format!("api://{V1_CLIENT_ID}");
    let wrong = [form.as_slice(), &[("resource", by_uri.as_str())]].concat();
    let path = format!("/{TENANT_ID}/oauth2/token");
    assert_eq!(world.post(&path, &wrong, &[]).await.failure().2, 90_009);
    let body = world
        .post(&format!("/{TENANT_ID}/oauth2/token"), &form, &[])
        .await
        .ok();
    for number in ["expires_in", "ext_expires_in", "expires_on", "not_before"] {
        assert!(
            body[number].as_str().unwrap().parse::<u64>().is_ok(),
            "{number}"
        );
    }
    assert_eq!(body["resource"], V1_CLIENT_ID);
    let (_, claims) = peek(body["id_token"].as_str().unwrap());
    assert_eq!(claims["ver"], "1.0");
    assert_eq!(claims["upn"], ALICE);
}

#[tokio::test]
async fn a_token_in_a_url_lists_few_groups() {
    for (filler, listed) in [(4, Some(6)), (5, None), (250, None)] {
        let world = World::with(|directory| {
            let app = directory.app_mut(CLIENT_ID).unwrap();
            app.enable_id_token_issuance = true;
            directory.user_mut(ALICE).unwrap().filler_groups = filler;
        });
        let query = [
            ("client_id", CLIENT_ID),
            ("response_type", "code id_token"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid profile"),
            ("nonce", "n"),
        ];
        let mut browser = Browser::default();
        let page = browser.authorize(&world, TENANT_ID, &query).await;
        let end = browser.sign_in(&world, page, ALICE).await;
        let (_, claims) = peek(&callback(&end)["id_token"]);
        assert!(claims.get("_claim_names").is_none());
        let groups = claims
            .get("groups")
            .map(|ids| ids.as_array().unwrap().len());
        assert_eq!(groups, listed);
        let hasgroups = claims.get("hasgroups");
        assert_eq!(hasgroups.is_some(), listed.is_none());
        assert!(hasgroups.is_none_or(|has| *has == true));
        // The same user's token from the token endpoint has room.
        let order = TokenOrder::id_token(ALICE, CLIENT_ID);
        let (_, claims) = peek(&world.control.mint(&order));
        assert!(claims.get("hasgroups").is_none());
    }
}

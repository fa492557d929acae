//! Tokens bound to a key of the client's (RFC 9449).

mod families;
mod guard;
mod nonces;
mod programs;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use entra_emulator::builtin;
use entrada::AzureConfig;
use entrada::dpop::Dpop;
use http::Method;
use serde_json::{Value, json};

use crate::browser::Stop;
use crate::client::{Answer, Client, parameter};
use crate::mcp_server::claims_of;
use crate::prover::{Prover, assert_refused, call, changed};
use crate::world::{BASE_URL, CALLBACK, RESOURCE, SECOND, World};

fn dpop(mode: Dpop) -> impl FnOnce(AzureConfig) -> AzureConfig {
    move |config| config.dpop(mode)
}

/// A client that registered, and wants bound tokens alone.
async fn demanding(world: &World) -> Client {
    let metadata = json!({ "redirect_uris": [CALLBACK], "dpop_bound_access_tokens": true });
    let registered = world.register(&metadata).await.ok();
    assert_eq!(registered["dpop_bound_access_tokens"], json!(true));
    Client::registered(world.hosts.clone(), &registered)
}

#[tokio::test]
async fn a_client_with_a_key_gets_tokens_that_are_bound_to_it() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = prover.log_in(&world, "alice").await;
    for session in [&session, &prover.refreshed(&world, &session).await] {
        assert_eq!(session.tokens["token_type"], json!("DPoP"));
        let confirmation = json!({ "jkt": prover.thumbprint() });
        assert_eq!(session.claims()["cnf"], confirmation);
        // The verdict is reached, and then remembered.
        for _ in 0..2 {
            let seen = prover.call(&world, &session.access_token).await.ok();
            assert_eq!(seen["preferred_username"], json!(builtin::ALICE));
            assert_eq!(seen["headers"], json!([]));
        }
    }
}

#[tokio::test]
async fn nothing_changes_for_a_client_without_one() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    assert_eq!(session.tokens["token_type"], json!("Bearer"));
    assert_eq!(session.claims()["cnf"], Value::Null);
    let bearer = format!("Bearer {}", session.access_token);
    // A proof that nobody asked for is overlooked, and goes no further.
    let headers = [("authorization", &*bearer), ("dpop", "x")];
    let seen = session.client.call(Method::POST, &headers).await.ok();
    assert_eq!(seen["headers"], json!([]));
}

/// What one proof has of its own: changes to header and claims, and what is said of it at the guard.
type Wrong = (Value, Value, &'static str);

fn wrong(world: &World) -> Vec<Wrong> {
    let (now, invalid) = (world.now().as_unix(), "invalid_dpop_proof");
    let mut private = Prover::new().jwk();
    private["d"] = "AQ".into();
    vec![
        (json!({ "typ": "JWT" }), json!({}), invalid),
        (json!({ "typ": null }), json!({}), invalid),
        (json!({ "alg": "none" }), json!({}), invalid),
        (json!({ "alg": "HS256" }), json!({}), invalid),
        (json!({ "alg": "ES384" }), json!({}), invalid),
        (json!({ "crit": ["b64"] }), json!({}), invalid),
        (json!({ "jwk": null }), json!({}), invalid),
        (json!({ "jwk": private }), json!({}), invalid),
        (json!({ "jwk": { "kty": "oct" } }), json!({}), invalid),
        // At the token endpoint it is the signature that does not hold.
        (
            json!({ "jwk": Prover::new().jwk() }),
            json!({}),
            "invalid_token",
        ),
        (json!({}), json!({ "htm": "GET" }), invalid),
        (json!({}), json!({ "htm": null }), invalid),
        (
            json!({}),
            json!({ "htu": "https://mcp.example.com/other" }),
            invalid,
        ),
        (
            json!({}),
            json!({ "htu": "http://mcp.example.com/mcp" }),
            invalid,
        ),
        (json!({}), json!({ "htu": null }), invalid),
        (json!({}), json!({ "iat": now - 301 }), invalid),
        (json!({}), json!({ "iat": now + 301 }), invalid),
        (json!({}), json!({ "iat": null }), invalid),
        (json!({}), json!({ "jti": null }), invalid),
        (json!({}), json!({ "jti": "" }), invalid),
        (json!({}), json!({ "jti": "x".repeat(257) }), invalid),
    ]
}

#[tokio::test]
async fn a_proof_that_is_wrong_in_one_way_gives_no_token() {
    let (world, prover) = (World::new().await, Prover::new());
    let client = world.client().await;
    for (header, claims, _) in wrong(&world) {
        let good = Prover::claims(&world, "POST", &format!("{BASE_URL}/token"));
        let proof = prover.sign(
            &changed(&prover.header(), &header),
            &changed(&good, &claims),
        );
        let answer = client.redeem_with("code", &[("dpop", &proof)]).await;
        answer.assert_refused(400, "invalid_dpop_proof");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let proof = prover.for_token(&world);
    for headers in [
        vec![("dpop", &*proof), ("dpop", &prover.for_token(&world))],
        vec![("dpop", "")],
        vec![("dpop", "x")],
    ] {
        let answer = client.redeem_with("code", &headers).await;
        answer.assert_refused(400, "invalid_dpop_proof");
    }
    // With a good one it is the code that is wrong.
    let answer = client.redeem_with("code", &[("dpop", &proof)]).await;
    answer.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_proof_that_is_wrong_in_one_way_lets_nobody_in() {
    let (world, prover) = (World::new().await, Prover::new());
    let token = prover.log_in(&world, "alice").await.access_token;
    let mut all = wrong(&world);
    for ath in [json!(null), json!(""), json!("x"), json!(token)] {
        all.push((json!({}), json!({ "ath": ath }), "invalid_dpop_proof"));
    }
    for (header, claims, error) in all {
        let good = Prover::claims_for_call(&world, &token);
        let proof = prover.sign(
            &changed(&prover.header(), &header),
            &changed(&good, &claims),
        );
        let answer = call(&world, &token, &proof).await;
        assert_refused(&answer, error);
        assert_eq!(answer.json["error"], json!(error), "{header} {claims}");
    }
    prover.call(&world, &token).await.ok();
}

#[tokio::test]
async fn a_clock_may_be_five_minutes_off() {
    let (world, prover) = (World::new().await, Prover::new());
    let now = world.now().as_unix();
    let client = world.client().await;
    for iat in [now - 300, now + 300] {
        let mut claims = Prover::claims(&world, "POST", &format!("{BASE_URL}/token"));
        claims["iat"] = iat.into();
        let proof = prover.sign(&prover.header(), &claims);
        let code = client.code(&mut world.browser(), "alice").await;
        let tokens = client.redeem_with(&code, &[("dpop", &proof)]).await.ok();
        let token = tokens["access_token"].as_str().unwrap();
        let mut claims = Prover::claims_for_call(&world, token);
        claims["iat"] = iat.into();
        let proof = prover.sign(&prover.header(), &claims);
        call(&world, token, &proof).await.ok();
    }
}

#[tokio::test]
async fn where_all_must_have_a_key_nobody_goes_without() {
    let (world, prover) = (World::with(dpop(Dpop::Required)).await, Prover::new());
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let refused = client.redeem(&code).await;
    refused.assert_refused(400, "invalid_dpop_proof");
    // The code is still good.
    let session = client.session(prover.redeem(&world, &client, &code).await.ok());
    prover.call(&world, &session.access_token).await.ok();
    session
        .refresh()
        .await
        .assert_refused(400, "invalid_dpop_proof");
    let resource = world
        .get("/.well-known/oauth-protected-resource")
        .await
        .ok();
    assert_eq!(resource["dpop_bound_access_tokens_required"], json!(true));

    // A token of before, which is bound to nothing.
    let unbound = world
        .replica_with(dpop(Dpop::Optional))
        .log_in("alice")
        .await;
    let answer = unbound.at(&world).call_tool().await;
    answer.assert_unauthorized("invalid_token");
    let schemes = answer.headers.get_all("www-authenticate").iter();
    let schemes: Vec<_> = schemes
        .map(|it| it.to_str().unwrap().split(' ').next())
        .collect();
    assert_eq!(schemes, [Some("Bearer"), Some("DPoP")]);
}

#[tokio::test]
async fn where_it_is_off_nobody_hears_of_it() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = prover.log_in(&world, "alice").await;
    let bound = &session.access_token;
    let off = world.replica_with(dpop(Dpop::Off));
    let metadata = off
        .get("/.well-known/oauth-authorization-server")
        .await
        .ok();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], Value::Null);
    let metadata = off.get("/.well-known/oauth-protected-resource").await.ok();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], Value::Null);
    let refused = off.ask(Method::POST, RESOURCE, &[], "{}").await;
    assert_eq!(
        refused.headers.get_all("www-authenticate").iter().count(),
        1
    );

    // A proof is overlooked, whatever it is, and so is what a client would bind by one.
    let registered = json!({ "redirect_uris": [CALLBACK], "dpop_bound_access_tokens": true });
    let registered = off.register(&registered).await.ok();
    assert_eq!(registered["dpop_bound_access_tokens"], Value::Null);
    let client = Client::registered(off.hosts.clone(), &registered);
    let url = client.authorize_url(&[("dpop_jkt", "x")]);
    let mut browser = off.browser();
    let consent = browser.get(&url).await.page();
    let location = browser.approve(&consent, "alice").await.left();
    let code = parameter(&location, "code").unwrap();
    let tokens = client.redeem_with(&code, &[("dpop", "x")]).await.ok();
    assert_eq!(tokens["token_type"], json!("Bearer"));
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(claims_of(token)["cnf"], Value::Null);

    // What was bound before stays so.
    let answer = client.call_with(bound).await;
    answer.assert_unauthorized("invalid_token");
    let answer = prover.call(&off, bound).await;
    answer.assert_unauthorized("invalid_token");
    let answer = prover.refresh(&off, &session.at(&off)).await;
    answer.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_client_that_wants_bound_tokens_gets_no_others() {
    let (world, prover) = (World::new().await, Prover::new());
    let client = demanding(&world).await;
    let code = client.code(&mut world.browser(), "alice").await;
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_dpop_proof");
    let session = client.session(prover.redeem(&world, &client, &code).await.ok());
    session
        .refresh()
        .await
        .assert_refused(400, "invalid_dpop_proof");
    prover.refreshed(&world, &session).await;

    // The same said in a document.
    let id = "https://app.example/client.json";
    let document = json!({
        "client_id": id, "client_name": "n", "redirect_uris": [CALLBACK],
        "dpop_bound_access_tokens": true,
    });
    world.web.publish(id, &document);
    let client = json!({ "client_id": id, "redirect_uris": [CALLBACK] });
    let client = Client::registered(world.hosts.clone(), &client);
    let code = client.code(&mut world.browser(), "alice").await;
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_dpop_proof");
}

/// Where alice's login ends if the client names this key beforehand.
async fn authorize(world: &World, client: &Client, thumbprint: &str) -> Stop {
    let url = client.authorize_url(&[("dpop_jkt", thumbprint)]);
    let mut browser = world.browser();
    match browser.get(&url).await {
        Stop::Page(consent) => browser.approve(&consent, "alice").await,
        left @ Stop::Left(_) => left,
    }
}

#[tokio::test]
async fn a_code_can_be_bound_beforehand() {
    let (world, prover) = (World::new().await, Prover::new());
    let client = world.client().await;
    let left = authorize(&world, &client, &prover.thumbprint())
        .await
        .left();
    let code = parameter(&left, "code").unwrap();
    prover.redeem(&world, &client, &code).await.ok();
    for wrong in ["x", &prover.thumbprint()[1..], "%"] {
        let left = authorize(&world, &client, wrong).await.left();
        let error = parameter(&left, "error");
        assert_eq!(error.as_deref(), Some("invalid_request"), "{wrong}");
    }
}

#[tokio::test]
async fn web_pages_may_send_proofs_and_read_nonces() {
    let world = World::with(|config| config.allowed_origins(["https://app.example"])).await;
    let headers = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "dpop"),
    ];
    for path in ["/token", RESOURCE] {
        let answer = world.ask(Method::OPTIONS, path, &headers, "").await;
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(allowed, Some("dpop"), "{path}");
        let answer = world.ask(Method::POST, path, &headers[..1], "").await;
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for name in ["dpop-nonce", "www-authenticate"] {
            assert!(exposed.contains(name), "{path} {exposed}");
        }
    }
}

#[tokio::test]
async fn a_replayed_proof_is_refused_by_the_process_that_took_it() {
    let (world, prover) = (World::new().await, Prover::new());
    let token = prover.log_in(&world, "alice").await.access_token;
    let proof = prover.for_call(&world, &token);
    call(&world, &token, &proof).await.ok();
    assert_refused(&call(&world, &token, &proof).await, "invalid_dpop_proof");
    // Another process does not know of it; five minutes later it is too old everywhere.
    let replica = world.replica();
    call(&replica, &token, &proof).await.ok();
    world.advance(301 * SECOND);
    let third = call(&world.replica(), &token, &proof).await;
    assert_refused(&third, "invalid_dpop_proof");
}

#[tokio::test]
async fn a_key_may_be_rsa() {
    let pem: String = builtin::DAEMON_PRIVATE_KEY
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(pem).unwrap()).unwrap();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = key.public_key();
    let jwk = json!({
        "kty": "RSA",
        "n": part(public.modulus().big_endian_without_leading_zero()),
        "e": part(public.exponent().big_endian_without_leading_zero()),
    });
    let header = json!({ "typ": "dpop+jwt", "alg": "RS256", "jwk": jwk });
    let world = World::new().await;
    let claims = Prover::claims(&world, "POST", &format!("{BASE_URL}/token"));
    let json = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", json(&header), json(&claims));
    let mut signature = vec![0; key.public_modulus_len()];
    let rng = SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &rng, input.as_bytes(), &mut signature)
        .unwrap();
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let proof = format!("{input}.{}", part(&signature));
    let tokens = client.redeem_with(&code, &[("dpop", &proof)]).await.ok();
    assert_eq!(tokens["token_type"], json!("DPoP"));
}

/// What a client is told when it comes with nothing.
#[tokio::test]
async fn both_schemes_are_offered_and_bearer_first() {
    let world = World::new().await;
    let answer: Answer = world.ask(Method::POST, RESOURCE, &[], "{}").await;
    let challenges = answer.headers.get_all("www-authenticate").iter();
    let challenges: Vec<_> = challenges.map(|it| it.to_str().unwrap()).collect();
    let rest = "scope=\"mcp.read\", resource_metadata=\
                \"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\"";
    assert_eq!(
        challenges,
        [
            format!("Bearer {rest}"),
            format!("DPoP {rest}, algs=\"ES256 EdDSA RS256\""),
        ]
    );
}

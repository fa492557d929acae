//! Entra's own tokens, at a server that only verifies them.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use entra_emulator::{Endpoint, Failure, Signer, TokenOrder, builtin};
use entrada::access_token::{AccessTokenVerifier as _, PresentedToken, Shortfall, VerifyError};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::jwt_verifier::{JwtVerifier, JwtVerifierConfig};
use entrada::platform::{Clock as _, Platform};
use entrada::policy::Requirement;
use entrada::provider::GraphGroups;
use entrada::{AzureJwtConfig, AzureJwtVerifier};
use serde_json::json;

use crate::direct::world::{Direct, Instead, config, good, settle};
use crate::world::RESOURCE;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What becomes of a token.
async fn status(world: &Direct, order: &TokenOrder) -> u16 {
    world.call(&world.entra.mint(order)).await.status.as_u16()
}

fn multi_tenant(tenant: &str) -> AzureJwtConfig {
    AzureJwtConfig::new(tenant, builtin::MULTI_TENANT_CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"])
}

fn of_multi_tenant(user: &str) -> TokenOrder {
    let (client, app) = (builtin::PUBLIC_CLIENT_ID, builtin::MULTI_TENANT_CLIENT_ID);
    TokenOrder::delegated(user, client, app)
}

#[tokio::test]
async fn entra_token_of_another_tenant_is_refused() {
    let listed = multi_tenant("organizations").allowed_tenants([builtin::TENANT_ID]);
    let world = Direct::new(listed);
    assert_eq!(status(&world, &of_multi_tenant(builtin::ALICE)).await, 200);
    assert_eq!(status(&world, &of_multi_tenant(builtin::FRANK)).await, 401);
    // Nor does it get in under another tenant's name.
    let posing = of_multi_tenant(builtin::FRANK).claim("tid", builtin::TENANT_ID);
    assert_eq!(status(&world, &posing).await, 401);
}

#[tokio::test]
async fn key_of_another_issuer_vouches_for_nobody() {
    let world = Direct::new(multi_tenant("common"));
    assert_eq!(
        status(&world, &of_multi_tenant(builtin::PAT_PERSONAL)).await,
        200
    );
    let forged = of_multi_tenant(builtin::ALICE).signed_by(Signer::Personal);
    let verdict = world.verdict(&forged).await;
    assert!(matches!(verdict, Err(VerifyError::KeyIssuer { .. })));
    assert_eq!(status(&world, &forged).await, 401);
}

#[tokio::test]
async fn entra_token_does_not_choose_how_it_is_checked() {
    let world = Direct::new(config());
    for order in [
        good().header("alg", "none").signed_by(Signer::Nobody),
        good().signed_by(Signer::SecretOf("the public key".to_owned())),
        good().header("alg", "PS256"),
        good()
            .header("jwk", json!({"kty": "RSA"}))
            .signed_by(Signer::Unpublished),
        good()
            .header("jku", "https://evil.example")
            .signed_by(Signer::Unpublished),
        good().header("crit", json!(["exp"])),
    ] {
        assert_eq!(status(&world, &order).await, 401, "{order:?}");
    }
    assert_eq!(world.wire.asked_for("evil.example"), 0);
}

#[tokio::test]
async fn tokens_of_other_kinds_and_for_others_are_refused() {
    let world = Direct::new(config());
    let of = |api| TokenOrder::delegated(builtin::ALICE, builtin::PUBLIC_CLIENT_ID, api);
    for order in [
        TokenOrder::id_token(builtin::ALICE, builtin::CLIENT_ID),
        TokenOrder::id_token(builtin::ALICE, builtin::CLIENT_ID).without_claim("nonce"),
        of(builtin::GRAPH_APP_ID),
        of(builtin::DOWNSTREAM_CLIENT_ID),
    ] {
        assert_eq!(status(&world, &order).await, 401, "{order:?}");
    }
    // Not even where programs get in by name, which need no scope.
    let allowed = config().app_only(AppOnlyTokens::Allow);
    let world =
        Direct::new(allowed.allowed_clients([builtin::CLIENT_ID, builtin::PUBLIC_CLIENT_ID]));
    let id_token = TokenOrder::id_token(builtin::ALICE, builtin::CLIENT_ID);
    assert_eq!(status(&world, &id_token).await, 401);
    assert_eq!(
        status(&world, &id_token.claim("azp", builtin::CLIENT_ID)).await,
        401
    );
}

#[tokio::test]
async fn any_program_of_the_tenant_gets_a_token_and_none_gets_in() {
    let program = || TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let world = Direct::new(config());
    assert_eq!(status(&world, &program()).await, 403);
    // To let programs in without saying which is not a configuration.
    let everyone = config().app_only(AppOnlyTokens::Allow);
    assert!(AzureJwtVerifier::new(everyone.clone(), world.platform()).is_err());
    let world = Direct::new(everyone.required_app_roles(["Reader"]));
    assert_eq!(status(&world, &program().without_claim("roles")).await, 403);
    // A program has no scopes, whatever it writes; a user's role is no scope.
    let posing = program().without_claim("roles").claim("scope", "mcp.read");
    assert_eq!(status(&world, &posing).await, 403);
    let user = good()
        .scopes(["mcp.write"])
        .claim("roles", json!(["Reader"]));
    assert_eq!(status(&world, &user).await, 403);
}

#[tokio::test]
async fn token_bound_to_a_key_is_no_bearer_token() {
    let world = Direct::new(config());
    let stolen = good().claim("cnf", json!({"jkt": "thumbprint"}));
    assert_eq!(status(&world, &stolen).await, 401);
}

#[tokio::test]
async fn token_of_another_user_flow_is_refused() {
    let flow = AzureJwtConfig::b2c("contosob2c", builtin::B2C_POLICY, builtin::B2C_CLIENT_ID)
        .required_scopes(["mcp.read"]);
    let world = Direct::new(flow);
    let (bella, app) = (builtin::BELLA_B2C, builtin::B2C_CLIENT_ID);
    let order = TokenOrder::delegated(bella, app, app);
    assert_eq!(
        status(&world, &order.clone().policy(builtin::B2C_POLICY)).await,
        200
    );
    let weak = order
        .policy(builtin::B2C_POLICY)
        .claim("tfp", "B2C_1_no_mfa");
    assert_eq!(status(&world, &weak).await, 401);
}

#[tokio::test]
async fn metadata_does_not_name_an_issuer_of_another_kind() {
    let domain = AzureJwtConfig::new(builtin::TENANT_DOMAIN, builtin::CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"]);
    let customers = AzureJwtConfig::external_id("contosocustomers", builtin::CUSTOMERS_CLIENT_ID)
        .required_scopes(["mcp.read"]);
    for (config, order) in [
        (domain, good()),
        (
            customers,
            TokenOrder::delegated(
                builtin::CAROL_CUSTOMER,
                builtin::CUSTOMERS_CLIENT_ID,
                builtin::CUSTOMERS_CLIENT_ID,
            ),
        ),
    ] {
        let world = Direct::new(config);
        let issuer = format!("https://evil.example/{}/v2.0", builtin::TENANT_ID);
        world.verdict(&order).await.unwrap();
        // Whoever answers for the metadata once would be believed from then on.
        world.advance(HOUR);
        for _ in 0..2 {
            world
                .wire
                .answer_next(Instead::Body(json!({ "issuer": issuer }).to_string()));
        }
        let posing = order.clone().claim("iss", &*issuer);
        assert_eq!(status(&world, &posing).await, 401);
        settle().await;
        assert_eq!(status(&world, &posing).await, 401);
        assert_eq!(status(&world, &order).await, 200);
    }
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_ask_entra_again_and_again() {
    let world = Direct::new(config());
    assert_eq!(status(&world, &good()).await, 200);
    world.advance(HOUR);
    for n in 0..1_000 {
        assert_eq!(
            status(&world, &good().header("kid", format!("{n}"))).await,
            401
        );
    }
    assert!(world.entra.calls(Endpoint::Keys) <= 3);
}

#[tokio::test]
async fn hanging_up_keeps_no_fetch_from_its_end() {
    let world = Direct::new(config());
    assert_eq!(status(&world, &good()).await, 200);
    world.advance(HOUR);
    for n in 0..100 {
        let token = world.entra.mint(&good().header("kid", format!("{n}")));
        let mut request = Box::pin(world.verify(&token));
        // It begins, and nobody waits for what becomes of it.
        let begin =
            |context: &mut Context<'_>| Poll::Ready(request.as_mut().poll(context).is_ready());
        poll_fn(begin).await;
        drop(request);
        settle().await;
    }
    assert_eq!(world.entra.calls(Endpoint::Keys), 2);
}

#[tokio::test]
async fn clock_set_back_does_not_keep_a_withdrawn_key() {
    let world = Direct::new(config());
    world.advance(24 * HOUR);
    assert_eq!(status(&world, &good()).await, 200);
    world.clock.set_back(24 * HOUR);
    let old = world.entra.rotate_keys();
    let withdrawn = world.entra.keys().into_iter().find(|kid| *kid != old);
    assert!(world.entra.retire_key(&withdrawn.unwrap()));
    assert_eq!(status(&world, &good()).await, 200);
    assert_eq!(world.entra.calls(Endpoint::Keys), 2);
}

#[tokio::test]
async fn whoever_cuts_us_off_from_entra_keeps_nobody_out() {
    let world = Direct::new(config());
    assert_eq!(status(&world, &good()).await, 200);
    world
        .entra
        .fail_next(Endpoint::Keys, u64::MAX, Failure::Garbage);
    for _ in 0..24 {
        world.advance(HOUR);
        assert_eq!(status(&world, &good()).await, 200);
        settle().await;
    }
    // A forged key set does not get in that way either: it holds no key of the token's name.
    let stranger = good().header("kid", "mine").signed_by(Signer::Unpublished);
    assert_eq!(status(&world, &stranger).await, 503);
}

#[tokio::test]
async fn withdrawn_key_of_entra_is_believed_for_a_day_and_no_longer() {
    let world = Direct::new(config());
    let leaked = world.entra.mint(&good().claim("exp", 2_000_000_000));
    assert_eq!(world.call(&leaked).await.status, 200);
    let kid = world.entra.keys().remove(0);
    world.entra.rotate_keys();
    world.entra.retire_key(&kid);
    for _ in 0..26 {
        world.advance(HOUR);
        let _ = world.verdict(&good()).await;
        settle().await;
    }
    world
        .call(&leaked)
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn remembered_token_ends_when_the_token_does() {
    let world = Direct::new(config());
    let end = world.clock.now().as_unix() + 10;
    let token = world.entra.mint(&good().claim("exp", end));
    // Verified late, so that the verdict is still young when its token is over.
    for (later, status) in [(30, 200), (39, 200), (1, 401)] {
        world.advance(Duration::from_secs(later));
        let answer = world.call(&token).await;
        assert_eq!(answer.status, status, "clocks may differ by a minute");
    }
}

#[tokio::test]
async fn same_message_with_another_signature_is_another_token() {
    let world = Direct::new(config());
    let token = world.entra.mint(&good());
    assert_eq!(world.call(&token).await.status, 200);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = world.entra.mint(&good());
    let (_, borrowed) = other.rsplit_once('.').unwrap();
    for forged in [
        format!("{message}.{borrowed}"),
        format!("{message}."),
        format!("{message}.{signature}A"),
    ] {
        let presented = PresentedToken::new(&forged);
        assert!(
            world
                .verifier
                .recall(presented, world.clock.now())
                .is_none()
        );
        world
            .call(&forged)
            .await
            .assert_unauthorized("invalid_token");
    }
}

#[tokio::test]
async fn too_many_groups_are_no_way_past_a_group() {
    let order = TokenOrder::delegated(
        builtin::GRACE_MANY_GROUPS,
        builtin::PUBLIC_CLIENT_ID,
        builtin::CLIENT_ID,
    );
    let group = Requirement::any_group(["40000000-0000-4000-8000-999999999999"]);
    // Nobody looks them up; somebody does, and cannot; she is in others.
    let unknown = Direct::new(config().requirement(group.clone()));
    assert_eq!(status(&unknown, &order).await, 403);
    let graph = "https://login.emulator.test/graph";
    let groups = GraphGroups::on_behalf_of(builtin::CLIENT_SECRET).graph_url(graph);
    let asking = Direct::new(config().requirement(group).groups_from_graph(groups));
    asking
        .entra
        .fail_next(Endpoint::Graph, 1, Failure::Status(500));
    assert_eq!(status(&asking, &order).await, 503);
    asking.advance(Duration::from_secs(5));
    assert_eq!(status(&asking, &order).await, 403);
}

#[tokio::test]
async fn graph_sends_our_token_nowhere() {
    let graph = "https://login.emulator.test/graph";
    let groups = GraphGroups::on_behalf_of(builtin::CLIENT_SECRET).graph_url(graph);
    let order = TokenOrder::delegated(
        builtin::GRACE_MANY_GROUPS,
        builtin::PUBLIC_CLIENT_ID,
        builtin::CLIENT_ID,
    );
    for next in [
        "https://evil.example/v1.0/next",
        "https://login.emulator.test/graphs/next",
        "https://login.emulator.test@evil.example/graph/next",
        "http://login.emulator.test/graph/next",
    ] {
        let world = Direct::new(config().groups_from_graph(groups.clone()));
        assert_eq!(status(&world, &order).await, 200);
        world.advance(HOUR);
        let page = json!({"value": ["g"], "@odata.nextLink": next}).to_string();
        // Keys are renewed behind our back: let them be.
        assert_eq!(status(&world, &good()).await, 200);
        settle().await;
        let token = json!({"token_type": "Bearer", "expires_in": 3600, "access_token": "ours"});
        world.wire.answer_next(Instead::Body(token.to_string()));
        world.wire.answer_next(Instead::Body(page));
        assert_eq!(status(&world, &order).await, 503, "{next}");
        assert_eq!(world.wire.asked_for("next"), 0, "{next}");
    }
}

#[tokio::test]
async fn what_one_verifier_refuses_no_other_lets_in() {
    // The second trusts whoever holds the first one's own issuer's name.
    let world = Direct::with(config(), |remote, platform| {
        let key = entrada::jwt::sign::SigningKey::generate(entrada::jwt::jwks::Algorithm::EdDsa);
        let issuer = format!("https://login.emulator.test/{}/v2.0", builtin::TENANT_ID);
        let lax = JwtVerifierConfig::inline(issuer, key.unwrap().jwks().unwrap());
        let lax = lax.audience([builtin::CLIENT_ID, RESOURCE]);
        remote.also_accept(JwtVerifier::new(lax, platform).unwrap())
    });
    let refused = world.verdict(&good().scopes(["mcp.write"])).await;
    assert!(matches!(
        refused,
        Err(VerifyError::Forbidden(_, Shortfall::Scope(_)))
    ));
    assert_eq!(status(&world, &good().scopes(["mcp.write"])).await, 403);
    assert_eq!(status(&world, &good().claim("exp", 1)).await, 401);
}

#[tokio::test]
async fn further_issuer_does_not_lower_the_bar() {
    let key =
        entrada::jwt::sign::SigningKey::generate(entrada::jwt::jwks::Algorithm::EdDsa).unwrap();
    let world = Direct::with(config(), |remote, platform| {
        let robots = JwtVerifierConfig::inline("https://robots.example", key.jwks().unwrap());
        remote.also_accept(JwtVerifier::new(robots.audience([RESOURCE]), platform).unwrap())
    });
    let call = async |scope: &str, audience: &str| {
        let claims = json!({
            "iss": "https://robots.example", "aud": audience, "exp": 2_000_000_000,
            "sub": "robot", "client_id": "robot", "scope": scope,
        });
        world
            .call(&key.sign("at+jwt", &claims).unwrap())
            .await
            .status
            .as_u16()
    };
    assert_eq!(call("mcp.read", RESOURCE).await, 200);
    // A program by its own word has to have the scope, as everybody has.
    assert_eq!(call("other", RESOURCE).await, 403);
    assert_eq!(call("mcp.read", "https://elsewhere.example").await, 401);
}

#[tokio::test]
async fn claims_forge_no_line_of_the_log() {
    let world = Direct::new(config());
    let line = "x\r\n2026-11-25 ERROR entrada: everything is lost \u{1b}[31m";
    for order in [
        good().claim("aud", line),
        good().claim("iss", line),
        good().claim("tid", line),
        good().claim("ver", line),
    ] {
        let told = world.verdict(&order).await.unwrap_err().to_string();
        assert!(!told.contains(['\r', '\n', '\u{1b}']), "{told}");
        assert!(told.len() < 500, "{told}");
    }
    let long = world.verdict(&good().claim("aud", "a".repeat(5_000))).await;
    assert!(long.unwrap_err().to_string().len() < 600);
}

#[tokio::test]
async fn challenge_tells_nothing_but_scopes() {
    let secret_role = Requirement::roles(["Break.Glass"]);
    let world = Direct::new(config().requirement(secret_role));
    for order in [good(), good().claim("aud", "x"), good().claim("tid", "x")] {
        let answer = world.call(&world.entra.mint(&order)).await;
        let told = format!("{} {:?}", answer.text, answer.headers);
        assert!(
            !told.contains("Break.Glass") && !told.contains("expected"),
            "{told}"
        );
    }
}

#[test]
fn name_that_anybody_can_take_is_no_audience_of_several_tenants() {
    let platform = Platform::system().unwrap();
    for (tenant, uri, good) in [
        ("common", "api://mcp".to_owned(), false),
        ("organizations", "api://mcp".to_owned(), false),
        ("organizations", "API://mcp".to_owned(), false),
        (builtin::TENANT_ID, "api://mcp".to_owned(), true),
        (
            "common",
            format!("api://{}", builtin::MULTI_TENANT_CLIENT_ID),
            true,
        ),
        // Entra gives such a name to the tenant that owns the domain alone.
        ("common", "https://mcp.contoso.com/mcp".to_owned(), true),
    ] {
        let config = multi_tenant(tenant).identifier_uris([uri.as_str()]);
        let verifier = AzureJwtVerifier::new(config, platform.clone());
        assert_eq!(verifier.is_ok(), good, "{tenant} {uri}");
    }
}

#[test]
fn policy_without_content_opens_nothing() {
    for policy in [r#"{"roles":[]}"#, r#"{"scopes":""}"#, r#"{"all":[]}"#] {
        let requirement: Requirement = serde_json::from_str(policy).unwrap();
        let config = config().requirement(requirement);
        let found = AzureJwtVerifier::new(config, Platform::system().unwrap()).unwrap_err();
        assert!(found.to_string().contains("requirement: "), "{found}");
    }
}

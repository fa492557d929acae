//! Codes: stolen, replayed, and taken to where they do not belong.

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::evil_client;
use crate::client::{Session, VERIFIER, parameter};
use crate::world::{RESOURCE, SECOND, World};

/// Longer than a verdict of the guard is remembered.
const SOON: std::time::Duration = std::time::Duration::from_secs(11);

/// A verifier of another login.
const OTHER_VERIFIER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

async fn assert_over(world: &World, session: &Session) {
    world.advance(SOON);
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
    session.refresh().await.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn stolen_code_is_worthless_without_its_verifier() {
    let world = World::new().await;
    let client = world.client().await;
    let steal = |verifier: Option<&'static str>| {
        let (client, world) = (client.clone(), &world);
        async move {
            let code = client.code(&mut world.browser(), "alice").await;
            let mut form = vec![
                ("grant_type", "authorization_code"),
                ("client_id", &*client.id),
                ("code", &*code),
                ("redirect_uri", &*client.redirect_uri),
            ];
            form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
            (client.token(&form).await, client.redeem(&code).await)
        }
    };
    for wrong in [OTHER_VERIFIER, crate::client::CHALLENGE, "x"] {
        let (theft, after) = steal(Some(wrong)).await;
        theft.assert_refused(400, "invalid_grant");
        // A guess spends the code.
        after.assert_refused(400, "invalid_grant");
    }
    let (theft, _) = steal(None).await;
    theft.assert_refused(400, "invalid_request");
}

#[tokio::test]
async fn late_code_is_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    world.advance(121 * SECOND);
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn pkce_cannot_be_left_out_or_downgraded() {
    let world = World::new().await;
    let client = world.client().await;
    for changes in [
        vec![("code_challenge", ""), ("code_challenge_method", "")],
        vec![("code_challenge", "")],
        vec![("code_challenge_method", "")],
        vec![("code_challenge_method", "plain")],
        vec![("code_challenge_method", "s256")],
        vec![
            ("code_challenge", VERIFIER),
            ("code_challenge_method", "plain"),
        ],
        vec![("code_challenge", "short")],
    ] {
        let url = client.authorize_url(&changes);
        let answer = world.browser().get(&url).await.left();
        let error = parameter(&answer, "error");
        assert_eq!(error.as_deref(), Some("invalid_request"), "{changes:?}");
    }
}

#[tokio::test]
async fn nothing_but_a_code_comes_through_the_browser() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    for (changes, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", "id_token"), "unsupported_response_type"),
        (("response_type", "code token"), "unsupported_response_type"),
        (
            ("response_type", "code id_token"),
            "unsupported_response_type",
        ),
        (("response_type", "none"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("response_mode", "form_post"), "invalid_request"),
        (("response_mode", "web_message"), "invalid_request"),
    ] {
        let answer = browser.get(&client.authorize_url(&[changes])).await.left();
        let got = parameter(&answer, "error");
        assert_eq!(got.as_deref(), Some(error), "{changes:?}");
        assert_eq!(answer.fragment(), None);
    }
    let answer = client.authorize(&mut browser, "alice").await;
    let names: Vec<_> = answer
        .query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect();
    assert_eq!(names, ["code", "state", "iss"]);
    assert_eq!(answer.fragment(), None);
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    let metadata = metadata.ok();
    assert_eq!(metadata["response_types_supported"], json!(["code"]));
    assert_eq!(metadata["response_modes_supported"], json!(["query"]));
    assert_eq!(
        metadata["code_challenge_methods_supported"],
        json!(["S256"])
    );
}

#[tokio::test]
async fn replayed_code_revokes_its_grant() {
    let world = World::new().await;
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let session = client.session(client.redeem(&code).await.ok());
    session.call_tool().await.ok();
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
    assert_over(&world, &session).await;
}

#[tokio::test]
async fn code_replayed_minutes_later_revokes_its_grant() {
    let world = World::new().await;
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let session = client.session(client.redeem(&code).await.ok());
    world.advance(9 * 60 * SECOND);
    world.provider.sweep().await.unwrap();
    let session = session.refreshed().await;
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
    assert_over(&world, &session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_redemptions_have_one_winner_at_most() {
    let world = World::new().await;
    let replica = world.replica();
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let mut redemptions = JoinSet::new();
    for nth in 0..50 {
        let at = if nth % 2 == 0 { &world } else { &replica };
        let (client, code) = (client.at(at), code.clone());
        redemptions.spawn(async move { client.redeem(&code).await });
    }
    let answers = redemptions.join_all().await;
    let mut winners = Vec::new();
    for answer in answers {
        if answer.status.is_success() {
            winners.push(client.session(answer.json));
        } else {
            answer.assert_refused(400, "invalid_grant");
        }
    }
    assert!(winners.len() <= 1, "{} winners", winners.len());
    for winner in &winners {
        assert_over(&world, winner).await;
    }
}

#[tokio::test]
async fn code_of_another_client_is_refused() {
    let world = World::new().await;
    let (client, evil) = (world.client().await, evil_client(&world).await);
    let code = client.code(&mut world.browser(), "alice").await;
    // Even with the verifier, and with the redirect URI the code was sent to.
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*evil.id),
        ("code", &*code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", &*client.redirect_uri),
    ];
    evil.token(&form).await.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn code_for_another_redirect_uri_is_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let mut elsewhere = client.clone();
    elsewhere.redirect_uri.push('/');
    let theft = elsewhere.redeem(&code).await;
    theft.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn resource_of_another_server_is_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let others = [
        "https://other.example/mcp",
        "https://mcp.example.com.evil.example/mcp",
        "https://mcp.example.com/mcp2",
        "https://mcp.example.com/",
        "http://mcp.example.com/mcp",
        "https://mcp.example.com:8443/mcp",
        "https://mcp.example.com/mcp#x",
        "mcp",
    ];
    for other in others {
        let url = client.authorize_url(&[("resource", other)]);
        let answer = world.browser().get(&url).await.left();
        let error = parameter(&answer, "error");
        assert_eq!(error.as_deref(), Some("invalid_target"), "{other}");
        let code = client.code(&mut world.browser(), "alice").await;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &*client.id),
            ("code", &*code),
            ("code_verifier", VERIFIER),
            // A good one beside it changes nothing.
            ("resource", RESOURCE),
            ("resource", other),
        ];
        client
            .token(&form)
            .await
            .assert_refused(400, "invalid_target");
        let session = client.log_in(&mut world.browser(), "alice").await;
        let refreshed = session.refresh_with(&[("resource", other)]).await;
        refreshed.assert_refused(400, "invalid_target");
    }
}

#[tokio::test]
async fn grant_for_one_server_gives_nothing_at_its_sibling() {
    // Two servers of one operator share store, keys and app registration. The user let a client in
    // at the first; neither asks for a resource at the second's token endpoint.
    const OTHER: &str = "https://mcp.example.com/other";
    let world = World::new().await;
    let sibling = world.replica_with(|config| config.resource_url(OTHER));
    let client = world.client().await;
    let session = client.log_in(&mut world.browser(), "alice").await;
    let bearer = format!("Bearer {}", session.access_token);
    let call = [("authorization", &*bearer)];
    let answer = sibling.ask(Method::POST, OTHER, &call, "{}").await;
    answer.assert_unauthorized("invalid_token");
    let refreshed = session.at(&sibling).refresh().await;
    refreshed.assert_refused(400, "invalid_target");
    let code = client.code(&mut world.browser(), "alice").await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client.id),
        ("code", &*code),
        ("code_verifier", VERIFIER),
    ];
    let redeemed = client.at(&sibling).token(&form).await;
    redeemed.assert_refused(400, "invalid_target");
    session.refreshed().await.call_tool().await.ok();
}

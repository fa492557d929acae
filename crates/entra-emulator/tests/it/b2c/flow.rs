use std::time::Duration;

use entra_emulator::builtin::*;
use http::Method;

use crate::b2c::{REDIRECT, ask, base, failure, redeem, refused, request, scope, secret, sign_in};
use crate::world::{Answer, Browser, World, callback};

#[tokio::test]
async fn a_customer_signs_in_by_every_name_of_the_user_flow() {
    let world = World::new();
    for base in [
        base(B2C_POLICY),
        base("b2c_1_SIGNIN"),
        format!("https://{B2C_LOGIN_HOST}/{B2C_TENANT_DOMAIN}?p=B2C_1_signin"),
        format!("https://{B2C_LOGIN_HOST}/tfp/{B2C_TENANT_ID}/{B2C_POLICY}"),
        format!("https://{B2C_CUSTOM_DOMAIN}/{B2C_TENANT_ID}/{B2C_POLICY}"),
        format!("{BASE_URL}/{B2C_TENANT_ID}/{B2C_POLICY}"),
    ] {
        let code = sign_in(&world, &base, &[]).await;
        let body = redeem(&world, &base, &code, &[]).await.ok();
        assert!(body["access_token"].is_string(), "{base}");
        let refresh_token = body["refresh_token"].as_str().unwrap().to_owned();
        let form = [
            secret(),
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", &refresh_token),
            ],
        ]
        .concat();
        let (path, policy) = base.split_once('?').unwrap_or((&base, ""));
        let url = format!("{path}/oauth2/v2.0/token?{policy}");
        world.control.advance(Duration::from_secs(1));
        let again = world.post(&url, &form, &[]).await.ok();
        assert_ne!(again["access_token"], body["access_token"], "{base}");
        assert_ne!(again["refresh_token"], refresh_token);
    }
}

#[tokio::test]
async fn the_browser_goes_back_with_code_and_state() {
    let world = World::new();
    let mut browser = Browser::default();
    let url = request(&base(B2C_POLICY), &[("client_info", "1")]);
    let page = browser.go(&world, Method::GET, &url, "").await;
    let end = browser.sign_in(&world, page, BELLA_B2C).await;
    let sent = callback(&end);
    assert_eq!(sent["state"], "s-1");
    assert!(sent["client_info"].len() > 20);
    assert!(!sent.contains_key("session_state") && !sent.contains_key("iss"));

    // A session is enough from now on, silently too, unless a new sign-in is wanted.
    for prompt in ["", "none"] {
        let url = request(&base(B2C_POLICY), &[("prompt", prompt)]);
        let again = browser.go(&world, Method::GET, &url, "").await;
        assert!(callback(&again).contains_key("code"), "{prompt}");
    }
    let url = request(&base(B2C_POLICY), &[("prompt", "login")]);
    let page = browser.go(&world, Method::GET, &url, "").await;
    assert!(page.text.contains("<form"));
}

#[tokio::test]
async fn an_id_token_can_come_straight_back() {
    let world = World::new();
    let change = [("response_type", "code id_token")];
    let mut browser = Browser::default();
    let url = request(&base(B2C_POLICY), &change);
    let page = browser.go(&world, Method::GET, &url, "").await;
    let end = browser.sign_in(&world, page, BELLA_B2C).await;
    assert!(end.location().unwrap().fragment().is_some());
    let sent = callback(&end);
    let (_, claims) = crate::world::peek(&sent["id_token"]);
    assert_eq!(claims["nonce"], "n-1");
    assert!(claims["c_hash"].is_string());
}

#[tokio::test]
async fn without_a_way_back_errors_stay_on_a_page() {
    let world = World::new();
    for (change, code) in [
        (("client_id", ""), "AADB2C90008"),
        (("client_id", CLIENT_ID), "AADB2C90018"),
        (("client_id", "nonsense"), "AADB2C90018"),
        (("redirect_uri", ""), "AADB2C90006"),
        (("redirect_uri", "https://evil.example/"), "AADB2C90006"),
    ] {
        let page = ask(&world, &base(B2C_POLICY), &[change]).await;
        assert_eq!(page.status, 200, "{code}");
        assert!(page.text.contains(code), "{}", page.text);
    }
}

#[tokio::test]
async fn errors_with_a_way_back_take_it() {
    let world = World::new();
    let two = format!("{} {B2C_CLIENT_ID}", scope());
    let other = format!("{IDENTIFIER_URI}/mcp.read");
    let unknown = format!("{B2C_IDENTIFIER_URI}/nonsense");
    for (change, error, code) in [
        (("response_type", ""), "invalid_request", "AADB2C90083"),
        (
            ("response_type", "x"),
            "unsupported_response_type",
            "AADB2C90013",
        ),
        (
            ("response_type", "token"),
            "unauthorized_client",
            "AADB2C90057",
        ),
        (("response_mode", "x"), "invalid_request", "AADB2C90014"),
        (("scope", ""), "invalid_request", "AADB2C90010"),
        (("scope", "User.Read"), "invalid_request", "AADB2C90117"),
        (("scope", other.as_str()), "invalid_request", "AADB2C90117"),
        (
            ("scope", unknown.as_str()),
            "invalid_request",
            "AADB2C90117",
        ),
        (("scope", CLIENT_ID), "invalid_request", "AADB2C90055"),
        (("prompt", "x"), "invalid_request", "AADB2C90043"),
        (("prompt", "none"), "interaction_required", "AADB2C90077"),
        (
            ("code_challenge_method", "S512"),
            "invalid_request",
            "AADB2C90184",
        ),
        (("redirect_uri", "http://localhost/spa"), "", ""),
    ] {
        let answer = ask(&world, &base(B2C_POLICY), &[change]).await;
        if error.is_empty() {
            assert!(answer.text.contains("<form"));
            continue;
        }
        let sent = callback(&answer);
        assert_eq!(
            failure(&sent),
            (error.to_owned(), code.to_owned()),
            "{change:?}"
        );
        assert_eq!(sent["state"], "s-1");
    }
    // Its own id names the same resource as its URI does.
    let same = ask(&world, &base(B2C_POLICY), &[("scope", &two)]).await;
    assert!(same.text.contains("<form"));
    for (change, code) in [
        (
            [
                ("redirect_uri", "http://localhost/spa"),
                ("code_challenge", ""),
            ],
            "AADB2C99059",
        ),
        (
            [("response_type", "id_token"), ("scope", B2C_CLIENT_ID)],
            "AADB2C90110",
        ),
    ] {
        let answer = ask(&world, &base(B2C_POLICY), &change).await;
        assert_eq!(failure(&callback(&answer)).1, code);
    }
}

#[tokio::test]
async fn what_people_do_at_the_page_comes_back() {
    let world = World::new();
    for (answer, code) in [("cancel", "AADB2C90091"), ("forgot", "AADB2C90118")] {
        let mut browser = Browser::default();
        let url = request(&base(B2C_POLICY), &[]);
        let page = browser.go(&world, Method::GET, &url, "").await;
        let end = browser.submit(&world, &page, &[("answer", answer)]).await;
        let sent = callback(&end);
        let wanted = ("access_denied".to_owned(), code.to_owned());
        assert_eq!(failure(&sent), wanted);
        assert_eq!(sent["state"], "s-1");
    }
    let try_it = async |world: &World, user: &str, password: &str| -> Answer {
        let mut browser = Browser::default();
        let url = request(&base(B2C_POLICY), &[]);
        let page = browser.go(world, Method::GET, &url, "").await;
        let fields = [("username", user), ("password", password)];
        browser.submit(world, &page, &fields).await
    };
    for (user, password) in [(BELLA_B2C, "wrong"), (ALICE, PASSWORD), ("x", "x")] {
        let page = try_it(&world, user, password).await;
        assert!(
            page.text.contains("Invalid username or password."),
            "{user}"
        );
    }
    world.control.disable_user(BELLA_B2C);
    let page = try_it(&world, BELLA_B2C, PASSWORD).await;
    assert!(page.text.contains("Your account has been locked."));
}

#[tokio::test]
async fn an_administrator_decides_what_a_client_may_have() {
    let world = World::new();
    let scope = format!("{B2C_IDENTIFIER_URI}/mcp.admin");
    let mut browser = Browser::default();
    let url = request(&base(B2C_POLICY), &[("scope", &scope)]);
    let page = browser.go(&world, Method::GET, &url, "").await;
    let end = browser.sign_in(&world, page, BELLA_B2C).await;
    assert_eq!(failure(&callback(&end)).1, "AADB2C90205");
}

#[tokio::test]
async fn every_port_of_localhost_is_another_address() {
    let world = World::with(|directory| {
        let app = directory.app_mut(B2C_CLIENT_ID).unwrap();
        app.allow_any_loopback_port = false;
    });
    let page = ask(&world, &base(B2C_POLICY), &[]).await;
    assert!(page.text.contains("AADB2C90006"));
    let registered = [("redirect_uri", "http://localhost/auth/callback")];
    let page = ask(&world, &base(B2C_POLICY), &registered).await;
    assert!(page.text.contains("<form"));
}

#[tokio::test]
async fn a_hint_is_enough_where_the_directory_says_so() {
    let world = World::with(|directory| directory.auto_sign_in = true);
    let hint = [("login_hint", BELLA_B2C)];
    let end = ask(&world, &base(B2C_POLICY), &hint).await;
    let code = callback(&end)["code"].clone();
    redeem(&world, &base(B2C_POLICY), &code, &[]).await.ok();
    let stranger = ask(&world, &base(B2C_POLICY), &[("login_hint", ALICE)]).await;
    assert!(stranger.text.contains("<form"));
}

#[tokio::test]
async fn signing_out_ends_the_session_and_redirects_only_to_known_places() {
    let world = World::new();
    let mut browser = Browser::default();
    let url = request(&base(B2C_POLICY), &[]);
    let page = browser.go(&world, Method::GET, &url, "").await;
    browser.sign_in(&world, page, BELLA_B2C).await;
    let logout = |uri: &str| {
        let query = crate::world::encode(&[("post_logout_redirect_uri", uri)]);
        format!("{}/oauth2/v2.0/logout?{query}", base(B2C_POLICY))
    };
    let known = "https://mcp.example.com/auth/callback";
    let end = browser.go(&world, Method::GET, &logout(known), "").await;
    assert_eq!(end.location().unwrap().as_str(), known);
    let evil = logout("https://evil.example/");
    let end = browser.go(&world, Method::GET, &evil, "").await;
    assert!(end.location().is_none());
    let silent = request(&base(B2C_POLICY), &[("prompt", "none")]);
    let end = browser.go(&world, Method::GET, &silent, "").await;
    assert_eq!(failure(&callback(&end)).1, "AADB2C90077");
}

#[tokio::test]
async fn a_code_of_one_user_flow_is_of_no_use_to_another() {
    let world = World::new();
    let code = sign_in(&world, &base(B2C_POLICY), &[]).await;
    let answer = redeem(&world, &base(B2C_TFP_POLICY), &code, &[]).await;
    let wanted = ("invalid_grant".to_owned(), "AADB2C90088".to_owned());
    assert_eq!(refused(&answer), wanted);
    assert!(
        answer
            .text
            .contains("Actual Value : B2C_1_signin and Expected Value : B2C_1_strict")
    );
    let answer = redeem(
        &world,
        &base(B2C_POLICY),
        &code,
        &[("redirect_uri", REDIRECT)],
    )
    .await;
    answer.ok();
}

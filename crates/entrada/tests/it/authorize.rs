//! Clients ask for authorization.

use entra_emulator::Endpoint;
use http::{Method, header};
use serde_json::json;
use url::{Url, form_urlencoded};

use crate::browser::Page;
use crate::client::{Answer, Client, parameter};
use crate::log::Log;
use crate::world::{BASE_URL, CALLBACK, RESOURCE, World};

/// Asks, and expects to be sent back to the client.
async fn sent_back(world: &World, client: &Client, changes: &[(&str, &str)]) -> Url {
    let url = client.authorize_url(changes);
    let location = world.browser().get(&url).await.left();
    assert!(location.as_str().starts_with(CALLBACK), "{location}");
    assert_eq!(parameter(&location, "iss").as_deref(), Some(BASE_URL));
    assert_eq!(parameter(&location, "code"), None);
    location
}

/// Asks, and expects a page that says no.
async fn refused(world: &World, url: &str) -> Page {
    let page = world.browser().get(url).await.page();
    assert_eq!(page.status, 400, "{url}");
    assert!(!page.headers.contains_key(header::LOCATION));
    assert!(page.html.contains("<h1>"));
    page
}

async fn asked(world: &World, client: &Client, changes: &[(&str, &str)]) -> Page {
    let url = client.authorize_url(changes);
    let page = world.browser().get(&url).await.page();
    assert_eq!(page.status, 200, "{}", page.html);
    page
}

#[tokio::test]
async fn what_a_client_gets_wrong_goes_back_to_it_with_state_and_issuer() {
    let world = World::new().await;
    let client = world.client().await;
    for (change, value, error) in [
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("response_type", "", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("scope", "admin", "invalid_scope"),
        ("scope", "a\"b", "invalid_scope"),
        ("resource", "https://other.example/mcp", "invalid_target"),
        (
            "resource",
            "https://mcp.example.com/mcp#x",
            "invalid_target",
        ),
        ("resource", "mcp", "invalid_target"),
        ("prompt", "none", "consent_required"),
    ] {
        let location = sent_back(&world, &client, &[(change, value)]).await;
        let got = parameter(&location, "error");
        assert_eq!(got.as_deref(), Some(error), "{change}={value}");
        assert!(parameter(&location, "error_description").is_some());
        assert_eq!(parameter(&location, "state").as_deref(), Some("a+b c&d"));
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn the_log_names_the_resource_that_a_client_asked_for() {
    let (log, _guard) = Log::begin();
    let world = World::new().await;
    let client = world.client().await;
    for (asked, told) in [
        ("https://other.example/mcp", "\"https://other.example/mcp\""),
        (
            "https://user:hush@other.example/b?key=hush#hush",
            "\"https://other.example/b\"",
        ),
        ("mailto:hush@other.example", "\"no URL of a server\""),
        ("hush", "\"no URL\""),
    ] {
        let location = sent_back(&world, &client, &[("resource", asked)]).await;
        assert!(!location.as_str().contains("other.example"), "{location}");
        let text = log.text();
        let line = text.lines().last().unwrap();
        let expected = format!("resource is not one server here: expected {RESOURCE}, got {told}");
        assert!(line.contains(&expected), "{line}");
    }
    assert!(!log.text().contains("hush"));
}

#[tokio::test]
async fn without_a_client_or_its_redirect_uri_nothing_is_redirected() {
    let world = World::new().await;
    let client = world.client().await;
    for (change, value) in [
        ("client_id", ""),
        ("client_id", "unknown"),
        ("client_id", "not an id"),
        // Our own at Entra is no client of ours.
        ("client_id", "30000000-0000-4000-8000-000000000001"),
        ("redirect_uri", "https://client.example/other"),
        ("redirect_uri", "https://client.example/callback?x"),
        ("redirect_uri", "https://client.example/callback/"),
        ("redirect_uri", "https://client.example/Callback"),
        ("redirect_uri", "https://CLIENT.example/callback"),
        ("redirect_uri", "https://client.example:443/callback"),
        ("redirect_uri", "http://client.example/callback"),
        ("redirect_uri", "https://client.example.evil/callback"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        refused(&world, &client.authorize_url(&[(change, value)])).await;
    }
    let twice = format!("{}&state=x", client.authorize_url(&[]));
    refused(&world, &twice).await;
    refused(&world, &format!("{BASE_URL}/authorize")).await;
}

#[tokio::test]
async fn an_unknown_client_is_told_how_to_register() {
    let world = World::new().await;
    let client = world.client().await;
    let path = client.authorize_url(&[("client_id", "unknown")]);
    let ask = async |accept: Option<&str>| -> Answer {
        let headers: Vec<_> = accept
            .map(|accept| ("accept", accept))
            .into_iter()
            .collect();
        world.ask(Method::GET, &path, &headers, "").await
    };
    let register = format!("{BASE_URL}/register");
    for accept in [None, Some("application/json"), Some("*/*")] {
        let answer = ask(accept).await;
        answer.assert_refused(400, "invalid_request");
        assert_eq!(answer.json["registration_endpoint"], json!(register));
        let link = answer.header("link").unwrap();
        assert!(link.starts_with(&format!("<{register}>; rel=")), "{link}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for accept in ["text/html", "application/json, text/html;q=0.1"] {
        let answer = ask(Some(accept)).await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(answer.text.contains("it will then register anew"));
    }
    // Another mistake is no reason to register again.
    let path = client.authorize_url(&[("redirect_uri", "https://client.example/x")]);
    let answer = world.ask(Method::GET, &path, &[], "").await;
    assert_eq!(answer.header("link"), None);
    assert!(answer.json.get("registration_endpoint").is_none());
}

#[tokio::test]
async fn the_only_redirect_uri_may_be_left_out() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.authorize_url(&[("redirect_uri", "")]);
    let mut browser = world.browser();
    let page = browser.get(&url).await.page();
    let location = browser.approve(&page, "alice").await.left();
    assert!(location.as_str().starts_with(CALLBACK));
    let uris = ["https://client.example/a", "https://client.example/b"];
    let client = world.client_with(&json!({ "redirect_uris": uris })).await;
    refused(&world, &client.authorize_url(&[("redirect_uri", "")])).await;
    asked(&world, &client, &[("redirect_uri", uris[1])]).await;
}

#[tokio::test]
async fn only_the_port_of_a_loopback_redirect_may_vary() {
    let world = World::new().await;
    let uris = [
        "http://127.0.0.1/callback",
        "http://localhost:1/cb",
        "http://[::1]/cb",
    ];
    let client = world.client_with(&json!({ "redirect_uris": uris })).await;
    for good in [
        "http://127.0.0.1:53124/callback",
        "http://localhost:53124/cb",
        "http://localhost/cb",
        "http://[::1]:9/cb",
    ] {
        asked(&world, &client, &[("redirect_uri", good)]).await;
    }
    for bad in [
        "http://127.0.0.1:53124/other",
        "http://localhost:53124/callback",
        "http://127.0.0.2/callback",
        "https://127.0.0.1/callback",
        "http://127.0.0.1:53124/callback?x=1",
        "http://127.0.0.1:80@evil.example/callback",
    ] {
        refused(&world, &client.authorize_url(&[("redirect_uri", bad)])).await;
    }
}

#[tokio::test]
async fn the_resource_may_be_spelled_as_clients_spell_it() {
    let world = World::new().await;
    let client = world.client().await;
    for resource in [
        "",
        RESOURCE,
        "https://mcp.example.com/mcp/",
        "HTTPS://MCP.Example.com:443/mcp",
        "https://mcp.example.com/mcp?session=1",
    ] {
        asked(&world, &client, &[("resource", resource)]).await;
    }
    // RFC 8707 §2: several are allowed, each must be ours.
    let twice = format!("{}&resource={RESOURCE}/", client.authorize_url(&[]));
    assert_eq!(world.browser().get(&twice).await.page().status, 200);
    let other = format!(
        "{}&resource=https://other.example/",
        client.authorize_url(&[])
    );
    let location = world.browser().get(&other).await.left();
    assert_eq!(
        parameter(&location, "error").as_deref(),
        Some("invalid_target")
    );
}

#[tokio::test]
async fn unknown_parameters_and_empty_ones_are_left_out() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.authorize_url(&[("foo", "1"), ("acr_values", "x"), ("resource", "")]);
    let page = world
        .browser()
        .get(&format!("{url}&scope=&nonce="))
        .await
        .page();
    assert_eq!(page.status, 200);
}

/// Clients probe the URL before they open the browser.
#[tokio::test]
async fn asking_is_idempotent_and_leaves_no_state_behind() {
    let world = World::new().await;
    let client = world.client().await;
    let url = client.authorize_url(&[]);
    for _ in 0..3 {
        let answer = world.ask(Method::GET, &url, &[], "").await;
        assert_eq!(answer.status, 200);
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies.len(), 1);
        let cookie = cookies[0].to_str().unwrap();
        assert!(cookie.starts_with("__Host-entrada-browser="), "{cookie}");
        assert!(
            cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"),
            "{cookie}"
        );
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
    let mut browser = world.browser();
    client.log_in(&mut browser, "alice").await;
}

#[tokio::test]
async fn the_request_may_be_posted() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let fields: Vec<_> = client
        .parameters()
        .into_iter()
        .map(|(n, v)| (n.to_owned(), v))
        .collect();
    let url = Url::parse(&format!("{BASE_URL}/authorize")).unwrap();
    let page = browser.post(&url, &fields).await.page();
    let location = browser.approve(&page, "alice").await.left();
    let code = parameter(&location, "code").unwrap();
    client.redeem(&code).await.ok();
    let head = world
        .ask(Method::HEAD, &client.authorize_url(&[]), &[], "")
        .await;
    assert_eq!(head.status, 405);
}

#[tokio::test]
async fn state_comes_back_byte_for_byte() {
    let world = World::new().await;
    let client = world.client().await;
    let longest = "x".repeat(4096);
    for state in ["a%2Bb c&d=e", "ü\u{1f600}", "\"<>\\", " ", &*longest] {
        let location = sent_back(&world, &client, &[("state", state), ("scope", "admin")]).await;
        assert_eq!(parameter(&location, "state").as_deref(), Some(state));
        let mut browser = world.browser();
        let consent = browser
            .get(&client.authorize_url(&[("state", state)]))
            .await
            .page();
        let location = browser.approve(&consent, "alice").await.left();
        assert_eq!(parameter(&location, "state").as_deref(), Some(state));
    }
    let location = sent_back(&world, &client, &[("state", ""), ("scope", "admin")]).await;
    assert_eq!(parameter(&location, "state"), None);
    let location = sent_back(&world, &client, &[("state", &"x".repeat(4097))]).await;
    assert_eq!(
        parameter(&location, "error").as_deref(),
        Some("invalid_request")
    );
}

#[tokio::test]
async fn what_is_registered_in_the_redirect_uri_stays() {
    let world = World::new().await;
    let uri = "https://client.example/cb?flag&x=%ff";
    let client = world.client_with(&json!({ "redirect_uris": [uri] })).await;
    let url = client.authorize_url(&[("scope", "admin")]);
    let location = world.browser().get(&url).await.left();
    assert!(location.as_str().starts_with(uri), "{location}");
    let query = location.query().unwrap();
    let issuers = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "iss");
    assert_eq!(issuers.count(), 1);
}

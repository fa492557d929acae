//! Where answers go.

use entrada::jwt::jwks::Algorithm;
use entrada::platform::SystemRandom;
use http::Method;
use serde_json::json;

use super::{allowed, assert_stopped, callback_url, fetch, post_form, text};
use crate::browser::Stop;
use crate::client::{Client, parameter};
use crate::held_registration;
use crate::world::{BASE_URL, World};

async fn client_at(world: &World, redirect_uri: &str) -> Client {
    let metadata = json!({"redirect_uris": [redirect_uri]});
    world.client_with(&metadata).await
}

#[tokio::test]
async fn redirect_uri_is_compared_as_a_string() {
    let world = World::new().await;
    let web = client_at(&world, "https://client.example/cb").await;
    let local = client_at(&world, "http://127.0.0.1:7/cb").await;
    let app = client_at(&world, "cursor://client/cb").await;
    let mut browser = world.browser();
    for (client, asked) in [
        (&web, "https://client.example/cb/"),
        (&web, "https://client.example/cb/more"),
        (&web, "https://client.example/c"),
        (&web, "https://client.example/CB"),
        (&web, "https://CLIENT.example/cb"),
        (&web, "HTTPS://client.example/cb"),
        (&web, "https://client.example/cb?x=1"),
        (&web, "https://client.example/cb?"),
        (&web, "https://client.example/cb#fragment"),
        (&web, "https://client.example:443/cb"),
        (&web, "https://client.example:8443/cb"),
        (&web, "https://client.example./cb"),
        (&web, "https://client.example.evil.example/cb"),
        (&web, "https://evil.client.example/cb"),
        (&web, "https://client.example@evil.example/cb"),
        (&web, "https://evil.example\\@client.example/cb"),
        (&web, "https://client.example\\.evil.example/cb"),
        (&web, "https://client.example/a/../cb"),
        (&web, "https://client.example/./cb"),
        (&web, "https://client.example/%63b"),
        (&web, "https://client.example//cb"),
        (&web, "http://client.example/cb"),
        (&web, " https://client.example/cb"),
        (&web, "https://client.example/cb\n"),
        (&web, "javascript:alert(1)"),
        (&web, "data:text/html,x"),
        (&local, "http://localhost:7/cb"),
        (&local, "http://127.0.0.2:7/cb"),
        (&local, "http://2130706433:7/cb"),
        (&local, "http://[::1]:7/cb"),
        (&local, "http://127.0.0.1:8/other"),
        (&local, "http://127.0.0.1:8/cb?x"),
        (&local, "https://127.0.0.1:8/cb"),
        (&local, "http://127.0.0.1:8@evil.example/cb"),
        (&local, "http://127.0.0.1.evil.example:8/cb"),
        (&app, "cursor://client:1/cb"),
        (&app, "cursor://evil/cb"),
    ] {
        let url = client.authorize_url(&[("redirect_uri", asked)]);
        match browser.get(&url).await {
            Stop::Page(page) => assert_stopped(&page, 400),
            Stop::Left(to) => panic!("{asked} led to {to}"),
        }
    }
    let other_port = local.authorize_url(&[("redirect_uri", "http://127.0.0.1:8/cb")]);
    assert_eq!(browser.get(&other_port).await.page().status, 200);
}

#[tokio::test]
async fn errors_never_go_to_an_unproven_redirect_uri() {
    let world = World::new().await;
    let client = client_at(&world, "https://client.example/cb").await;
    let evil = "https://evil.example/cb";
    for changes in [
        vec![("redirect_uri", evil)],
        vec![("redirect_uri", evil), ("response_type", "token")],
        vec![("redirect_uri", evil), ("scope", "nothing")],
        vec![("redirect_uri", evil), ("client_id", "unknown")],
        vec![("redirect_uri", evil), ("client_id", "")],
        vec![
            ("redirect_uri", evil),
            ("resource", "https://other.example"),
        ],
        vec![("redirect_uri", evil), ("prompt", "none")],
    ] {
        let url = client.authorize_url(&changes);
        for accept in ["text/html", "application/json", "*/*"] {
            let answer = world
                .ask(Method::GET, &url, &[("accept", accept)], "")
                .await;
            assert_eq!(answer.status, 400, "{changes:?}");
            assert!(answer.header("location").is_none() && answer.header("refresh").is_none());
            assert!(!answer.text.contains("evil.example"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn dangerous_redirect_uris_are_not_registered() {
    let world = World::new().await;
    for dangerous in [
        "javascript:alert(1)",
        "JavaScript://evil.example/%0aalert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://evil.example/1",
        "about:blank",
        "ftp://evil.example/",
        "mailto:a@evil.example",
        "http://evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://10.0.0.1/cb",
        "http://169.254.169.254/latest",
        "https://client.example/cb#fragment",
        "https://good.example@evil.example/cb",
        "https://good.example:pw@evil.example/cb",
        "https://good.example\\@evil.example/",
        "//evil.example/cb",
        "/cb",
        "",
        "https://evil.example/c b",
        "https://evil.example/\r\nx: y",
        "https://x;script-src.evil.example/",
        "https:evil.example/cb",
        "https:/evil.example/cb",
        "http:127.0.0.1/cb",
        "ms-word:ofe",
    ] {
        let metadata = json!({"redirect_uris": [dangerous]});
        let answer = world.register(&metadata).await;
        assert_eq!(answer.status, 400, "{dangerous}");
        answer.assert_refused(400, "invalid_redirect_uri");
    }
}

#[tokio::test]
async fn every_answer_names_its_issuer_once() {
    let world = World::new().await;
    let client = client_at(
        &world,
        "https://client.example/cb?iss=https%3A%2F%2Fevil.example&%69ss=x&a=b",
    )
    .await;
    let mut browser = world.browser();
    let mut answers = Vec::new();
    for changes in [
        ("scope", "nothing"),
        ("response_type", "token"),
        ("code_challenge", ""),
        ("resource", "https://other.example"),
        ("prompt", "none"),
    ] {
        let url = client.authorize_url(&[changes]);
        answers.push(browser.get(&url).await.left());
    }
    let consent = client.ask(&mut browser).await;
    answers.push(browser.submit(&consent, &[("answer", "deny")]).await.left());
    let state = parameter(&callback_url(&client, &mut browser, "alice").await, "state").unwrap();
    let refused = format!("{BASE_URL}/auth/callback?error=access_denied&state={state}");
    answers.push(browser.get(&refused).await.left());
    answers.push(client.authorize(&mut browser, "alice").await);
    for answer in answers {
        let named: Vec<_> = answer
            .query_pairs()
            .filter(|(name, _)| name == "iss")
            .map(|(_, value)| value.into_owned())
            .collect();
        assert_eq!(named, [BASE_URL], "{answer}");
        assert_eq!(parameter(&answer, "a").as_deref(), Some("b"));
    }
}

#[tokio::test]
async fn registered_query_cannot_forge_our_parameters() {
    let world = World::new().await;
    let planted = "code=planted&state=planted&error=planted&error_description=planted&\
                   error_uri=planted&iss=planted&%63ode=planted";
    let client = client_at(&world, &format!("https://client.example/cb?{planted}")).await;
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    let denied = browser.submit(&consent, &[("answer", "deny")]).await.left();
    let allowed = client.authorize(&mut browser, "alice").await;
    let stateless = client.authorize_url(&[("state", ""), ("scope", "nothing")]);
    let stateless = browser.get(&stateless).await.left();
    for answer in [denied, allowed, stateless] {
        assert!(!answer.as_str().contains("planted"), "{answer}");
    }
}

#[tokio::test]
async fn redirect_host_cannot_change_the_page_policy() {
    let world = World::new().await;
    for redirect_uri in [
        "https://client.example/cb",
        "https://x,y.example/;script-src%20*",
        "http://x;script-src.localhost:1/cb",
        "http://x,script-src.localhost:1/cb",
        "http://localhost:1/;script-src",
        "http://[::1]:1/cb",
        "com.example.app:/cb;script-src",
    ] {
        let registered = world
            .register(&json!({"redirect_uris": [redirect_uri]}))
            .await;
        if !registered.status.is_success() {
            continue;
        }
        let client = Client::registered(world.hosts.clone(), &registered.json);
        let page = client.ask(&mut world.browser()).await;
        let policy = text(&page.headers, "content-security-policy");
        let directives: Vec<_> = policy
            .split(';')
            .filter_map(|directive| directive.trim().split(' ').next())
            .collect();
        let known = [
            "default-src",
            "style-src",
            "base-uri",
            "frame-ancestors",
            "form-action",
        ];
        assert_eq!(directives, known, "{redirect_uri}");
        assert!(!policy.contains(','), "{policy}");
    }
}

#[tokio::test]
async fn answers_are_redirected_with_303() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    for answer in ["allow", "deny"] {
        let page = client.ask(&mut browser).await;
        let mut fields = allowed(&page);
        fields.last_mut().unwrap().1 = answer.to_owned();
        let cookies = browser.cookie_header(super::HOST);
        let answered = post_form(&world, "/consent", &[("cookie", &cookies)], &fields).await;
        assert_eq!(answered.status, 303, "{answer}");
    }
    let callback = callback_url(&client, &mut browser, "alice").await;
    let back = fetch(&mut browser, Method::GET, callback.as_str()).await;
    assert_eq!(back.status, 303);
    let posted: Vec<_> = client
        .parameters()
        .into_iter()
        .filter(|(name, _)| *name != "code_challenge")
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let error = post_form(&world, "/authorize", &[], &posted).await;
    assert_eq!(error.status, 303);
}

#[tokio::test]
async fn pattern_lets_in_no_more_than_it_says() {
    let patterns = [
        "https://*.example.com/callback",
        "https://client.example/*/callback",
        "https://client.example/apps/**",
    ];
    let world = World::with(|config| config.allowed_client_redirect_uris(patterns)).await;
    let register = async |uri: &str| {
        let answer = world.register(&json!({ "redirect_uris": [uri] })).await;
        answer.status.as_u16()
    };
    for uri in [
        "https://a.example.com/callback",
        "https://client.example/a/callback",
        "https://client.example/apps/a/b",
    ] {
        assert_eq!(register(uri).await, 201, "{uri}");
    }
    for uri in [
        "https://example.com/callback",
        "https://evilexample.com/callback",
        "https://evil.example/.example.com/callback",
        "https://a.example.com.evil.example/callback",
        "https://a.example.com:8443/callback",
        "https://a.example.com/callback?next=https://evil.example",
        "https://client.example/open-redirect/evil/callback",
        "https://client.example/apps/../open-redirect",
        "https://client.example/apps/%2e%2e/open-redirect",
        "https://client.example/apps/..%2fopen-redirect",
        "https://client.example/apps/%252e%252e/open-redirect",
        "https://client.example/apps2",
        "http://localhost/callback",
    ] {
        assert_eq!(register(uri).await, 400, "{uri}");
    }
}

#[tokio::test]
async fn redirect_uri_of_before_is_held_against_the_list_of_today() {
    // It was registered, and nobody kept a list then.
    let world = World::new().await;
    let client = client_at(&world, "https://evil.example/cb").await;
    let listed = world
        .replica_with(|config| config.allowed_client_redirect_uris(["https://client.example/**"]));
    let answer = listed.get(&client.authorize_url(&[])).await;
    assert_eq!(answer.status, 400);
    assert!(answer.header("location").is_none());
    let good = client_at(&world, "https://client.example/cb").await;
    let asked = listed.get(&good.authorize_url(&[])).await;
    assert_eq!(asked.status, 200);
}

#[tokio::test]
async fn what_a_client_registered_cannot_be_made_up() {
    // Its id holds it: an id that was changed, made elsewhere or for something else is nobody's.
    let world = held_registration::world().await;
    let elsewhere = held_registration::world().await;
    let client = world.client().await;
    let page = client.ask(&mut world.browser()).await;
    let form = page.form().1.remove(0).1;
    let id = client.id.clone();
    let changed = (5..id.len()).step_by(13).map(|at| {
        let with = if &id[at..=at] == "A" { "B" } else { "A" };
        format!("{}{with}{}", &id[..at], &id[at + 1..])
    });
    let mut forged: Vec<String> = changed.collect();
    forged.push(elsewhere.client().await.id);
    forged.push(format!("held.{}", &form[..form.len().min(900)]));
    forged.push(id.replace("held.", ""));
    forged.push("held.".to_owned());
    for id in &forged {
        let url = client.authorize_url(&[("client_id", id)]);
        let page = world.browser().get(&url).await.page();
        assert_stopped(&page, 400);
    }
    // Who has read the keys makes no more of them once they are revoked.
    let (random, now) = (SystemRandom::default(), world.now());
    let revoked = world.keys.current().revoked(Algorithm::Es256, &random, now);
    world.keys.replace(revoked.unwrap());
    let page = client.ask(&mut world.browser()).await;
    assert_stopped(&page, 400);
}

//! The server as a whole: its addresses, its limits, and what it lets out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use entra_emulator::{Endpoint, Failure, builtin};
use entrada::authorization_server::PreregisteredClient;
use http::Method;
use serde_json::json;

use super::forger::{Forger, claims_of};
use super::{REDIRECT_PATH, allowed, overhear, post_form};
use crate::client::{Client, VERIFIER, parameter};
use crate::log::Log;
use crate::world::{CALLBACK, World};

pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn host_header_changes_no_url() {
    let world = World::new().await;
    let client = world.client().await;
    let poison = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/evil"),
        ("forwarded", "host=evil.example;proto=gopher"),
    ];
    let unknown = "/authorize?client_id=unknown";
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/mcp",
        unknown,
        &client.authorize_url(&[("scope", "nothing")]),
    ] {
        let plain = world.get(path).await;
        let poisoned = world.ask(Method::GET, path, &poison, "").await;
        assert_eq!(plain.text, poisoned.text, "{path}");
        for name in ["location", "link", "www-authenticate"] {
            assert_eq!(plain.header(name), poisoned.header(name), "{path}");
        }
    }
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    let cookies = browser.cookie_header(super::HOST);
    let headers = [&poison[..], &[("cookie", &*cookies)]].concat();
    let to_entra = post_form(&world, "/consent", &headers, &allowed(&consent)).await;
    let location = to_entra.header("location").unwrap();
    assert!(
        location.starts_with("https://login.emulator.test/"),
        "{location}"
    );
    assert!(!location.contains("evil"), "{location}");
}

#[tokio::test]
async fn oversized_input_is_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let session = client.log_in(&mut world.browser(), "alice").await;
    let large = "a".repeat(65 * 1024);
    for (path, content_type) in [
        ("/register", JSON),
        ("/token", FORM),
        ("/revoke", FORM),
        ("/consent", FORM),
        ("/authorize", FORM),
    ] {
        let answer = world.ask(Method::POST, path, &[content_type], &large).await;
        assert_eq!(answer.status, 413, "{path}");
    }
    let many: String = (0..65).fold(String::new(), |mut form, nth| {
        let _ = write!(form, "p{nth}=x&");
        form
    });
    let many = format!("{many}client_id={}", client.id);
    for path in ["/token", "/revoke"] {
        let answer = world.ask(Method::POST, path, &[FORM], &many).await;
        answer.assert_refused(400, "invalid_request");
    }
    let answer = world.get(&format!("/authorize?{many}")).await;
    answer.assert_refused(400, "invalid_request");
    let state = "s".repeat(4097);
    let url = client.authorize_url(&[("state", &state)]);
    let location = world.browser().get(&url).await.left();
    let error = parameter(&location, "error");
    assert_eq!(error.as_deref(), Some("invalid_request"));
    assert_eq!(parameter(&location, "state"), None);
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    for body in [deep.clone(), format!("{{\"jwks\":{deep}}}")] {
        let answer = world.ask(Method::POST, "/register", &[JSON], &body).await;
        answer.assert_refused(400, "invalid_client_metadata");
    }
    let uris: Vec<_> = (0..17)
        .map(|nth| format!("https://h.example/{nth}"))
        .collect();
    let answer = world.register(&json!({"redirect_uris": uris})).await;
    assert_eq!(answer.status, 400);
    let long = format!("https://h.example/{}", "a".repeat(600));
    let answer = world.register(&json!({"redirect_uris": [long]})).await;
    answer.assert_refused(400, "invalid_redirect_uri");
    // Well-formed, and signed by the server itself, but for its size.
    let insider = Forger::insider(&world).await;
    let padding = "a".repeat(16 * 1024);
    let token = insider.sign(
        &insider.header(&json!({})),
        &claims_of(&session, &json!({"padding": padding})),
    );
    let bearer = format!("Bearer {token}");
    let answer = client
        .call(Method::POST, &[("authorization", &bearer)])
        .await;
    answer.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn repeated_parameters_are_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    for (name, value) in client.parameters() {
        if name == "resource" {
            continue;
        }
        for other in [&*value, "other"] {
            let query = [(name, other)];
            let more = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(query)
                .finish();
            let url = format!("{}&{more}", client.authorize_url(&[]));
            let answer = world.get(&url).await;
            answer.assert_refused(400, "invalid_request");
            assert!(answer.header("location").is_none());
        }
    }
    let code = client.code(&mut browser, "alice").await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client.id),
        ("code", &*code),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in form {
        for other in [value, "other"] {
            let twice = [&form[..], &[(name, other)]].concat();
            client
                .token(&twice)
                .await
                .assert_refused(400, "invalid_request");
        }
    }
    // None of them spent the code.
    let session = client.session(client.redeem(&code).await.ok());
    let token = [
        ("client_id", &*client.id),
        ("token", &*session.refresh_token),
    ];
    for other in ["x", &session.access_token] {
        let twice = [&token[..], &[("token", other)]].concat();
        let answer = client.post("/revoke", &twice).await;
        answer.assert_refused(400, "invalid_request");
    }
    let consent = client.ask(&mut browser).await;
    let mut fields = allowed(&consent);
    fields.push(("answer".to_owned(), "deny".to_owned()));
    let answered = browser.post(&consent.form().0, &fields).await.page();
    assert_eq!(answered.status, 400);
    let mut callback = super::callback_url(&client, &mut browser, "alice").await;
    // Entra ends it with an empty fragment.
    callback.set_fragment(None);
    for more in ["state=x", "code=x"] {
        let answered = browser.get(&format!("{callback}&{more}")).await.page();
        assert_eq!(answered.status, 400);
    }
}

#[tokio::test]
async fn client_named_in_two_ways_is_refused() {
    let world = World::new().await;
    let (client, other) = (world.client().await, world.client().await);
    let session = client.log_in(&mut world.browser(), "alice").await;
    let basic = |id: &str, secret: &str| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        format!("Basic {text}")
    };
    let form = |id: &str| {
        let token = &session.refresh_token;
        format!("grant_type=refresh_token&refresh_token={token}&client_id={id}")
    };
    for (authorization, body) in [
        (basic(&other.id, ""), form(&client.id)),
        (basic(&client.id, ""), form(&other.id)),
        (
            basic(&client.id, "s"),
            format!("{}&client_secret=s", form(&client.id)),
        ),
        (format!("Bearer {}", session.access_token), form(&client.id)),
    ] {
        let headers = [FORM, ("authorization", &*authorization)];
        let answer = world.ask(Method::POST, "/token", &headers, &body).await;
        answer.assert_refused(400, "invalid_request");
    }
    // A proxy may read the other of two headers.
    let (own, others) = (basic(&client.id, ""), basic(&other.id, ""));
    for twice in [[&own, &others], [&others, &own], [&own, &own]] {
        let headers = [
            FORM,
            ("authorization", twice[0]),
            ("authorization", twice[1]),
        ];
        let body = form(&client.id);
        let answer = world.ask(Method::POST, "/token", &headers, &body).await;
        answer.assert_refused(400, "invalid_request");
    }
    // A secret nobody gave the client proves nothing, and is not ignored.
    let with_secret = format!("{}&client_secret=guess", form(&client.id));
    let answer = world
        .ask(Method::POST, "/token", &[FORM], &with_secret)
        .await;
    answer.assert_refused(401, "invalid_client");
}

#[tokio::test]
async fn form_of_another_site_registers_nothing() {
    let world = World::new().await;
    let body = json!({"redirect_uris": ["https://evil.example/cb"]}).to_string();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonx",
        "",
    ] {
        let headers = [("content-type", content_type)];
        let answer = world.ask(Method::POST, "/register", &headers, &body).await;
        answer.assert_refused(400, "invalid_client_metadata");
    }
    let answer = world.ask(Method::POST, "/register", &[], &body).await;
    answer.assert_refused(400, "invalid_client_metadata");
}

#[tokio::test]
async fn errors_repeat_nothing_they_were_sent() {
    const MARK: &str = "zq7-mark";
    let world = World::new().await;
    let client = world.client().await;
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "code_challenge",
        "code_challenge_method",
        "scope",
        "resource",
    ] {
        let url = client.authorize_url(&[(name, MARK)]);
        for accept in ["text/html", "application/json"] {
            let answer = world
                .ask(Method::GET, &url, &[("accept", accept)], "")
                .await;
            assert!(!answer.text.contains(MARK), "{name}: {}", answer.text);
            assert!(!answer.header("location").unwrap_or_default().contains(MARK));
        }
    }
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client.id),
        ("code", "unknown"),
        ("code_verifier", VERIFIER),
    ];
    for (name, _) in form {
        let marked = form.map(|(known, value)| (known, if known == name { MARK } else { value }));
        for path in ["/token", "/revoke"] {
            let answer = client.post(path, &marked).await;
            assert!(!answer.text.contains(MARK), "{name}: {}", answer.text);
        }
    }
    let metadata = json!({"redirect_uris": [MARK], "client_name": MARK});
    assert!(!world.register(&metadata).await.text.contains(MARK));
    let callback = format!("{REDIRECT_PATH}?state={MARK}&error={MARK}&error_description={MARK}");
    assert!(!world.get(&callback).await.text.contains(MARK));
    let bearer = format!("Bearer {MARK}");
    let answer = client
        .call(Method::POST, &[("authorization", &bearer)])
        .await;
    assert!(!format!("{:?}{}", answer.headers, answer.text).contains(MARK));
}

#[tokio::test]
async fn access_token_tells_nothing_of_the_user() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let claims = session.claims();
    let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
    names.sort();
    let expected = [
        "aud",
        "client_id",
        "exp",
        "iat",
        "iss",
        "jti",
        "scope",
        "sid",
        "sub",
    ];
    assert_eq!(names, expected);
    let who = session.call_tool().await.ok();
    for name in ["oid", "tid", "name", "preferred_username"] {
        let value = who[name].as_str().unwrap();
        assert!(!claims.to_string().contains(value), "{name}");
        assert!(!session.refresh_token.contains(value), "{name}");
    }
}

#[tokio::test]
async fn token_answers_are_not_cached() {
    let world = World::new().await;
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let issued = client.redeem(&code).await;
    let session = client.session(issued.json.clone());
    for answer in [
        issued,
        session.refresh().await,
        client.redeem("unknown").await,
        client.revoke("unknown").await,
        world.register(&json!({})).await,
        client.call(Method::POST, &[]).await,
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn logs_hold_no_secret() {
    let (log, logging) = Log::begin();
    let world = World::new().await;
    let heard = overhear(&world);
    let client = world.client().await;
    let mut browser = world.browser();
    let callback = super::callback_url(&client, &mut browser, "alice").await;
    let cookies = browser.cookie_header(super::HOST);
    let location = browser.get(callback.as_str()).await.left();
    let code = parameter(&location, "code").unwrap();
    let session = client.session(client.redeem(&code).await.ok());
    let next = session.refreshed().await;
    next.call_tool().await.ok();
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
    next.refresh().await.assert_refused(400, "invalid_grant");
    let failed = world.log_in("alice").await;
    world.entra.fail_next(Endpoint::Token, 1, Failure::Garbage);
    failed.refresh().await;
    failed.client.revoke(&failed.refresh_token).await.ok();
    drop(logging);
    let lines = log.text();
    assert!(
        lines.contains("grant issued") && lines.contains("replayed"),
        "{lines}"
    );
    let mut secrets = BTreeMap::new();
    for session in [&session, &next, &failed] {
        secrets.insert(session.access_token.clone(), "access token");
        secrets.insert(session.refresh_token.clone(), "refresh token");
    }
    for answer in &*heard.lock().unwrap() {
        for name in ["access_token", "refresh_token", "id_token"] {
            secrets.insert(answer[name].as_str().unwrap().to_owned(), name);
        }
    }
    for cookie in cookies.split("; ") {
        secrets.insert(cookie.split_once('=').unwrap().1.to_owned(), "cookie");
    }
    secrets.insert(code, "code");
    secrets.insert(parameter(&callback, "code").unwrap(), "code of entra");
    secrets.insert(parameter(&callback, "state").unwrap(), "state");
    secrets.insert(VERIFIER.to_owned(), "verifier");
    secrets.insert(builtin::CLIENT_SECRET.to_owned(), "client secret");
    secrets.insert(builtin::ALICE.to_owned(), "user name");
    for (secret, what) in &secrets {
        assert!(!lines.contains(secret), "{what} in {lines}");
    }
}

/// Whoever knows the id of a client that has a secret, and a code of its.
#[tokio::test]
async fn client_with_a_secret_is_nobody_without_it() {
    let secret = "t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d";
    let known = PreregisteredClient::new("agents", [CALLBACK]).secret(secret);
    let world = World::with(|config| config.client(known)).await;
    let named = json!({ "client_id": "agents", "redirect_uris": [CALLBACK] });
    let client = Client::registered(world.hosts.clone(), &named);
    let code = client.code(&mut world.browser(), "alice").await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("client_id", "agents"),
    ];
    let digest = "ab".repeat(32);
    for guess in [None, Some("x"), Some(&secret[1..]), Some(&*digest)] {
        let mut guessed = form.to_vec();
        guessed.extend(guess.map(|guess| ("client_secret", guess)));
        let refused = client.token(&guessed).await;
        refused.assert_refused(401, "invalid_client");
    }
    let signed = [
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", "x.y.z"),
    ];
    let refused = client.token(&[&form[..], &signed].concat()).await;
    refused.assert_refused(401, "invalid_client");
    client
        .token(&[&form[..], &[("client_secret", secret)]].concat())
        .await
        .ok();
}

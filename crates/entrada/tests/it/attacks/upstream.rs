//! Somebody between Entra and the server, and what Entra itself may say.

use std::net::SocketAddr;

use bytes::Bytes;
use entra_emulator::{Endpoint, Failure};
use entrada::platform::Platform;
use serde_json::{Value, json};
use url::Url;

use super::forger::FalseEntra;
use super::{REDIRECT_PATH, TOKEN_PATH, callback_url};
use crate::client::parameter;
use crate::world::{BASE_URL, World};

/// Where a login ends if Entra's ID token is this one.
async fn login_with(world: &World, forge: impl Fn(&str) -> String + Send + 'static) -> Url {
    world.intercept(move |path, answer| {
        if path.ends_with(TOKEN_PATH) {
            answer["id_token"] = forge(answer["id_token"].as_str().unwrap()).into();
        }
    });
    let client = world.client().await;
    client.authorize(&mut world.browser(), "alice").await
}

#[track_caller]
fn assert_refused(location: &Url) {
    assert_eq!(parameter(location, "code"), None, "{location}");
    assert!(parameter(location, "error").is_some(), "{location}");
}

/// Where a login ends if the ID token has these claims, and a key Entra published signed it.
async fn login_claiming(changes: Value, key_issuer: Option<&'static str>) -> Url {
    let world = World::new().await;
    world.intercept(move |path, answer| {
        let forger = FalseEntra::new();
        if path.ends_with("/keys") {
            let mut key = forger.jwk();
            if let Some(issuer) = key_issuer {
                key["issuer"] = issuer.into();
            }
            answer["keys"].as_array_mut().unwrap().push(key);
        }
        if path.ends_with(TOKEN_PATH) {
            let token = answer["id_token"].as_str().unwrap();
            answer["id_token"] = forger.resign(token, &changes).into();
        }
    });
    let client = world.client().await;
    client.authorize(&mut world.browser(), "alice").await
}

#[tokio::test]
async fn forged_id_token_is_refused() {
    // Signed by a key Entra never published.
    let world = World::new().await;
    let resigned = |token: &str| FalseEntra::new().resign(token, &json!({}));
    assert_refused(&login_with(&world, resigned).await);
    let altered = |token: &str| {
        let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        let other = FalseEntra::new().resign(token, &json!({"oid": "someone-else"}));
        parts[1] = other.split('.').nth(1).unwrap().to_owned();
        parts.join(".")
    };
    assert_refused(&login_with(&world, altered).await);
    let unsigned = |token: &str| {
        let claims = token.split('.').nth(1).unwrap();
        format!("eyJhbGciOiJub25lIn0.{claims}.")
    };
    assert_refused(&login_with(&world, unsigned).await);
    assert_refused(&login_with(&world, |_| String::new()).await);
}

#[tokio::test]
async fn id_token_of_another_login_is_refused() {
    assert!(parameter(&login_claiming(json!({}), None).await, "code").is_some());
    for nonce in [json!("of-another-login"), json!(""), Value::Null] {
        assert_refused(&login_claiming(json!({"nonce": nonce}), None).await);
    }
}

#[tokio::test]
async fn id_token_of_another_tenant_is_refused() {
    let fabrikam = entra_emulator::builtin::FABRIKAM_TENANT_ID;
    let issuer = format!("https://login.emulator.test/{fabrikam}/v2.0");
    for changes in [
        json!({"tid": fabrikam, "iss": issuer}),
        json!({"iss": "https://evil.example"}),
        json!({"aud": "30000000-0000-4000-8000-000000000002"}),
        json!({"aud": null}),
        json!({"exp": 1}),
        json!({"tid": null}),
        json!({"oid": null}),
    ] {
        assert_refused(&login_claiming(changes, None).await);
    }
    // A key for personal accounts does not vouch for anybody here.
    let personal = "https://login.emulator.test/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
    assert_refused(&login_claiming(json!({}), Some(personal)).await);
}

#[tokio::test]
async fn scope_beyond_what_was_asked_is_not_granted() {
    // Neither the client's wish nor an echo of Entra's makes more of it.
    let world = World::new().await;
    world.intercept(|path, answer| {
        if path.ends_with(TOKEN_PATH) {
            let scope = answer["scope"].as_str().unwrap();
            answer["scope"] = format!("{scope} mcp.write admin").into();
        }
    });
    let client = world.client().await;
    let mut browser = world.browser();
    let url = client.authorize_url(&[("scope", "mcp.read mcp.write admin openid")]);
    let consent = browser.get(&url).await.page();
    let location = browser.approve(&consent, "alice").await.left();
    let code = parameter(&location, "code").unwrap();
    let session = client.session(client.redeem(&code).await.ok());
    assert_eq!(session.tokens["scope"], json!("mcp.read"));
    assert_eq!(session.claims()["scope"], json!("mcp.read"));
    assert_eq!(session.refreshed().await.tokens["scope"], json!("mcp.read"));
}

#[tokio::test]
async fn words_of_entra_stay_with_us() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    // Through the browser, where anybody may have written them.
    for error in ["access_denied", "server_error", "invalid_client", "%3Cb%3E"] {
        let callback = callback_url(&client, &mut browser, "alice").await;
        let state = parameter(&callback, "state").unwrap();
        let words = "error_description=AADSTS65004-evil.example&error_uri=https://evil.example";
        let url = format!("{BASE_URL}{REDIRECT_PATH}?error={error}&{words}&state={state}");
        let location = browser.get(&url).await.left();
        for word in ["AADSTS", "evil.example", "%3Cb%3E"] {
            assert!(!location.as_str().contains(word), "{location}");
        }
    }
    // And from Entra itself, at the callback and at a refresh.
    let session = world.log_in("alice").await;
    for (aadsts, error) in [(50_058, "invalid_grant"), (7_000_215, "invalid_client")] {
        let failure = || Failure::Error {
            aadsts,
            error: error.to_owned(),
            suberror: None,
            claims: None,
        };
        world.entra.fail_next(Endpoint::Token, 1, failure());
        let location = client.authorize(&mut browser, "alice").await;
        assert!(!location.as_str().contains("AADSTS"), "{location}");
        assert!(parameter(&location, "error").is_some());
        world.entra.fail_next(Endpoint::Token, 1, failure());
        let answer = session.refresh().await;
        assert!(!answer.text.contains("AADSTS"), "{}", answer.text);
    }
}

/// Answers one connection on loopback with `answer`, over and over if it is endless.
async fn serve(answer: &'static [u8], endless: bool) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = connection.read(&mut request).await;
        let _ = connection.write_all(answer).await;
        while endless && connection.write_all(&[b'a'; 8192]).await.is_ok() {}
    };
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || runtime.block_on(serving));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_entra_are_bounded() {
    let platform = Platform::system().unwrap();
    let get = async |address: SocketAddr| {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = format!("http://{address}/").parse().unwrap();
        platform.http.send(request).await
    };
    // A redirect could lead to the machine's own services.
    let moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let answer = get(serve(moved, false).await).await.unwrap();
    assert_eq!(answer.status(), 302);
    let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n";
    let unmeasured = b"HTTP/1.1 200 OK\r\n\r\n";
    for head in [&endless[..], unmeasured] {
        let refused = get(serve(head, true).await).await.unwrap_err();
        // Not because it took too long.
        assert_eq!(refused.source.to_string(), "the response is too large");
    }
}

//! Whoever asks too often waits.

use entrada::authorization_server::RateLimits;
use http::Method;

use crate::client::Answer;
use crate::world::{SECOND, World};

const HTML: [(&str, &str); 1] = [("accept", "text/html")];

/// Asks for a login so often, from one address, and gives the last answer.
async fn ask_for_logins(world: &World, times: usize, headers: &[(&str, &str)]) -> Answer {
    let url = world.client().await.authorize_url(&[]);
    let mut last = None;
    for _ in 0..times {
        let answer = world.ask_from("203.0.113.5", (Method::GET, &url), headers, "");
        last = Some(answer.await);
    }
    last.unwrap()
}

#[tokio::test]
async fn a_person_who_must_wait_reads_so_and_a_program_is_told() {
    let world = World::new().await;
    assert_eq!(ask_for_logins(&world, 600, &HTML).await.status, 200);
    let page = ask_for_logins(&world, 1, &HTML).await;
    assert_eq!(page.status, 429);
    assert_eq!(page.header("retry-after"), Some("60"));
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(page.header("content-security-policy").is_some());
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let told = ask_for_logins(&world, 1, &[]).await;
    told.assert_refused(429, "temporarily_unavailable");
    world.advance(60 * SECOND);
    assert_eq!(ask_for_logins(&world, 1, &HTML).await.status, 200);
}

/// Metadata and keys are read by everybody, and cost nothing.
#[tokio::test]
async fn what_is_published_is_not_counted() {
    let world = World::with(|config| config.rate_limits(no_requests())).await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/jwks.json",
    ] {
        let answer = world.ask_from("203.0.113.5", (Method::GET, path), &[], "");
        assert_eq!(answer.await.status, 200, "{path}");
    }
    // A program is answered as one, whatever it says that it reads.
    let token = (Method::POST, "/token");
    let answer = world.ask_from("203.0.113.5", token, &HTML, "").await;
    answer.assert_refused(429, "temporarily_unavailable");
    for (method, path) in [
        (Method::GET, "/authorize"),
        (Method::POST, "/consent"),
        (Method::GET, "/auth/callback"),
        (Method::GET, "/sign-in-again"),
        (Method::POST, "/register"),
        (Method::POST, "/token"),
        (Method::POST, "/revoke"),
    ] {
        let answer = world.ask_from("203.0.113.5", (method, path), &[], "");
        assert_eq!(answer.await.status, 429, "{path}");
    }
}

fn no_requests() -> RateLimits {
    let mut limits = RateLimits::default();
    (limits.register, limits.authorize, limits.token) = (0, 0, 0);
    limits
}

/// A page of any origin is to learn that it must wait.
#[tokio::test]
async fn a_web_client_that_must_wait_can_read_so() {
    let world = World::with(|config| config.rate_limits(no_requests())).await;
    let headers = [("origin", "https://client.example")];
    let answer = world.ask_from("203.0.113.5", (Method::POST, "/token"), &headers, "");
    let answer = answer.await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("retry-after"), "{exposed}");
}

//! What a token request must look like, and who may send it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use url::form_urlencoded;

use crate::client::{Answer, Client, VERIFIER};
use crate::world::World;

async fn code(world: &World, client: &Client) -> String {
    client.code(&mut world.browser(), "alice").await
}

/// Asks the token endpoint with these headers beside the content type of a form.
async fn with_headers(world: &World, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Answer {
    let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
    all.extend(headers);
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    world.ask(Method::POST, "/token", &all, &body).await
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

#[track_caller]
fn assert_uncached(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_unknown_client_is_invalid_client() {
    let world = World::new().await;
    let client = world.client().await;
    let code = code(&world, &client).await;
    let mut stranger = client.clone();
    "unknown".clone_into(&mut stranger.id);
    let answer = stranger.redeem(&code).await;
    answer.assert_refused(401, "invalid_client");
    assert_eq!(answer.header("www-authenticate"), None);
    assert_uncached(&answer);
    let answer = client.token(&[("code", &code)]).await;
    answer.assert_refused(401, "invalid_client");
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "unknown"),
        ("refresh_token", "x"),
    ];
    client
        .token(&form)
        .await
        .assert_refused(401, "invalid_client");
}

#[tokio::test]
async fn a_client_may_name_itself_in_the_authorization_header() {
    let world = World::new().await;
    let client = world.client().await;
    let header = basic(&client.id, "");
    for in_body in [None, Some(&*client.id)] {
        let code = code(&world, &client).await;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("code_verifier", VERIFIER),
        ];
        form.extend(in_body.map(|id| ("client_id", id)));
        let answer = with_headers(&world, &[("authorization", &header)], &form).await;
        answer.ok();
    }
}

#[tokio::test]
async fn a_client_is_named_in_one_way_and_proves_itself_in_one() {
    let world = World::new().await;
    let client = world.client().await;
    let unknown = Some("Basic realm=\"entrada\"");
    for (header, more, status, error, challenge) in [
        (
            basic(&client.id, "s"),
            vec![],
            401,
            "invalid_client",
            unknown,
        ),
        (basic("unknown", ""), vec![], 401, "invalid_client", unknown),
        (
            basic(&client.id, ""),
            vec![("client_id", "other")],
            400,
            "invalid_request",
            None,
        ),
        (
            basic(&client.id, "s"),
            vec![("client_secret", "s")],
            400,
            "invalid_request",
            None,
        ),
        ("Basic ***".to_owned(), vec![], 400, "invalid_request", None),
        (
            "Bearer x".to_owned(),
            vec![("client_id", &*client.id)],
            400,
            "invalid_request",
            None,
        ),
    ] {
        let mut form = vec![("grant_type", "authorization_code"), ("code", "x")];
        form.extend(more);
        let answer = with_headers(&world, &[("authorization", &header)], &form).await;
        answer.assert_refused(status, error);
        assert_eq!(answer.header("www-authenticate"), challenge, "{header}");
    }
    let secret = [("client_id", &*client.id), ("client_secret", "s")];
    let answer = client.token(&secret).await;
    answer.assert_refused(401, "invalid_client");
    assert_eq!(answer.header("www-authenticate"), None);
}

#[tokio::test]
async fn the_body_is_a_form_and_says_so() {
    let world = World::new().await;
    let client = world.client().await;
    let body = format!(
        "grant_type=authorization_code&client_id={}&code=x",
        client.id
    );
    for kind in ["application/json", "text/plain", "multipart/form-data"] {
        let answer = world
            .ask(Method::POST, "/token", &[("content-type", kind)], &body)
            .await;
        answer.assert_refused(400, "invalid_request");
        assert_uncached(&answer);
    }
    let answer = world.ask(Method::POST, "/token", &[], &body).await;
    answer.assert_refused(400, "invalid_request");
    let kind = [(
        "content-type",
        "Application/x-www-form-urlencoded; charset=UTF-8",
    )];
    let answer = world
        .ask(
            Method::POST,
            "/token",
            &kind,
            &format!("{body}&code_verifier=v"),
        )
        .await;
    answer.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn parameters_count_in_the_body_alone() {
    let world = World::new().await;
    let client = world.client().await;
    let code = code(&world, &client).await;
    let query = format!(
        "/token?grant_type=authorization_code&client_id={}&code={code}&code_verifier={VERIFIER}",
        client.id
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = world.ask(Method::POST, &query, &form, "").await;
    answer.assert_refused(401, "invalid_client");
    assert_eq!(
        world.get(&query).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    client.redeem(&code).await.ok();
}

#[tokio::test]
async fn an_oversized_request_is_refused_unread() {
    let world = World::new().await;
    let client = world.client().await;
    let padding = "x".repeat(64 * 1024);
    let answer = client
        .token(&[("client_id", &client.id), ("padding", &padding)])
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

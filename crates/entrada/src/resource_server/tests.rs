//! The guard before a service that shows what reaches it.

use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use http::header::{AUTHORIZATION, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _};
use url::Url;

use super::session::MCP_SESSION_ID;
use super::{AllowedOrigin, Protection, Refusal, RequireBearerLayer, RequireLayer, ResponseBody};
use crate::access_token::{
    AccessTokenVerifier, PresentedToken, TokenFacts, VerifiedToken, VerifyError,
};
use crate::jwt::jwks::Algorithm;
use crate::jwt::verify::JwtError;
use crate::keys::{KeyRing, Keys};
use crate::oauth::client::ClientId;
use crate::oauth::scope::Scope;
use crate::platform::{Clock, SystemRandom, Timestamp};
use crate::policy::Requirement;

const PAGE: &str = "https://page.example";
const METADATA: &str = "https://h/.well-known/oauth-protected-resource/mcp";

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(43_200)
    }
}

/// Tokens are `subject:scope`; some words stand for an outcome. Those of `remembered` need no
/// work.
#[derive(Debug)]
struct Subjects {
    remembered: Option<&'static str>,
}

impl Subjects {
    fn token(presented: PresentedToken<'_>) -> Option<VerifiedToken> {
        let (subject, scope) = presented.expose().split_once(':')?;
        let client_id = ClientId::parse("client").unwrap();
        let until = Timestamp::from_unix(50_000);
        let mut facts = TokenFacts::new("https://i".into(), subject.into(), client_id, until);
        facts.scope = Scope::parse(scope).ok()?;
        Some(VerifiedToken::assertion(facts))
    }
}

#[async_trait]
impl AccessTokenVerifier for Subjects {
    fn recall(&self, presented: PresentedToken<'_>, _: Timestamp) -> Option<VerifiedToken> {
        let known = self.remembered == Some(presented.expose());
        known.then(|| Self::token(presented)).flatten()
    }

    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        _: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        tokio::task::yield_now().await;
        match presented.expose() {
            "revoked" => Err(VerifyError::GrantEnded),
            "outage" => Err(VerifyError::Unavailable("the store is down".into())),
            _ => Self::token(presented).ok_or(VerifyError::Token(JwtError::Signature)),
        }
    }
}

fn guard(verifier: Subjects) -> RequireBearerLayer {
    let ring = KeyRing::generate(
        Algorithm::EdDsa,
        &SystemRandom::default(),
        Timestamp::from_unix(0),
    );
    let mut protection = Protection::new(Url::parse(METADATA).unwrap());
    protection.required_scope = Scope::parse("read write").unwrap();
    protection.allowed_origins = vec![AllowedOrigin::parse(PAGE).unwrap()];
    protection.session_keys = Some(Keys::new(ring.unwrap()));
    RequireBearerLayer::new(Arc::new(verifier), Arc::new(Noon), protection)
}

/// Answers with the subject and the headers that came in, and opens the session `s1`.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let token = request.extensions().get::<VerifiedToken>().unwrap();
    let seen = format!("{} {:?}", token.subject, request.headers());
    let response = Response::builder().header(MCP_SESSION_ID, "s1");
    Ok(response.body(Body::from(seen)).unwrap())
}

async fn send(layer: &RequireBearerLayer, request: Request<Body>) -> Response<ResponseBody<Body>> {
    let service = layer.layer(tower::service_fn(echo));
    service.oneshot(request).await.unwrap()
}

async fn text(response: Response<ResponseBody<Body>>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn request(headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post("https://h/mcp");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

const STRANGER: Subjects = Subjects { remembered: None };

/// Request headers, and the status, start of the challenge and reason they are refused with.
type Refused = (
    &'static [(&'static str, &'static str)],
    u16,
    &'static str,
    &'static str,
);

const INVALID: &str = "Bearer error=\"invalid_token\", error_description=\"";
const INSUFFICIENT: &str = "Bearer error=\"insufficient_scope\", error_description=\"";
const SEVERAL: &str = "Bearer error=\"invalid_request\", error_description=\"";
const ALICE: (&str, &str) = ("authorization", "Bearer alice:read write");

const REFUSED: &[Refused] = &[
    (&[], 401, "Bearer scope=", "there are no credentials"),
    (
        &[("authorization", "Bearer bad")],
        401,
        INVALID,
        "the token's signature does not hold",
    ),
    (
        &[("authorization", "Bearer revoked")],
        401,
        INVALID,
        "the grant behind the token has ended",
    ),
    (
        &[("authorization", "Bearer")],
        401,
        INVALID,
        "the credentials are no bearer token",
    ),
    (
        &[("authorization", "Basic YTpi")],
        401,
        INVALID,
        "the credentials are no bearer token",
    ),
    (
        &[("authorization", "Bearer a:read")],
        403,
        INSUFFICIENT,
        "the token does not allow this: it needs the scopes read write",
    ),
    (
        &[ALICE, ALICE],
        400,
        SEVERAL,
        "there is more than one Authorization header",
    ),
    (
        &[("authorization", "Bearer outage")],
        503,
        "",
        "access tokens cannot be verified now",
    ),
    (
        &[ALICE, ("mcp-session-id", "s1")],
        404,
        "",
        "the session is not the caller's",
    ),
    (
        &[ALICE, ("mcp-session-id", "s1"), ("mcp-session-id", "s2")],
        400,
        "",
        "there is more than one Mcp-Session-Id header",
    ),
    (
        &[ALICE, ("origin", "https://evil.example")],
        403,
        "",
        "the origin is not allowed",
    ),
];

#[tokio::test]
async fn every_refusal_has_its_status_its_challenge_and_its_reason() {
    let metadata = format!("scope=\"read write\", resource_metadata=\"{METADATA}\"");
    for &(headers, status, challenge, reason) in REFUSED {
        let response = send(&guard(STRANGER), request(headers)).await;
        assert_eq!(response.status(), status, "{headers:?}");
        let found = header(response.headers(), WWW_AUTHENTICATE.as_str());
        assert!(found.starts_with(challenge), "{headers:?}: {found}");
        assert_eq!(
            found.ends_with(&metadata),
            !challenge.is_empty(),
            "{headers:?}: {found}"
        );
        assert_eq!(header(response.headers(), "cache-control"), "no-store");
        let retry = response.headers().contains_key(RETRY_AFTER);
        assert_eq!(retry, status == 503, "{headers:?}");
        let refusal = response.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.to_string(), reason, "{headers:?}");
    }
}

#[tokio::test]
async fn bodies_are_oauth_errors_and_never_json_rpc() {
    for (headers, expected) in [
        (vec![], String::new()),
        (
            vec![("authorization", "Bearer alice:read")],
            "{\"error\":\"insufficient_scope\",\"error_description\":\"the access token does not \
             allow this: authorize again with the scopes named\"}"
                .to_owned(),
        ),
        (
            vec![("origin", "null")],
            "this origin is not allowed\n".to_owned(),
        ),
    ] {
        let response = send(&guard(STRANGER), request(&headers)).await;
        assert_eq!(text(response).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn the_service_sees_the_user_and_no_token() {
    let token = "alice:read write more";
    for remembered in [None, Some(token)] {
        let headers = [
            ("authorization", "Bearer alice:read write more"),
            ("dpop", "proof"),
            ("mcp-protocol-version", "2025-06-18"),
        ];
        let response = send(&guard(Subjects { remembered }), request(&headers)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.extensions().get::<Refusal>().is_none());
        let seen = text(response).await;
        assert_eq!(seen, "alice {\"mcp-protocol-version\": \"2025-06-18\"}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_no_token() {
    let request = Request::get("https://h/mcp?access_token=alice:read+write");
    let response = send(&guard(STRANGER), request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn first_contact_is_unauthorized_whatever_the_method() {
    for method in [
        Method::GET,
        Method::POST,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ] {
        let mut request = request(&[("mcp-protocol-version", "2026-07-28")]);
        *request.method_mut() = method.clone();
        let response = send(&guard(STRANGER), request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn a_session_serves_the_user_who_opened_it_alone() {
    let layer = guard(STRANGER);
    let alice = ("authorization", "Bearer alice:read write");
    let opened = send(&layer, request(&[alice])).await;
    let session = header(opened.headers(), MCP_SESSION_ID.as_str()).to_owned();
    assert!(session.starts_with("s1~"), "{session}");

    let mine = ("mcp-session-id", session.as_str());
    let response = send(&layer, request(&[alice, mine])).await;
    assert_eq!(text(response).await, "alice {\"mcp-session-id\": \"s1\"}");
    // A token refreshed since, with more scope, is the same user's.
    let refreshed = ("authorization", "Bearer alice:read write more");
    let response = send(&layer, request(&[refreshed, mine])).await;
    assert_eq!(response.status(), StatusCode::OK);

    let bob = ("authorization", "Bearer bob:read write");
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let mut stolen = request(&[bob, mine, ("last-event-id", "7")]);
        *stolen.method_mut() = method.clone();
        let response = send(&layer, stolen).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method}");
        assert_eq!(text(response).await, "no such session\n");
    }
}

#[tokio::test]
async fn a_preflight_needs_no_token_but_an_allowed_origin() {
    let asked = [
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,mcp-param-region,x-other",
        ),
    ];
    for (origin, status) in [
        (PAGE, 204),
        ("https://h", 204),
        ("https://evil.example", 403),
    ] {
        let mut request = request(&asked);
        *request.method_mut() = Method::OPTIONS;
        request
            .headers_mut()
            .insert(ORIGIN, origin.parse().unwrap());
        let response = send(&guard(STRANGER), request).await;
        assert_eq!(response.status(), status, "{origin}");
        let allowed = if status == 204 { origin } else { "" };
        let headers = response.headers();
        assert_eq!(header(headers, "access-control-allow-origin"), allowed);
        let sent = header(headers, "access-control-allow-headers");
        assert_eq!(sent.is_empty(), status != 204);
        assert!(!sent.contains("x-other"), "{sent}");
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_answers_and_challenges() {
    for (token, status) in [("Bearer alice:read write", 200), ("Bearer nonsense", 401)] {
        let headers = [("authorization", token), ("origin", PAGE)];
        let response = send(&guard(STRANGER), request(&headers)).await;
        assert_eq!(response.status(), status);
        assert_eq!(
            header(response.headers(), "access-control-allow-origin"),
            PAGE
        );
        assert_eq!(header(response.headers(), "vary"), "origin");
        let exposed = header(response.headers(), "access-control-expose-headers");
        assert_eq!(
            exposed,
            "www-authenticate, mcp-session-id, mcp-protocol-version, dpop-nonce"
        );
    }
    let response = send(
        &guard(STRANGER),
        request(&[("origin", "https://evil.example")]),
    )
    .await;
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );
    assert!(!response.headers().contains_key(AUTHORIZATION));
}

/// What the guard answers to a caller with `scope`, whose service wants `requirement`.
async fn required(requirement: Requirement, scope: &str) -> Response<ResponseBody<Body>> {
    let service = RequireLayer::new(requirement).layer(tower::service_fn(echo));
    // Unifies the bodies, as a router would.
    let service = service.map_response(|response| response.map(Body::new));
    let bearer = format!("Bearer alice:{scope}");
    let request = request(&[("authorization", &bearer)]);
    guard(STRANGER)
        .layer(service)
        .oneshot(request)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_route_that_needs_more_says_all_that_is_needed_in_one_challenge() {
    let requirement = || Requirement::scopes(["files.write", "files.read"]);
    let response = required(requirement(), "read write files.read").await;
    assert_eq!(response.status(), 403);
    let challenge = header(response.headers(), "www-authenticate");
    let scopes = "scope=\"read write files.write files.read\"";
    assert!(
        challenge.starts_with(INSUFFICIENT) && challenge.contains(scopes),
        "{challenge}"
    );
    assert!(!response.headers().contains_key(MCP_SESSION_ID));
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert!(matches!(refusal, Refusal::Forbidden(caller, _) if caller.subject == "alice"));
    let response = required(requirement(), "read write files.read files.write").await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn where_no_scope_helps_none_is_asked_for() {
    let requirement = Requirement::roles(["Admin"]).and(Requirement::scopes(["files.write"]));
    let response = required(requirement, "read write").await;
    assert_eq!(response.status(), 403);
    assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    let refusal = response.extensions().get::<Refusal>().unwrap().to_string();
    assert_eq!(
        refusal,
        "the token does not allow this: the caller needs the app roles Admin"
    );
    assert!(text(response).await.contains("\"error\":\"access_denied\""));
}

#[tokio::test]
async fn without_a_guard_no_requirement_is_met() {
    let service = RequireLayer::new(Requirement::nothing()).layer(tower::service_fn(echo));
    let response = service.oneshot(request(&[ALICE])).await.unwrap();
    assert_eq!(response.status(), 500);
}

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use http::{HeaderValue, Request};
use serde_json::json;

use super::*;
use crate::platform::{Clock, HttpTransport, SystemRandom, TransportError};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86400;
const AUDIENCE: &str = "api://AzureADTokenExchange";

type Answer = Result<Response<Bytes>, TransportError>;

/// A host that answers as it was told, and the time.
#[derive(Debug)]
struct Host {
    now: AtomicU64,
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Request<Bytes>>>,
}

impl Host {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(NOW),
            answers: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    fn platform(self: &Arc<Self>) -> Platform {
        Platform::new(
            self.clone(),
            Arc::new(SystemRandom::default()),
            self.clone(),
        )
    }

    fn will_say(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    fn will_give(&self, token: &str, lives: u64) {
        let expires_on = (self.now().as_unix() + lives).to_string();
        self.will_say(Ok(answer(
            200,
            &json!({
                "access_token": token,
                "expires_on": expires_on,
                "resource": AUDIENCE,
                "token_type": "Bearer",
            }),
        )));
    }

    fn will_refuse(&self, status: u16) {
        self.will_say(Ok(answer(status, &json!({"error": "invalid_request"}))));
    }

    fn advance(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Clock for Host {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.now.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl HttpTransport for Host {
    async fn send(&self, request: Request<Bytes>) -> Answer {
        tokio::task::yield_now().await;
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.expect("it was told what to answer")
    }
}

fn answer(status: u16, body: &Value) -> Response<Bytes> {
    let response = Response::builder().status(status);
    response.body(body.to_string().into()).unwrap()
}

async fn token(prover: &IdentityProver, host: &Arc<Host>) -> Result<String, CredentialError> {
    let given = prover.assertion(&host.platform(), host.now()).await;
    // What was begun behind our back gets its turn.
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    given.map(|token| token.expose().to_owned())
}

fn prover(identity: &ManagedIdentity) -> IdentityProver {
    IdentityProver::new(identity, Some(AUDIENCE)).unwrap()
}

fn identity() -> ManagedIdentity {
    ManagedIdentity::imds().client_id("id")
}

#[test]
fn each_host_is_asked_in_its_own_words() {
    let imds = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
                &resource=api%3A%2F%2FAzureADTokenExchange";
    let app = "http://127.0.0.1:41/msi/token?api-version=2019-08-01\
               &resource=api%3A%2F%2FAzureADTokenExchange";
    let app_service = || ManagedIdentity::app_service("http://127.0.0.1:41/msi/token", "s3cret");
    for (identity, uri, header) in [
        (
            ManagedIdentity::imds(),
            imds.to_owned(),
            ("metadata", "true"),
        ),
        (
            ManagedIdentity::imds().client_id("a b"),
            format!("{imds}&client_id=a+b"),
            ("metadata", "true"),
        ),
        (
            ManagedIdentity::imds().object_id("o"),
            format!("{imds}&object_id=o"),
            ("metadata", "true"),
        ),
        (
            ManagedIdentity::imds().resource_id("/r"),
            format!("{imds}&msi_res_id=%2Fr"),
            ("metadata", "true"),
        ),
        (
            ManagedIdentity::imds_at("http://127.0.0.1:50342/"),
            imds.replace("169.254.169.254", "127.0.0.1:50342"),
            ("metadata", "true"),
        ),
        (
            app_service(),
            app.to_owned(),
            ("x-identity-header", "s3cret"),
        ),
        (
            app_service().client_id("c"),
            format!("{app}&client_id=c"),
            ("x-identity-header", "s3cret"),
        ),
        (
            app_service().object_id("o"),
            format!("{app}&principal_id=o"),
            ("x-identity-header", "s3cret"),
        ),
        (
            app_service().resource_id("/r"),
            format!("{app}&mi_res_id=%2Fr"),
            ("x-identity-header", "s3cret"),
        ),
        (
            ManagedIdentity::imds().audience("api://other"),
            imds.replace("AzureADTokenExchange", "other"),
            ("metadata", "true"),
        ),
    ] {
        let prover = prover(&identity);
        let request = prover.shared.question.to_http();
        assert_eq!(request.method(), http::Method::GET);
        assert_eq!(request.uri().to_string(), uri);
        let headers: Vec<_> = request.headers().iter().collect();
        assert_eq!(headers.len(), 1);
        assert_eq!(
            (headers[0].0.as_str(), headers[0].1.to_str().unwrap()),
            header
        );
        let shown = format!("{identity:?} {prover:?} {request:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn what_cannot_be_asked_is_told_at_once() {
    let refused = |identity: &ManagedIdentity, usual: Option<&str>| {
        let error = IdentityProver::new(identity, usual).map(drop).unwrap_err();
        assert_eq!(error.retry_after(), None);
        error.to_string()
    };
    assert!(refused(&identity(), None).contains("audience"));
    for (endpoint, header) in [
        ("", "h"),
        ("unix:/socket", "h"),
        ("/msi", "h"),
        ("http://h/msi", "a\nb"),
    ] {
        let identity = ManagedIdentity::app_service(endpoint, header);
        assert!(
            refused(&identity, Some(AUDIENCE)).contains("endpoint"),
            "{endpoint}"
        );
    }
}

#[test]
fn answers_are_read_in_every_spelling() {
    let now = Timestamp::from_unix(NOW);
    let ends = |body: Value| read(&answer(200, &body), now).map(|held| held.ends.as_unix());
    for (body, expected) in [
        (
            json!({"access_token": "t", "expires_on": "1800000600"}),
            NOW + 600,
        ),
        (
            json!({"access_token": "t", "expires_on": 1_800_000_600}),
            NOW + 600,
        ),
        (
            json!({"access_token": "t", "expires_in": "86399"}),
            NOW + 86399,
        ),
        (
            json!({"access_token": "t", "expires_on": "2027-01-15T08:00:00Z", "expires_in": 60}),
            NOW + 60,
        ),
    ] {
        assert_eq!(ends(body.clone()).unwrap(), expected, "{body}");
    }
    for body in [
        json!({}),
        json!([]),
        json!({"access_token": "t"}),
        json!({"access_token": "", "expires_in": 60}),
        json!({"access_token": "t", "expires_in": -1}),
    ] {
        let error = ends(body.clone()).unwrap_err();
        assert!(
            matches!(error, CredentialError::ManagedIdentityMalformed),
            "{body}"
        );
    }
}

#[test]
fn refusals_say_whether_waiting_helps() {
    for (status, header, expected) in [
        (400, None, None),
        (403, None, None),
        (404, None, Some(5)),
        (410, None, Some(70)),
        (429, Some("17"), Some(17)),
        (500, None, Some(5)),
        (503, Some("30"), Some(30)),
    ] {
        let mut answer = answer(status, &json!({"error_description": "s3cret"}));
        if let Some(seconds) = header {
            let seconds = HeaderValue::from_static(seconds);
            answer.headers_mut().insert("retry-after", seconds);
        }
        let error = refusal(&answer);
        let expected = expected.map(Duration::from_secs);
        assert_eq!(error.retry_after(), expected, "{status}");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_token_is_kept_for_half_its_life_and_then_renewed_behind_ones_back() {
    let (host, prover) = (Host::new(), prover(&identity()));
    host.will_give("first", DAY);
    assert_eq!(token(&prover, &host).await.unwrap(), "first");
    host.advance(DAY / 2 - 1);
    assert_eq!(token(&prover, &host).await.unwrap(), "first");
    assert_eq!(host.asked(), 1);
    host.advance(1);
    host.will_give("second", DAY);
    assert_eq!(token(&prover, &host).await.unwrap(), "first");
    assert_eq!(host.asked(), 2);
    assert_eq!(token(&prover, &host).await.unwrap(), "second");
    assert_eq!(host.asked(), 2);
}

#[tokio::test]
async fn the_old_token_is_used_while_there_is_no_other() {
    let (host, prover) = (Host::new(), prover(&identity()));
    host.will_give("first", DAY);
    token(&prover, &host).await.unwrap();
    host.advance(DAY / 2);
    host.will_refuse(500);
    assert_eq!(token(&prover, &host).await.unwrap(), "first");
    assert_eq!(token(&prover, &host).await.unwrap(), "first");
    // Not asked again at once.
    host.advance(299);
    assert_eq!(token(&prover, &host).await.unwrap(), "first");
    assert_eq!(host.asked(), 2);
    host.advance(1);
    host.will_refuse(400);
    assert_eq!(token(&prover, &host).await.unwrap(), "first");
    assert_eq!(host.asked(), 3);
    // It is no longer good enough: now the trouble is ours.
    host.advance(DAY / 2);
    host.will_refuse(503);
    let error = token(&prover, &host).await.unwrap_err();
    assert!(matches!(
        error,
        CredentialError::ManagedIdentityUnavailable { .. }
    ));
}

#[tokio::test]
async fn a_host_that_wants_hours_is_asked_in_minutes() {
    let (host, prover) = (Host::new(), prover(&identity()));
    let mut throttled = answer(429, &json!({}));
    let hours = HeaderValue::from_static("36000");
    throttled.headers_mut().insert("retry-after", hours);
    host.will_say(Ok(throttled));
    token(&prover, &host).await.unwrap_err();
    host.advance(119);
    token(&prover, &host).await.unwrap_err();
    assert_eq!(host.asked(), 1);
    host.advance(1);
    host.will_give("token", DAY);
    assert_eq!(token(&prover, &host).await.unwrap(), "token");
}

#[tokio::test]
async fn many_at_once_ask_once_and_a_failure_is_theirs_too() {
    let (host, prover) = (Host::new(), Arc::new(prover(&identity())));
    let error = TransportError::new("169.254.169.254", "unreachable");
    host.will_say(Err(error));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (host, prover) = (Arc::clone(&host), Arc::clone(&prover));
        calls.spawn(async move { token(&prover, &host).await });
    }
    let errors = calls.join_all().await;
    assert_eq!(host.asked(), 1);
    let first = |error: &&CredentialError| matches!(error, CredentialError::NoManagedIdentity(_));
    let errors: Vec<_> = errors.into_iter().map(Result::unwrap_err).collect();
    assert_eq!(errors.iter().filter(first).count(), 1);
    let later = |error: &CredentialError| error.retry_after() == Some(RETRY_AFTER);
    assert!(errors.iter().all(later));
    host.advance(5);
    host.will_give("token", DAY);
    assert_eq!(token(&prover, &host).await.unwrap(), "token");
    assert_eq!(host.asked(), 2);
}

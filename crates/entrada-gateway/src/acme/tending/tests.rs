//! Days of a gateway that gets its certificate itself, with an authority on this machine.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::RETRY_AFTER;
use instant_acme::Key;
use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use super::*;

/// Days of 2026.
const DAY: u64 = 86_400;
const NEW_YEAR: u64 = 1_767_225_600;

#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(NEW_YEAR + self.0.load(Atomic::Relaxed))
    }
}

struct Stage {
    folder: tempfile::TempDir,
    clock: Arc<Hands>,
    directory: Url,
    _serving: JoinSet<()>,
}

impl Stage {
    /// An authority on this machine that answers with `router`.
    async fn with(router: impl FnOnce(&str, &Path) -> Router) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = router(&origin, folder.path());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            folder,
            clock: Arc::default(),
            directory: format!("{origin}/dir").parse().unwrap(),
            _serving: serving,
        }
    }

    /// The gateway as it is when it starts.
    fn acme(&self) -> Acme {
        let system = Platform::system().unwrap();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let platform = Platform::new(clock, system.random, system.http);
        let domains = vec!["mcp.example.com".to_owned()];
        let settings = AcmeSettings::new(domains, self.directory.clone(), self.folder.path());
        let mut acme = Acme::on(settings, &platform).unwrap();
        acme.dice = Dice(0);
        acme
    }

    /// What was kept of a run before: an account, and a certificate for the first 90 days of the year.
    fn keep(&self, name: &str) {
        let Issued { chain, key } = issued(name, (2026, 1, 1), (2026, 4, 1));
        let kept = Kept::open(self.folder.path()).unwrap();
        let directory = self.directory.as_str();
        kept.keep_certificate(directory, (&chain, &key)).unwrap();
        let (_, key) = Key::generate_pkcs8().unwrap();
        let key = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            key.secret_pkcs8_der(),
        );
        let account = json!({
            "directory": directory,
            "contact": null,
            "external_key_id": null,
            "credentials": { "id": "1", "key_pkcs8": key, "directory": directory },
        });
        fs::write(self.folder.path().join("account.json"), account.to_string()).unwrap();
    }

    fn set(&self, seconds: u64) {
        self.clock.0.store(seconds, Atomic::Relaxed);
    }
}

/// A certificate for `name` of those days, with its key.
fn issued(name: &str, from: (i32, u8, u8), to: (i32, u8, u8)) -> Issued {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    params.use_authority_key_identifier_extension = true;
    let authority = KeyPair::generate().unwrap();
    let issuer = Issuer::new(CertificateParams::default(), authority);
    let key = KeyPair::generate().unwrap();
    Issued {
        chain: params.signed_by(&key, &issuer).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

fn wait(acme: &Acme) -> Option<u64> {
    match acme.facts(false).next(acme.clock.now()) {
        Next::Order => None,
        Next::Wait(at) => Some(at.since(acme.clock.now()).as_secs()),
    }
}

#[tokio::test]
async fn an_order_is_noted_before_it_is_made() {
    static SEEN: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let stage = Stage::with(|_, folder| {
        let attempts = folder.join("attempts.json");
        let directory = move || async move {
            let noted = fs::read(attempts).unwrap();
            SEEN.lock()
                .unwrap()
                .push(serde_json::from_slice(&noted).unwrap());
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [(RETRY_AFTER, "7200")],
                "later",
            )
        };
        Router::new().route("/dir", get(directory))
    })
    .await;
    let mut acme = stage.acme();
    assert_eq!(wait(&acme), None);
    acme.step(false).await;
    {
        let seen = SEEN.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0]["attempts"]["failures"], 1, "{seen:?}");
    }
    // Nothing more until then, whoever asks, and however often it is started.
    assert_eq!(wait(&acme), Some(7200));
    acme.step(true).await;
    let mut again = stage.acme();
    again.step(true).await;
    stage.set(7199);
    again.step(true).await;
    assert_eq!(SEEN.lock().unwrap().len(), 1);
    stage.set(7200);
    again.step(false).await;
    assert_eq!(SEEN.lock().unwrap().len(), 2);
}

/// The directory of an authority at `origin`, and when it would have certificates renewed (RFC 9773 §4.2).
fn suggesting(origin: &str) -> (Value, Value) {
    let directory = json!({
        "newNonce": format!("{origin}/nonce"),
        "newAccount": format!("{origin}/account"),
        "newOrder": format!("{origin}/order"),
        "renewalInfo": format!("{origin}/info"),
    });
    let window = json!({ "suggestedWindow": {
        "start": "2026-01-11T00:00:00Z",
        "end": "2026-01-13T00:00:00Z",
    }});
    (directory, window)
}

#[tokio::test]
async fn what_was_kept_is_used_and_renewed_when_the_authority_says() {
    let stage = Stage::with(|origin, _| {
        let (directory, window) = suggesting(origin);
        Router::new()
            .route("/dir", get(move || async { Json(directory) }))
            .route(
                "/info/{id}",
                get(move || async { ([(RETRY_AFTER, "600")], Json(window)) }),
            )
    })
    .await;
    stage.keep("mcp.example.com");
    let mut acme = stage.acme();
    assert!(acme.certificates().are_there());
    assert_eq!(wait(&acme), Some(60 * DAY));
    acme.ask_when().await;
    assert_eq!(wait(&acme), Some(10 * DAY));
    // Part of a second has gone by since it was said.
    let ask_in = acme.suggestion.ask_at.since(acme.clock.now()).as_secs();
    assert!((595..=600).contains(&ask_in), "{ask_in}");
    acme.dice = Dice(u16::MAX);
    assert_eq!(wait(&acme), Some(12 * DAY));
}

#[tokio::test]
async fn what_was_kept_and_is_for_other_names_is_shown_until_there_is_another() {
    let stage = Stage::with(|_, _| Router::new()).await;
    stage.keep("before.example.com");
    let mut acme = stage.acme();
    assert!(acme.certificates().are_there());
    assert_eq!(wait(&acme), None);
    acme.step(false).await;
    assert_eq!(wait(&acme), Some(60));
    assert!(acme.certificates().are_there());
}

#[tokio::test]
async fn an_authority_that_would_have_each_certificate_renewed_at_once_gets_no_order_after_the_other()
 {
    let stage = Stage::with(|_, _| Router::new()).await;
    stage.keep("mcp.example.com");
    stage.set(DAY);
    let mut acme = stage.acme();
    let past = Window {
        start: Timestamp::from_unix(0),
        end: Timestamp::from_unix(DAY),
    };
    acme.taken(acme.clock.now()).unwrap();
    acme.suggestion.window = Some(past);
    assert_eq!(wait(&acme), Some(3600));
    // Nor is it forgotten by whoever starts anew; who had none yet would not wait.
    let mut again = stage.acme();
    again.suggestion.window = Some(past);
    assert_eq!(wait(&again), Some(3600));
    again.held = None;
    assert_eq!(wait(&again), None);
}

#[tokio::test]
async fn an_authority_that_says_to_come_again_when_no_clock_goes_any_more_stops_nothing() {
    let stage = Stage::with(|origin, _| {
        let (directory, window) = suggesting(origin);
        let never = [(RETRY_AFTER, u64::MAX.to_string())];
        Router::new()
            .route("/dir", get(move || async { Json(directory) }))
            .route("/info/{id}", get(move || async { (never, Json(window)) }))
    })
    .await;
    stage.keep("mcp.example.com");
    let mut acme = stage.acme();
    acme.ask_when().await;
    assert_eq!(wait(&acme), Some(10 * DAY));
    let ask_in = acme.suggestion.ask_at.since(acme.clock.now());
    assert_eq!(ask_in, LONGEST_ASK);
}

/// Whether the certificate of the first 90 days of the year is shown no more, or will not be after a restart, once
/// `wrong` was issued on the second day.
async fn replaces(wrong: &Issued) -> bool {
    let stage = Stage::with(|_, _| Router::new()).await;
    stage.keep("mcp.example.com");
    stage.set(DAY);
    let mut acme = stage.acme();
    let path = stage.folder.path().join("certificate.pem");
    let kept = fs::read(&path).unwrap();
    let shown = acme.certificates().validity();
    let taken = acme.take(wrong, acme.clock.now());
    taken.is_ok() || fs::read(&path).unwrap() != kept || acme.certificates().validity() != shown
}

#[tokio::test]
async fn a_certificate_that_is_good_is_replaced_by_none_that_is_not() {
    let name = "mcp.example.com";
    let good = || issued(name, (2026, 1, 1), (2026, 4, 30));
    assert!(replaces(&good()).await);
    let of_another_key = Issued {
        key: good().key,
        ..good()
    };
    let cut_off = Issued {
        chain: good().chain[..200].to_owned(),
        ..good()
    };
    let mut replaced = vec![];
    for (what, wrong) in [
        ("over", issued(name, (2025, 10, 1), (2026, 1, 2))),
        ("about to end", issued(name, (2025, 10, 1), (2026, 1, 3))),
        ("of days to come", issued(name, (2026, 1, 3), (2026, 4, 30))),
        ("never good", issued(name, (2026, 4, 30), (2026, 1, 1))),
        (
            "for others",
            issued("b.example.com", (2026, 1, 1), (2026, 4, 30)),
        ),
        ("of another key", of_another_key),
        ("half of one", cut_off),
    ] {
        if replaces(&wrong).await {
            replaced.push(what);
        }
    }
    assert_eq!(replaced, <[&str; 0]>::default());
}

/// By a clock that is wrong all are over, and those who connect have a better one.
#[tokio::test]
async fn of_two_certificates_that_are_over_the_new_one_is_shown() {
    let stage = Stage::with(|_, _| Router::new()).await;
    stage.keep("mcp.example.com");
    stage.set(400 * DAY);
    let mut acme = stage.acme();
    let newer = issued("mcp.example.com", (2026, 3, 1), (2026, 6, 1));
    acme.take(&newer, acme.clock.now()).unwrap();
    let leaf = Certificates::leaf_of(&newer.chain, &newer.key).unwrap();
    assert_eq!(acme.certificates().validity(), Some(leaf.validity));
}

use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entra_emulator::builtin::{DAEMON_CERTIFICATE, DAEMON_PRIVATE_KEY};
use http::Uri;
use serde_json::Value;

use super::*;
use crate::entra::credential::certificate::CertificateError;
use crate::platform::SystemRandom;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const DAEMON: [&str; 2] = [DAEMON_CERTIFICATE, DAEMON_PRIVATE_KEY];
const OTHER: [&str; 2] = [
    include_str!("../../../../../tests/fixtures/other.crt.pem"),
    include_str!("../../../../../tests/fixtures/other.key.pem"),
];
const EXPIRED: [&str; 2] = [
    include_str!("../../../../../tests/fixtures/expired.crt.pem"),
    OTHER[1],
];

/// A certificate file, and who signs with it.
struct Signer {
    folder: tempfile::TempDir,
    prover: Arc<CertificateProver>,
}

impl Signer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pem");
        fs::write(&path, DAEMON.concat()).unwrap();
        let prover = CertificateProver::new(CertificateFile::new(path), NOW).unwrap();
        let prover = Arc::new(prover);
        Self { folder, prover }
    }

    /// Puts another file in the place of the last, as whoever rotates certificates does.
    fn replace(&self, text: &str) {
        let draft = self.folder.path().join("new");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &self.prover.file.path).unwrap();
    }

    async fn at(&self, seconds: u64, endpoint: &'static str) -> Result<Assertion, CredentialError> {
        let asked = AssertionRequest {
            client_id: "app",
            token_endpoint: &Uri::from_static(endpoint),
            now: NOW + Duration::from_secs(seconds),
        };
        let random = SystemRandom::default();
        let signed = self.prover.assertion(asked, &random).await?;
        Ok(Assertion::read(signed.expose()))
    }
}

/// What an assertion says.
#[derive(Debug, PartialEq)]
struct Assertion {
    text: String,
    header: Value,
    claims: Value,
}

impl Assertion {
    fn read(text: &str) -> Self {
        let parts = text.split('.').take(2).map(|part| {
            let json = URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice(&json).unwrap()
        });
        let [header, claims]: [Value; 2] = parts.collect::<Vec<_>>().try_into().unwrap();
        let text = text.to_owned();
        Self {
            text,
            header,
            claims,
        }
    }

    fn thumbprint(&self) -> &str {
        self.header["x5t#S256"].as_str().unwrap()
    }
}

const ONE: &str = "https://login.example/one/oauth2/v2.0/token";
const TWO: &str = "https://login.example/two/oauth2/v2.0/token";

#[tokio::test]
async fn an_assertion_is_for_one_endpoint_and_used_for_minutes() {
    let signer = Signer::new();
    let first = signer.at(0, ONE).await.unwrap();
    assert_eq!(first.claims["aud"], ONE);
    assert_eq!(
        (&first.claims["iss"], &first.claims["sub"]),
        (&"app".into(), &"app".into())
    );
    assert_eq!(first.claims["nbf"], 1_800_000_000);
    assert_eq!(first.claims["iat"], 1_800_000_000);
    assert_eq!(first.claims["exp"], 1_800_000_600);
    assert_eq!(first.claims["jti"].as_str().unwrap().len(), 36);
    assert_eq!(signer.at(299, ONE).await.unwrap(), first);
    let other = signer.at(299, TWO).await.unwrap();
    assert_eq!(other.claims["aud"], TWO);
    let next = signer.at(300, ONE).await.unwrap();
    assert_ne!(next.claims["jti"], first.claims["jti"]);
    assert_eq!(next.claims["exp"], 1_800_000_900);
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart() {
    let signer = Signer::new();
    let first = signer.at(0, ONE).await.unwrap();
    signer.replace(&OTHER.concat());
    assert_eq!(signer.at(4, ONE).await.unwrap(), first);
    let second = signer.at(5, ONE).await.unwrap();
    assert_ne!(second.thumbprint(), first.thumbprint());
    signer.replace(&DAEMON.concat());
    let third = signer.at(10, ONE).await.unwrap();
    assert_eq!(third.thumbprint(), first.thumbprint());
    assert_ne!(third.text, first.text);
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_certificate_in_use_and_is_told_once() {
    let (log, _guard) = Log::begin();
    let signer = Signer::new();
    let first = signer.at(0, ONE).await.unwrap();
    let again = |seconds| signer.at(seconds, ONE);
    for (nth, broken) in ["hush-hush", &EXPIRED.concat(), ""].iter().enumerate() {
        signer.replace(broken);
        let seconds = 10 * (nth as u64 + 1);
        assert_eq!(again(seconds).await.unwrap(), first);
        assert_eq!(again(seconds + 5).await.unwrap(), first);
        assert_eq!(log.count("ERROR"), nth + 1, "{}", log.text());
    }
    fs::remove_file(&signer.prover.file.path).unwrap();
    assert_eq!(again(50).await.unwrap(), first);
    assert_eq!(again(55).await.unwrap(), first);
    assert_eq!(log.count("ERROR"), 4, "{}", log.text());
    assert!(!log.text().contains("hush-hush"));
    signer.replace(&OTHER.concat());
    assert_ne!(again(60).await.unwrap().thumbprint(), first.thumbprint());
}

#[tokio::test]
async fn an_expired_certificate_signs_nothing() {
    let signer = Signer::new();
    let century = 101 * 365 * 86400;
    let error = signer.at(century, ONE).await.unwrap_err();
    assert!(is_expired(&error), "{error:?}");
    assert_eq!(error.retry_after(), None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expired.pem");
    fs::write(&path, EXPIRED.concat()).unwrap();
    let error = CertificateProver::new(CertificateFile::new(&path), NOW).unwrap_err();
    assert!(is_expired(&error), "{error:?}");
}

fn is_expired(error: &CredentialError) -> bool {
    matches!(error, CredentialError::Certificate { source, .. } if *source == CertificateError::Expired)
}

#[tokio::test]
async fn a_certificate_that_is_about_to_expire_is_told_of_once_a_day() {
    let (log, _guard) = Log::begin();
    let signer = Signer::new();
    let ends = signer.prover.state().loaded.key.not_after();
    let left = ends.since(NOW).as_secs();
    for (before, warnings) in [
        (15 * 86400, 0),
        (13 * 86400, 1),
        (13 * 86400 - 3600, 1),
        (12 * 86400, 2),
    ] {
        signer.at(left - before, ONE).await.unwrap();
        assert_eq!(log.count("WARN"), warnings, "{}", log.text());
    }
}

#[test]
fn guids_say_that_they_are_random() {
    let guid = guid(&SystemRandom::default());
    assert!(crate::jwt::verify::is_guid(&guid), "{guid}");
    assert_eq!(&guid[14..15], "4");
    assert!(["8", "9", "a", "b"].contains(&&guid[19..20]), "{guid}");
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, level: &str) -> usize {
        self.text().matches(level).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The whole error surface on one page: `errors.snap`.
//!
//! What answers machines is written from the tables beside the errors; what answers browsers,
//! where page or redirect is the question, and what the guard answers, is driven.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use entrada::authorization_server::{
    ApprovedAppsError, ClientAuthError, LimitError, RegisterError, RenewalError, RevokeError,
    SignInAgainError, TokenError, UpstreamRefusal,
};
use entrada::client_documents::{ClientFetchError, ClientKeysError};
use entrada::dpop::ProofError;
use entrada::entra::error::EntraError;
use entrada::grant::{RedeemError, RefreshError};
use entrada::jwt::client_assertion::ClientAssertionError;
use entrada::jwt::dpop::DpopError;
use entrada::jwt::identity_assertion::IdentityAssertionError;
use entrada::jwt::sign::SigningKeyError;
use entrada::oauth::client::ClientMetadataError;
use entrada::oauth::error::ErrorResponse;
use entrada::oauth::params::ParamsError;
use entrada::store::{RecordError, StoreError};
use http::{StatusCode, header};
use serde_json::json;

use crate::browser::{Browser, Stop};
use crate::client::{Answer, Client, parameter};
use crate::outage::Outage;
use crate::world::{BASE_URL, CALLBACK, World};

mod callback;
mod guard;
mod on_behalf_of;

/// The page as it is written.
#[derive(Default)]
struct Surface(String);

impl Surface {
    fn section(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        writeln!(self.0, "{gap}## {title}").unwrap();
    }

    fn row(&mut self, error: &str, answer: &str) {
        writeln!(self.0, "{error:<42} {answer}").unwrap();
    }

    /// A row by the table that stands beside the error.
    fn table(&mut self, error: &str, response: ErrorResponse) {
        let status = response.error.status().as_u16();
        let code = response.error.as_str();
        let sentence = response.error_description;
        self.row(&plain(error), &format!("{status} {code}: {sentence}"));
    }

    /// A row by where a browser ended.
    fn stop(&mut self, error: &str, stop: &Stop) {
        let answer = match stop {
            Stop::Left(url) => {
                assert!(url.as_str().starts_with(CALLBACK), "{url}");
                assert_eq!(parameter(url, "iss").as_deref(), Some(BASE_URL));
                let part = |name| parameter(url, name).unwrap_or_else(|| panic!("{url}"));
                format!("redirect {}: {}", part("error"), part("error_description"))
            }
            Stop::Page(page) => {
                assert!(!page.headers.contains_key(header::LOCATION));
                let (_, rest) = page.html.split_once("<h1>").unwrap();
                let title = rest.split("</h1>").next().unwrap();
                format!("page {}: {title}", page.status.as_u16())
            }
        };
        self.row(error, &answer);
    }

    /// A row by what a machine was answered.
    fn answer(&mut self, error: &str, answer: &Answer) {
        let mut text = answer.status.as_u16().to_string();
        match (
            answer.json["error"].as_str(),
            &answer.json["error_description"],
        ) {
            (Some(error), description) => {
                write!(text, " {error}: {}", description.as_str().unwrap()).unwrap();
            }
            (None, _) if answer.text.is_empty() => text.push_str(" (no body)"),
            (None, _) => write!(text, ": {}", answer.text.trim()).unwrap(),
        }
        if let Some(wait) = answer.header("retry-after") {
            write!(text, " [Retry-After: {wait}]").unwrap();
        }
        if let Some(challenge) = answer.header("www-authenticate") {
            let error = challenge.split(", ").next().unwrap();
            let scheme = error.split(" scope").next().unwrap();
            write!(text, " [{scheme}]").unwrap();
        }
        self.row(error, &text);
    }
}

/// The error without the names of its types.
fn plain(error: &str) -> String {
    let mut words = String::new();
    for part in error.split("::").collect::<Vec<_>>().windows(2) {
        let kind = part[0].rfind(|c: char| !c.is_alphanumeric());
        words.push_str(kind.map_or("", |at| &part[0][..=at]));
    }
    words.push_str(error.rsplit("::").next().unwrap());
    words.replace("(store())", "")
}

/// One row for each error, by the table beside its type.
macro_rules! table {
    ($surface:expr; $($error:expr;)+) => {
        $($surface.table(stringify!($error), ErrorResponse::from(&$error));)+
    };
}

fn store() -> StoreError {
    StoreError::new("an outage")
}

fn sent_back(error: &str) -> UpstreamRefusal {
    UpstreamRefusal::new(error, None, "")
}

fn unavailable() -> RenewalError {
    RenewalError::Unavailable {
        error: EntraError::Malformed,
        retry_after: Duration::ZERO,
    }
}

fn absent() -> ClientFetchError {
    ClientFetchError::Status(StatusCode::NOT_FOUND)
}

#[tokio::test]
async fn every_error_has_its_answer() {
    let mut surface = Surface::default();
    limits(&mut surface);
    register(&mut surface);
    authorize(&mut surface).await;
    consent(&mut surface).await;
    callback::rows(&mut surface).await;
    token(&mut surface);
    revoke(&mut surface);
    sign_in_again(&mut surface);
    approved_apps(&mut surface);
    guard::rows(&mut surface).await;
    on_behalf_of::rows(&mut surface).await;
    insta::with_settings!({
        prepend_module_to_snapshot => false,
        snapshot_path => ".",
        omit_expression => true,
    }, {
        insta::assert_snapshot!("errors", surface.0);
    });
}

fn limits(surface: &mut Surface) {
    let retry_after = Duration::ZERO;
    surface.section("any of these, too often (LimitError)");
    table! { surface;
        LimitError::Address { retry_after };
        LimitError::Failures { retry_after };
        LimitError::All { retry_after };
    }
}

fn register(surface: &mut Surface) {
    surface.section("POST /register (RegisterError, ClientMetadataError)");
    table! { surface;
        RegisterError::Malformed;
        RegisterError::Store(store());
        RegisterError::Metadata(ClientMetadataError::NoRedirectUri);
        RegisterError::Metadata(ClientMetadataError::TooManyRedirectUris);
        RegisterError::Metadata(ClientMetadataError::RedirectUris);
        RegisterError::Metadata(ClientMetadataError::ApplicationType);
        RegisterError::Metadata(ClientMetadataError::GrantTypes);
        RegisterError::Metadata(ClientMetadataError::ResponseTypes);
        RegisterError::Metadata(ClientMetadataError::AuthMethod);
    }
}

/// What every browser endpoint is driven with.
struct Stage {
    world: World,
    store: Arc<Outage>,
    client: Client,
    browser: Browser,
}

impl Stage {
    async fn new() -> Self {
        let store = Arc::new(Outage::default());
        let world = World::on(store.clone(), |config| config).await;
        let client = world.client().await;
        let browser = world.browser();
        Self {
            world,
            store,
            client,
            browser,
        }
    }

    async fn asked(&mut self, changes: &[(&str, &str)]) -> Stop {
        self.browser.get(&self.client.authorize_url(changes)).await
    }
}

async fn authorize(surface: &mut Surface) {
    surface.section("GET, POST /authorize (AuthorizeError)");
    let mut stage = Stage::new().await;
    for (error, name, value) in [
        ("NoClient", "client_id", ""),
        ("UnknownClient", "client_id", "unknown"),
        (
            "UnregisteredRedirectUri",
            "redirect_uri",
            "https://client.example/x",
        ),
        ("StateTooLong", "state", &*"x".repeat(4097)),
        ("NoResponseType", "response_type", ""),
        ("UnsupportedResponseType", "response_type", "token"),
        ("UnsupportedResponseMode", "response_mode", "fragment"),
        ("NoChallenge", "code_challenge", ""),
        ("ChallengeMethod", "code_challenge_method", "plain"),
        ("Challenge", "code_challenge", "x"),
        ("Thumbprint", "dpop_jkt", "x"),
        ("Scope", "scope", "other"),
        ("Target", "resource", "https://other.example/"),
        ("ConsentRequired", "prompt", "none"),
    ] {
        let stop = stage.asked(&[(name, value)]).await;
        surface.stop(error, &stop);
        if matches!(stop, Stop::Page(_)) {
            let url = stage.client.authorize_url(&[(name, value)]);
            let answer = stage.world.get(&url).await;
            surface.answer(&format!("{error}, to a machine"), &answer);
        }
    }
    documents(surface, &mut stage).await;
    let twice = format!("{}&state=x", stage.client.authorize_url(&[]));
    surface.stop("Params", &stage.browser.get(&twice).await);
    surface.answer("Params, to a machine", &stage.world.get(&twice).await);
    stage.store.begin();
    surface.stop("Store", &stage.asked(&[]).await);
    let url = stage.client.authorize_url(&[]);
    surface.answer("Store, to a machine", &stage.world.get(&url).await);
}

/// What is said of clients that a document should describe.
async fn documents(surface: &mut Surface, stage: &mut Stage) {
    let url = "https://app.example/client.json";
    let good = json!({ "client_id": url, "client_name": "n", "redirect_uris": ["https://h/"] });
    for (error, name, change) in [
        ("Document(Url)", "https://app.example/", json!({})),
        ("Document(Malformed)", url, json!({ "client_id": 7 })),
        ("Document(OtherClient)", url, json!({ "client_id": "x" })),
        ("Document(NoName)", url, json!({ "client_name": "" })),
        ("Document(Secret)", url, json!({ "client_secret": "s" })),
        (
            "Document(AuthMethod)",
            url,
            json!({ "token_endpoint_auth_method": "x" }),
        ),
        (
            "Document(Keys)",
            url,
            json!({ "token_endpoint_auth_method": "private_key_jwt" }),
        ),
        (
            "Document(Metadata)",
            url,
            json!({ "response_types": ["token"] }),
        ),
        (
            "Document(TooLarge)",
            url,
            json!({ "contacts": ["x".repeat(10_240)] }),
        ),
        (
            "Document(Transport)",
            "https://nobody.example/client.json",
            json!({}),
        ),
    ] {
        let mut document = good.clone();
        for (member, value) in change.as_object().unwrap() {
            document[member] = value.clone();
        }
        stage.world.web.publish(url, &document);
        surface.stop(error, &stage.asked(&[("client_id", name)]).await);
        let url = stage.client.authorize_url(&[("client_id", name)]);
        let answer = stage.world.get(&url).await;
        surface.answer(&format!("{error}, to a machine"), &answer);
        stage.world.advance(Duration::from_secs(10));
    }
}

async fn consent(surface: &mut Surface) {
    surface.section("POST /consent (ConsentError)");
    let mut stage = Stage::new().await;
    let page = stage.asked(&[]).await.page();
    let unknown = stage.browser.submit(&page, &[("answer", "maybe")]).await;
    surface.stop("Form", &unknown);
    let other = stage
        .world
        .browser()
        .submit(&page, &[("answer", "deny")])
        .await;
    surface.stop("OtherBrowser", &other);
    let denied = stage.browser.submit(&page, &[("answer", "deny")]).await;
    surface.stop("(the user says no)", &denied);
    let again = stage.browser.submit(&page, &[("answer", "allow")]).await;
    surface.stop("Answered", &again);
    let page = stage.asked(&[]).await.page();
    stage.store.begin();
    for answer in ["allow", "deny"] {
        let down = stage.browser.submit(&page, &[("answer", answer)]).await;
        surface.stop(&format!("Store, on {answer}"), &down);
    }
    stage.store.end();
    stage.world.advance(Duration::from_secs(601));
    let late = stage.browser.submit(&page, &[("answer", "allow")]).await;
    surface.stop("Expired", &late);
}

fn token(surface: &mut Surface) {
    surface.section("POST /token (TokenError)");
    table! { surface;
        TokenError::NotAForm;
        TokenError::Params(ParamsError::Repeated);
        TokenError::Params(ParamsError::TooMany);
        TokenError::Client(ClientAuthError::Missing);
        TokenError::Client(ClientAuthError::Unknown { basic: false });
        TokenError::Client(ClientAuthError::Ambiguous);
        TokenError::Client(ClientAuthError::UnexpectedSecret { basic: false });
        TokenError::Client(ClientAuthError::WrongSecret { basic: false });
        TokenError::Client(ClientAuthError::NoAssertion);
        TokenError::Client(ClientAuthError::AssertionType);
        TokenError::Client(ClientAuthError::Assertion(ClientAssertionError::Replayed));
        TokenError::Client(ClientAuthError::Assertion(ClientAssertionError::UnknownKey));
        TokenError::Client(ClientAuthError::Keys(ClientKeysError::Fetch(Arc::new(ClientFetchError::Busy))));
        TokenError::Client(ClientAuthError::Document(Arc::new(ClientFetchError::Busy)));
        TokenError::Client(ClientAuthError::Document(Arc::new(ClientFetchError::Host)));
        TokenError::Client(ClientAuthError::Document(Arc::new(absent())));
        TokenError::Client(ClientAuthError::Store(store()));
        TokenError::Proof(ProofError::Missing);
        TokenError::Proof(ProofError::Several);
        TokenError::Proof(ProofError::Wrong(DpopError::Time));
        TokenError::Proof(ProofError::Replayed);
        TokenError::Proof(ProofError::Nonce);
        TokenError::Missing("code");
        TokenError::UnsupportedGrantType;
        TokenError::UnauthorizedClient;
        TokenError::Scope;
        TokenError::Resource;
        TokenError::UnknownCode;
        TokenError::ReplayedCode;
        TokenError::Redeem(RedeemError::WrongClient);
        TokenError::Redeem(RedeemError::WrongRedirectUri);
        TokenError::Redeem(RedeemError::WrongVerifier);
        TokenError::Redeem(RedeemError::WrongKey);
        TokenError::Redeem(RedeemError::Expired);
        TokenError::Redeem(RedeemError::WrongResource);
        TokenError::UnknownRefreshToken;
        TokenError::Renewal(RenewalError::Ended);
        TokenError::Renewal(RenewalError::Replayed);
        TokenError::Renewal(RenewalError::Overtaken);
        TokenError::Renewal(RenewalError::Refused(RefreshError::WrongClient));
        TokenError::Renewal(RenewalError::Refused(RefreshError::WrongKey));
        TokenError::Renewal(RenewalError::Refused(RefreshError::Expired));
        TokenError::Renewal(RenewalError::Refused(RefreshError::ScopeExceeded));
        TokenError::Renewal(RenewalError::Refused(RefreshError::WrongResource));
        TokenError::Renewal(RenewalError::SignInAgain(EntraError::Malformed));
        TokenError::Renewal(RenewalError::Challenged);
        TokenError::Renewal(RenewalError::Interaction(EntraError::Malformed));
        TokenError::Renewal(unavailable());
        TokenError::Renewal(RenewalError::Contended);
        TokenError::Renewal(RenewalError::Crypto);
        TokenError::Renewal(RenewalError::Store(store()));
        TokenError::IdentityAssertion(IdentityAssertionError::Replayed);
        TokenError::ScopeNotGranted;
        TokenError::OtherResource;
        TokenError::Sign(SigningKeyError::Failed);
        TokenError::Store(store());
    }
}

fn sign_in_again(surface: &mut Surface) {
    surface.section("GET, POST /sign-in-again (SignInAgainError)");
    table! { surface;
        SignInAgainError::Link;
        SignInAgainError::NothingNeeded;
        SignInAgainError::OtherBrowser;
        SignInAgainError::Expired;
        SignInAgainError::GrantEnded;
        SignInAgainError::OtherUser;
        SignInAgainError::Entra(sent_back("access_denied"));
        SignInAgainError::Entra(sent_back("temporarily_unavailable"));
        SignInAgainError::Entra(sent_back("invalid_client"));
        SignInAgainError::Redeem(EntraError::Malformed);
        SignInAgainError::Store(store());
    }
}

fn approved_apps(surface: &mut Surface) {
    surface.section("GET, POST /approved-apps (ApprovedAppsError)");
    table! { surface;
        ApprovedAppsError::Form;
        ApprovedAppsError::OtherBrowser;
        ApprovedAppsError::Expired;
        ApprovedAppsError::SignedOut;
        ApprovedAppsError::Nobody;
        ApprovedAppsError::Entra(sent_back("access_denied"));
        ApprovedAppsError::Entra(sent_back("temporarily_unavailable"));
        ApprovedAppsError::Entra(sent_back("invalid_client"));
        ApprovedAppsError::Redeem(EntraError::Malformed);
        ApprovedAppsError::Store(store());
        ApprovedAppsError::Seal(RecordError::Unwritable);
    }
}

fn revoke(surface: &mut Surface) {
    surface.section("POST /revoke (RevokeError)");
    table! { surface;
        RevokeError::Form(TokenError::NotAForm);
        RevokeError::Form(TokenError::Params(ParamsError::Repeated));
        RevokeError::Client(ClientAuthError::Missing);
        RevokeError::NoToken;
        RevokeError::WrongClient;
        RevokeError::Store(store());
    }
}

//! A verifier that has Entra's keys, and tokens that Entra has signed.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use entra_emulator::{Control, Emulator, Options, TokenOrder, builtin};
use entrada::access_token::{AccessTokenVerifier as _, PresentedToken};
use entrada::platform::{Clock, HttpTransport, Platform, SystemRandom, Timestamp, TransportError};
use entrada::resource_server::{Protection, RequireBearer, RequireBearerLayer};
use entrada::{AzureJwtConfig, AzureJwtVerifier, VerifiedToken};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::{Layer as _, Service as _, ServiceExt as _};
use url::Url;

#[path = "../inner/no_op.rs"]
mod no_op;

pub(crate) use no_op::NoOp;

/// When every benchmark happens: time does not pass, so that nothing expires.
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

fn emulator() -> Emulator {
    Emulator::new(Options {
        clock: Arc::new(|| NOW.as_unix()),
        ..Options::default()
    })
}

/// What Entra gives for any token.
const EXCHANGED: &[u8] =
    br#"{"token_type":"Bearer","expires_in":3600,"access_token":"eyJ0eXAi.eyJhdWQi.c2lnbmVk"}"#;

/// Entra's keys, fetched once.
#[derive(Debug)]
struct Canned(Bytes);

fn keys() -> Bytes {
    let url = format!(
        "{}/{}/discovery/v2.0/keys",
        builtin::BASE_URL,
        builtin::TENANT_ID
    );
    let request = Request::get(url).body(Body::empty()).expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let answer = emulator().router().oneshot(request).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes()
    })
}

#[async_trait]
impl HttpTransport for Canned {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let exchange = request.uri().path().ends_with("/token");
        let body = if exchange {
            Bytes::from_static(EXCHANGED)
        } else {
            self.0.clone()
        };
        Ok(Response::new(body))
    }
}

/// The verifier alone.
#[derive(Clone)]
pub(crate) struct Verifier(AzureJwtVerifier);

impl Verifier {
    /// Verifies `token`; the answer must come at once, for the keys are there.
    pub(crate) fn verify(&self, token: &str) -> VerifiedToken {
        let verdict = pin!(self.0.verify(PresentedToken::new(token), NOW))
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(token)) = verdict else {
            unreachable!("the keys are there, and the token is good");
        };
        token
    }

    /// A caller whose token was exchanged for one with `scope`.
    pub(crate) fn exchanged(&self, scope: &str) -> VerifiedToken {
        let order = TokenOrder::delegated(
            builtin::ALICE,
            builtin::PUBLIC_CLIENT_ID,
            builtin::CLIENT_ID,
        );
        let caller = self.verify(&emulator().control().mint(&order));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let token = runtime
            .expect("a runtime")
            .block_on(async { caller.downstream_token(scope).await });
        token.expect("Entra gives one");
        caller
    }
}

/// A service behind the guard.
pub(crate) struct Guarded {
    entra: Control,
    verifier: Verifier,
    service: RequireBearer<NoOp>,
}

impl Guarded {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    /// With a credential, so that callers' tokens can be exchanged.
    pub(crate) fn exchanging() -> Self {
        Self::with(|config| config.client_secret(builtin::CLIENT_SECRET))
    }

    fn with(adjust: impl FnOnce(AzureJwtConfig) -> AzureJwtConfig) -> Self {
        let wire = Arc::new(Canned(keys()));
        let platform = Platform::new(Arc::new(Fixed), Arc::new(SystemRandom::default()), wire);
        let config = AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID)
            .authority_host("login.emulator.test")
            .required_scopes(["mcp.read"]);
        let verifier = AzureJwtVerifier::new(adjust(config), platform).expect("a verifier");
        let metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
        let protection = Protection::new(Url::parse(metadata).expect("a URL"));
        let guard =
            RequireBearerLayer::new(Arc::new(verifier.clone()), Arc::new(Fixed), protection);
        let guarded = Self {
            entra: emulator().control(),
            verifier: Verifier(verifier),
            service: guard.layer(NoOp),
        };
        // The first token fetches the keys.
        guarded.verifier.verify(&guarded.token());
        guarded
    }

    /// A token nobody has seen yet, as Entra signs it.
    pub(crate) fn token(&self) -> String {
        self.entra.mint(&TokenOrder::delegated(
            builtin::ALICE,
            builtin::PUBLIC_CLIENT_ID,
            builtin::CLIENT_ID,
        ))
    }

    pub(crate) fn verifier(&self) -> Verifier {
        self.verifier.clone()
    }

    pub(crate) fn request(token: &str) -> Request<()> {
        Request::post("https://mcp.example.com/mcp")
            .header("accept", "application/json, text/event-stream")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2025-11-25")
            .body(())
            .expect("a request")
    }

    pub(crate) fn call(&mut self, request: Request<()>) {
        let response = pin!(self.service.call(request));
        let Poll::Ready(Ok(response)) = response.poll(&mut Context::from_waker(Waker::noop()))
        else {
            unreachable!("the verdict is known");
        };
        assert!(response.status().is_success());
    }
}

/// One signature check, with a key that is ready.
pub(crate) struct Bare {
    key: ParsedPublicKey,
    message: String,
    made: Vec<u8>,
}

impl Bare {
    pub(crate) fn of(token: &str) -> Self {
        let (message, made) = token.rsplit_once('.').expect("a signature");
        let header = message.split_once('.').map(|(header, _)| decode(header));
        let header: Value = serde_json::from_slice(&header.expect("a header")).expect("a header");
        let published: Value = serde_json::from_slice(&keys()).expect("a key set");
        let published = published.get("keys").and_then(Value::as_array);
        let key = published
            .into_iter()
            .flatten()
            .find(|key| key.get("kid") == header.get("kid"));
        let number = |name: &str| {
            let text = key.and_then(|key| key.get(name)).and_then(Value::as_str);
            decode(text.expect("a number"))
        };
        let key = RsaPublicKeyComponents {
            n: number("n"),
            e: number("e"),
        };
        let key = key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        Self {
            key: key.expect("a key"),
            message: message.to_owned(),
            made: decode(made),
        }
    }

    pub(crate) fn check(&self) {
        let checked = self.key.verify_sig(self.message.as_bytes(), &self.made);
        checked.expect("Entra signed it");
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

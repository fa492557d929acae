//! No stranger's token is taken for Entra's; and of what Entra signs, only what is an access token
//! for this server, of a tenant that is let in, for its time and with all that is required.
#![no_main]

use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use entrada::access_token::{AccessTokenVerifier, PresentedToken, PrincipalKind};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use entrada::jwt_verifier::{JwtVerifier, JwtVerifierConfig};
use entrada::platform::{Clock, HttpTransport, Platform, SystemRandom, Timestamp, TransportError};
use entrada::policy::Requirement;
use entrada::{AzureJwtConfig, AzureJwtVerifier};
use http::{Request, Response};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

const TENANT: &str = "10000000-0000-4000-8000-000000000001";
const APP: &str = "30000000-0000-4000-8000-000000000001";
const ROBOT_ISSUER: &str = "https://robots.example";
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const LEEWAY: u64 = 60;

/// A key of Entra's, public as all of them are.
const KEYS: &str = include_str!("../keys.json");

static ENTRA: LazyLock<AzureJwtVerifier> = LazyLock::new(|| {
    let config = AzureJwtConfig::new(TENANT, APP)
        .required_scopes(["mcp.read"])
        .app_only(AppOnlyTokens::Allow)
        .required_app_roles(["Reader"]);
    AzureJwtVerifier::new(config, platform()).expect("a verifier")
});

static ROBOT_KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::EdDsa).expect("a key"));

static ROBOTS: LazyLock<JwtVerifier> = LazyLock::new(|| {
    let config = JwtVerifierConfig::inline(ROBOT_ISSUER, ROBOT_KEY.jwks().expect("a key set"))
        .audience([APP])
        .requirement(Requirement::scopes(["mcp.read"]));
    JwtVerifier::new(config, platform()).expect("a verifier")
});

#[derive(Debug)]
struct World;

impl Clock for World {
    fn now(&self) -> Timestamp {
        NOW
    }
}

#[async_trait]
impl HttpTransport for World {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        Ok(Response::new(Bytes::from_static(KEYS.as_bytes())))
    }
}

fn platform() -> Platform {
    Platform::new(
        Arc::new(World),
        Arc::new(SystemRandom::default()),
        Arc::new(World),
    )
}

/// Whether a verifier takes a token; nothing here waits.
fn takes(verifier: &impl AccessTokenVerifier, token: &str) -> bool {
    let verdict = pin!(verifier.verify(PresentedToken::new(token), NOW))
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    match verdict {
        Poll::Ready(verdict) => verdict.is_ok(),
        Poll::Pending => panic!("a verdict needed something it does not have"),
    }
}

/// The word of Entra itself.
fn of_entra(claims: &str) {
    let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let Ok(facts) = ENTRA.facts_of_unsigned(claims.as_bytes(), &issuer, NOW) else {
        return;
    };
    // Numbers beyond all bounds may stand in claims that nobody reads.
    let Ok(claims) = serde_json::from_str::<Value>(claims) else {
        return;
    };
    // The last of two claims of one name would win here: the verifier must have refused them.
    let text = |name: &str| claims[name].as_str();
    assert_eq!(text("tid"), Some(TENANT));
    assert!(
        [
            &*issuer,
            "https://sts.windows.net/10000000-0000-4000-8000-000000000001/"
        ]
        .contains(&text("iss").expect("an issuer"))
    );
    let ours = |name: &Value| name.as_str().is_some_and(|name| name.contains(APP));
    assert!(
        ours(&claims["aud"])
            || claims["aud"]
                .as_array()
                .is_some_and(|all| all.iter().any(ours))
    );
    assert!(claims["exp"].as_u64().expect("an end") + LEEWAY > NOW.as_unix());
    assert!(claims["cnf"].is_null());
    match facts.principal.kind {
        PrincipalKind::User => {
            let scopes = text("scp").expect("scopes");
            assert!(scopes.split(' ').any(|scope| scope == "mcp.read"));
        }
        _ => {
            assert!(claims["scp"].is_null() && claims["nonce"].is_null());
            let roles = claims["roles"].as_array().expect("roles");
            assert!(roles.contains(&"Reader".into()));
        }
    }
}

/// The word of another issuer.
fn of_robots(claims: &str) {
    let Ok(claims) = serde_json::from_str::<&RawValue>(claims) else {
        return;
    };
    let token = ROBOT_KEY.sign("at+jwt", &claims).expect("a signature");
    if takes(&*ROBOTS, &token)
        && let Ok(claims) = serde_json::from_str::<Value>(claims.get())
    {
        assert_eq!(claims["iss"].as_str(), Some(ROBOT_ISSUER));
        assert!(claims["exp"].as_u64().expect("an end") + LEEWAY > NOW.as_unix());
    }
}

fuzz_target!(|text: &str| {
    assert!(!takes(&*ENTRA, text), "a signature was forged");
    assert!(!takes(&*ROBOTS, text), "a signature was forged");
    of_entra(text);
    of_robots(text);
});

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use entra_emulator::builtin::*;
use serde_json::{Value, json};

use crate::world::{NOW, Pairs, World, mcp, own, peek};

fn pem_bytes(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

struct Assertion {
    header: Value,
    claims: Value,
    padded: bool,
}

impl Assertion {
    fn new() -> Self {
        let thumbprint = digest(&SHA256, &pem_bytes(DAEMON_CERTIFICATE));
        Self {
            header: json!({
                "typ": "JWT",
                "alg": "PS256",
                "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint),
            }),
            claims: json!({
                "aud": format!("{BASE_URL}/{TENANT_ID}/oauth2/v2.0/token"),
                "iss": DAEMON_CLIENT_ID,
                "sub": DAEMON_CLIENT_ID,
                "jti": "1",
                "nbf": NOW,
                "exp": NOW + 600,
            }),
            padded: false,
        }
    }

    fn sign(&self) -> String {
        let encode = |bytes: &[u8]| {
            if self.padded {
                URL_SAFE.encode(bytes)
            } else {
                URL_SAFE_NO_PAD.encode(bytes)
            }
        };
        let part = |value: &Value| encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let key = RsaKeyPair::from_pkcs8(&pem_bytes(DAEMON_PRIVATE_KEY)).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        let padding: &dyn aws_lc_rs::signature::RsaEncoding = if self.header["alg"] == "PS256" {
            &RSA_PSS_SHA256
        } else {
            &RSA_PKCS1_SHA256
        };
        key.sign(
            padding,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signature,
        )
        .unwrap();
        format!("{message}.{}", encode(&signature))
    }
}

async fn daemon(world: &World, assertion: &str) -> crate::world::Answer {
    let scope = format!("{CLIENT_ID}/.default");
    let form = [
        ("client_id", DAEMON_CLIENT_ID),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
        ("grant_type", "client_credentials"),
        ("scope", &scope),
    ];
    world.token(&form).await
}

#[tokio::test]
async fn certificate_assertions_come_in_many_spellings() {
    let world = World::new();
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, &pem_bytes(DAEMON_CERTIFICATE));
    let sha256 = digest(&SHA256, &pem_bytes(DAEMON_CERTIFICATE));
    let rs256 = |header: Value| Assertion {
        header,
        ..Assertion::new()
    };
    let with = |name: &str, value: Value| {
        let mut assertion = Assertion::new();
        assertion.claims[name] = value;
        assertion
    };
    for (name, assertion) in [
        ("PS256", Assertion::new()),
        (
            "padded",
            Assertion {
                padded: true,
                ..Assertion::new()
            },
        ),
        (
            "RS256, x5t",
            rs256(json!({"alg": "RS256", "x5t": URL_SAFE_NO_PAD.encode(sha1)})),
        ),
        (
            "x5t padded",
            rs256(json!({"alg": "RS256", "x5t": URL_SAFE.encode(sha1)})),
        ),
        (
            "x5t plain base64",
            rs256(json!({"alg": "RS256", "x5t": STANDARD.encode(sha1)})),
        ),
        (
            "x5t#S256 padded",
            rs256(json!({"alg": "PS256", "x5t#S256": URL_SAFE.encode(sha256)})),
        ),
        (
            "issuer",
            with("aud", json!(format!("{BASE_URL}/{TENANT_ID}/v2.0"))),
        ),
        ("fraction", with("exp", json!(1_800_000_600.25_f64))),
        (
            "domain",
            with(
                "aud",
                json!(format!("{BASE_URL}/{TENANT_DOMAIN}/oauth2/v2.0/token")),
            ),
        ),
    ] {
        let answer = daemon(&world, &assertion.sign()).await;
        assert_eq!(answer.status, 200, "{name} {}", answer.text);
        let (_, claims) = peek(answer.json()["access_token"].as_str().unwrap());
        assert_eq!(claims["azpacr"], "2", "{name}");
    }
}

#[tokio::test]
async fn certificate_assertions_are_refused_for_what_they_say() {
    let world = World::new();
    let claim = |name: &str, value: Value| {
        let mut assertion = Assertion::new();
        assertion.claims[name] = value;
        assertion.sign()
    };
    let header = |header: Value| {
        Assertion {
            header,
            ..Assertion::new()
        }
        .sign()
    };
    let good = Assertion::new();
    let (signed, other) = (good.sign(), claim("jti", json!("2")));
    let (_, signature) = signed.rsplit_once('.').unwrap();
    let (message, _) = other.rsplit_once('.').unwrap();
    let tampered = format!("{message}.{signature}");
    let thumbprint = good.header["x5t#S256"].clone();
    for (name, assertion, wanted) in [
        ("expired", claim("exp", json!(NOW - 301)), 700_024),
        ("endless, not yet", claim("nbf", json!(u64::MAX)), 700_024),
        ("of the future", claim("nbf", json!(NOW + 301)), 700_024),
        (
            "unknown certificate",
            header(json!({"alg": "RS256", "x5t": "AAAA"})),
            700_027,
        ),
        ("no thumbprint", header(json!({"alg": "RS256"})), 700_027),
        (
            "unsigned",
            header(json!({"alg": "none", "x5t#S256": thumbprint})),
            700_027,
        ),
        ("malformed", "nonsense".to_owned(), 700_027),
        ("tampered", tampered, 700_027),
        (
            "audience",
            claim("aud", json!("https://elsewhere.example/token")),
            700_023,
        ),
        ("issuer", claim("iss", json!(CLIENT_ID)), 700_021),
        ("subject", claim("sub", json!(CLIENT_ID)), 700_021),
    ] {
        let (status, error, code) = daemon(&world, &assertion).await.failure();
        assert_eq!(
            (status, error.as_str(), code),
            (401, "invalid_client", wanted),
            "{name}"
        );
    }
}

fn app_only(change: Pairs<'static>) -> Vec<(&'static str, &'static str)> {
    let mut form = vec![
        ("client_id", DAEMON_CLIENT_ID),
        ("client_secret", DAEMON_CLIENT_SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "30000000-0000-4000-8000-000000000001/.default"),
    ];
    form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    form.extend_from_slice(change);
    form
}

#[tokio::test]
async fn an_application_gets_a_token_and_nothing_else() {
    let world = World::new();
    let body = world.token(&app_only(&[])).await.ok();
    let mut members: Vec<&String> = body.as_object().unwrap().keys().collect();
    members.sort_unstable();
    assert_eq!(
        members,
        ["access_token", "expires_in", "ext_expires_in", "token_type"]
    );
    let long = app_only(&[("scope", "https://graph.microsoft.com/.default")]);
    assert_eq!(world.token(&long).await.ok()["refresh_in"], 43_199);
}

#[tokio::test]
async fn every_way_client_credentials_are_refused() {
    let world = World::new();
    for (change, wanted) in [
        (
            &[("client_secret", "wrong")] as Pairs<'_>,
            (401, "invalid_client", 7_000_215),
        ),
        (&[("client_secret", "")], (401, "invalid_client", 7_000_216)),
        (&[("client_id", "")], (400, "invalid_request", 900_144)),
        (
            &[("client_id", "30000000-0000-4000-8000-0000000000ff")],
            (400, "unauthorized_client", 700_016),
        ),
        (
            &[("client_id", PUBLIC_CLIENT_ID)],
            (401, "invalid_client", 700_025),
        ),
        (&[("scope", "")], (400, "invalid_request", 900_144)),
        (&[("scope", "User.Read")], (400, "invalid_scope", 70_011)),
        (&[("scope", "openid")], (400, "invalid_scope", 70_011)),
        (
            &[("scope", "api://nobody/.default")],
            (400, "invalid_resource", 500_011),
        ),
        (
            &[(
                "scope",
                "api://30000000-0000-4000-8000-000000000004/.default",
            )],
            (400, "invalid_request", 90_009),
        ),
    ] {
        let (status, error, code) = world.token(&app_only(change)).await.failure();
        assert_eq!((status, error.as_str(), code), wanted, "{change:?}");
    }
    let multi = app_only(&[
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("client_secret", MULTI_TENANT_CLIENT_SECRET),
    ]);
    assert_eq!(
        world.token_at("common", &multi).await.failure().2,
        9_001_023
    );
    let elsewhere = app_only(&[
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("client_secret", MULTI_TENANT_CLIENT_SECRET),
        ("scope", "https://graph.microsoft.com/.default"),
    ]);
    let answer = world.token_at(FABRIKAM_TENANT_ID, &elsewhere).await;
    assert_eq!(
        answer.failure(),
        (401, "invalid_client".to_owned(), 7_000_229)
    );
}

#[tokio::test]
async fn secrets_expire_and_applications_are_disabled() {
    let world = World::with(|directory| {
        directory.app_mut(DAEMON_CLIENT_ID).unwrap().disabled = true;
    });
    assert_eq!(world.token(&app_only(&[])).await.failure().2, 7_000_112);
    let form = [
        ("client_id", CLIENT_ID),
        ("client_secret", "mcp~8Q.an-expired_test-secret_0123456789"),
        ("grant_type", "client_credentials"),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let (status, error, code) = world.token(&form).await.failure();
    assert_eq!(
        (status, error.as_str(), code),
        (401, "invalid_client", 7_000_222)
    );
}

#[tokio::test]
async fn the_secret_may_come_in_the_header_form_encoded() {
    let world = World::with(|directory| {
        directory.app_mut(DAEMON_CLIENT_ID).unwrap().secrets[0].value = "a+b %:c".to_owned();
    });
    let path = format!("/{TENANT_ID}/oauth2/v2.0/token");
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let basic = |secret: &str| {
        let pair = format!("{DAEMON_CLIENT_ID}:{secret}");
        format!("Basic {}", STANDARD.encode(pair))
    };
    let good = basic("a%2Bb+%25%3Ac");
    world
        .post(&path, &form, &[("authorization", &good)])
        .await
        .ok();
    let wrong = basic("a+b %:c");
    let answer = world.post(&path, &form, &[("authorization", &wrong)]).await;
    assert_eq!(answer.failure().2, 7_000_215);
    assert!(!answer.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_web_client_must_authenticate_to_redeem_a_code() {
    let world = World::new();
    let code = world.code(ALICE, &own("mcp.read")).await;
    let form = [
        ("client_id", CLIENT_ID),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", crate::world::REDIRECT),
    ];
    let answer = world.token(&form).await;
    assert_eq!(
        answer.failure(),
        (401, "invalid_client".to_owned(), 7_000_218)
    );
    world.token(&[mcp(), &form[1..]].concat()).await.ok();
}

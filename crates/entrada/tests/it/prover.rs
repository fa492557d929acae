//! A client that has a key, and proves it.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, Session};
use crate::world::{BASE_URL, RESOURCE, World};

/// Whoever holds one key, and writes whatever header and claims it is told to.
pub(crate) struct Prover(EcdsaKeyPair);

/// How many proofs were made.
static MADE: AtomicU64 = AtomicU64::new(0);

impl Prover {
    pub(crate) fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref());
        Self(key.unwrap())
    }

    /// The coordinates of the public key.
    fn point(&self) -> (String, String) {
        let point = self.0.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        (part(&point[1..33]), part(&point[33..]))
    }

    /// The public key as people take it for a shared secret.
    pub(crate) fn public_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.point();
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
    }

    /// The thumbprint of RFC 7638 §3.
    pub(crate) fn thumbprint(&self) -> String {
        let (x, y) = self.point();
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        sha256(&text)
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() })
    }

    /// Good claims of a proof for one request, which no other proof has.
    pub(crate) fn claims(world: &World, method: &str, url: &str) -> Value {
        let jti = MADE.fetch_add(1, Ordering::Relaxed).to_string();
        json!({ "htm": method, "htu": url, "iat": world.now(), "jti": jti })
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A proof for a token request.
    pub(crate) fn for_token(&self, world: &World) -> String {
        let claims = Self::claims(world, "POST", &format!("{BASE_URL}/token"));
        self.sign(&self.header(), &claims)
    }

    /// The claims of a proof for a call with `token`.
    pub(crate) fn claims_for_call(world: &World, token: &str) -> Value {
        let mut claims = Self::claims(world, "POST", RESOURCE);
        claims["ath"] = sha256(token).into();
        claims
    }

    /// A proof for a call with `token`.
    pub(crate) fn for_call(&self, world: &World, token: &str) -> String {
        self.sign(&self.header(), &Self::claims_for_call(world, token))
    }

    pub(crate) async fn redeem(&self, world: &World, client: &Client, code: &str) -> Answer {
        let proof = self.for_token(world);
        client.redeem_with(code, &[("dpop", &proof)]).await
    }

    pub(crate) async fn refresh(&self, world: &World, session: &Session) -> Answer {
        let proof = self.for_token(world);
        let token = &session.refresh_token;
        session
            .client
            .refresh_with(token, &[("dpop", &proof)])
            .await
    }

    /// The session after its refresh token was used with this key.
    pub(crate) async fn refreshed(&self, world: &World, session: &Session) -> Session {
        let tokens = self.refresh(world, session).await.ok();
        session.client.session(tokens)
    }

    /// A client that registered, whose user signed in, and whose tokens are bound to this key.
    pub(crate) async fn log_in(&self, world: &World, name: &str) -> Session {
        let client = world.client().await;
        let code = client.code(&mut world.browser(), name).await;
        client.session(self.redeem(world, &client, &code).await.ok())
    }

    /// Calls the one tool there is, with a proof.
    pub(crate) async fn call(&self, world: &World, token: &str) -> Answer {
        call(world, token, &self.for_call(world, token)).await
    }
}

/// Calls the one tool there is, with this proof.
pub(crate) async fn call(world: &World, token: &str, proof: &str) -> Answer {
    let dpop = format!("DPoP {token}");
    let headers = [("authorization", &*dpop), ("dpop", proof)];
    world.ask(Method::POST, RESOURCE, &headers, "{}").await
}

fn sha256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// Asserts a refusal under the scheme of proofs (RFC 9449 §7.1).
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, error: &str) {
    let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 1, "{challenges:?}");
    let challenge = challenges[0].to_str().unwrap();
    assert_eq!(answer.status, 401);
    assert!(challenge.starts_with("DPoP "), "{challenge}");
    assert!(
        challenge.contains(&format!("error=\"{error}\"")),
        "{challenge}"
    );
    assert!(
        challenge.ends_with("algs=\"ES256 EdDSA RS256\""),
        "{challenge}"
    );
}

/// `object` with these members in place of its own; `null` takes one away.
pub(crate) fn changed(object: &Value, changes: &Value) -> Value {
    let mut object = object.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        object.insert(name.clone(), value.clone());
    }
    object.retain(|_, value| !value.is_null());
    Value::Object(object)
}

//! Makes tokens of every kind, good and bad.

use aws_lc_rs::rand::SystemRandom as AwsRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use entra_emulator::builtin;
use entrada::keys::{KeyFile, Keys};
use serde_json::{Value, json};

use crate::client::Session;
use crate::world::World;

/// Writes whatever header and claims it is told to, and signs them with a key it holds.
pub(super) struct Forger {
    key: EcdsaKeyPair,
    pub(super) kid: String,
}

impl Forger {
    /// Somebody with a key of their own, who calls it by the name of the server's.
    pub(super) async fn stranger(world: &World) -> Self {
        let kid = Self::insider(world).await.kid;
        let rng = AwsRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        Self::holding(pkcs8.as_ref(), kid)
    }

    /// Somebody with the server's own key: what is refused now is refused for what it says.
    pub(super) async fn insider(world: &World) -> Self {
        let jwks = world.get("/.well-known/jwks.json").await.ok();
        let kid = jwks["keys"][0]["kid"].as_str().unwrap().to_owned();
        Self::holding(&private_key(&world.keys), kid)
    }

    fn holding(pkcs8: &[u8], kid: String) -> Self {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).unwrap();
        Self { key, kid }
    }

    /// The header of a good token, changed.
    pub(super) fn header(&self, changes: &Value) -> Value {
        changed(
            &json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid}),
            changes,
        )
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let signature = self.key.sign(&AwsRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The public half, as a JWK and as bytes people take for a shared secret.
    pub(super) fn public(&self) -> (Value, Vec<u8>) {
        let point = self.key.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": self.kid,
            "x": part(&point[1..33]), "y": part(&point[33..]),
        });
        (jwk, point.to_vec())
    }
}

/// Somebody on the path from Entra with an RSA key, which may be slipped into Entra's key set.
pub(super) struct FalseEntra {
    key: RsaKeyPair,
}

impl FalseEntra {
    pub(super) const KID: &'static str = "false-entra";

    pub(super) fn new() -> Self {
        let pem: String = builtin::DAEMON_PRIVATE_KEY
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(pem).unwrap()).unwrap();
        Self { key }
    }

    /// The public half.
    pub(super) fn jwk(&self) -> Value {
        let public = self.key.public_key();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "kid": Self::KID,
            "n": part(public.modulus().big_endian_without_leading_zero()),
            "e": part(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// `token` with its claims changed, signed anew.
    pub(super) fn resign(&self, token: &str, changes: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": Self::KID});
        let input = signing_input(&header, &changed(&claims(token), changes));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &AwsRandom::new(),
                input.as_bytes(),
                &mut signature,
            )
            .unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The claims of a session's access token, changed; `null` takes one out.
pub(super) fn claims_of(session: &Session, changes: &Value) -> Value {
    changed(&session.claims(), changes)
}

pub(super) fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn changed(object: &Value, changes: &Value) -> Value {
    let mut object = object.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        object.insert(name.clone(), value.clone());
    }
    object.retain(|_, value| !value.is_null());
    Value::Object(object)
}

/// The private signing key of a ring, read as whoever stole the key file would.
fn private_key(keys: &Keys) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    KeyFile::new(&path).save(&keys.current()).unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let pkcs8 = file["signing"][0]["pkcs8"].as_str().unwrap();
    STANDARD.decode(pkcs8).unwrap()
}

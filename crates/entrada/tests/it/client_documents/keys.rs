//! Clients whose document names keys.

use std::sync::atomic::{AtomicU64, Ordering};

use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use serde_json::{Value, json};

use super::{CALLBACK, URL, client_at, document, published};
use crate::client::{Answer, Client, VERIFIER};
use crate::world::{BASE_URL, RESOURCE, SECOND, World};

pub(crate) const KEYS: &str = "https://app.example/keys.json";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Puts keys into a document, or elsewhere.
pub(crate) type Place = fn(&World, &mut Value, &Value);

pub(crate) struct Prover {
    url: String,
    key: SigningKey,
    client: Client,
    code: String,
    numbers: AtomicU64,
}

impl Prover {
    /// A client with a key, which `place` puts into the document or elsewhere, and a code.
    pub(crate) async fn new(world: &World, place: Place) -> Self {
        Self::named(world, URL, place).await
    }

    /// One whose document is at `url`.
    async fn named(world: &World, url: &str, place: Place) -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let mut document = document();
        document["client_id"] = json!(url);
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        let keys = published_by(&key);
        place(world, &mut document, &keys);
        world.web.publish(url, &document);
        let client = client_at(world, url);
        let code = client.code(&mut world.browser(), "alice").await;
        Self {
            url: url.to_owned(),
            key,
            client,
            code,
            numbers: AtomicU64::new(0),
        }
    }

    /// The same client, talking to another replica of the server.
    pub(crate) fn at(&self, replica: &World) -> Self {
        Self {
            url: self.url.clone(),
            key: self.key.clone(),
            client: self.client.at(replica),
            code: self.code.clone(),
            numbers: AtomicU64::new(0),
        }
    }

    /// A good assertion, but for these claims.
    pub(crate) fn assertion(&self, world: &World, changes: &Value) -> String {
        let now = world.now().as_unix();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut claims = json!({
            "iss": self.url, "sub": self.url, "aud": format!("{BASE_URL}/token"),
            "iat": now, "exp": now + 60, "jti": number.to_string(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        if let Some(claims) = claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        self.key.sign("JWT", &claims).unwrap()
    }

    pub(crate) async fn redeem(&self, more: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &*self.code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
            ("resource", RESOURCE),
        ];
        self.client.token(&[&form, more].concat()).await
    }

    /// Somebody else with the same key, who says to be the client at `url`.
    pub(crate) fn posing_as(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            key: self.key.clone(),
            client: self.client.clone(),
            code: self.code.clone(),
            numbers: AtomicU64::new(0),
        }
    }

    /// Redeems its code with an assertion of its own, and gives the refresh token.
    pub(crate) async fn signed_in(&self, world: &World) -> String {
        let assertion = self.assertion(world, &json!({}));
        let tokens = self.redeem_with(&assertion).await.ok();
        tokens["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Refreshes with an assertion of its own.
    pub(crate) async fn refresh_with(&self, world: &World, refresh_token: &str) -> Answer {
        let assertion = self.assertion(world, &json!({}));
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &*assertion),
        ];
        self.client.token(&form).await
    }

    pub(crate) async fn redeem_with(&self, assertion: &str) -> Answer {
        self.redeem(&[
            ("client_id", &self.url),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        ])
        .await
    }
}

pub(crate) fn published_by(key: &SigningKey) -> Value {
    serde_json::from_str(&key.jwks().unwrap()).unwrap()
}

pub(crate) fn inline(_: &World, document: &mut Value, keys: &Value) {
    document["jwks"] = keys.clone();
}

pub(crate) fn elsewhere(world: &World, document: &mut Value, keys: &Value) {
    document["jwks_uri"] = json!(KEYS);
    world.web.publish(KEYS, keys);
}

#[tokio::test]
async fn a_client_proves_itself_wherever_its_keys_are() {
    for (place, audience) in [
        (inline as Place, BASE_URL.to_owned()),
        (elsewhere, format!("{BASE_URL}/token")),
    ] {
        let world = World::new().await;
        let prover = Prover::new(&world, place).await;
        let good = prover.assertion(&world, &json!({ "aud": audience }));
        let tokens = prover.redeem_with(&good).await.ok();
        assert_eq!(tokens["token_type"], json!("Bearer"));
        // It need not say who it is besides, and must prove itself whenever it asks.
        let refresh_token = tokens["refresh_token"].as_str().unwrap();
        let refresh = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &*good),
        ];
        let refused = prover.client.token(&refresh).await;
        refused.assert_refused(401, "invalid_client");
        prover.refresh_with(&world, refresh_token).await.ok();
    }
}

#[tokio::test]
async fn a_public_client_sends_no_assertion() {
    let (world, client) = published().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let prover = Prover {
        url: URL.to_owned(),
        key,
        client,
        code,
        numbers: AtomicU64::new(0),
    };
    let assertion = prover.assertion(&world, &json!({}));
    let refused = prover.redeem_with(&assertion).await;
    refused.assert_refused(401, "invalid_client");
    prover.redeem(&[("client_id", URL)]).await.ok();
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_not_the_clients_fault() {
    let world = World::new().await;
    let prover = Prover::new(&world, elsewhere).await;
    world.web.fail(KEYS, 500);
    let refused = prover
        .redeem_with(&prover.assertion(&world, &json!({})))
        .await;
    refused.assert_refused(503, "temporarily_unavailable");
    let keys = published_by(&prover.key);
    world.web.publish(KEYS, &keys);
    world.advance(10 * SECOND);
    prover
        .redeem_with(&prover.assertion(&world, &json!({})))
        .await
        .ok();
    // A key it does not publish any more is asked for once in a while.
    let calls = world.web.calls();
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    let prover = Prover {
        key: other,
        ..prover
    };
    for _ in 0..3 {
        let refused = prover
            .redeem_with(&prover.assertion(&world, &json!({})))
            .await;
        refused.assert_refused(401, "invalid_client");
    }
    assert!(world.web.calls() <= calls + 1);
}

/// A key is published before it signs, and was not there when we last looked.
#[tokio::test]
async fn a_new_key_is_looked_for_within_minutes() {
    let world = World::new().await;
    let prover = Prover::new(&world, elsewhere).await;
    let refresh_token = prover.signed_in(&world).await;
    let new = SigningKey::generate(Algorithm::Es256).unwrap();
    world.web.publish(KEYS, &published_by(&new));
    let prover = Prover { key: new, ..prover };
    world.advance(299 * SECOND);
    let refused = prover.refresh_with(&world, &refresh_token).await;
    refused.assert_refused(401, "invalid_client");
    world.advance(SECOND);
    prover.refresh_with(&world, &refresh_token).await.ok();
}

#[tokio::test]
async fn an_outage_where_its_keys_are_is_bridged_for_a_day() {
    let world = World::new().await;
    let prover = Prover::new(&world, elsewhere).await;
    let refresh_token = prover.signed_in(&world).await;
    world.web.fail(KEYS, 503);
    world.advance(23 * 3600 * SECOND);
    let tokens = prover.refresh_with(&world, &refresh_token).await.ok();
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    world.advance(3600 * SECOND);
    let refused = prover.refresh_with(&world, refresh_token).await;
    refused.assert_refused(503, "temporarily_unavailable");
}

#[tokio::test]
async fn an_assertion_is_of_a_type_we_know() {
    let world = World::new().await;
    let prover = Prover::new(&world, inline).await;
    let good = prover.assertion(&world, &json!({}));
    let of_another_type = [
        ("client_id", URL),
        ("client_assertion_type", "urn:other"),
        ("client_assertion", &*good),
    ];
    let refused = prover.redeem(&of_another_type).await;
    refused.assert_refused(400, "invalid_request");
    let refused = prover.redeem_with("x").await;
    refused.assert_refused(401, "invalid_client");
    prover.redeem_with(&good).await.ok();
}

#[tokio::test]
async fn a_key_is_chosen_by_its_name() {
    let world = World::new().await;
    let prover = Prover::new(&world, |world, document, keys| {
        let other = published_by(&SigningKey::generate(Algorithm::Es256).unwrap());
        let both = json!({ "keys": [other["keys"][0], keys["keys"][0]] });
        inline(world, document, &both);
    })
    .await;
    let assertion = prover.assertion(&world, &json!({}));
    prover.redeem_with(&assertion).await.ok();
}

/// What one client calls an assertion of its own is no other client's affair.
#[tokio::test]
async fn identifiers_of_assertions_are_each_clients_own() {
    let world = World::new().await;
    let other = "https://other.example/client.json";
    let one = Prover::new(&world, inline).await;
    let another = Prover::named(&world, other, inline).await;
    for prover in [one, another] {
        let assertion = prover.assertion(&world, &json!({ "jti": "the same" }));
        prover.redeem_with(&assertion).await.ok();
    }
}

//! Users that another issuer vouches for.

use entrada::AzureConfig;
use entrada::authorization_server::PreregisteredClient;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::client_credentials::SECRET;
use crate::mcp_server::{DOWNSTREAM, claims_of};
use crate::world::{BASE_URL, RESOURCE, SECOND, World};

pub(crate) const IDP: &str = "https://idp.example";
const KEYS: &str = "https://idp.example/keys";
pub(crate) const TYPE: &str = "oauth-id-jag+jwt";
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// An issuer the server trusts, and a client it gives assertions to.
pub(crate) struct Idp {
    pub(crate) world: World,
    pub(crate) key: SigningKey,
}

pub(crate) fn trusting(config: AzureConfig) -> AzureConfig {
    let agents = PreregisteredClient::program("agents").identity_assertions();
    let config = config.optional_scopes(["mcp.write"]);
    let config = config.client(agents.secret(SECRET));
    config.trust_identity_assertions(IDP, KEYS)
}

impl Idp {
    pub(crate) async fn new() -> Self {
        Self::with(trusting).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(AzureConfig) -> AzureConfig) -> Self {
        let idp = Self {
            world: World::with(adjust).await,
            key: SigningKey::generate(Algorithm::Es256).unwrap(),
        };
        idp.publish(&idp.key);
        idp
    }

    fn publish(&self, key: &SigningKey) {
        let jwks = serde_json::from_str(&key.jwks().unwrap()).unwrap();
        self.world.idp.publish(KEYS, &jwks);
    }

    /// The claims of a good assertion, with some changed.
    pub(crate) fn claims(&self, changes: &Value) -> Value {
        let now = self.world.now().as_unix();
        let mut claims = json!({
            "iss": IDP, "sub": "user-1", "aud": BASE_URL, "client_id": "agents",
            "resource": RESOURCE, "scope": "mcp.read mcp.write", "jti": "1",
            "iat": now, "exp": now + 300, "email": "user@example.com",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    pub(crate) fn client(&self) -> Client {
        let known = json!({ "client_id": "agents", "redirect_uris": [""] });
        Client::registered(self.world.hosts.clone(), &known)
    }

    pub(crate) async fn present(&self, assertion: &str, more: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", GRANT_TYPE),
            ("client_id", "agents"),
            ("client_secret", SECRET),
            ("assertion", assertion),
        ];
        self.client().token(&[&form[..], more].concat()).await
    }

    pub(crate) async fn ask(&self, changes: &Value, more: &[(&str, &str)]) -> Answer {
        let assertion = self.key.sign(TYPE, &self.claims(changes)).unwrap();
        self.present(&assertion, more).await
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_user_gets_in_by_their_own_organisations_word() {
    let idp = Idp::new().await;
    let tokens = idp.ask(&json!({}), &[("resource", RESOURCE)]).await.ok();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "mcp.read mcp.write");
    assert!(tokens.get("refresh_token").is_none(), "{tokens}");
    let token = text(&tokens["access_token"]);
    let claims = claims_of(token);
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["client_id"], "agents");
    assert_ne!(claims["sub"], "user-1");
    let seen = idp.client().call_with(token).await.ok();
    assert_eq!(seen["preferred_username"], "user@example.com");
    assert_eq!(seen["oid"], Value::Null);
    // The same user is the same; another is not.
    let subject = async |changes: Value| {
        let tokens = idp.ask(&changes, &[]).await.ok();
        claims_of(text(&tokens["access_token"]))["sub"].clone()
    };
    let same = subject(json!({ "jti": "2", "email": "new@example.com" })).await;
    assert_eq!(same, claims["sub"]);
    let others = [
        json!({ "jti": "3", "sub": "user-2" }),
        json!({ "jti": "4", "tenant": "t" }),
    ];
    for other in others {
        assert_ne!(subject(other).await, claims["sub"]);
    }
}

#[tokio::test]
async fn scopes_are_those_asked_for_that_the_issuer_allows() {
    let idp = Idp::new().await;
    let ask = async |id: &str, allowed: Value, asked: &str| {
        let changes = json!({ "jti": id, "scope": allowed });
        let more = [("scope", asked)];
        let more = if asked.is_empty() { &[] } else { &more[..] };
        idp.ask(&changes, more).await
    };
    for (id, allowed, asked, granted) in [
        ("1", json!("mcp.read mcp.write"), "mcp.read", "mcp.read"),
        ("2", json!("mcp.read"), "mcp.read mcp.write", "mcp.read"),
        ("3", json!("mcp.read openid other"), "", "mcp.read"),
    ] {
        let tokens = ask(id, allowed, asked).await.ok();
        assert_eq!(tokens["scope"], granted, "{asked}");
    }
    for (id, allowed, asked) in [
        ("4", json!("mcp.write"), "mcp.read mcp.write"),
        ("5", json!("mcp.read mcp.write"), "mcp.write"),
        ("6", json!("other"), ""),
    ] {
        let refused = ask(id, allowed, asked).await;
        refused.assert_refused(400, "invalid_scope");
    }
    // An issuer that says nothing of scopes leaves it to us.
    let mut claims = idp.claims(&json!({ "jti": "7" }));
    claims.as_object_mut().unwrap().remove("scope");
    let assertion = idp.key.sign(TYPE, &claims).unwrap();
    let tokens = idp.present(&assertion, &[]).await.ok();
    assert_eq!(tokens["scope"], "mcp.read");
}

#[tokio::test]
async fn what_is_wrong_with_the_request_does_not_use_the_assertion_up() {
    let idp = Idp::new().await;
    let wrong = [
        [("scope", "unknown")],
        [("resource", "https://other.example/mcp")],
        [("client_secret", "wrong")],
    ];
    for more in wrong {
        let refused = idp.ask(&json!({}), &more).await;
        assert!(refused.status.is_client_error(), "{more:?}");
    }
    idp.ask(&json!({}), &[]).await.ok();
    let again = idp.ask(&json!({}), &[]).await;
    again.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn new_keys_of_the_issuer_are_fetched_once_they_are_used() {
    let mut idp = Idp::new().await;
    idp.ask(&json!({}), &[]).await.ok();
    let calls = idp.world.idp.calls();
    idp.key = SigningKey::generate(Algorithm::Es256).unwrap();
    idp.world.advance(300 * SECOND);
    let unknown = idp.ask(&json!({ "jti": "2" }), &[]).await;
    unknown.assert_refused(400, "invalid_grant");
    assert_eq!(idp.world.idp.calls(), calls + 1);
    idp.publish(&idp.key);
    idp.world.advance(300 * SECOND);
    idp.ask(&json!({ "jti": "3" }), &[]).await.ok();
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_is_our_trouble() {
    let idp = Idp::new().await;
    idp.world.idp.unplug(KEYS);
    let refused = idp.ask(&json!({}), &[]).await;
    refused.assert_refused(503, "temporarily_unavailable");
    assert!(refused.header("retry-after").is_some());
    idp.publish(&idp.key);
    idp.world.advance(120 * SECOND);
    idp.ask(&json!({}), &[]).await.ok();
}

#[tokio::test]
async fn nothing_is_exchanged_for_who_was_never_at_entra() {
    let idp = Idp::new().await;
    let tokens = idp.ask(&json!({}), &[]).await.ok();
    let bearer = format!("Bearer {}", text(&tokens["access_token"]));
    let headers = [
        ("authorization", &*bearer),
        (DOWNSTREAM, "https://graph.microsoft.com/User.Read"),
    ];
    let refused = idp.client().call(http::Method::POST, &headers).await;
    refused.assert_refused(403, "access_denied");
}

#[tokio::test]
async fn metadata_say_so_where_assertions_are_taken() {
    let path = "/.well-known/oauth-authorization-server";
    let metadata = Idp::new().await.world.get(path).await.ok();
    let types = metadata["grant_types_supported"].as_array().unwrap();
    assert!(types.contains(&json!(GRANT_TYPE)), "{metadata}");
    let profiles = &metadata["authorization_grant_profiles_supported"];
    assert_eq!(
        profiles,
        &json!(["urn:ietf:params:oauth:grant-profile:id-jag"])
    );
    let without = World::new().await.get(path).await.ok();
    assert!(
        without
            .get("authorization_grant_profiles_supported")
            .is_none()
    );
}

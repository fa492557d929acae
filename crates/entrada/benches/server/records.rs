//! Records as a login leaves them behind.

use std::sync::Arc;

use entra_emulator::builtin;
use entrada::grant::GrantId;
use entrada::keys::Keys;
use entrada::oauth::client::{Client, ClientId, UnverifiedClientMetadata};
use entrada::oauth::redirect_uri::AllowedRedirects;
use entrada::platform::{SystemRandom, Timestamp};
use entrada::secret::AuthorizationCode;
use entrada::store::Store;
use entrada::store::records::{CodeRecord, RecordStore};
use serde_json::json;

pub(crate) const CLIENT_ID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:39393/callback";

/// The verifier of RFC 7636 appendix B, and its challenge.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Far from every benchmark.
const NEVER: Timestamp = Timestamp::from_unix(u64::MAX);

/// Writes what logins write, without anybody signing in.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) store: RecordStore,
    resource: String,
    now: Timestamp,
}

impl Records {
    /// Writes to `store` that one client is registered.
    pub(crate) async fn new(
        store: Arc<dyn Store>,
        keys: Keys,
        resource: &str,
        now: Timestamp,
    ) -> Self {
        let store = RecordStore::new(store, keys, Arc::new(SystemRandom::default()));
        let asked: UnverifiedClientMetadata = serde_json::from_value(json!({
            "client_name": "Benchmark",
            "redirect_uris": [REDIRECT_URI],
            "grant_types": ["authorization_code", "refresh_token"],
        }))
        .expect("metadata");
        let metadata = asked.check(&AllowedRedirects::Registered);
        let id = ClientId::parse(CLIENT_ID).expect("a client id");
        // That a client is in use is noted once a day: here with the first code.
        let registered_at = Timestamp::from_unix(now.as_unix() - 1);
        let client = Client::register(id, metadata.expect("metadata"), registered_at);
        let written = store.put_client(&client, NEVER).await;
        written.expect("the store works");
        Self {
            store,
            resource: resource.to_owned(),
            now,
        }
    }

    /// Writes a code that the client may redeem; answers the code.
    pub(crate) async fn code(&self) -> String {
        let id = GrantId::generate(&SystemRandom::default());
        let code = AuthorizationCode::new(format!("{id}{id}"));
        let written = self.store.put_code(&code, &self.issued(id), NEVER).await;
        written.expect("the store works");
        code.expose().to_owned()
    }

    /// As large as real ones are, for Entra's tokens are.
    fn issued(&self, id: GrantId) -> CodeRecord {
        let record = json!({
            "id": id,
            "request": {
                "upstream_state": "u".repeat(43),
                "client_id": CLIENT_ID,
                "redirect": REDIRECT_URI,
                "state": "s".repeat(43),
                "challenge": CHALLENGE,
                "scope": "mcp.read",
                "resource": self.resource,
                "hints": { "login_hint": null, "domain_hint": null, "fresh_login": false },
                "refreshable": true,
                "browser": AuthorizationCode::new("b").hashed(),
                "asked_at": self.now,
            },
            "principal": {
                "tenant_id": builtin::TENANT_ID,
                "object_id": builtin::ALICE_OID,
                "name": "Alice Example",
                "preferred_username": builtin::ALICE,
                "roles": [],
                "groups": [],
            },
            "held": {
                "access_token": "a".repeat(2000),
                "expires_at": self.now.as_unix() + 3600,
                "refresh_token": "r".repeat(1500),
            },
            "scope": "mcp.read",
            "issued_at": self.now,
        });
        CodeRecord::from_json(&record.to_string()).expect("a code")
    }
}

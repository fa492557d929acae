//! The two things without which no new token can be checked, each alone.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entrada::grant::GrantId;
use entrada::store::records::{GrantRecord, RecordStore};
use http::Request;
use serde_json::Value;

use super::in_process::{NOW, Server};

/// Checks the signature of one token, with a key that is ready.
pub(crate) struct Signature {
    key: ParsedPublicKey,
    message: String,
    made: Vec<u8>,
}

impl Signature {
    pub(crate) fn of(token: &str, server: &Server) -> Self {
        let url = "https://mcp.example.com/.well-known/jwks.json";
        let request = Request::get(url).body(Body::empty()).expect("a request");
        let published: Value = serde_json::from_slice(&server.answer(request)).expect("a key set");
        let coordinate = |name: &str| {
            let text = published.pointer(&format!("/keys/0/{name}"));
            text.and_then(Value::as_str).map(decode)
        };
        let key = match (coordinate("x"), coordinate("y")) {
            (Some(x), Some(y)) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], &*x, &y].concat())
            }
            (Some(x), None) => ParsedPublicKey::new(&ED25519, x),
            (None, _) => unreachable!("every key of ours has an x"),
        };
        let (message, signature) = token.rsplit_once('.').expect("a token");
        Self {
            key: key.expect("a key"),
            message: message.to_owned(),
            made: decode(signature),
        }
    }

    pub(crate) fn check(&self) {
        let checked = self.key.verify_sig(self.message.as_bytes(), &self.made);
        checked.expect("the signature holds");
    }
}

/// Reads and opens the grant that one token was issued under.
pub(crate) struct StoredGrant {
    store: RecordStore,
    id: GrantId,
}

impl StoredGrant {
    pub(crate) fn of(token: &str, server: &Server) -> Self {
        let claims = token.split('.').nth(1).map(decode).expect("claims");
        let claims: Value = serde_json::from_slice(&claims).expect("claims");
        let sid = claims.get("sid").and_then(Value::as_str).expect("a sid");
        Self {
            store: server.records.store.clone(),
            id: GrantId::parse(sid).expect("a grant"),
        }
    }

    pub(crate) fn read(&self) -> GrantRecord {
        let grant = pin!(self.store.grant(&self.id, NOW));
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(Some(grant))) = grant.poll(&mut cx) else {
            unreachable!("no store waits to read, and the grant is there");
        };
        grant
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

//! The tokens of user flows, claim by claim: version 1.0, from an issuer that ends with a slash.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::b2c::flow::Flow;
use crate::directory::user::User;
use crate::emulator::Call;
use crate::jwt::{Claims, Draft};
use crate::keys::KeyRing;
use crate::place::Place;
use crate::state::State;

/// How long tokens live unless it is fixed.
const LIFETIME: u64 = 3600;

/// The signing end of a user flow.
#[derive(Debug)]
pub(crate) struct FlowMint<'a> {
    pub(crate) place: &'a Place,
    pub(crate) flow: &'a Flow,
    pub(crate) keys: &'a KeyRing,
    pub(crate) now: u64,
    pub(crate) lifetime: u64,
}

/// What goes into an access token besides the user.
#[derive(Debug)]
pub(crate) struct AccessTokenParts<'a> {
    pub(crate) user: &'a User,
    pub(crate) client_id: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) names: &'a [String],
    pub(crate) nonce: Option<&'a str>,
}

/// What goes into an id token besides the user.
#[derive(Debug)]
pub(crate) struct IdTokenParts<'a> {
    pub(crate) user: &'a User,
    pub(crate) client_id: &'a str,
    pub(crate) auth_time: u64,
    pub(crate) nonce: Option<&'a str>,
    /// The code it is issued beside (`OpenID` Connect Core §3.3.2.11).
    pub(crate) code: Option<&'a str>,
    /// The access token it is issued beside.
    pub(crate) access_token: Option<&'a str>,
}

impl<'a> FlowMint<'a> {
    pub(super) fn new(call: &'a Call, flow: &'a Flow, state: &'a State) -> Self {
        Self {
            place: &call.place,
            flow,
            keys: &state.b2c_keys,
            now: call.now,
            lifetime: Self::lifetime(state),
        }
    }

    /// How long the next tokens live.
    pub(crate) fn lifetime(state: &State) -> u64 {
        state.token_lifetime.unwrap_or(LIFETIME)
    }

    /// The access token of a user.
    pub(crate) fn access_token(&self, parts: &AccessTokenParts<'_>) -> Draft {
        let user = parts.user;
        let mut claims = Claims::default();
        claims.put("iss", self.flow.issuer(self.place));
        claims.put("exp", self.now.saturating_add(self.lifetime));
        claims.put("nbf", self.now);
        claims.put("aud", parts.resource);
        claims.put("oid", user.oid.as_str());
        claims.put("sub", user.oid.as_str());
        put_attributes(&mut claims, user);
        let (name, policy) = self.flow.claim();
        claims.put(name, policy);
        claims.put_some("nonce", parts.nonce);
        if !parts.names.is_empty() {
            claims.put("scp", parts.names.join(" "));
        }
        claims.put("azp", parts.client_id);
        claims.put("ver", "1.0");
        claims.put("iat", self.now);
        self.draft(claims)
    }

    /// The id token of a user.
    pub(crate) fn id_token(&self, parts: &IdTokenParts<'_>) -> Draft {
        let user = parts.user;
        let mut claims = Claims::default();
        claims.put("exp", self.now.saturating_add(self.lifetime));
        claims.put("nbf", self.now);
        claims.put("ver", "1.0");
        claims.put("iss", self.flow.issuer(self.place));
        claims.put("sub", user.oid.as_str());
        claims.put("aud", parts.client_id);
        claims.put_some("nonce", parts.nonce);
        claims.put("iat", self.now);
        claims.put("auth_time", parts.auth_time);
        claims.put("oid", user.oid.as_str());
        put_attributes(&mut claims, user);
        let (name, policy) = self.flow.claim();
        claims.put(name, policy);
        claims.put_some("c_hash", parts.code.map(half_hash));
        claims.put_some("at_hash", parts.access_token.map(half_hash));
        self.draft(claims)
    }

    fn draft(&self, claims: Claims) -> Draft {
        let mut header = Claims::default();
        header.put("typ", "JWT");
        header.put("alg", "RS256");
        header.put("kid", self.keys.active().kid());
        Draft {
            header,
            claims,
            for_graph: false,
        }
    }

    pub(super) fn sign(&self, draft: &Draft) -> String {
        draft.sign(self.keys.active())
    }
}

// What the user flow is configured to say about the user.
fn put_attributes(claims: &mut Claims, user: &User) {
    claims.put("given_name", user.given_name.as_str());
    claims.put("family_name", user.family_name.as_str());
    claims.put("name", user.name.as_str());
    claims.put_list("emails", user.email.iter().cloned().collect());
}

/// `client_info`: the account's ids, the user's with the user flow's name behind.
pub(super) fn client_info(oid: &str, flow: &Flow) -> String {
    let uid = format!("{oid}-{}", flow.name());
    URL_SAFE_NO_PAD.encode(json!({"uid": uid, "utid": flow.tenant_id}).to_string())
}

/// `profile_info`: a little of the id token, for old libraries.
pub(super) fn profile_info(user: &User, flow: &Flow) -> String {
    let info = json!({
        "ver": "1.0",
        "tid": flow.tenant_id,
        "sub": null,
        "name": user.name,
        "preferred_username": null,
        "idp": null,
    });
    URL_SAFE_NO_PAD.encode(info.to_string())
}

fn half_hash(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

//! Id tokens, claim by claim. Their version is that of the endpoint.

use crate::access_token::{self, Mint, SignIn, amr, pairwise};
use crate::jwt::{Claims, Draft};
use crate::random;
use crate::scope::Party;
use crate::version::Version;

/// How long an id token is valid.
pub(crate) const LIFETIME: u64 = 3600;

/// What goes into an id token besides the user.
#[derive(Debug)]
pub(crate) struct IdTokenRequest<'a> {
    pub(crate) party: Party<'a>,
    /// Whether names may be in it.
    pub(crate) profile: bool,
    /// Whether the mail address may be in it.
    pub(crate) email: bool,
    pub(crate) sign_in: &'a SignIn,
    pub(crate) nonce: Option<&'a str>,
    pub(crate) version: Version,
    /// Whether it comes from the authorization endpoint, in a URL.
    pub(crate) front_channel: bool,
    /// The code it is issued beside (`OpenID` Connect Core §3.3.2.11).
    pub(crate) code: Option<&'a str>,
}

impl Mint<'_> {
    /// The id token of a user.
    pub(crate) fn id_token(&self, request: &IdTokenRequest<'_>) -> Draft {
        let mint = Self {
            lifetime: LIFETIME,
            ..*self
        };
        let mut claims = match request.version {
            Version::V1 => mint.id_token_v1(request),
            Version::V2 => mint.id_token_v2(request),
        };
        let party = &request.party;
        if request.front_channel {
            Self::put_few_memberships(&mut claims, party, party.client);
        } else {
            self.put_memberships(&mut claims, party, party.client);
        }
        let mut header = Claims::default();
        header.put("typ", "JWT");
        self.put_key(&mut header, request.version);
        Draft {
            header,
            claims,
            for_graph: false,
        }
    }

    fn id_token_v2(&self, request: &IdTokenRequest<'_>) -> Claims {
        let Party {
            tenant,
            client,
            user,
            directory,
        } = request.party;
        let mut claims = Claims::default();
        claims.put("aud", client.client_id.as_str());
        claims.put("iss", self.place.issuer_of(tenant));
        self.put_times(&mut claims);
        claims.put_some("idp", self.home_idp(directory, user));
        claims.put("aio", random::opaque(45));
        claims.put_some("c_hash", request.code.map(half_hash));
        if request.email {
            claims.put_some("email", user.email.clone());
        }
        if request.profile {
            claims.put("name", user.name.as_str());
        }
        claims.put_some("nonce", request.nonce);
        if request.profile {
            claims.put("oid", user.oid.as_str());
            claims.put("preferred_username", user.sign_in_name());
        }
        claims.put("rh", access_token::rh());
        claims.put_list("roles", user.roles_at(&client.client_id));
        claims.put("sid", request.sign_in.session_id.as_str());
        claims.put("sub", pairwise(&user.oid, &client.client_id));
        claims.put("tid", tenant.id.as_str());
        claims.put("uti", random::opaque(16));
        claims.put("ver", "2.0");
        claims
    }

    fn id_token_v1(&self, request: &IdTokenRequest<'_>) -> Claims {
        let Party {
            tenant,
            client,
            user,
            directory,
        } = request.party;
        let mut claims = Claims::default();
        claims.put("aud", client.client_id.as_str());
        claims.put("iss", self.place.v1_issuer(&tenant.id));
        self.put_times(&mut claims);
        claims.put("amr", amr(request.sign_in));
        claims.put_some("c_hash", request.code.map(half_hash));
        claims.put("family_name", user.family_name.as_str());
        claims.put("given_name", user.given_name.as_str());
        claims.put_some("idp", self.home_idp(directory, user));
        claims.put("ipaddr", "203.0.113.7");
        claims.put("name", user.name.as_str());
        claims.put_some("nonce", request.nonce);
        claims.put("oid", user.oid.as_str());
        claims.put("rh", access_token::rh());
        claims.put_list("roles", user.roles_at(&client.client_id));
        claims.put("sub", pairwise(&user.oid, &client.client_id));
        claims.put("tid", tenant.id.as_str());
        claims.put("unique_name", user.sign_in_name());
        if !user.is_guest() {
            claims.put("upn", user.username.as_str());
        }
        claims.put("uti", random::opaque(16));
        claims.put("ver", "1.0");
        claims
    }
}

// The left half of the SHA-256 (OpenID Connect Core §3.3.2.11).
fn half_hash(code: &str) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let hash = digest(&SHA256, code.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

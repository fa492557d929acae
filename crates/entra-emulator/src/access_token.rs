//! Access tokens, claim by claim.
//!
//! Which version a token has is decided by the resource's `requestedAccessTokenVersion`, not by the
//! endpoint that was asked. Tokens for Microsoft Graph are v1 with a header nobody else can check.

mod agent;
mod app_only;
mod memberships;
mod optional;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::access_token::agent::Subject;
use crate::directory::Directory;
use crate::directory::app::App;
use crate::directory::tenant::Tenant;
use crate::directory::user::User;
use crate::jwt::{Claims, Draft};
use crate::keys::KeyRing;
use crate::place::Place;
use crate::random;
use crate::scope::{GrantedScopes, Party, ResourceScopes};
use crate::version::Version;

/// How far in the past Entra dates what it issues.
pub(crate) const BACKDATE: u64 = 300;

/// How somebody signed in.
#[derive(Debug, Clone)]
pub(crate) struct SignIn {
    pub(crate) session_id: String,
    pub(crate) auth_time: u64,
    /// Whether a second factor was shown.
    pub(crate) mfa: bool,
    /// The authentication contexts that were asked for and met.
    pub(crate) acrs: Vec<String>,
}

/// How a client proved who it is: the claims `azpacr` and `appidacr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientProof {
    None,
    Secret,
    Certificate,
}

impl ClientProof {
    fn acr(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Secret => "1",
            Self::Certificate => "2",
        }
    }
}

/// The signing end: where, when, with what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mint<'a> {
    pub(crate) place: &'a Place,
    pub(crate) keys: &'a KeyRing,
    pub(crate) now: u64,
    pub(crate) lifetime: u64,
}

/// A user's permission, to be written into a token.
#[derive(Debug)]
pub(crate) struct Delegation<'a> {
    pub(crate) party: Party<'a>,
    pub(crate) resource: &'a App,
    pub(crate) asked: &'a ResourceScopes,
    pub(crate) granted: &'a GrantedScopes,
    pub(crate) sign_in: &'a SignIn,
    pub(crate) proof: ClientProof,
    /// Whether names may be in it: `profile` was consented to.
    pub(crate) profile: bool,
    /// The client capabilities sent with the request, as `xms_cc`.
    pub(crate) capabilities: &'a [String],
    /// How often the user's grants had been revoked when this one was made.
    pub(crate) revocations: u64,
    /// The `sub` of the assertion an on-behalf-of token came from.
    pub(crate) assertion_sub: Option<&'a str>,
}

/// An application's own permission, to be written into a token.
#[derive(Debug)]
pub(crate) struct AppOnly<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) client: &'a App,
    pub(crate) resource: &'a App,
    pub(crate) audience: &'a str,
    pub(crate) proof: ClientProof,
}

fn version(resource: &App) -> Version {
    match resource.requested_access_token_version {
        Some(2) if !resource.is_graph() => Version::V2,
        _ => Version::V1,
    }
}

impl Mint<'_> {
    /// The token of a user.
    pub(crate) fn delegated(&self, delegation: &Delegation<'_>) -> Draft {
        let version = version(delegation.resource);
        let mut claims = match version {
            Version::V1 => self.delegated_v1(delegation),
            Version::V2 => self.delegated_v2(delegation),
        };
        self.put_memberships(&mut claims, &delegation.party, delegation.resource);
        optional::put_optional(&mut claims, delegation);
        if delegation.resource.is_graph() {
            optional::put_graph_extras(&mut claims, delegation);
        }
        let Party { client, user, .. } = delegation.party;
        agent::put_agent(&mut claims, client, Subject::User(user));
        self.draft(version, claims, delegation.resource)
    }

    fn delegated_v2(&self, delegation: &Delegation<'_>) -> Claims {
        let Party {
            tenant,
            client,
            user,
            directory,
        } = delegation.party;
        let mut claims = Claims::default();
        claims.put("aud", delegation.resource.client_id.as_str());
        claims.put("iss", self.place.issuer_of(tenant));
        self.put_times(&mut claims);
        claims.put_some("acrs", list(&delegation.sign_in.acrs));
        claims.put("aio", aio(delegation.sign_in.mfa, delegation.revocations));
        claims.put("azp", client.client_id.as_str());
        claims.put("azpacr", agent::proof(client, delegation.proof).acr());
        claims.put_some("idp", self.home_idp(directory, user));
        if delegation.profile {
            claims.put("name", user.name.as_str());
            claims.put("oid", user.oid.as_str());
            claims.put("preferred_username", user.sign_in_name());
        }
        claims.put("rh", rh());
        claims.put_list("roles", user.roles_at(&delegation.resource.client_id));
        claims.put("scp", delegation.granted.names.join(" "));
        claims.put("sid", delegation.sign_in.session_id.as_str());
        claims.put("sub", pairwise(&user.oid, &delegation.resource.client_id));
        claims.put("tid", tenant.id.as_str());
        claims.put("uti", random::opaque(16));
        claims.put("ver", "2.0");
        claims.put("xms_ftd", random::opaque(40));
        claims
    }

    fn delegated_v1(&self, delegation: &Delegation<'_>) -> Claims {
        let Party {
            tenant,
            client,
            user,
            directory,
        } = delegation.party;
        let mut claims = Claims::default();
        let named = delegation.asked.named();
        claims.put("aud", optional::audience(delegation.resource, named));
        claims.put("iss", self.place.v1_issuer(&tenant.id));
        self.put_times(&mut claims);
        claims.put("acr", "1");
        claims.put_some("acrs", list(&delegation.sign_in.acrs));
        claims.put("aio", aio(delegation.sign_in.mfa, delegation.revocations));
        claims.put("amr", amr(delegation.sign_in));
        claims.put("appid", client.client_id.as_str());
        claims.put("appidacr", agent::proof(client, delegation.proof).acr());
        claims.put("family_name", user.family_name.as_str());
        claims.put("given_name", user.given_name.as_str());
        claims.put_some("idp", self.home_idp(directory, user));
        claims.put("ipaddr", "203.0.113.7");
        claims.put("name", user.name.as_str());
        claims.put("oid", user.oid.as_str());
        claims.put("rh", rh());
        claims.put_list("roles", user.roles_at(&delegation.resource.client_id));
        claims.put("scp", delegation.granted.names.join(" "));
        claims.put("sid", delegation.sign_in.session_id.as_str());
        claims.put("sub", pairwise(&user.oid, &delegation.resource.client_id));
        claims.put("tid", tenant.id.as_str());
        claims.put("unique_name", user.sign_in_name());
        if !user.is_guest() {
            claims.put("upn", user.username.as_str());
        }
        claims.put("uti", random::opaque(16));
        claims.put("ver", "1.0");
        claims
    }

    pub(crate) fn put_times(&self, claims: &mut Claims) {
        let dated = self.now.saturating_sub(BACKDATE);
        claims.put("iat", dated);
        claims.put("nbf", dated);
        claims.put("exp", self.now.saturating_add(self.lifetime));
    }

    fn draft(&self, version: Version, claims: Claims, resource: &App) -> Draft {
        let for_graph = resource.is_graph();
        let mut header = Claims::default();
        header.put("typ", "JWT");
        if for_graph {
            header.put("nonce", random::opaque(32));
        }
        self.put_key(&mut header, version);
        Draft {
            header,
            claims,
            for_graph,
        }
    }

    /// The fields of the header that say how a token is signed.
    pub(crate) fn put_key(&self, header: &mut Claims, version: Version) {
        let kid = self.keys.active().kid();
        header.put("alg", "RS256");
        if version == Version::V1 {
            header.put("x5t", kid);
        }
        header.put("kid", kid);
    }

    /// The identity provider of an account from elsewhere.
    pub(crate) fn home_idp(&self, directory: &Directory, user: &User) -> Option<String> {
        let home = user.home_username.as_deref()?;
        let account = directory.user(home)?;
        let tenant = directory.tenant(&account.tenant)?;
        Some(if tenant.id == crate::builtin::CONSUMERS_TENANT_ID {
            "live.com".to_owned()
        } else {
            self.place.v1_issuer(&tenant.id)
        })
    }

    /// Signs as Entra does.
    pub(crate) fn sign(&self, draft: &Draft) -> String {
        draft.sign(self.keys.active())
    }
}

/// The same user under a different name at every application.
pub(crate) fn pairwise(oid: &str, client_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("{oid}|{client_id}").as_bytes()))
}

/// Whether the token with this `aio` came from a sign-in with a second factor.
///
/// Entra keeps its own notes in this claim; what they say here is nobody's business either.
pub(crate) fn aio_tells_mfa(aio: &str) -> bool {
    aio.starts_with("AX")
}

/// How often the user's grants had been revoked when the token with this `aio` was issued.
pub(crate) fn aio_tells_revocations(aio: &str) -> Option<u64> {
    u64::from_str_radix(aio.get(2..10)?, 16).ok()
}

fn aio(mfa: bool, revocations: u64) -> String {
    let prefix = if mfa { "AX" } else { "AW" };
    format!("{prefix}{revocations:08x}{}", random::opaque(39))
}

pub(crate) fn rh() -> String {
    format!("1.A{}.", random::opaque(40))
}

pub(crate) fn amr(sign_in: &SignIn) -> Vec<String> {
    let second = sign_in.mfa.then_some("mfa");
    std::iter::once("pwd")
        .chain(second)
        .map(str::to_owned)
        .collect()
}

fn list(values: &[String]) -> Option<Value> {
    (!values.is_empty()).then(|| json!(values))
}

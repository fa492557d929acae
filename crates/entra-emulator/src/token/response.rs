//! The successful answer (RFC 6749 §5.1), and issuing what stands in it.

use serde::{Serialize, Serializer};

use crate::access_token::{BACKDATE, ClientProof, Delegation, Mint};
use crate::authorize::claims::{ClaimsRequest, can_be_challenged};
use crate::builtin::GRAPH_APP_ID;
use crate::directory::app::{App, Platform};
use crate::error::Aadsts;
use crate::id_token::IdTokenRequest;
use crate::scope::{Party, ResourceScopes, ScopeRequest};
use crate::state::{Holder, RefreshToken, State};
use crate::token::{Exchange, client_info};
use crate::version::Version;

/// How long a refresh token of a single-page application lives, renewals included.
const SPA_LIFETIME: u64 = 24 * 3600;

/// From which lifetime on an answer says when to ask again.
const LONG: u64 = 2 * 3600;

/// The members of the answer, in Entra's order.
#[derive(Debug, Serialize)]
pub(super) struct TokenResponse {
    pub(super) token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    pub(super) expires_in: Seconds,
    pub(super) ext_expires_in: Seconds,
    /// When a client does well to ask again; long-lived tokens have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_in: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_on: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<Seconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<String>,
    pub(super) access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_info: Option<String>,
}

/// A number, which the v1 endpoint writes as a string.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seconds {
    Number(u64),
    Text(u64),
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(seconds) => serializer.serialize_u64(*seconds),
            Self::Text(seconds) => serializer.serialize_str(&seconds.to_string()),
        }
    }
}

/// A user's tokens, to be issued.
pub(super) struct Issue<'a> {
    pub(super) holder: &'a Holder,
    pub(super) client: &'a App,
    /// What the access token is for.
    pub(super) resource: &'a ResourceScopes,
    /// What else was asked for: `openid` and its like.
    pub(super) asked: &'a ScopeRequest,
    pub(super) proof: ClientProof,
    pub(super) nonce: Option<&'a str>,
    pub(super) capabilities: &'a [String],
    pub(super) assertion_sub: Option<&'a str>,
    pub(super) refresh: Refresh<'a>,
}

/// What becomes of the refresh token.
pub(super) enum Refresh<'a> {
    /// There is one if `offline_access` was asked for.
    IfAsked,
    /// There is always a new one, which ends when the old one does.
    Renew(&'a RefreshToken),
}

impl Exchange<'_> {
    /// Issues a user's tokens.
    pub(super) fn issue(
        &self,
        issue: &Issue<'_>,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        let for_graph = issue.resource.client_id == GRAPH_APP_ID;
        let lifetime = if for_graph && can_be_challenged(issue.capabilities) {
            state.next_evaluated_lifetime()
        } else {
            state.next_lifetime()
        };
        let mut response = self.issue_jwts(issue, lifetime, state)?;
        let holder = Holder {
            issued_at: self.now(),
            ..issue.holder.clone()
        };
        let next = match issue.refresh {
            Refresh::IfAsked if !issue.asked.oidc.contains("offline_access") => None,
            Refresh::IfAsked => Some(RefreshToken {
                ends_at: (holder.platform == Platform::Spa).then(|| self.now() + SPA_LIFETIME),
                asked: issue.asked.clone(),
                holder,
            }),
            Refresh::Renew(old) => Some(RefreshToken {
                holder,
                asked: old.asked.clone(),
                ends_at: old.ends_at,
            }),
        };
        response.refresh_token = next.map(|next| state.put_refresh_token(next));
        Ok(response)
    }

    fn issue_jwts(
        &self,
        issue: &Issue<'_>,
        lifetime: u64,
        state: &State,
    ) -> Result<TokenResponse, Aadsts> {
        let directory = &state.directory;
        let holder = issue.holder;
        let user = directory
            .user_by_oid(&holder.oid)
            .ok_or_else(|| Aadsts::UserNotFound(holder.oid.clone()))?;
        let tenant = directory
            .tenant_by_id(&holder.tenant_id)
            .ok_or_else(|| Aadsts::TenantNotFound(holder.tenant_id.clone()))?;
        let resource = directory
            .app(&issue.resource.client_id)
            .ok_or(Aadsts::MalformedRequest)?;
        let client = issue.client;
        let party = Party {
            directory,
            tenant,
            client,
            user,
        };
        let granted = party.grant(issue.resource, resource, &issue.asked.oidc)?;
        let mint = Mint {
            place: &self.call.place,
            keys: state.keys_of(tenant),
            now: self.now(),
            lifetime,
        };
        let profile = party.has_oidc(issue.asked, "profile");
        let access_token = mint.sign(&mint.delegated(&Delegation {
            party,
            resource,
            asked: issue.resource,
            granted: &granted,
            sign_in: &holder.sign_in,
            proof: issue.proof,
            profile,
            capabilities: issue.capabilities,
            revocations: holder.revocations,
            assertion_sub: issue.assertion_sub,
        }));
        let id_token = issue.asked.oidc.contains("openid").then(|| {
            mint.sign(&mint.id_token(&IdTokenRequest {
                party,
                profile,
                email: party.has_oidc(issue.asked, "email"),
                sign_in: &holder.sign_in,
                nonce: issue.nonce,
                version: self.version,
                front_channel: false,
                code: None,
            }))
        });
        let wants_info = self.parameters.get("client_info") == Some("1");
        let client_info = wants_info.then(|| client_info(&user.oid, &tenant.id));
        let mut response = self.bare(access_token, lifetime, issue.resource.named(), state);
        response.scope = Some(granted.response);
        response.id_token = id_token;
        response.client_info = client_info;
        Ok(response)
    }

    /// An answer with an access token and nothing else.
    pub(super) fn bare(
        &self,
        access_token: String,
        lifetime: u64,
        named: &str,
        state: &State,
    ) -> TokenResponse {
        let long = (lifetime >= LONG).then_some(lifetime / 2);
        let v1 = self.version == Version::V1;
        let seconds = |value| {
            if v1 {
                Seconds::Text(value)
            } else {
                Seconds::Number(value)
            }
        };
        TokenResponse {
            token_type: "Bearer",
            scope: None,
            expires_in: seconds(lifetime),
            ext_expires_in: seconds(lifetime),
            refresh_in: state.refresh_in.or(long).map(seconds),
            expires_on: v1.then(|| seconds(self.now().saturating_add(lifetime))),
            not_before: v1.then(|| seconds(self.now().saturating_sub(BACKDATE))),
            resource: v1.then(|| named.to_owned()),
            access_token,
            refresh_token: None,
            id_token: None,
            client_info: None,
        }
    }

    /// The capabilities of the `claims` parameter.
    pub(super) fn capabilities(&self) -> Result<Vec<String>, Aadsts> {
        ClaimsRequest::parse(self.parameters.get("claims")).map(|claims| claims.capabilities)
    }
}

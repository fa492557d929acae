//! What Entra's tokens say. Pure.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::issuer::Said;
use crate::access_token::{Agent, Principal, PrincipalKind, VerifyError};
use crate::jwt::text::Text;
use crate::jwt::verify::{Audience, JwtError, Times};
use crate::platform::Timestamp;

/// Claims of an access or ID token, v1.0 or v2.0, that are acted upon (Microsoft, *access token
/// claims reference*, *ID token claims reference*, *token claims reference for agents*).
#[derive(Debug, Deserialize)]
pub(super) struct EntraClaims<'a> {
    #[serde(borrow)]
    pub(super) iss: Text<'a>,
    pub(super) aud: Audience,
    pub(super) exp: Timestamp,
    pub(super) nbf: Option<Timestamp>,
    pub(super) iat: Option<Timestamp>,
    #[serde(borrow)]
    pub(super) sub: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tid: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) oid: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) ver: Option<Text<'a>>,
    /// The client, in v2.0 tokens.
    #[serde(borrow)]
    pub(super) azp: Option<Text<'a>>,
    /// The client, in v1.0 tokens.
    #[serde(borrow)]
    pub(super) appid: Option<Text<'a>>,
    /// Scopes in short spelling: access tokens of users have it, and no other token.
    #[serde(borrow)]
    pub(super) scp: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) nonce: Option<Text<'a>>,
    at_hash: Option<IgnoredAny>,
    c_hash: Option<IgnoredAny>,
    #[serde(borrow)]
    idtyp: Option<Text<'a>>,
    cnf: Option<IgnoredAny>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    preferred_username: Option<Text<'a>>,
    #[serde(borrow)]
    upn: Option<Text<'a>>,
    #[serde(borrow)]
    unique_name: Option<Text<'a>>,
    #[serde(borrow)]
    idp: Option<Text<'a>>,
    acct: Option<Value>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    hasgroups: Option<Value>,
    #[serde(rename = "_claim_names")]
    claim_names: Option<ClaimNames>,
    #[serde(borrow)]
    tfp: Option<Text<'a>>,
    acr: Option<Value>,
    #[serde(borrow)]
    xms_par_app_azp: Option<Text<'a>>,
    #[serde(borrow)]
    xms_act_fct: Option<Text<'a>>,
    #[serde(borrow)]
    xms_sub_fct: Option<Text<'a>>,
}

/// Claims that are elsewhere, for there was too much of them.
#[derive(Debug, Deserialize)]
struct ClaimNames {
    groups: Option<String>,
}

/// The facet of an actor that is an agent identity.
const AGENT_IDENTITY: &str = "11";

/// The facet of a subject that is a user account of an agent's own.
const AGENT_USER: &str = "13";

impl<'a> EntraClaims<'a> {
    /// Reads a payload that a signature vouches for.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, JwtError> {
        let payload = str::from_utf8(payload).map_err(|_| JwtError::Claims)?;
        serde_json::from_str(payload).map_err(|_| JwtError::Claims)
    }

    /// Where the token says it comes from.
    pub(super) fn said(&self) -> Said<'_> {
        let acr = self.acr.as_ref().and_then(Value::as_str);
        Said {
            issuer: &self.iss,
            tenant_id: self.tid.as_deref(),
            version: self.ver.as_deref(),
            policy: self.tfp.as_deref().or(acr),
        }
    }

    pub(super) fn times(&self) -> Times {
        Times {
            exp: self.exp,
            nbf: self.nbf,
            iat: self.iat,
        }
    }

    /// The client that the token was issued to.
    pub(super) fn client(&self) -> Option<&str> {
        self.azp.as_deref().or(self.appid.as_deref())
    }

    /// Whether the token is bound to a key (RFC 7800 §3.1).
    pub(super) fn is_sender_constrained(&self) -> bool {
        self.cnf.is_some()
    }

    /// Whom an access token speaks for: it is a user's if there are scopes, for Entra writes them
    /// into every user's and into no other (Microsoft: decide by `scp`). An application's has a
    /// client, which no ID token has, and none of what only ID tokens have.
    pub(super) fn kind(&self) -> Result<PrincipalKind, VerifyError> {
        let is_id_token = self.nonce.is_some()
            || self.at_hash.is_some()
            || self.c_hash.is_some()
            || self.client().is_none();
        match (&self.scp, self.idtyp.as_deref()) {
            (Some(_), Some("app")) | (None, Some("user")) => Err(JwtError::Claims.into()),
            (Some(_), _) => Ok(PrincipalKind::User),
            (None, _) if is_id_token => Err(VerifyError::IdToken),
            (None, _) => Ok(PrincipalKind::Application),
        }
    }

    /// Whom the token speaks for, in the tenant that its issuer is held against.
    pub(super) fn principal(&mut self, kind: PrincipalKind, tenant_id: String) -> Principal {
        // An application's own provider, and a member's, is the tenant itself.
        let elsewhere = |idp: &Text<'_>| *idp != self.iss && !idp.contains(&tenant_id);
        let identity_provider = self.idp.take().filter(elsewhere).map(Text::into_owned);
        let is_guest = self
            .acct
            .as_ref()
            .is_some_and(|acct| number(acct) == Some(1));
        let names = [
            &mut self.preferred_username,
            &mut self.upn,
            &mut self.unique_name,
        ];
        let preferred_username = names.into_iter().find_map(Option::take);
        let owned = |text: Option<Text<'_>>| text.map(Text::into_owned);
        Principal {
            kind,
            tenant_id,
            object_id: owned(self.oid.take()),
            name: owned(self.name.take()),
            preferred_username: owned(preferred_username),
            is_guest: is_guest || identity_provider.is_some(),
            identity_provider,
            roles: std::mem::take(&mut self.roles),
            groups: std::mem::take(&mut self.groups),
            groups_overage: self.has_more_groups(),
            agent: self.agent(),
        }
    }

    fn has_more_groups(&self) -> bool {
        let elsewhere = self
            .claim_names
            .as_ref()
            .and_then(|names| names.groups.as_ref());
        let hinted = match &self.hasgroups {
            Some(Value::Bool(hinted)) => *hinted,
            Some(Value::String(hinted)) => hinted == "true",
            Some(_) | None => false,
        };
        elsewhere.is_some() || hinted
    }

    fn agent(&mut self) -> Option<Agent> {
        let has = |facets: &Option<Text<'_>>, wanted: &str| {
            let facets = facets.as_deref().unwrap_or_default();
            facets.split(' ').any(|facet| facet == wanted)
        };
        let is_user = has(&self.xms_sub_fct, AGENT_USER);
        let is_agent = is_user || has(&self.xms_act_fct, AGENT_IDENTITY);
        let blueprint = self.xms_par_app_azp.take().map(Text::into_owned);
        (is_agent || blueprint.is_some()).then_some(Agent { blueprint, is_user })
    }
}

/// A number, or the text of one.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "10000000-0000-4000-8000-000000000001";

    fn claims(more: &Value) -> EntraClaims<'static> {
        let mut claims = serde_json::json!({
            "iss": format!("https://login/{TENANT}/v2.0"), "aud": "app", "exp": 2, "tid": TENANT,
        });
        let claims = claims.as_object_mut().unwrap();
        claims.extend(more.as_object().unwrap().clone());
        let payload = serde_json::to_vec(claims).unwrap();
        EntraClaims::read(payload.leak()).unwrap()
    }

    #[test]
    fn scopes_make_a_token_a_users_and_a_client_without_scopes_an_applications() {
        let user = Ok(PrincipalKind::User);
        let application = Ok(PrincipalKind::Application);
        let id_token =
            Err("this is an ID token: ask for a scope of this API, and send the access token");
        let unclear = Err("the token's claims are not understood");
        for (more, expected) in [
            (serde_json::json!({"scp": "a", "azp": "c"}), user),
            (
                serde_json::json!({"scp": "a", "azp": "c", "idtyp": "user"}),
                user,
            ),
            // Entra puts a nonce into no access token, but it would do no harm.
            (
                serde_json::json!({"scp": "a", "azp": "c", "nonce": "n"}),
                user,
            ),
            (serde_json::json!({"azp": "c"}), application),
            (
                serde_json::json!({"appid": "c", "idtyp": "app"}),
                application,
            ),
            (serde_json::json!({}), id_token),
            (serde_json::json!({"roles": ["R"]}), id_token),
            (serde_json::json!({"azp": "c", "nonce": "n"}), id_token),
            (serde_json::json!({"azp": "c", "at_hash": "h"}), id_token),
            (serde_json::json!({"azp": "c", "c_hash": "h"}), id_token),
            (
                serde_json::json!({"azp": "c", "scp": "a", "idtyp": "app"}),
                unclear,
            ),
            (serde_json::json!({"azp": "c", "idtyp": "user"}), unclear),
        ] {
            let found = claims(&more).kind();
            let found = found.map_err(|error| error.to_string());
            assert_eq!(
                found.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|e| *e),
                "{more}"
            );
        }
    }

    #[test]
    fn guests_agents_and_too_many_groups_are_recognized() {
        let principal =
            |more: &Value| claims(more).principal(PrincipalKind::User, TENANT.to_owned());
        let home = format!("https://sts.windows.net/{TENANT}/");
        for (more, guest) in [
            (serde_json::json!({}), false),
            (serde_json::json!({"idp": home}), false),
            (serde_json::json!({"acct": 0}), false),
            (serde_json::json!({"acct": 1}), true),
            (serde_json::json!({"acct": "1"}), true),
            (serde_json::json!({"idp": "live.com"}), true),
            (
                serde_json::json!({"idp": "https://sts.windows.net/other/"}),
                true,
            ),
        ] {
            assert_eq!(principal(&more).is_guest, guest, "{more}");
        }
        for (more, agent) in [
            (serde_json::json!({"xms_act_fct": "1 9"}), None),
            (
                serde_json::json!({"xms_act_fct": "3 9 11"}),
                Some((None, false)),
            ),
            (serde_json::json!({"xms_act_fct": "111"}), None),
            (
                serde_json::json!({"xms_sub_fct": "13 1"}),
                Some((None, true)),
            ),
            (
                serde_json::json!({"xms_par_app_azp": "b", "xms_sub_fct": "9 3 11"}),
                Some((Some("b"), false)),
            ),
        ] {
            let found = principal(&more).agent;
            let found = found
                .as_ref()
                .map(|agent| (agent.blueprint.as_deref(), agent.is_user));
            assert_eq!(found, agent, "{more}");
        }
        for (more, overage) in [
            (serde_json::json!({"groups": ["g"]}), false),
            (
                serde_json::json!({"_claim_names": {"groups": "src1"}}),
                true,
            ),
            (
                serde_json::json!({"_claim_names": {"other": "src1"}}),
                false,
            ),
            (serde_json::json!({"hasgroups": true}), true),
            (serde_json::json!({"hasgroups": "true"}), true),
            (serde_json::json!({"hasgroups": false}), false),
        ] {
            assert_eq!(principal(&more).groups_overage, overage, "{more}");
        }
    }

    #[test]
    fn users_are_shown_by_the_name_their_version_has() {
        for (more, shown) in [
            (
                serde_json::json!({"preferred_username": "a", "upn": "b"}),
                Some("a"),
            ),
            (
                serde_json::json!({"upn": "b", "unique_name": "c"}),
                Some("b"),
            ),
            (serde_json::json!({"unique_name": "c"}), Some("c")),
            (serde_json::json!({}), None),
        ] {
            let principal = claims(&more).principal(PrincipalKind::User, TENANT.to_owned());
            assert_eq!(principal.preferred_username.as_deref(), shown, "{more}");
        }
    }
}

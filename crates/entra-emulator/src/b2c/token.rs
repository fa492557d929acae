//! The token endpoint of a user flow (RFC 6749 §3.2): codes and refresh tokens, nothing else.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::HeaderMap;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use serde::Serialize;
use url::form_urlencoded;

use crate::authorize::request::Parameters;
use crate::b2c::address::FlowPath;
use crate::b2c::error::Aadb2c;
use crate::b2c::flow::Flow;
use crate::b2c::issue::{AccessTokenParts, FlowMint, IdTokenParts, client_info, profile_info};
use crate::b2c::request::find_client;
use crate::b2c::scope::Asked;
use crate::b2c::state::{CODE_LIFETIME, Grant, REFRESH_LIFETIME, is_artifact};
use crate::directory::app::{App, Platform};
use crate::directory::user::User;
use crate::emulator::{Call, Shared};
use crate::faults::{Endpoint, GrantType};
use crate::state::State as EmulatorState;
use crate::token::basic_credentials;

pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    FlowPath(flow): FlowPath,
    headers: HeaderMap,
    body: String,
) -> Response {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let parameters = Parameters::first_of_each(pairs.clone());
    let mut endpoints = vec![Endpoint::Token];
    endpoints.extend(match parameters.get("grant_type") {
        Some("authorization_code") => Some(Endpoint::TokenGrant(GrantType::AuthorizationCode)),
        Some("refresh_token") => Some(Endpoint::TokenGrant(GrantType::RefreshToken)),
        _ => None,
    });
    if let Some(answer) = shared.admit(&endpoints, &call).await {
        return answer;
    }
    let mut state = shared.state();
    state.keep_token_form(pairs);
    let exchange = Exchange {
        call: &call,
        flow: &flow,
        parameters: &parameters,
        credentials: basic_credentials(&headers),
    };
    match exchange.answer(&mut state) {
        Ok(answer) => (HEADERS, Json(answer)).into_response(),
        Err(error) => error.into_answer(&call),
    }
}

const HEADERS: [(http::HeaderName, &str); 2] = [
    (CACHE_CONTROL, "private"),
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
];

/// The members of the answer, in the service's order.
#[derive(Debug, Default, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    token_type: &'static str,
    not_before: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<String>,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_expires_in: Option<u64>,
}

/// One token request.
struct Exchange<'a> {
    call: &'a Call,
    flow: &'a Flow,
    parameters: &'a Parameters,
    /// What stands in the `Authorization` header.
    credentials: Option<(String, String)>,
}

impl Exchange<'_> {
    fn answer(&self, state: &mut EmulatorState) -> Result<Answer, Aadb2c> {
        let grant_type = self.require("grant_type")?;
        let basic = self.credentials.as_ref().map(|(id, _)| id.as_str());
        let client_id = self.parameters.get("client_id").or(basic);
        let client_id = client_id.ok_or(Aadb2c::NoClientId)?;
        let client = find_client(client_id, self.flow, &state.directory)?.clone();
        let grant = match grant_type {
            "authorization_code" => self.grant_of_code(&client, state)?,
            "refresh_token" => self.grant_of_refresh_token(&client, state)?,
            other => return Err(Aadb2c::GrantType(other.to_owned())),
        };
        self.issue(&client, grant, state)
    }

    fn require(&self, name: &'static str) -> Result<&str, Aadb2c> {
        let value = self.parameters.get(name);
        value.ok_or(Aadb2c::MissingParameter(name))
    }

    fn grant_of_code(&self, client: &App, state: &mut EmulatorState) -> Result<Grant, Aadb2c> {
        let name = self.require("code")?;
        let code = state.b2c.codes.get(name).cloned();
        let code = code.ok_or_else(|| self.unknown(name))?;
        self.check_grant(&code.grant, client, state)?;
        let expires = code.grant.issued_at + CODE_LIFETIME;
        if code.redeemed || expires <= self.call.now {
            return Err(self.expired(&code.grant, expires));
        }
        let redirect_uri = self.parameters.get("redirect_uri").unwrap_or_default();
        if redirect_uri != code.redirect_uri {
            return Err(Aadb2c::RedirectNotRegistered {
                uri: redirect_uri.to_owned(),
                client_id: client.client_id.clone(),
            });
        }
        if let Some(challenge) = &code.challenge {
            let verifier = self.parameters.get("code_verifier");
            let verifier = verifier.ok_or(Aadb2c::VerifierInvalid)?;
            if !challenge.is_met_by(verifier) {
                return Err(Aadb2c::VerifierMismatch);
            }
        }
        if let Some(code) = state.b2c.codes.get_mut(name) {
            code.redeemed = true;
        }
        Ok(code.grant)
    }

    fn grant_of_refresh_token(&self, client: &App, state: &EmulatorState) -> Result<Grant, Aadb2c> {
        let name = self.require("refresh_token")?;
        let grant = state.b2c.refresh_tokens.get(name).cloned();
        let grant = grant.ok_or_else(|| self.unknown(name))?;
        self.check_grant(&grant, client, state)?;
        let expires = grant.issued_at + REFRESH_LIFETIME;
        if expires <= self.call.now {
            return Err(self.expired(&grant, expires));
        }
        Ok(grant)
    }

    fn unknown(&self, name: &str) -> Aadb2c {
        if is_artifact(name) {
            Aadb2c::GrantExpired {
                now: self.call.now,
                issued: 0,
                expires: 0,
            }
        } else {
            Aadb2c::MalformedGrant
        }
    }

    fn expired(&self, grant: &Grant, expires: u64) -> Aadb2c {
        Aadb2c::GrantExpired {
            now: self.call.now,
            issued: grant.issued_at,
            expires,
        }
    }

    // A grant is of use to its own client, in its own user flow, while its user stands behind it.
    fn check_grant(
        &self,
        grant: &Grant,
        client: &App,
        state: &EmulatorState,
    ) -> Result<(), Aadb2c> {
        self.check_secret(client, grant.platform)?;
        if grant.client_id != client.client_id {
            return Err(Aadb2c::MalformedGrant);
        }
        if grant.tenant_id != self.flow.tenant_id || grant.policy != self.flow.policy.name {
            return Err(Aadb2c::OtherPolicy {
                actual: grant.policy.clone(),
                expected: self.flow.policy.name.clone(),
            });
        }
        let user = state.directory.user_by_oid(&grant.session.oid);
        if user.is_none_or(|user| user.disabled) {
            return Err(Aadb2c::AccountGone);
        }
        if state.revocations(&grant.session.oid) > grant.revocations {
            return Err(Aadb2c::GrantRevoked);
        }
        Ok(())
    }

    fn check_secret(&self, client: &App, platform: Platform) -> Result<(), Aadb2c> {
        let basic = self.credentials.as_ref().map(|(_, secret)| secret.as_str());
        let shown = self.parameters.get("client_secret").or(basic);
        match (platform, shown) {
            (Platform::Web, None) => Err(Aadb2c::SecretMissing),
            (Platform::Spa | Platform::PublicClient, Some(_)) => Err(Aadb2c::PublicSecret),
            (Platform::Spa | Platform::PublicClient, None) => Ok(()),
            (Platform::Web, Some(shown)) => {
                let now = self.call.now;
                let mut valid = client
                    .secrets
                    .iter()
                    .filter(|secret| secret.expires.is_none_or(|expires| expires > now));
                if valid.any(|secret| secret.value == shown) {
                    Ok(())
                } else {
                    Err(Aadb2c::WrongSecret)
                }
            }
        }
    }

    fn issue(
        &self,
        client: &App,
        grant: Grant,
        state: &mut EmulatorState,
    ) -> Result<Answer, Aadb2c> {
        let directory = &state.directory;
        let asked = match self.parameters.get("scope") {
            Some(text) => Asked::parse(text, client, directory)?,
            None => grant.asked.clone(),
        };
        let user = directory.user_by_oid(&grant.session.oid);
        let user = user.ok_or(Aadb2c::AccountGone)?;
        let tenant = directory.tenant_by_id(&grant.tenant_id);
        let tenant = tenant.ok_or(Aadb2c::AccountGone)?;
        asked.check_permissions((directory, tenant), client, user)?;
        let mut answer = self.tokens(&grant, &asked, user, state);
        if self.parameters.get("client_info") == Some("1") {
            answer.client_info = Some(client_info(&user.oid, self.flow));
        }
        // What was granted stays granted, whatever this request asks for.
        if grant.asked.offline {
            let name = state.b2c.put_refresh_token(Grant {
                issued_at: self.call.now,
                ..grant
            });
            answer.refresh_token = Some(name);
            answer.refresh_token_expires_in = Some(REFRESH_LIFETIME);
        }
        Ok(answer)
    }

    fn tokens(&self, grant: &Grant, asked: &Asked, user: &User, state: &EmulatorState) -> Answer {
        let mint = FlowMint::new(self.call, self.flow, state);
        let (now, lifetime) = (mint.now, mint.lifetime);
        let mut answer = Answer {
            token_type: "Bearer",
            not_before: now,
            scope: asked.response(),
            ..Answer::default()
        };
        if let Some(resource) = &asked.resource {
            let draft = mint.access_token(&AccessTokenParts {
                user,
                client_id: &grant.client_id,
                resource: &resource.client_id,
                names: &resource.names,
                nonce: grant.nonce.as_deref(),
            });
            answer.access_token = Some(mint.sign(&draft));
            answer.expires_in = Some(lifetime);
            answer.expires_on = Some(now.saturating_add(lifetime));
            answer.resource = Some(resource.client_id.clone());
        }
        if asked.openid {
            let draft = mint.id_token(&IdTokenParts {
                user,
                client_id: &grant.client_id,
                auth_time: grant.session.auth_time,
                nonce: grant.nonce.as_deref(),
                code: None,
                access_token: answer.access_token.as_deref(),
            });
            answer.id_token = Some(mint.sign(&draft));
            answer.id_token_expires_in = Some(lifetime);
            answer.profile_info = Some(profile_info(user, self.flow));
        }
        answer
    }
}

//! On-behalf-of: a user's access token for this application buys one for another (RFC 7523 §2.1).

use serde_json::Value;

use crate::access_token::{ClientProof, SignIn, aio_tells_mfa, aio_tells_revocations, pairwise};
use crate::authorize::tenant::TenantSpecifier;
use crate::calendar::round_trip;
use crate::directory::Directory;
use crate::directory::app::{App, Platform};
use crate::directory::user::User;
use crate::error::Aadsts;
use crate::jwt::Unverified;
use crate::random;
use crate::refusal::Refused;
use crate::scope::ScopeRequest;
use crate::state::{Holder, State};
use crate::token::Exchange;
use crate::token::response::{Issue, Refresh, TokenResponse};

impl Exchange<'_> {
    pub(super) fn on_behalf_of(
        &self,
        client: &App,
        proof: ClientProof,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        let text = self.parameters.require("assertion")?;
        if self.parameters.require("requested_token_use")? != "on_behalf_of" {
            return Err(Aadsts::UnsupportedValue("requested_token_use"));
        }
        if proof == ClientProof::None {
            return Err(Aadsts::CredentialMissing);
        }
        if client.deny_on_behalf_of {
            return Err(Aadsts::OnBehalfOfDenied(client.client_id.clone()));
        }
        let assertion = Assertion::verify(text, client, state, self.now())?;
        let user = assertion.user(&state.directory, client)?;
        if user.disabled {
            return Err(Aadsts::UserDisabled);
        }
        self.check_assertion_tenant(&assertion, user)?;
        let event = state.session_event(&user.oid);
        if event.is_some_and(|event| event.ended(assertion.revocations)) {
            return Err(self.revoked(&user.oid, assertion.auth_time, state));
        }
        let asked = self.asked_now(client, state)?;
        let asked = asked.ok_or(Aadsts::MissingParameter("scope"))?;
        let resource = asked.single_resource()?.cloned();
        let resource = resource.unwrap_or_else(ScopeRequest::graph);
        let grant = Refused {
            mfa: assertion.mfa,
            issued_at: assertion.auth_time,
            client: (&client.client_id, &client.display_name),
            resource: &resource.client_id,
            now: self.now(),
        };
        state.refused_at_obo.check(&user.oid, &grant)?;
        let holder = Holder {
            tenant_id: assertion.tenant_id.clone(),
            client_id: client.client_id.clone(),
            oid: user.oid.clone(),
            sign_in: assertion.sign_in(),
            platform: Platform::Web,
            revocations: state.revocations(&user.oid),
            issued_at: self.now(),
        };
        self.issue(
            &Issue {
                holder: &holder,
                client,
                resource: &resource,
                asked: &asked,
                proof,
                nonce: None,
                capabilities: &self.capabilities()?,
                assertion_sub: Some(&assertion.sub),
                refresh: Refresh::IfAsked,
            },
            state,
        )
    }

    // Over `/common` the tenant is the user's home, which for a guest is the wrong one.
    fn check_assertion_tenant(&self, assertion: &Assertion, user: &User) -> Result<(), Aadsts> {
        let wrong = match &self.specifier {
            TenantSpecifier::Tenant(id) => *id != assertion.tenant_id,
            TenantSpecifier::Consumers => {
                assertion.tenant_id != crate::builtin::CONSUMERS_TENANT_ID
            }
            TenantSpecifier::Common | TenantSpecifier::Organizations => user.is_guest(),
        };
        if wrong {
            return Err(signature(
                "The issuer of the assertion is not the requested tenant.",
            ));
        }
        Ok(())
    }
}

/// A user's access token, checked.
struct Assertion {
    tenant_id: String,
    oid: Option<String>,
    sub: String,
    session_id: Option<String>,
    audience_client: String,
    mfa: bool,
    /// How often the user's grants had been revoked when it was issued.
    revocations: u64,
    auth_time: u64,
}

fn signature(reason: &str) -> Aadsts {
    Aadsts::AssertionSignature(reason.to_owned())
}

impl Assertion {
    fn verify(text: &str, client: &App, state: &State, now: u64) -> Result<Self, Aadsts> {
        let malformed = || signature("The assertion is malformed.");
        let token = Unverified::parse(text).ok_or_else(malformed)?;
        let tenant_id = token.text("tid").ok_or_else(malformed)?.to_owned();
        check_signature(&token, &tenant_id, state)?;
        // Access tokens name their client, id tokens do not.
        if token.text("azp").or_else(|| token.text("appid")).is_none() {
            return Err(Aadsts::IdTokenAssertion);
        }
        let expires = token.seconds("exp").unwrap_or_default();
        if expires <= now {
            return Err(Aadsts::AssertionTime {
                now: round_trip(now),
                to: round_trip(expires),
            });
        }
        check_audience(&token, client)?;
        if token.text("scp").is_none() {
            return Err(Aadsts::OnBehalfOfDenied(client.client_id.clone()));
        }
        let text = |name| token.text(name).map(str::to_owned);
        Ok(Self {
            tenant_id,
            oid: text("oid"),
            sub: text("sub").ok_or_else(malformed)?,
            session_id: text("sid"),
            audience_client: client.client_id.clone(),
            mfa: token.text("aio").is_some_and(aio_tells_mfa),
            revocations: token
                .text("aio")
                .and_then(aio_tells_revocations)
                .unwrap_or(0),
            auth_time: token.seconds("iat").unwrap_or(now),
        })
    }

    // Without `profile` a token has no `oid`; the pairwise `sub` still says who it is.
    fn user<'a>(&self, directory: &'a Directory, client: &App) -> Result<&'a User, Aadsts> {
        let found = match &self.oid {
            Some(oid) => directory.user_by_oid(oid),
            None => directory
                .users
                .iter()
                .find(|user| pairwise(&user.oid, &self.audience_client) == self.sub),
        };
        found.ok_or_else(|| Aadsts::UserNotFound(client.client_id.clone()))
    }

    fn sign_in(&self) -> SignIn {
        SignIn {
            session_id: self.session_id.clone().unwrap_or_else(random::guid),
            auth_time: self.auth_time,
            mfa: self.mfa,
            acrs: Vec::new(),
        }
    }
}

fn check_signature(token: &Unverified<'_>, tenant_id: &str, state: &State) -> Result<(), Aadsts> {
    let tenant = state.directory.tenant_by_id(tenant_id);
    let tenant = tenant.ok_or_else(|| signature("The issuer of the assertion is unknown."))?;
    let kid = token.header_text("kid").unwrap_or_default();
    let Some(key) = state.keys_of(tenant).by_kid(kid) else {
        return Err(signature(&format!(
            "The key was not found., Thumbprint of key used by client: '{kid}'"
        )));
    };
    // The tokens Microsoft Graph gets fail here, as they do for everybody but Graph.
    if !token.is_signed_by(key.public_key()) {
        return Err(signature(
            "The provided signature value did not match the expected signature value.",
        ));
    }
    Ok(())
}

fn check_audience(token: &Unverified<'_>, client: &App) -> Result<(), Aadsts> {
    let audience = token.claims.get("aud").and_then(Value::as_str);
    let audience = audience.unwrap_or_default();
    let own = std::iter::once(&client.client_id).chain(&client.identifier_uris);
    let mut known = own.into_iter();
    if known.any(|known| known == audience) {
        return Ok(());
    }
    let uris = &client.identifier_uris;
    Err(Aadsts::AssertionAudience {
        audience: audience.to_owned(),
        expected: uris.first().unwrap_or(&client.client_id).clone(),
        client_id: client.client_id.clone(),
        name: client.display_name.clone(),
    })
}

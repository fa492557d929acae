//! Refreshing (RFC 6749 §6): a new refresh token each time, and the old one stays good.

use crate::access_token::ClientProof;
use crate::authorize::tenant::TenantSpecifier;
use crate::calendar::round_trip;
use crate::directory::app::App;
use crate::error::Aadsts;
use crate::refusal::Refused;
use crate::scope::{ResourceScopes, ScopeRequest};
use crate::state::{Holder, RefreshToken, State};
use crate::token::Exchange;
use crate::token::authorization_code::{check_itself, unknown};
use crate::token::response::{Issue, Refresh, TokenResponse};

/// How long a refresh token may lie unused.
const INACTIVITY: u64 = 90 * 24 * 3600;

impl Exchange<'_> {
    pub(super) fn refresh_token(
        &self,
        client: &App,
        proof: ClientProof,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        let name = self.parameters.require("refresh_token")?;
        let known = state.refresh_tokens.get(name).cloned();
        let token = known.ok_or_else(|| unknown(name))?;
        if token.holder.client_id != client.client_id {
            return Err(Aadsts::MalformedGrant);
        }
        self.check_platform(token.holder.platform, proof)?;
        self.check_age(&token)?;
        self.check_user(&token.holder, state)?;
        let holder = self.holder_here(&token.holder, client, state)?;
        let asked = self.asked_now(client, state)?;
        let resource = resource_of_refresh(client, asked.as_ref(), &token)?;
        check_itself(client, &resource)?;
        let grant = Refused {
            mfa: holder.sign_in.mfa,
            issued_at: token.holder.issued_at,
            client: (&client.client_id, &client.display_name),
            resource: &resource.client_id,
            now: self.now(),
        };
        state.refused_at_refresh.check(&holder.oid, &grant)?;
        self.issue(
            &Issue {
                holder: &holder,
                client,
                resource: &resource,
                asked: asked.as_ref().unwrap_or(&token.asked),
                proof,
                nonce: None,
                capabilities: &self.capabilities()?,
                assertion_sub: None,
                refresh: Refresh::Renew(&token),
            },
            state,
        )
    }

    fn check_age(&self, token: &RefreshToken) -> Result<(), Aadsts> {
        let issued = || round_trip(token.holder.issued_at);
        if token.ends_at.is_some_and(|ends_at| ends_at <= self.now()) {
            return Err(Aadsts::SpaRefreshTokenExpired { issued: issued() });
        }
        if token.holder.issued_at + INACTIVITY <= self.now() {
            return Err(Aadsts::RefreshTokenInactive { issued: issued() });
        }
        Ok(())
    }

    // A refresh token belongs to no tenant: it is good wherever its user has an object.
    fn holder_here(&self, holder: &Holder, client: &App, state: &State) -> Result<Holder, Aadsts> {
        let elsewhere = match &self.specifier {
            TenantSpecifier::Tenant(id) => *id != holder.tenant_id,
            TenantSpecifier::Common
            | TenantSpecifier::Organizations
            | TenantSpecifier::Consumers => false,
        };
        if !elsewhere {
            return Ok(holder.clone());
        }
        let directory = &state.directory;
        let user = directory.user_by_oid(&holder.oid);
        let user = user.ok_or_else(|| Aadsts::UserNotFound(holder.oid.clone()))?;
        let (here, tenant) = self
            .specifier
            .resident(user.sign_in_name(), client, directory)?;
        Ok(Holder {
            tenant_id: tenant.id.clone(),
            oid: here.oid.clone(),
            revocations: state.revocations(&here.oid),
            ..holder.clone()
        })
    }
}

fn resource_of_refresh(
    client: &App,
    asked_now: Option<&ScopeRequest>,
    token: &RefreshToken,
) -> Result<ResourceScopes, Aadsts> {
    if let Some(asked) = asked_now {
        let single = asked.single_resource()?;
        return Ok(single.cloned().unwrap_or_else(ScopeRequest::graph));
    }
    match token.asked.resources.as_slice() {
        [] => Ok(ScopeRequest::graph()),
        [first, ..] if first.client_id == client.client_id => {
            Err(Aadsts::TokenForItself(client.client_id.clone()))
        }
        [first, ..] => Ok(first.clone()),
    }
}

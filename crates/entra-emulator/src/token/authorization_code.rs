//! Redeeming a code (RFC 6749 §4.1.3).

use crate::access_token::ClientProof;
use crate::authorize::request::Scope;
use crate::authorize::tenant::TenantSpecifier;
use crate::directory::app::App;
use crate::error::Aadsts;
use crate::scope::{ResourceScopes, ScopeRequest};
use crate::state::{CODE_LIFETIME, Code, Holder, State};
use crate::token::Exchange;
use crate::token::response::{Issue, Refresh, TokenResponse};
use crate::version::Version;

impl Exchange<'_> {
    pub(super) fn authorization_code(
        &self,
        client: &App,
        proof: ClientProof,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        let name = self.parameters.require("code")?;
        let code = state
            .codes
            .get(name)
            .cloned()
            .ok_or_else(|| unknown(name))?;
        self.check_holder(&code.holder, client)?;
        self.check_platform(code.holder.platform, proof)?;
        self.check_code(&code)?;
        self.check_user(&code.holder, state)?;
        let issued = self.redeem(&code, client, proof, state)?;
        // Marked when something came of it: a mistaken request does not spend the code.
        if let Some(code) = state.codes.get_mut(name) {
            code.redeemed = true;
        }
        Ok(issued)
    }

    /// Issues what a code was given for.
    pub(super) fn redeem(
        &self,
        code: &Code,
        client: &App,
        proof: ClientProof,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        let asked = self.asked_now(client, state)?;
        let resource = resource_of_code(asked.as_ref(), code)?;
        check_itself(client, &resource)?;
        let mut capabilities = code.capabilities.clone();
        for capability in self.capabilities()? {
            if !capabilities.contains(&capability) {
                capabilities.push(capability);
            }
        }
        self.issue(
            &Issue {
                holder: &code.holder,
                client,
                resource: &resource,
                asked: &code.asked,
                proof,
                nonce: code.nonce.as_deref(),
                capabilities: &capabilities,
                assertion_sub: None,
                refresh: Refresh::IfAsked,
            },
            state,
        )
    }

    fn check_code(&self, code: &Code) -> Result<(), Aadsts> {
        if code.redeemed {
            return Err(Aadsts::CodeRedeemed);
        }
        if code.holder.issued_at + CODE_LIFETIME <= self.now() {
            return Err(Aadsts::CodeExpired);
        }
        let presented = self.parameters.get("redirect_uri");
        if let Some(asked) = &code.redirect_uri
            && presented != Some(asked.as_str())
        {
            return Err(Aadsts::RedirectDiffers {
                presented: presented.unwrap_or_default().to_owned(),
                asked: asked.clone(),
            });
        }
        let verifier = self.parameters.get("code_verifier").unwrap_or_default();
        match &code.challenge {
            Some(challenge) if !challenge.is_met_by(verifier) => Err(Aadsts::VerifierMismatch),
            Some(_) | None => Ok(()),
        }
    }

    /// A grant is of use to its own client, in its own tenant.
    pub(super) fn check_holder(&self, holder: &Holder, client: &App) -> Result<(), Aadsts> {
        if holder.client_id != client.client_id {
            return Err(Aadsts::MalformedGrant);
        }
        match &self.specifier {
            TenantSpecifier::Tenant(id) if *id != holder.tenant_id => {
                Err(Aadsts::CodeOfOtherTenant)
            }
            TenantSpecifier::Common
            | TenantSpecifier::Organizations
            | TenantSpecifier::Consumers
            | TenantSpecifier::Tenant(_) => Ok(()),
        }
    }

    /// What this request asks for, when it does.
    pub(super) fn asked_now(
        &self,
        client: &App,
        state: &State,
    ) -> Result<Option<ScopeRequest>, Aadsts> {
        let scope = Scope {
            version: self.version,
            quirks: self.quirks,
            specifier: &self.specifier,
            app: client,
        };
        let named = match self.version {
            Version::V1 => self.parameters.get("resource"),
            Version::V2 => self.parameters.get("scope"),
        };
        if named.is_some() {
            return scope.parse(self.parameters, &state.directory).map(Some);
        }
        match self.parameters.get("resource") {
            Some(resource) => scope.check_resource("", resource).map(|()| None),
            None => Ok(None),
        }
    }
}

fn resource_of_code(
    asked_now: Option<&ScopeRequest>,
    code: &Code,
) -> Result<ResourceScopes, Aadsts> {
    let now = match asked_now {
        Some(asked) => asked.single_resource()?,
        None => None,
    };
    if let Some(resource) = now {
        return Ok(resource.clone());
    }
    match code.asked.resources.as_slice() {
        [] => Ok(ScopeRequest::graph()),
        [only] => Ok(only.clone()),
        _ => Err(Aadsts::ScopeEmpty),
    }
}

/// What is no token at all, and what merely is none of ours.
pub(super) fn unknown(name: &str) -> Aadsts {
    let looks_right = name.starts_with("1.A") || name.starts_with("0.A");
    if looks_right {
        Aadsts::MalformedGrant
    } else {
        Aadsts::MalformedRequest
    }
}

/// A client asks for itself by its GUID only, unless it names its scopes.
pub(super) fn check_itself(client: &App, asked: &ResourceScopes) -> Result<(), Aadsts> {
    let by_uri = asked.prefix.as_deref() != Some(client.client_id.as_str());
    if asked.client_id == client.client_id && asked.default && by_uri {
        return Err(Aadsts::TokenForItself(client.client_id.clone()));
    }
    Ok(())
}

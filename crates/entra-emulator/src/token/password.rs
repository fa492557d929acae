//! Name and password in the token request (RFC 6749 §4.3).

use crate::access_token::{ClientProof, SignIn};
use crate::authorize::sign_in::check_password;
use crate::directory::app::{App, Platform};
use crate::error::Aadsts;
use crate::random;
use crate::refusal::mfa_required;
use crate::scope::ScopeRequest;
use crate::state::{Holder, State};
use crate::token::response::{Issue, Refresh, TokenResponse};
use crate::token::{Exchange, implied_platform};

impl Exchange<'_> {
    pub(super) fn password(
        &self,
        client: &App,
        proof: ClientProof,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        if implied_platform(client) == Platform::Web && proof == ClientProof::None {
            return Err(Aadsts::CredentialMissing);
        }
        let username = self.parameters.require("username")?;
        let password = self.parameters.require("password")?;
        let directory = &state.directory;
        let (user, tenant) = self.specifier.resident(username, client, directory)?;
        if tenant.id == crate::builtin::CONSUMERS_TENANT_ID {
            return Err(Aadsts::GrantOverCommon);
        }
        check_password(directory, username, password)?;
        let asked = self.asked_now(client, state)?;
        let asked = asked.ok_or(Aadsts::MissingParameter("scope"))?;
        let resource = asked.single_resource()?.cloned();
        let resource = resource.unwrap_or_else(ScopeRequest::graph);
        if user.mfa {
            return Err(mfa_required(resource.client_id));
        }
        let holder = Holder {
            tenant_id: tenant.id.clone(),
            client_id: client.client_id.clone(),
            oid: user.oid.clone(),
            sign_in: SignIn {
                session_id: random::guid(),
                auth_time: self.now(),
                mfa: false,
                acrs: Vec::new(),
            },
            platform: implied_platform(client),
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
                assertion_sub: None,
                refresh: Refresh::IfAsked,
            },
            state,
        )
    }
}

//! An application signing in as itself (RFC 6749 §4.4).

use crate::access_token::{AppOnly, ClientProof, Mint};
use crate::authorize::tenant::TenantSpecifier;
use crate::directory::app::App;
use crate::directory::tenant::Tenant;
use crate::error::Aadsts;
use crate::state::State;
use crate::token::Exchange;
use crate::token::authorization_code::check_itself;
use crate::token::response::TokenResponse;

impl Exchange<'_> {
    pub(super) fn client_credentials(
        &self,
        client: &App,
        proof: ClientProof,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        if proof == ClientProof::None {
            return Err(Aadsts::ClientCredentialsNeedCredential);
        }
        let tenant = self.own_tenant(client, state)?;
        let lifetime = state.next_lifetime();
        let asked = self.asked_now(client, state)?;
        let asked = asked.ok_or(Aadsts::MissingParameter("scope"))?;
        // All the roles it has, of one resource, or nothing.
        let single = asked.single_resource()?.filter(|asked| asked.default);
        let scopes = single.ok_or_else(|| Aadsts::InvalidScope(asked.text.clone()))?;
        check_itself(client, scopes)?;
        let resource = state.directory.app(&scopes.client_id);
        let resource = resource.ok_or(Aadsts::MalformedRequest)?;
        let lifetime = state.app_only_lifetime(resource, lifetime);
        let mint = Mint {
            place: &self.call.place,
            keys: state.keys_of(&tenant),
            now: self.now(),
            lifetime,
        };
        let token = mint.sign(&mint.app_only(&AppOnly {
            tenant: &tenant,
            client,
            resource,
            audience: scopes.named(),
            proof,
        }));
        Ok(self.bare(token, lifetime, scopes.named(), state))
    }

    // An application has no home to fall back on: the tenant must be named.
    fn own_tenant(&self, client: &App, state: &State) -> Result<Tenant, Aadsts> {
        let TenantSpecifier::Tenant(id) = &self.specifier else {
            return Err(Aadsts::GrantOverCommon);
        };
        let tenant = state.directory.tenant_by_id(id);
        let tenant = tenant.ok_or_else(|| Aadsts::TenantNotFound(id.clone()))?;
        if !state.directory.is_installed(client, tenant) {
            return Err(Aadsts::ServicePrincipalMissing {
                client_id: client.client_id.clone(),
                tenant: tenant.id.clone(),
            });
        }
        Ok(tenant.clone())
    }
}

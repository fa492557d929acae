//! Minting what a user flow of Azure AD B2C would issue.

use crate::b2c::flow::Flow;
use crate::b2c::issue::{AccessTokenParts, FlowMint, IdTokenParts};
use crate::control::mint::{MintError, Minting};
use crate::directory::tenant::{Tenant, TenantKind};
use crate::jwt::Draft;
use crate::place::Place;

impl<'a> Minting<'a> {
    /// The user flow the token comes from, if its tenant has such.
    pub(super) fn flow(&self, tenant: &Tenant) -> Result<Option<Flow>, MintError> {
        let policy = self.order.policy.as_deref();
        match (tenant.kind, Flow::of(tenant, policy), policy) {
            (TenantKind::B2c, Some(flow), _) => Ok(Some(flow)),
            (_, _, None) => Ok(None),
            (_, _, Some(name)) => Err(MintError::UnknownPolicy(name.to_owned())),
        }
    }

    pub(super) fn flow_access_token(
        &self,
        tenant: &'a Tenant,
        flow: &Flow,
    ) -> Result<Draft, MintError> {
        let party = self.party(tenant)?;
        let resource = self.resource()?;
        let place = self.flow_place(tenant);
        Ok(self
            .flow_mint(&place, flow)
            .access_token(&AccessTokenParts {
                user: party.user,
                client_id: &party.client.client_id,
                resource: &resource.client_id,
                names: &self.scopes(resource)?,
                nonce: self.order.nonce.as_deref(),
            }))
    }

    pub(super) fn flow_id_token(
        &self,
        tenant: &'a Tenant,
        flow: &Flow,
    ) -> Result<Draft, MintError> {
        let party = self.party(tenant)?;
        let place = self.flow_place(tenant);
        Ok(self.flow_mint(&place, flow).id_token(&IdTokenParts {
            user: party.user,
            client_id: &party.client.client_id,
            auth_time: self.now,
            nonce: Some(&self.nonce()),
            code: None,
            access_token: None,
        }))
    }

    fn flow_mint<'m>(&'m self, place: &'m Place, flow: &'m Flow) -> FlowMint<'m> {
        FlowMint {
            place,
            flow,
            keys: &self.state.b2c_keys,
            now: self.now,
            lifetime: FlowMint::lifetime(self.state),
        }
    }

    // A user flow's issuer follows its host, so that it is the tenant's own unless one is named.
    fn flow_place(&self, tenant: &Tenant) -> Place {
        if self.placed {
            return self.place.clone();
        }
        let host = format!("{}.b2clogin.com", tenant.subdomain);
        Place::well_known(&host, &self.state.directory).unwrap_or_else(|| self.place.clone())
    }
}

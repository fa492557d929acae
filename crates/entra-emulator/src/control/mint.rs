//! Minting tokens on order: the very tokens Entra would issue, with edits.

mod signing;
mod user_flow;

use crate::access_token::{AppOnly, ClientProof, Delegation, Mint, SignIn};
use crate::control::order::{Kind, TokenOrder};
use crate::directory::Directory;
use crate::directory::app::App;
use crate::directory::tenant::Tenant;
use crate::directory::user::User;
use crate::emulator::Shared;
use crate::id_token::IdTokenRequest;
use crate::jwt::Draft;
use crate::place::Place;
use crate::random;
use crate::scope::{GrantedScopes, Party, ResourceScopes};
use crate::state::State;
use crate::version::Version;

/// Why a token cannot be minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The order does not say something its kind of token needs.
    #[error("the order lacks `{0}`")]
    Missing(&'static str),
    /// There is no such tenant.
    #[error("the directory has no tenant '{0}'")]
    UnknownTenant(String),
    /// There is no such user, or not in the tenant.
    #[error("the tenant has no user '{0}'")]
    UnknownUser(String),
    /// There is no such application.
    #[error("the directory has no application '{0}'")]
    UnknownApplication(String),
    /// The resource defines no such scope.
    #[error("the resource defines no scope '{0}'")]
    UnknownScope(String),
    /// The resource has no such name.
    #[error("the resource is not called '{0}'")]
    UnknownAudience(String),
    /// The tenant has no such user flow.
    #[error("the tenant has no user flow '{0}'")]
    UnknownPolicy(String),
    /// No published key has this id.
    #[error("no published key is called '{0}'")]
    UnknownKey(String),
}

/// Issues what was ordered.
pub(super) fn mint(shared: &Shared, order: &TokenOrder) -> Result<String, MintError> {
    let now = shared.now();
    let place = shared.place_at(order.base_url.as_deref());
    let mut state = shared.state();
    let lifetime = state.next_lifetime();
    let minting = Minting {
        order,
        state: &state,
        place: &place,
        placed: order.base_url.is_some() || shared.options.base_url.is_some(),
        now,
        lifetime,
    };
    let tenant = minting.tenant()?;
    let flow = minting.flow(tenant)?;
    let ring = match (&flow, order.kind) {
        (Some(_), Kind::Delegated | Kind::IdToken) => &state.b2c_keys,
        (Some(_), Kind::AppOnly) | (None, _) => state.keys_of(tenant),
    };
    let mut draft = match (&flow, order.kind) {
        (Some(flow), Kind::Delegated) => minting.flow_access_token(tenant, flow)?,
        (Some(flow), Kind::IdToken) => minting.flow_id_token(tenant, flow)?,
        (None, Kind::Delegated) => minting.delegated(tenant)?,
        (None, Kind::IdToken) => minting.id_token(tenant)?,
        (_, Kind::AppOnly) => minting.app_only(tenant)?,
    };
    order.claims.apply(&mut draft.claims);
    signing::sign(draft, order, &state, ring)
}

/// One order being carried out.
struct Minting<'a> {
    order: &'a TokenOrder,
    state: &'a State,
    place: &'a Place,
    /// Whether somebody said where that is.
    placed: bool,
    now: u64,
    lifetime: u64,
}

impl<'a> Minting<'a> {
    fn directory(&self) -> &'a Directory {
        &self.state.directory
    }

    fn mint(&self, tenant: &Tenant, lifetime: u64) -> Mint<'_> {
        Mint {
            place: self.place,
            keys: self.state.keys_of(tenant),
            now: self.now,
            lifetime,
        }
    }

    fn app(&self, client_id: &str) -> Result<&'a App, MintError> {
        let app = self.directory().app(client_id);
        app.ok_or_else(|| MintError::UnknownApplication(client_id.to_owned()))
    }

    fn resource(&self) -> Result<&'a App, MintError> {
        let named = self.order.resource.as_deref();
        self.app(named.ok_or(MintError::Missing("resource"))?)
    }

    fn username(&self) -> Result<&str, MintError> {
        let named = self.order.user.as_deref();
        named.ok_or(MintError::Missing("user"))
    }

    // The one that was named, or the home of whoever the token is about.
    fn tenant(&self) -> Result<&'a Tenant, MintError> {
        let home = match self.order.kind {
            Kind::AppOnly => &self.app(&self.order.client_id)?.tenant,
            Kind::Delegated | Kind::IdToken => {
                let name = self.username()?;
                let user = self.directory().user(name);
                &user
                    .ok_or_else(|| MintError::UnknownUser(name.to_owned()))?
                    .tenant
            }
        };
        let named = self.order.tenant.as_ref().unwrap_or(home);
        let tenant = self.directory().tenant(named);
        tenant.ok_or_else(|| MintError::UnknownTenant(named.clone()))
    }

    fn party(&self, tenant: &'a Tenant) -> Result<Party<'a>, MintError> {
        let directory = self.directory();
        let name = self.username()?;
        let itself = directory.user(name);
        let user: Option<&User> = directory
            .user_in(tenant, name)
            .or_else(|| itself.filter(|user| directory.belongs(user, tenant)));
        Ok(Party {
            directory,
            tenant,
            client: self.app(&self.order.client_id)?,
            user: user.ok_or_else(|| MintError::UnknownUser(name.to_owned()))?,
        })
    }

    fn delegated(&self, tenant: &'a Tenant) -> Result<Draft, MintError> {
        let party = self.party(tenant)?;
        let resource = self.resource()?;
        let names = self.scopes(resource)?;
        let granted = GrantedScopes {
            names,
            response: String::new(),
        };
        let mint = self.mint(tenant, self.lifetime);
        let mut draft = mint.delegated(&Delegation {
            party,
            resource,
            asked: &self.asked(resource)?,
            granted: &granted,
            sign_in: &self.sign_in(party.user),
            proof: proof(party.client),
            profile: self.order.profile,
            capabilities: &[],
            revocations: self.state.revocations(&party.user.oid),
            assertion_sub: None,
        });
        if granted.names.is_empty() {
            draft.claims.remove("scp");
        }
        Ok(draft)
    }

    fn app_only(&self, tenant: &'a Tenant) -> Result<Draft, MintError> {
        let client = self.app(&self.order.client_id)?;
        let resource = self.resource()?;
        let lifetime = self.state.app_only_lifetime(resource, self.lifetime);
        Ok(self.mint(tenant, lifetime).app_only(&AppOnly {
            tenant,
            client,
            resource,
            audience: self.asked(resource)?.named(),
            proof: proof(client),
        }))
    }

    fn id_token(&self, tenant: &'a Tenant) -> Result<Draft, MintError> {
        let party = self.party(tenant)?;
        Ok(self.mint(tenant, self.lifetime).id_token(&IdTokenRequest {
            party,
            profile: self.order.profile,
            email: self.order.profile,
            sign_in: &self.sign_in(party.user),
            nonce: Some(&self.nonce()),
            version: Version::V2,
            front_channel: false,
            code: None,
        }))
    }

    fn nonce(&self) -> String {
        let nonce = self.order.nonce.clone();
        nonce.unwrap_or_else(|| random::opaque(16))
    }

    fn scopes(&self, resource: &App) -> Result<Vec<String>, MintError> {
        let Some(names) = &self.order.scopes else {
            let all = resource.scopes.iter().map(|scope| scope.value.clone());
            return Ok(all.filter(|name| name != "offline_access").collect());
        };
        match names.iter().find(|name| resource.scope(name).is_none()) {
            Some(unknown) => Err(MintError::UnknownScope(unknown.clone())),
            None => Ok(names.clone()),
        }
    }

    fn asked(&self, resource: &App) -> Result<ResourceScopes, MintError> {
        let prefix = match &self.order.audience {
            None if resource.is_graph() => None,
            None => resource.identifier_uris.first().cloned(),
            Some(named) => {
                let bare = named.strip_suffix('/').unwrap_or(named);
                let known = bare == resource.client_id
                    || resource.identifier_uris.iter().any(|uri| uri == bare);
                if !known {
                    return Err(MintError::UnknownAudience(named.clone()));
                }
                Some(named.clone())
            }
        };
        Ok(ResourceScopes {
            client_id: resource.client_id.clone(),
            prefix,
            names: Vec::new(),
            default: false,
        })
    }

    fn sign_in(&self, user: &User) -> SignIn {
        SignIn {
            session_id: random::guid(),
            auth_time: self.now,
            mfa: user.mfa,
            acrs: Vec::new(),
        }
    }
}

// What the client would show, a secret before a certificate.
fn proof(client: &App) -> ClientProof {
    if !client.secrets.is_empty() {
        ClientProof::Secret
    } else if client.certificates.is_empty() {
        ClientProof::None
    } else {
        ClientProof::Certificate
    }
}

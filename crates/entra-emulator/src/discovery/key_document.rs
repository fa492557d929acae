//! The key documents (RFC 7517 §5).

use crate::authorize::tenant::TenantSpecifier;
use crate::builtin::CONSUMERS_TENANT_ID;
use crate::cloud::Cloud;
use crate::emulator::Call;
use crate::keys::{Jwk, KeyRing};
use crate::state::State;
use crate::version::Version;

/// The keys of whoever `specifier` names, each with whose tokens it may sign: those of any
/// organisation, of one, of personal accounts.
pub(super) fn key_document(
    state: &State,
    call: &Call,
    specifier: &TenantSpecifier,
    version: Version,
) -> Vec<Jwk> {
    let document = Document { call, version };
    let organizations = |issuer: &str| document.show(&state.keys, issuer);
    let personal = || {
        let issuer = call.place.v2_issuer(CONSUMERS_TENANT_ID);
        document.show(&state.personal_keys, &issuer)
    };
    let template = call.place.v2_issuer("{tenantid}");
    match specifier {
        TenantSpecifier::Common => {
            let mut keys = organizations(&template);
            // As captured since 2025: marked as another cloud's, with this one's issuer.
            if call.place.cloud == Cloud::Public {
                let foreign = Cloud::UsGovernment.names().instance;
                keys.extend(document.marked(&state.us_government_keys, &template, foreign));
            }
            keys.extend(personal());
            keys
        }
        TenantSpecifier::Organizations => organizations(&template),
        TenantSpecifier::Consumers => personal(),
        TenantSpecifier::Tenant(id) if id == CONSUMERS_TENANT_ID => personal(),
        TenantSpecifier::Tenant(id) => match state.directory.tenant_by_id(id) {
            Some(tenant) => organizations(&call.place.issuer_of(tenant)),
            None => Vec::new(),
        },
    }
}

struct Document<'a> {
    call: &'a Call,
    version: Version,
}

impl Document<'_> {
    fn show(&self, ring: &KeyRing, issuer: &str) -> Vec<Jwk> {
        self.marked(ring, issuer, self.call.place.cloud.names().instance)
    }

    fn marked(&self, ring: &KeyRing, issuer: &str, instance: &'static str) -> Vec<Jwk> {
        let issuer = (self.version == Version::V2).then_some(issuer);
        let keys = ring.published();
        keys.map(|key| key.jwk(issuer.map(str::to_owned), instance))
            .collect()
    }
}

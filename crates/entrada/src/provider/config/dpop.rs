//! What is asked of proofs, held against the rest.

use super::check::Findings;
use super::error::ConfigError;
use super::{AzureConfig, ProtectedResource};
use crate::authorization_server::PreregisteredClientError;
use crate::dpop::Dpop;

impl AzureConfig {
    /// Whether nobody is asked for a proof that is not taken, nor kept from giving one.
    pub(super) fn dpop_holds(&self, found: &mut Findings) {
        match self.dpop {
            Dpop::Off => self.dpop_is_not_wanted(found),
            Dpop::Required if self.accepts_others() => {
                found.add(ConfigError::DpopRequired);
            }
            Dpop::Optional | Dpop::Required => {}
        }
    }

    /// Whether any server lets those in who have tokens that are not ours.
    fn accepts_others(&self) -> bool {
        let mut resources = self.resources.iter();
        !self.also_accepted.is_empty()
            || self.at_entra.is_some()
            || resources.any(ProtectedResource::accepts_others)
    }

    fn dpop_is_not_wanted(&self, found: &mut Findings) {
        if self.dpop_nonce {
            found.add(ConfigError::DpopNonce);
        }
        let clients = self.clients.iter();
        for client in clients.filter(|client| client.wants_bound_tokens()) {
            found.add(ConfigError::Client {
                client_id: client.client_id().to_owned(),
                source: PreregisteredClientError::Dpop,
            });
        }
    }
}

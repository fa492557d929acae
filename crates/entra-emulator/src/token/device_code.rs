//! A device asking whether its user has signed in (RFC 8628 §3.4).

use crate::access_token::ClientProof;
use crate::device::{DeviceAnswer, LIFETIME};
use crate::directory::app::{App, Platform};
use crate::error::Aadsts;
use crate::state::State;
use crate::token::response::TokenResponse;
use crate::token::{Exchange, implied_platform};

impl Exchange<'_> {
    pub(super) fn device_code(
        &self,
        client: &App,
        proof: ClientProof,
        state: &mut State,
    ) -> Result<TokenResponse, Aadsts> {
        if implied_platform(client) != Platform::PublicClient && proof == ClientProof::None {
            return Err(Aadsts::CredentialMissing);
        }
        let name = self.parameters.require("device_code")?;
        let device = state.devices.get(name).ok_or(Aadsts::BadDeviceCode)?;
        if device.client_id != client.client_id {
            return Err(Aadsts::BadDeviceCode);
        }
        if device.issued_at + LIFETIME <= self.now() {
            return Err(Aadsts::DeviceCodeExpired);
        }
        let code = match &device.answer {
            None => return Err(Aadsts::AuthorizationPending),
            Some(DeviceAnswer::Declined) => return Err(Aadsts::AuthorizationDeclined),
            Some(DeviceAnswer::SignedIn(code)) => code.clone(),
        };
        self.check_user(&code.holder, state)?;
        let issued = self.redeem(&code, client, proof, state)?;
        state.devices.remove(name);
        Ok(issued)
    }
}

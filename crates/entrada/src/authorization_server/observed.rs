//! What is told of a decision: counts to whoever counts, an event to whoever keeps an audit log.

use std::error::Error;

use super::AuthorizationServer;
use super::callback::UpstreamRefusal;
use super::correlation::CorrelationId;
use crate::audit::{Act, AuditEvent, Decision};
use crate::causes::{Causes, among_causes};
use crate::entra::error::EntraError;
use crate::meters;
use crate::oauth::client::Client;
use crate::oauth::error::ErrorCode;

/// That something was not done, for `error`, of which a client is told `code`.
pub(super) fn denied(code: ErrorCode, error: &(dyn Error + 'static)) -> Decision {
    let reason = Causes(error).to_string();
    Decision::Denied { code, reason }
}

/// The number Entra gave, where it is behind `error`.
pub(super) fn aadsts(error: &(dyn Error + 'static)) -> Option<u32> {
    if let Some(EntraError::Refused(refusal)) = among_causes::<EntraError>(error) {
        return refusal.codes.first().copied();
    }
    among_causes::<UpstreamRefusal>(error)?.aadsts()
}

impl AuthorizationServer {
    /// An event of now, about nobody yet.
    pub(super) fn event(&self, act: Act, decision: Decision) -> AuditEvent {
        AuditEvent::new(act, decision, self.now())
    }

    /// Counts an event that is decided, and hands it to the audit log.
    pub(super) fn tell(&self, event: AuditEvent, correlation: &CorrelationId) {
        count(&event);
        if let Some(sink) = &self.0.config.audit {
            let correlation_id = correlation.as_str().to_owned();
            sink.record(AuditEvent {
                correlation_id,
                address: correlation.address(),
                ..event
            });
        }
    }
}

/// A login is counted where its error is known.
fn count(event: &AuditEvent) {
    let outcome = event.decision.label();
    match event.act {
        Act::Registration => meters::registration(outcome),
        Act::Consent => meters::consent(match event.decision {
            Decision::Allowed => "given",
            Decision::Denied { .. } => "denied",
        }),
        Act::Login | Act::Removal | Act::GrantsEnded | Act::ClientRemoved | Act::KeysRotated => {}
        Act::Code => meters::token_request("authorization_code", outcome),
        Act::Refresh => meters::token_request("refresh_token", outcome),
        Act::ClientCredentials => meters::token_request("client_credentials", outcome),
        Act::IdentityAssertion => meters::token_request("jwt_bearer", outcome),
        Act::Token => meters::token_request("other", outcome),
        Act::Revocation => meters::revocation(outcome),
        Act::ReplayedCode => meters::replay("code"),
        Act::ReplayedRefreshToken => meters::replay("refresh_token"),
    }
}

impl AuditEvent {
    /// The same, of a client with the name it gave itself.
    pub(super) fn of(self, client: &Client) -> Self {
        self.of_client(client.id(), client.metadata().unverified_name())
    }
}

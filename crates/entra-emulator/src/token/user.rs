//! Whether the user of a grant still stands behind it.

use crate::authorize::claims::ClaimsRequest;
use crate::calendar::round_trip;
use crate::error::Aadsts;
use crate::state::{Holder, State};
use crate::token::Exchange;

impl Exchange<'_> {
    /// Checks that the user is there, may sign in, and has not revoked the grant.
    pub(super) fn check_user(&self, holder: &Holder, state: &State) -> Result<(), Aadsts> {
        let user = state.directory.user_by_oid(&holder.oid);
        let user = user.ok_or_else(|| Aadsts::UserNotFound(holder.oid.clone()))?;
        if user.disabled {
            return Err(Aadsts::UserDisabled);
        }
        if state.revocations(&holder.oid) > holder.revocations {
            return Err(self.revoked(&holder.oid, holder.issued_at, state));
        }
        Ok(())
    }

    /// What is said of a grant that was revoked.
    ///
    /// A client that understands it is told what to ask for: a newer sign-in.
    pub(super) fn revoked(&self, oid: &str, issued_at: u64, state: &State) -> Aadsts {
        let asked = ClaimsRequest::parse(self.parameters.get("claims")).unwrap_or_default();
        let event = state.session_event(oid).filter(|_| asked.is_challenged());
        Aadsts::GrantRevoked {
            issued: round_trip(issued_at),
            valid_from: round_trip(state.tokens_valid_from(oid)),
            claims: event.map(|event| event.challenge()),
        }
    }
}

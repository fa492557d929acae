//! What operators do, for the audit log.

use std::error::Error;

use super::Administration;
use crate::audit::{Act, AuditEvent, Decision};
use crate::causes::Causes;
use crate::oauth::error::ErrorCode;

/// An act of an operator that has begun. It is told when it ends, and all the same where nobody waits for the
/// end: whoever hangs up has done what was done until then.
#[derive(Debug)]
pub(super) struct Noted<'a> {
    administration: &'a Administration,
    act: Act,
    object: Option<String>,
    is_told: bool,
}

impl<'a> Noted<'a> {
    /// That `act` on `object` begins.
    pub(super) const fn begin(
        administration: &'a Administration,
        act: Act,
        object: Option<String>,
    ) -> Self {
        Self {
            administration,
            act,
            object,
            is_told: false,
        }
    }

    /// What is `done`, once that is told.
    pub(super) fn end<T, E: Error + 'static>(mut self, done: Result<T, E>) -> Result<T, E> {
        self.tell(match &done {
            Ok(_) => Decision::Allowed,
            Err(error) => refused(Causes(error).to_string()),
        });
        done
    }

    fn tell(&mut self, decision: Decision) {
        self.is_told = true;
        let Administration {
            audit, operator, ..
        } = self.administration;
        let (Some(sink), Some(operator)) = (audit, operator) else {
            return;
        };
        if let Err(error) = sink.ready() {
            let (act, object) = (self.act.as_str(), self.object.as_deref());
            tracing::error!(act, object, %error, "an operator's act is not in the audit log yet");
        }
        sink.record(AuditEvent {
            who: Some(operator.clone()),
            object: self.object.take(),
            ..AuditEvent::new(self.act, decision, self.administration.now())
        });
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(refused(GIVEN_UP.to_owned()));
        }
    }
}

fn refused(reason: String) -> Decision {
    Decision::Denied {
        code: ErrorCode::ServerError,
        reason,
    }
}

const GIVEN_UP: &str =
    "whoever asked did not wait for the end: what was done until then stays done";

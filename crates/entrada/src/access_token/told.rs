//! What was last told of a token.

use std::sync::{Mutex, PoisonError};

use http::HeaderValue;

use crate::platform::Timestamp;

/// The [assertion](crate::caller_assertion) that was last made of a token.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Option<Assertion>>);

/// What was told, and how long it may be told again.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) audience: String,
    /// The key that signed it.
    pub(crate) kid: String,
    pub(crate) until: Timestamp,
    pub(crate) value: HeaderValue,
}

impl Told {
    /// It, if it may be told `audience` again: what a key signed that was revoked since, nobody believes.
    pub(crate) fn recall(
        &self,
        (audience, kid): (&str, &str),
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = told.as_ref()?;
        let good = told.audience == audience && told.kid == kid && now < told.until;
        good.then(|| told.value.clone())
    }

    pub(crate) fn remember(&self, assertion: Assertion) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(assertion);
    }
}

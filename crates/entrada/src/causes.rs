//! Why something failed, down to the first cause.

use std::error::Error;
use std::fmt;

/// An error with all of its sources on one line, for the log.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is no more than what it shows"
)]
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// The error of type `E` that is `error` or among its causes.
pub(crate) fn among_causes<'e, E: Error + 'static>(
    error: &'e (dyn Error + 'static),
) -> Option<&'e E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::TransportError;

    #[test]
    fn every_cause_is_told_in_order() {
        let error = TransportError::new("h", TransportError::new("i", "refused"));
        let told = Causes(&error).to_string();
        assert_eq!(
            told,
            "no complete response from h: no complete response from i: refused"
        );
    }
}

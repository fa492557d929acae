//! What there is without the feature `acme`: nothing.

use crate::acme::{AcmeError, AcmeSettings};
use crate::signals::Hangups;
use crate::tls::Certificates;

/// Gets certificates; there is nothing of it without the feature `acme`.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no value of it")]
pub enum Acme {}

impl Acme {
    /// Goes by `settings`.
    ///
    /// # Errors
    ///
    /// [`AcmeError::NotBuilt`].
    pub fn open(_: AcmeSettings) -> Result<Self, AcmeError> {
        Err(AcmeError::NotBuilt)
    }

    /// The certificate that clients are shown.
    pub const fn certificates(&self) -> &Certificates {
        match *self {}
    }

    /// Gets one whenever one is needed.
    #[expect(clippy::unused_async, reason = "as it is with the feature")]
    pub async fn tend(self, _: Hangups) {
        match self {}
    }
}

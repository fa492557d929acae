//! How our app registration proves itself to Entra.

use url::form_urlencoded;

use crate::secret::ClientSecret;

/// A credential of the app registration.
#[derive(Clone, Debug)]
pub(crate) enum ClientCredential {
    /// A client secret (RFC 6749 §2.3.1).
    Secret(ClientSecret),
}

impl ClientCredential {
    /// Adds the proof to a token request.
    ///
    /// In the body rather than in `Authorization`, where secrets with reserved characters are
    /// read differently by different servers (RFC 6749 §2.3.1).
    pub(super) fn append_to(&self, form: &mut form_urlencoded::Serializer<'_, String>) {
        match self {
            Self::Secret(secret) => form.append_pair("client_secret", secret.expose()),
        };
    }
}

//! The caller, as clients of the Azure SDK for Rust know a credential.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::time::OffsetDateTime;

use super::OboError;
use super::request::DownstreamRequest;
use crate::access_token::VerifiedToken;

/// A caller as a credential of the Azure SDK: whatever a client of the SDK does with it, it does as
/// the user (Microsoft, *on-behalf-of flow*).
///
/// It is one caller's. Clients of the SDK keep the tokens they got until shortly before their end,
/// so make one client for each caller, and do not keep it for longer than the call: a grant that is
/// revoked ends what is got from here within ten seconds, and what a client keeps with its token.
///
/// The error of a client has the [`OboError`] among its causes:
/// [`OboError::among_causes`] finds it, and with it the challenge that makes the caller's client come
/// back with more.
///
/// ```
/// use entrada::VerifiedToken;
/// use entrada::on_behalf_of::create_obo_credential;
///
/// async fn handler(caller: VerifiedToken) {
///     let credential = create_obo_credential(&caller);
///     // let secrets = SecretClient::new("https://contoso.vault.azure.net", credential, None)?;
/// #   let _ = credential;
/// }
/// ```
#[derive(Clone)]
pub struct OnBehalfOfCredential {
    caller: VerifiedToken,
    app_only_fallback: bool,
}

/// A credential for clients of the Azure SDK that speaks for `user`.
pub fn create_obo_credential(user: &VerifiedToken) -> Arc<OnBehalfOfCredential> {
    Arc::new(OnBehalfOfCredential::new(user.clone()))
}

impl OnBehalfOfCredential {
    /// Speaks for `caller`.
    pub const fn new(caller: VerifiedToken) -> Self {
        Self {
            caller,
            app_only_fallback: false,
        }
    }

    /// Speaks for our own app registration where the caller is an application: see
    /// [`DownstreamRequest::allow_app_only_fallback`].
    #[must_use]
    pub fn allow_app_only_fallback(self) -> Self {
        Self {
            app_only_fallback: true,
            ..self
        }
    }
}

#[async_trait]
impl TokenCredential for OnBehalfOfCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let scope = scopes.join(" ");
        let mut request = DownstreamRequest::new(&scope);
        if self.app_only_fallback {
            request = request.allow_app_only_fallback();
        }
        let given = self.caller.downstream_token_with_expiry(request).await;
        let given = given.map_err(error)?;
        let seconds = i64::try_from(given.expires_at.as_unix()).unwrap_or(i64::MAX);
        let expires_on = OffsetDateTime::from_unix_timestamp(seconds);
        let expires_on = expires_on.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Ok(AccessToken::new(
            given.token.expose().to_owned(),
            expires_on,
        ))
    }
}

fn error(error: OboError) -> Error {
    let message = error.to_string();
    Error::with_error(ErrorKind::Credential, error, message)
}

impl fmt::Debug for OnBehalfOfCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalfOfCredential")
            .field("caller", &self.caller.subject)
            .finish_non_exhaustive()
    }
}

//! A downstream token as an argument of axum handlers.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{DownstreamRequest, OboError};
use crate::access_token::VerifiedToken;
use crate::secret::EntraAccessToken;

/// What a handler needs of a downstream API, named by a type: see [`EntraOboToken`].
pub trait Downstream {
    /// The scopes, as [`DownstreamRequest::new`] takes them.
    const SCOPE: &'static str;

    /// Whether a caller that is an application gets a token that speaks for ourselves, as
    /// [`DownstreamRequest::allow_app_only_fallback`] says.
    const ALLOW_APP_ONLY_FALLBACK: bool = false;

    /// What is asked for.
    fn request() -> DownstreamRequest<'static> {
        let request = DownstreamRequest::new(Self::SCOPE);
        if Self::ALLOW_APP_ONLY_FALLBACK {
            request.allow_app_only_fallback()
        } else {
            request
        }
    }
}

/// A token to a downstream API that speaks for the caller (Microsoft, *on-behalf-of flow*): an axum
/// extractor whose scopes stand in its type.
///
/// Where there is none, the handler does not run, and the client gets the challenge with which it
/// can come back: see [`OboError`].
///
/// ```
/// use entrada::EntraOboToken;
/// use entrada::on_behalf_of::Downstream;
///
/// struct ReadMail;
///
/// impl Downstream for ReadMail {
///     const SCOPE: &str = "https://graph.microsoft.com/Mail.Read";
/// }
///
/// async fn mails(token: EntraOboToken<ReadMail>) -> String {
///     let authorization = format!("Bearer {}", token.expose());
///     // … which Microsoft Graph takes for the caller's own.
/// #   let _ = authorization;
///     "three unread".to_owned()
/// }
/// ```
pub struct EntraOboToken<D> {
    token: EntraAccessToken,
    downstream: PhantomData<fn() -> D>,
}

impl<D: Downstream> EntraOboToken<D> {
    /// The token for whoever `caller` is.
    ///
    /// # Errors
    ///
    /// [`OboError`]: the caller has none to exchange, or Entra gives none.
    pub async fn of(caller: &VerifiedToken) -> Result<Self, OboError> {
        let token = caller.downstream_token(D::request()).await?;
        Ok(Self {
            token,
            downstream: PhantomData,
        })
    }
}

impl<D> EntraOboToken<D> {
    /// Returns the bare token, to put into a request to the API and nowhere else.
    pub fn expose(&self) -> &str {
        self.token.expose()
    }
}

impl<D> fmt::Debug for EntraOboToken<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntraOboToken(…)")
    }
}

impl<D: Downstream, S: Send + Sync> FromRequestParts<S> for EntraOboToken<D> {
    type Rejection = OboError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, OboError> {
        let caller = parts.extensions.get::<VerifiedToken>();
        Self::of(caller.ok_or(OboError::NotAuthenticated)?).await
    }
}

//! What goes with a verified token, so that it can be exchanged.

use super::exchange::{Assertion, Source};
use super::kept::Given;
use super::request::DownstreamScope;
use super::{DownstreamRequest, OboError, OnBehalfOf, Subject};
use crate::access_token::{Backing, Backs, PresentedToken, PrincipalKind, VerifiedToken};
use crate::secret::EntraAccessToken;

/// What lets a caller's token be exchanged: it goes with the token.
pub(super) struct Delegation {
    on_behalf_of: OnBehalfOf,
    /// Entra's own token, where the caller came with it.
    presented: Option<Presented>,
}

struct Presented {
    token: EntraAccessToken,
    digest: [u8; 32],
}

impl Delegation {
    pub(super) async fn token(
        &self,
        caller: &VerifiedToken,
        request: DownstreamRequest<'_>,
    ) -> Result<Given, OboError> {
        let on_behalf_of = &self.on_behalf_of;
        let tenant_id = &caller.principal.tenant_id;
        let Some(presented) = &self.presented else {
            return on_behalf_of.under_grant(caller, request).await;
        };
        let scope = DownstreamScope::parse(request.scope)?;
        match caller.principal.kind {
            PrincipalKind::User => {
                let subject = Subject::Assertion(presented.digest);
                let source = || {
                    Source::Assertion(Assertion {
                        token: presented.token.clone(),
                        tenant_id: tenant_id.clone(),
                    })
                };
                on_behalf_of
                    .token(subject, source, (scope, request.claims))
                    .await
            }
            PrincipalKind::Application if request.app_only_fallback => {
                let subject = Subject::App(tenant_id.clone());
                let source = || Source::App(tenant_id.clone());
                on_behalf_of
                    .token(subject, source, (scope.default_of_api(), request.claims))
                    .await
            }
            PrincipalKind::Application => Err(OboError::AppOnlyCaller),
        }
    }
}

/// For callers who have grants.
impl Backs for OnBehalfOf {
    fn backing(&self, presented: PresentedToken<'_>) -> Backing {
        let presented = self.0.server.is_none().then(|| Presented {
            token: EntraAccessToken::new(presented.expose()),
            digest: presented.digest(),
        });
        Backing::new(Delegation {
            on_behalf_of: self.clone(),
            presented,
        })
    }
}

impl VerifiedToken {
    /// An access token to a downstream API that speaks for the caller (Microsoft, *on-behalf-of flow*),
    /// for a scope such as `https://graph.microsoft.com/User.Read`; all scopes must be of one API.
    /// Whoever verified the caller's token gives it.
    ///
    /// Tokens are kept, and replaced before their end while everybody goes on with the old one. Many
    /// callers who need the same token wait for one exchange.
    ///
    /// ```
    /// # use entrada::VerifiedToken;
    /// # use entrada::on_behalf_of::OboError;
    /// async fn mails(caller: VerifiedToken) -> Result<String, OboError> {
    ///     let token = caller.downstream_token("https://graph.microsoft.com/Mail.Read").await?;
    ///     let authorization = format!("Bearer {}", token.expose());
    ///     // … which Microsoft Graph takes for the caller's own.
    /// #   let _ = authorization;
    ///     Ok("three unread".to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`OboError`]: the caller has nothing to exchange, or Entra gives no token.
    pub async fn downstream_token<'r>(
        &self,
        request: impl Into<DownstreamRequest<'r>>,
    ) -> Result<EntraAccessToken, OboError> {
        let given = self.downstream_token_with_expiry(request.into()).await?;
        Ok(given.token)
    }

    pub(super) async fn downstream_token_with_expiry(
        &self,
        request: DownstreamRequest<'_>,
    ) -> Result<Given, OboError> {
        let delegation = self.backing::<Delegation>().ok_or(OboError::NoCredential)?;
        delegation.token(self, request).await
    }
}

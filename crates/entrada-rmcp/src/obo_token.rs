//! A downstream token as an argument of tools.

use std::fmt;
use std::marker::PhantomData;

use entrada::on_behalf_of::Downstream;
use entrada::secret::EntraAccessToken;
use rmcp::ErrorData;
use rmcp::handler::server::common::{AsRequestContext, FromContextPart};

use crate::current_user::CurrentUser;

/// A token to a downstream API that speaks for the caller (Microsoft, *on-behalf-of flow*), as an
/// argument of tools whose scopes stand in its type. It is no part of a tool's schema.
///
/// rmcp makes arguments without waiting, so the token is got in the tool: it is kept, and got anew
/// once in its life.
///
/// ```
/// use entrada::on_behalf_of::Downstream;
/// use entrada_rmcp::EntraOboToken;
/// use rmcp::{ErrorData, tool, tool_router};
///
/// struct ReadMail;
///
/// impl Downstream for ReadMail {
///     const SCOPE: &str = "https://graph.microsoft.com/Mail.Read";
/// }
///
/// struct Server;
///
/// #[tool_router]
/// impl Server {
///     /// Lists the caller's mails.
///     #[tool]
///     async fn list_mails(&self, graph: EntraOboToken<ReadMail>) -> Result<String, ErrorData> {
///         let token = graph.get().await?;
///         let authorization = format!("Bearer {}", token.expose());
///         // … which Microsoft Graph takes for the caller's own.
/// #       let _ = authorization;
///         Ok("three unread".to_owned())
///     }
/// }
/// ```
pub struct EntraOboToken<D> {
    user: CurrentUser,
    downstream: PhantomData<fn() -> D>,
}

impl<D: Downstream> EntraOboToken<D> {
    /// The token.
    ///
    /// # Errors
    ///
    /// What [`CurrentUser::refuse`] says; hand it on, so that the client learns what to do.
    pub async fn get(&self) -> Result<EntraAccessToken, ErrorData> {
        self.user.downstream_token(D::request()).await
    }
}

impl<D> fmt::Debug for EntraOboToken<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntraOboToken(…)")
    }
}

impl<D, C: AsRequestContext> FromContextPart<C> for EntraOboToken<D> {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        let user = CurrentUser::from_context_part(context)?;
        let downstream = PhantomData;
        Ok(Self { user, downstream })
    }
}

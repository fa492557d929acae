//! Who sent the message a handler is working on.

use std::ops::Deref;

use entrada::VerifiedToken;
use entrada::policy::Requirement;
use http::request::Parts;
use rmcp::ErrorData;
use rmcp::handler::server::common::{AsRequestContext, FromContextPart};
use rmcp::model::Extensions;

use crate::refusal::to_error_data;

/// Who sent the message a handler is working on: an argument of tools and prompts.
///
/// It is taken anew from every message. A session outlives its tokens, so a server that kept it
/// would go on believing a token that has expired or lost scopes.
#[derive(Clone, Debug)]
pub struct CurrentUser(VerifiedToken);

impl CurrentUser {
    /// The same for methods of `ServerHandler`, which have a context with extensions instead of
    /// arguments.
    ///
    /// ```
    /// # use rmcp::{ErrorData, RoleServer, service::RequestContext};
    /// # use entrada_rmcp::CurrentUser;
    /// fn subject(context: &RequestContext<RoleServer>) -> Result<String, ErrorData> {
    ///     let user = CurrentUser::from_extensions(&context.extensions)?;
    ///     Ok(user.subject.clone())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// An internal error (`-32603`) if no guard stands before the server, or the message did not
    /// come over HTTP.
    pub fn from_extensions(extensions: &Extensions) -> Result<Self, ErrorData> {
        let token = extensions
            .get::<Parts>()
            .and_then(|parts| parts.extensions.get::<VerifiedToken>());
        token.cloned().map(Self).ok_or_else(|| {
            tracing::error!("no RequireBearerLayer stands before this server");
            ErrorData::internal_error("nobody is authenticated: the server has no guard", None)
        })
    }

    /// Checks what depends on the arguments of a tool, and so cannot be declared beside it.
    ///
    /// ```
    /// # use entrada::policy::Requirement;
    /// # use rmcp::ErrorData;
    /// # use entrada_rmcp::CurrentUser;
    /// fn read(user: &CurrentUser, path: &str) -> Result<String, ErrorData> {
    ///     if path.starts_with("payroll/") {
    ///         user.require(&Requirement::roles(["Payroll.Read"]))?;
    ///     }
    ///     Ok(format!("what is in {path}"))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// An invalid request (`-32600`). Its `data` holds `insufficient_scope` and the scopes that are
    /// needed, in short spelling, or `access_denied` where no scope helps; what the caller lacks
    /// then is for the log alone. A client starts no authorization on it, as it does on a
    /// challenge.
    pub fn require(&self, requirement: &Requirement) -> Result<(), ErrorData> {
        requirement.decide(self).map_err(|shortfall| {
            let (subject, client_id) = (&self.subject, self.client_id.as_str());
            tracing::info!(reason = %shortfall, subject, client_id, "tool refused");
            to_error_data(&shortfall)
        })
    }
}

impl Deref for CurrentUser {
    type Target = VerifiedToken;

    fn deref(&self) -> &VerifiedToken {
        &self.0
    }
}

impl<C: AsRequestContext> FromContextPart<C> for CurrentUser {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        Self::from_extensions(&context.as_request_context().extensions)
    }
}

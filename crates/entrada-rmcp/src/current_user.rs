//! Who sent the message a handler is working on.

use std::ops::Deref;

use entrada::VerifiedToken;
use entrada::access_token::Shortfall;
use entrada::causes::Causes;
use entrada::on_behalf_of::{DownstreamRequest, OboError};
use entrada::policy::Requirement;
use entrada::secret::EntraAccessToken;
use http::request::Parts;
use rmcp::ErrorData;
use rmcp::handler::server::common::{AsRequestContext, FromContextPart};
use rmcp::model::Extensions;

use crate::hold::Note;
use crate::refusal::{to_error_data, unavailable};

/// Who sent the message a handler is working on: an argument of tools and prompts.
///
/// It is taken anew from every message. A session outlives its tokens, so a server that kept it
/// would go on believing a token that has expired or lost scopes.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    token: VerifiedToken,
    /// Where to note what is lacking, while the answer can still be a challenge.
    note: Option<Note>,
}

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
        let request = extensions.get::<Parts>().map(|parts| &parts.extensions);
        let token = request.and_then(|request| request.get::<VerifiedToken>());
        let token = token.cloned().ok_or_else(|| {
            tracing::error!("no RequireBearerLayer stands before this server");
            ErrorData::internal_error("nobody is authenticated: the server has no guard", None)
        })?;
        let note = request.and_then(|request| request.get::<Note>()).cloned();
        Ok(Self { token, note })
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

    /// An access token to a downstream API that speaks for the caller (Microsoft, *on-behalf-of
    /// flow*), with a scope such as `https://graph.microsoft.com/Mail.Read`.
    ///
    /// ```
    /// # use rmcp::ErrorData;
    /// # use entrada_rmcp::CurrentUser;
    /// async fn mails(user: &CurrentUser) -> Result<String, ErrorData> {
    ///     let token = user.downstream_token("https://graph.microsoft.com/Mail.Read").await?;
    ///     let authorization = format!("Bearer {}", token.expose());
    ///     // … which Microsoft Graph takes for the caller's own.
    /// #   let _ = authorization;
    ///     Ok("three unread".to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// What [`refuse`](Self::refuse) makes of an [`OboError`]; hand it on.
    pub async fn downstream_token<'r>(
        &self,
        request: impl Into<DownstreamRequest<'r>>,
    ) -> Result<EntraAccessToken, ErrorData> {
        let token = self.token.downstream_token(request).await;
        token.map_err(|error| self.refuse(&error))
    }

    /// What to answer where the caller's token could not be exchanged: what
    /// [`downstream_token`](Self::downstream_token) does by itself, and a tool must do that got the
    /// error some other way, from a client of an Azure SDK perhaps ([`OboError::among_causes`]).
    ///
    /// Where the user must do something, the client gets a challenge (401, or 403) that makes it sign
    /// them in, as long as nothing has been answered and a [`StepUpLayer`](crate::StepUpLayer) stands
    /// before the server. Where that is too late, or was in vain before, the error tells the person:
    /// `-32042` (MCP, *URL elicitation required*) with a page on which they do the same. Passing
    /// trouble is an internal error that says when to try again. The cause is for the log alone.
    #[must_use]
    pub fn refuse(&self, error: &OboError) -> ErrorData {
        let (subject, client_id) = (&self.subject, self.client_id.as_str());
        let Some(shortfall) = error.shortfall() else {
            let cause = Causes(error);
            tracing::error!(%cause, subject, client_id, "no downstream token");
            return unavailable(error.retry_after());
        };
        tracing::info!(reason = %shortfall, subject, client_id, "tool refused");
        let told = to_error_data(&shortfall);
        if let Some(note) = &self.note
            && !is_in_vain(&shortfall)
        {
            note.write(shortfall);
        }
        told
    }
}

/// Whether the client was challenged before, and knew nothing to do about it.
fn is_in_vain(shortfall: &Shortfall) -> bool {
    matches!(shortfall, Shortfall::Interaction(interaction) if interaction.asked_in_vain)
}

impl Deref for CurrentUser {
    type Target = VerifiedToken;

    fn deref(&self) -> &VerifiedToken {
        &self.token
    }
}

impl<C: AsRequestContext> FromContextPart<C> for CurrentUser {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        Self::from_extensions(&context.as_request_context().extensions)
    }
}

//! `GET` on the redirect path: Entra sends the user back.

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::authorize::AnswerTo;
use super::correlation::CorrelationId;
use super::pages::{self, Words};
use super::{AuthorizationServer, answer, cookie, token};
use crate::entra::error::{EntraError, Remedy};
use crate::grant::{ConsentedRequest, GrantId, IssuedCode};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, EntraCode, UpstreamState};
use crate::store::StoreError;

/// Why a login came to nothing.
///
/// What holds an [`AnswerTo`] goes back to the client; what holds none ends on a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// The parameters cannot be read, or `state` is missing.
    #[error("the callback is not one of entra's")]
    Malformed,
    /// The browser does not hold the cookie of this login.
    #[error("the callback came from another browser than the consent")]
    OtherBrowser,
    /// No such login is under way: it was finished before, or took too long.
    #[error("no such login is under way")]
    UnknownLogin,
    /// The store failed before the login was known.
    #[error(transparent)]
    Store(StoreError),
    /// Entra's own error, sent through the browser.
    #[error("entra sent the user back with an error: {error}")]
    Entra {
        /// What it is.
        error: UpstreamError,
        /// Whom to tell.
        to: AnswerTo,
    },
    /// The user may sign in, but was granted nothing that was asked for.
    #[error("none of the scopes was granted")]
    NothingGranted(AnswerTo),
    /// Entra did not take its own code, or gave nothing that holds.
    #[error("the login could not be completed")]
    Redeem {
        /// What went wrong.
        #[source]
        error: EntraError,
        /// Whom to tell.
        to: AnswerTo,
    },
    /// The store failed when the code was to be stored.
    #[error("the code could not be stored")]
    StoreCode {
        /// What went wrong.
        #[source]
        error: StoreError,
        /// Whom to tell.
        to: AnswerTo,
    },
}

/// The errors Entra's authorization endpoint sends back (RFC 6749 §4.1.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The user, or a policy, said no.
    #[error("access_denied")]
    AccessDenied,
    /// Entra is not available now.
    #[error("temporarily_unavailable")]
    TemporarilyUnavailable,
    /// Anything else: our app registration or our request is wrong.
    #[error("the app registration does not fit the request")]
    Other,
}

impl UpstreamError {
    fn parse(error: &str) -> Self {
        match error {
            "access_denied" | "consent_required" | "interaction_required" | "login_required" => {
                Self::AccessDenied
            }
            "temporarily_unavailable" | "server_error" => Self::TemporarilyUnavailable,
            _ => Self::Other,
        }
    }
}

impl CallbackError {
    fn answer_to(&self) -> Option<&AnswerTo> {
        match self {
            Self::Malformed | Self::OtherBrowser | Self::UnknownLogin | Self::Store(_) => None,
            Self::NothingGranted(to)
            | Self::Entra { to, .. }
            | Self::Redeem { to, .. }
            | Self::StoreCode { to, .. } => Some(to),
        }
    }
}

impl From<&CallbackError> for ErrorResponse {
    fn from(error: &CallbackError) -> Self {
        let unavailable = (
            ErrorCode::TemporarilyUnavailable,
            "signing in is not possible now, try again later",
        );
        let misconfigured = (
            ErrorCode::ServerError,
            "the server's registration at Microsoft Entra needs mending",
        );
        let denied = (
            ErrorCode::AccessDenied,
            "Microsoft Entra did not sign the user in",
        );
        let (code, description) = match error {
            CallbackError::Malformed => (ErrorCode::InvalidRequest, "the callback cannot be read"),
            CallbackError::OtherBrowser => (
                ErrorCode::AccessDenied,
                "the callback belongs to another browser",
            ),
            CallbackError::UnknownLogin => {
                (ErrorCode::InvalidRequest, "no such login is under way")
            }
            CallbackError::Store(_) | CallbackError::StoreCode { .. } => unavailable,
            CallbackError::Entra { error, .. } => match error {
                UpstreamError::AccessDenied => denied,
                UpstreamError::TemporarilyUnavailable => unavailable,
                UpstreamError::Other => misconfigured,
            },
            CallbackError::NothingGranted(_) => {
                (ErrorCode::AccessDenied, "none of the scopes was granted")
            }
            CallbackError::Redeem { error, .. } if error.is_of_another_tenant() => (
                ErrorCode::AccessDenied,
                "users of this organisation may not sign in here",
            ),
            CallbackError::Redeem { error, .. } => match error.remedy() {
                Remedy::Retry(_) => unavailable,
                Remedy::SignInAgain | Remedy::StepUp | Remedy::Consent | Remedy::AskAdmin => denied,
                Remedy::FixConfiguration => misconfigured,
            },
        };
        Self::new(code, description)
    }
}

pub(super) async fn get(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    // A browser that only looks ahead must not spend the code.
    if headers
        .get("sec-purpose")
        .is_some_and(|value| value.as_bytes().starts_with(b"prefetch"))
    {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let Some((params, state)) = query
        .and_then(|query| Params::parse(query.as_bytes()).ok())
        .and_then(|params| {
            params
                .get("state")
                .map(UpstreamState::new)
                .map(|state| (params, state))
        })
    else {
        return server.refuse_callback(&CallbackError::Malformed, &correlation);
    };
    let mut response = match server.come_back(&params, &state, &headers).await {
        Ok((code, issued_to)) => {
            tracing::info!(correlation_id = %correlation, grant = %issued_to.grant, "code issued");
            server.answer(&issued_to.to, &code)
        }
        Err(error) => server.refuse_callback(&error, &correlation),
    };
    let cookies = cookie::Cookies::new(server.0.endpoints.secure);
    response
        .headers_mut()
        .append(header::SET_COOKIE, cookies.clear_login(&state));
    response
}

/// What a code was issued for.
struct IssuedTo {
    grant: GrantId,
    to: AnswerTo,
}

impl AuthorizationServer {
    async fn come_back(
        &self,
        params: &Params,
        state: &UpstreamState,
        headers: &HeaderMap,
    ) -> Result<(AuthorizationCode, IssuedTo), CallbackError> {
        let now = self.now();
        let cookies = cookie::Cookies::new(self.0.endpoints.secure);
        // Looked at before the login is taken: a scanner that follows the link ends nothing.
        let binding = cookies
            .login(headers, state)
            .ok_or(CallbackError::OtherBrowser)?;
        let request = self
            .0
            .store
            .take_request(state, now)
            .await
            .map_err(CallbackError::Store)?;
        let request = request.ok_or(CallbackError::UnknownLogin)?;
        if !request.is_from(&binding) {
            return Err(CallbackError::OtherBrowser);
        }
        if request.has_expired(now) {
            return Err(CallbackError::UnknownLogin);
        }
        let to = AnswerTo::new(
            request.redirect().clone(),
            request.state().map(str::to_owned),
        );
        if let Some(error) = params.get("error") {
            return Err(CallbackError::Entra {
                error: UpstreamError::parse(error),
                to,
            });
        }
        let code = params
            .get("code")
            .map(EntraCode::new)
            .ok_or(CallbackError::Malformed)?;
        let issued = match self.complete(request, &code, now).await {
            Ok(issued) => issued,
            Err(error) => return Err(CallbackError::Redeem { error, to }),
        };
        if issued.scope().is_empty() {
            return Err(CallbackError::NothingGranted(to));
        }
        let grant = issued.grant_id();
        let code = AuthorizationCode::generate(&*self.0.platform.random);
        match self
            .0
            .store
            .put_code(&code, &issued, now + token::CODE_MEMORY)
            .await
        {
            Ok(()) => Ok((code, IssuedTo { grant, to })),
            Err(error) => Err(CallbackError::StoreCode { error, to }),
        }
    }

    async fn complete(
        &self,
        request: ConsentedRequest,
        code: &EntraCode,
        now: Timestamp,
    ) -> Result<IssuedCode, EntraError> {
        let signed_in = self.0.entra.redeem(&request, code, now).await?;
        Ok(request.complete(GrantId::generate(&*self.0.platform.random), signed_in, now))
    }

    fn answer(&self, to: &AnswerTo, code: &AuthorizationCode) -> Response {
        pages::redirect(&self.location(to, &[("code", code.expose())]))
    }

    fn refuse_callback(&self, error: &CallbackError, correlation: &CorrelationId) -> Response {
        let answer = ErrorResponse::from(error);
        answer::log(error, answer.error, correlation);
        match error.answer_to() {
            Some(to) => pages::redirect(&self.error_location(to, answer)),
            None => page(error, answer.error, correlation),
        }
    }
}

fn page(error: &CallbackError, code: ErrorCode, correlation: &CorrelationId) -> Response {
    let words = match error {
        CallbackError::OtherBrowser => Words {
            title: "This sign-in began in another browser",
            message: "The browser that comes back from Microsoft must be the one that gave its \
                      consent. Cookies must be allowed for this site.",
            advice: "Close this window and start again from your app. If you followed a link \
                     somebody sent you, do not use it again.",
        },
        CallbackError::UnknownLogin => Words {
            title: "This sign-in is over",
            message: "It was finished before, or took longer than ten minutes.",
            advice: pages::START_AGAIN,
        },
        CallbackError::Store(_) => pages::UNAVAILABLE,
        CallbackError::Malformed
        | CallbackError::Entra { .. }
        | CallbackError::NothingGranted(_)
        | CallbackError::Redeem { .. }
        | CallbackError::StoreCode { .. } => Words {
            title: pages::NOT_COMPLETE,
            message: "Microsoft sent you back with an answer this server cannot read.",
            advice: pages::START_AGAIN,
        },
    };
    pages::error(code, words, correlation)
}

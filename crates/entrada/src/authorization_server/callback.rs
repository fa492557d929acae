//! `GET` on the redirect path: Entra sends the user back.

use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::approvals::Noted;
use super::approved_apps::{self, ApprovedAppsError};
use super::authorize::AnswerTo;
use super::consent::ConsentError;
use super::correlation::CorrelationId;
use super::pages::{self, Words};
use super::sign_in_again::{self, SignInAgainError};
use super::{AuthorizationServer, answer, observed, token};
use crate::access_token::Principal;
use crate::audit::{Act, Decision};
use crate::causes::Causes;
use crate::entra::error::EntraError;
use crate::grant::{
    AuthorizationRequest, ConsentedRequest, EntraLogin, GrantId, NeededInteraction, PendingLogin,
    SignedIn,
};
use crate::meters;
use crate::oauth::client::ClientId;
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, BrowserBinding, EntraCode, UpstreamState};

mod error;
mod refusal;

pub use error::CallbackError;
pub(super) use refusal::{NOT_COMPLETED, UNAVAILABLE, unredeemed};
pub use refusal::{UpstreamError, UpstreamRefusal};

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
    let params = query.and_then(|query| Params::parse(query.as_bytes()).ok());
    if let Some(params) = &params
        && is_of_administrator(params)
    {
        return administrator_answered(params, &correlation);
    }
    let Some((params, state)) = params.and_then(|params| {
        let state = params.get("state").map(UpstreamState::new);
        state.map(|state| (params, state))
    }) else {
        return server.refuse_callback(&CallbackError::Malformed, &correlation);
    };
    let mut response = match server.come_back(&params, &state, &headers).await {
        Ok(landed) => server.answer(landed, &correlation),
        Err(error) => server.refuse_callback(&error, &correlation),
    };
    let cookies = server.cookies();
    response
        .headers_mut()
        .append(header::SET_COOKIE, cookies.clear_login(&state));
    response
}

/// Whether an administrator comes back from an admin consent link (Microsoft, *admin consent
/// endpoint*). We put no `state` into such a link.
fn is_of_administrator(params: &Params) -> bool {
    let denied = params.get("error") == Some("permission_denied") && params.get("state").is_none();
    let answered = params.get("admin_consent").is_some_and(is_true) && params.get("code").is_none();
    denied || answered
}

/// Tells an administrator what came of it: that is nobody's login.
fn administrator_answered(params: &Params, correlation: &CorrelationId) -> Response {
    if params.get("error").is_none() {
        return pages::done(sign_in_again::CONSENTED);
    }
    let words = Words {
        title: "No consent was given",
        message: "You said no, or your account may not consent for your organisation.",
        advice: "Nothing was changed. The link can be opened again.",
    };
    pages::error(ErrorCode::AccessDenied, words, correlation)
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

/// What came of a user's way back.
enum Landed {
    /// A code for the client.
    Code(AuthorizationCode, Box<IssuedTo>),
    /// Who signed in is asked: another consented, or they do no more.
    Asked(Box<AuthorizationRequest>, HeaderValue),
    /// They see their apps.
    Apps(Response),
    /// They are sent to Entra once more.
    Onward(Response),
    /// A grant they had given holds again.
    SignedInAgain(GrantId),
}

/// What a code was issued for.
struct IssuedTo {
    grant: GrantId,
    principal: Principal,
    client_id: ClientId,
    client_name: Option<String>,
    to: AnswerTo,
    /// Says who uses the browser, where that is remembered.
    set_user: Option<HeaderValue>,
}

/// Why Entra signed nobody in.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSignedIn {
    #[error("entra sent the user back with an error")]
    Entra(#[source] UpstreamRefusal),
    #[error("there is no code")]
    NoCode,
    #[error("the login could not be completed")]
    Redeem(#[source] EntraError),
}

impl NotSignedIn {
    fn told(self, to: AnswerTo) -> CallbackError {
        match self {
            Self::Entra(error) => CallbackError::Entra { error, to },
            Self::NoCode => CallbackError::Malformed,
            Self::Redeem(error) => CallbackError::Redeem { error, to },
        }
    }
}

impl From<NotSignedIn> for SignInAgainError {
    fn from(error: NotSignedIn) -> Self {
        match error {
            NotSignedIn::Entra(error) => Self::Entra(error),
            NotSignedIn::NoCode => Self::Link,
            NotSignedIn::Redeem(error) => Self::Redeem(error),
        }
    }
}

impl AuthorizationServer {
    async fn come_back(
        &self,
        params: &Params,
        state: &UpstreamState,
        headers: &HeaderMap,
    ) -> Result<Landed, CallbackError> {
        let now = self.now();
        let cookies = self.cookies();
        // Looked at before the login is taken: a scanner that follows the link ends nothing.
        let binding = cookies
            .login(headers, state)
            .ok_or(CallbackError::OtherBrowser)?;
        let pending = self
            .0
            .store
            .take_request(state, now)
            .await
            .map_err(CallbackError::Store)?;
        let pending = pending.ok_or(CallbackError::UnknownLogin)?;
        if !pending.login().is_from(&binding) {
            return Err(CallbackError::OtherBrowser);
        }
        if pending.login().has_expired(now) {
            return Err(CallbackError::UnknownLogin);
        }
        let signed_in = self.signed_in(pending.login(), params, now).await;
        match pending {
            PendingLogin::Authorization(request) => {
                self.issue_code((*request, signed_in), headers, now).await
            }
            PendingLogin::Page(_) => {
                let signed_in = signed_in.map_err(ApprovedAppsError::from);
                let shown = signed_in.and_then(|it| self.signed_in_to_apps(&it, now));
                shown.map(Landed::Apps).map_err(CallbackError::ApprovedApps)
            }
            PendingLogin::SignInAgain(again) => {
                let signed_in = signed_in.map_err(SignInAgainError::from);
                let signed_in = signed_in.map_err(CallbackError::SignInAgain)?;
                let done = self.signed_in_again(&again, signed_in, now).await;
                done.map_err(CallbackError::SignInAgain)?;
                Ok(Landed::SignedInAgain(again.grant()))
            }
        }
    }

    /// Who signed in.
    async fn signed_in(
        &self,
        login: &EntraLogin,
        params: &Params,
        now: Timestamp,
    ) -> Result<SignedIn, NotSignedIn> {
        if let Some(error) = params.get("error") {
            let description = params.get("error_description");
            let scope = self.0.entra.login_scope(login).to_string();
            let refusal = UpstreamRefusal::new(error, description, scope);
            return Err(NotSignedIn::Entra(refusal));
        }
        let code = params.get("code").map(EntraCode::new);
        let code = code.ok_or(NotSignedIn::NoCode)?;
        let redeemed = self.0.entra.redeem(login, &code, now).await;
        redeemed.map_err(NotSignedIn::Redeem)
    }

    async fn issue_code(
        &self,
        (request, signed_in): (ConsentedRequest, Result<SignedIn, NotSignedIn>),
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Landed, CallbackError> {
        let to = AnswerTo::new(
            request.redirect().clone(),
            request.state().map(str::to_owned),
        );
        let signed_in = match (signed_in, request.signed_in_before()) {
            (Ok(signed_in), _) => signed_in,
            // What lacks is asked for again when it is needed.
            (Err(error), Some(before)) => {
                let (advice, scope) = answer::on_entra(&error);
                tracing::info!(advice, scope, cause = %Causes(&error), "the user did not bring what was needed, and is signed in without");
                before.clone()
            }
            (Err(error), None) => return Err(error.told(to)),
        };
        if !request.is_consented_by(&signed_in) {
            return Ok(self.ask_now(request, &signed_in, headers, now));
        }
        let request = match self.needed_of(&request, &signed_in, now).await {
            Some(needed) => return self.once_more(request, (signed_in, needed), to, now).await,
            None => request,
        };
        let id = GrantId::generate(&*self.0.platform.random);
        let noted = self.note_grant(id, &request, &signed_in.principal, now);
        match noted.await {
            Ok(Noted::Yes) => {}
            Ok(Noted::TakenBack) => return Ok(self.ask_now(request, &signed_in, headers, now)),
            Err(error) => return Err(CallbackError::StoreCode { error, to }),
        }
        let set_user = self.note_user(&signed_in.principal, now);
        let (client_id, client_name) = request.client();
        let (client_id, client_name) = (client_id.clone(), client_name.map(str::to_owned));
        let principal = signed_in.principal.clone();
        let issued = request.complete(id, signed_in, now);
        if issued.scope().is_empty() {
            return Err(CallbackError::NothingGranted(to));
        }
        let code = AuthorizationCode::generate(&*self.0.platform.random);
        let kept_until = now + token::CODE_MEMORY;
        match self.0.store.put_code(&code, &issued, kept_until).await {
            Ok(()) => {
                let issued_to = IssuedTo {
                    grant: id,
                    principal,
                    client_id,
                    client_name,
                    to,
                    set_user,
                };
                Ok(Landed::Code(code, Box::new(issued_to)))
            }
            Err(error) => Err(CallbackError::StoreCode { error, to }),
        }
    }

    /// Asks a user who came where another was expected, who consented; or one who did, and does no more.
    fn ask_now(
        &self,
        request: ConsentedRequest,
        signed_in: &SignedIn,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Landed {
        let random = &*self.0.platform.random;
        let (browser, set_cookie) = self.cookies().browser_or_new(headers, random);
        let state = UpstreamState::generate(random);
        let request = request.ask_again(signed_in, state, browser.hashed(), now);
        Landed::Asked(Box::new(request), set_cookie)
    }

    /// What this user must bring to a login besides, if this one was not for that. It is asked for
    /// once: a policy that cannot be met must not keep anybody out of what it is not about.
    async fn needed_of(
        &self,
        request: &ConsentedRequest,
        signed_in: &SignedIn,
        now: Timestamp,
    ) -> Option<NeededInteraction> {
        if request.signed_in_before().is_some() {
            return None;
        }
        let key = request.interaction_key(signed_in)?;
        let taken = self.0.store.take_interaction(&key, now).await;
        let needed = taken.unwrap_or_else(|error| {
            tracing::error!(cause = %Causes(&error), "nobody knows whether more is needed of this user");
            None
        });
        needed.filter(|needed| !needed.is_any_login())
    }

    /// Sends a user who signed in to Entra once more, for what that login did not bring.
    async fn once_more(
        &self,
        request: ConsentedRequest,
        first: (SignedIn, NeededInteraction),
        to: AnswerTo,
        now: Timestamp,
    ) -> Result<Landed, CallbackError> {
        let random = &*self.0.platform.random;
        let binding = BrowserBinding::generate(random);
        let (state, login) = (UpstreamState::generate(random), self.login(binding.clone()));
        let pending = request.again(first, state, login, now).into();
        match self.send_to_entra(&pending, &binding, now).await {
            Ok(response) => Ok(Landed::Onward(response)),
            Err(ConsentError::Store(error)) => Err(CallbackError::StoreCode { error, to }),
            Err(_) => Err(CallbackError::UnknownLogin),
        }
    }

    fn answer(&self, landed: Landed, correlation: &CorrelationId) -> Response {
        match landed {
            Landed::Code(code, issued_to) => {
                let IssuedTo {
                    grant,
                    principal,
                    client_id,
                    client_name,
                    to,
                    set_user,
                } = *issued_to;
                tracing::info!(correlation_id = %correlation, %grant, "code issued");
                meters::login("ok", None);
                let event = self.event(Act::Login, Decision::Allowed).about(&principal);
                let event = event.of_client(&client_id, client_name.as_deref());
                self.tell(event.of_grant(grant), correlation);
                let mut response = pages::redirect(&self.location(&to, &[("code", code.expose())]));
                if let Some(set_user) = set_user {
                    let headers = response.headers_mut();
                    headers.append(header::SET_COOKIE, set_user);
                }
                response
            }
            Landed::Asked(request, set_cookie) => {
                tracing::info!(correlation_id = %correlation, "who signed in did not consent, or no more: asking them");
                let mut response = self.ask(&request, correlation);
                let headers = response.headers_mut();
                headers.append(header::SET_COOKIE, set_cookie);
                response
            }
            Landed::Apps(response) => response,
            Landed::Onward(response) => {
                tracing::info!(correlation_id = %correlation, "more is needed of the user");
                response
            }
            Landed::SignedInAgain(grant) => {
                tracing::info!(correlation_id = %correlation, %grant, "signed in again");
                meters::login("again", None);
                let event = self.event(Act::Login, Decision::Allowed);
                self.tell(event.of_grant(grant), correlation);
                pages::done(sign_in_again::DONE)
            }
        }
    }

    fn refuse_callback(&self, error: &CallbackError, correlation: &CorrelationId) -> Response {
        let answer = ErrorResponse::from(error);
        meters::login(answer.error.as_str(), observed::aadsts(error));
        let decision = observed::denied(answer.error, error);
        self.tell(self.event(Act::Login, decision), correlation);
        let logs_itself = matches!(
            error,
            CallbackError::SignInAgain(_) | CallbackError::ApprovedApps(_)
        );
        if !logs_itself {
            answer::log(error, answer.error, correlation);
        }
        match (error, error.answer_to()) {
            (_, Some(to)) => pages::redirect(&self.error_location(to, answer)),
            (CallbackError::SignInAgain(error), None) => sign_in_again::page(error, correlation),
            (CallbackError::ApprovedApps(error), None) => approved_apps::page(error, correlation),
            (_, None) => error::page(error, answer.error, correlation),
        }
    }
}

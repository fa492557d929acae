//! `POST /consent`: what the user answered.

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::Response;
use http::{HeaderMap, header};

use super::authorize::{AnswerTo, CONSENT_FORM};
use super::correlation::CorrelationId;
use super::pages::{self, Words};
use super::{AuthorizationServer, answer};
use crate::audit::{Act, Decision};
use crate::grant::{AuthorizationRequest, Consent, LOGIN_LIFETIME, Login, PendingLogin};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, CodeVerifier, Hashed, Nonce};
use crate::store::{StoreError, Written};

/// Why an answer was not taken. All of them end on a page: where the form came from is in doubt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// The form is not one of ours.
    #[error("the form is not one we showed")]
    Form,
    /// The form was posted by another site, or shown to another browser.
    #[error("the form was not posted by the browser it was shown to")]
    OtherBrowser,
    /// The page stood open for too long.
    #[error("the consent page has expired")]
    Expired,
    /// It was answered before.
    #[error("the form was answered before")]
    Answered,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<&ConsentError> for ErrorResponse {
    fn from(error: &ConsentError) -> Self {
        let (code, description) = match error {
            ConsentError::Form => (ErrorCode::InvalidRequest, "the form is not one we showed"),
            ConsentError::OtherBrowser => (
                ErrorCode::AccessDenied,
                "the form belongs to another browser",
            ),
            ConsentError::Expired => (ErrorCode::InvalidRequest, "the consent page has expired"),
            ConsentError::Answered => (ErrorCode::InvalidRequest, "the form was answered before"),
            ConsentError::Store(_) => (ErrorCode::TemporarilyUnavailable, "try again later"),
        };
        Self::new(code, description)
    }
}

/// What the user answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ConsentAnswer {
    /// Go on to Entra.
    Allow,
    /// Do not.
    Deny,
}

pub(super) async fn post(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = server.now();
    let (request, answer) = match server.read_form(&headers, &body, now).await {
        Ok(read) => read,
        Err(error) => return page(&error, &correlation),
    };
    match answer {
        ConsentAnswer::Allow => {
            server.consented(&request, Decision::Allowed, &correlation);
            let consented = (request, Consent::Given);
            server.forward(consented, now, &correlation).await
        }
        ConsentAnswer::Deny => match server.deny(request, &correlation, now).await {
            Ok(response) => response,
            Err(error) => page(&error, &correlation),
        },
    }
}

impl AuthorizationServer {
    /// Proves that the form is one of ours, fresh, and posted by the browser it was shown to.
    async fn read_form(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(AuthorizationRequest, ConsentAnswer), ConsentError> {
        let params = Params::parse(body).map_err(|_| ConsentError::Form)?;
        let answer = match params.get("answer") {
            Some("allow") => ConsentAnswer::Allow,
            Some("deny") => ConsentAnswer::Deny,
            Some(_) | None => return Err(ConsentError::Form),
        };
        let sealed = params.get("request").ok_or(ConsentError::Form)?;
        let request: AuthorizationRequest = self
            .0
            .store
            .open_for(CONSENT_FORM, sealed)
            .await?
            .ok_or(ConsentError::Form)?;
        if !self.is_posted_by(request.browser, headers) {
            return Err(ConsentError::OtherBrowser);
        }
        if request.has_expired(now) {
            return Err(ConsentError::Expired);
        }
        Ok((request, answer))
    }

    /// Whether a form was posted by the browser it was shown to.
    ///
    /// A form can only be sealed for a browser whose cookie we saw, so another site cannot have one
    /// that fits its victim's; browsers that say where a form comes from must agree.
    pub(super) fn is_posted_by(
        &self,
        shown_to: Hashed<BrowserBinding>,
        headers: &HeaderMap,
    ) -> bool {
        let site = headers
            .get("sec-fetch-site")
            .and_then(|value| value.to_str().ok());
        let cookies = self.cookies();
        let same_browser = cookies
            .browser(headers)
            .is_some_and(|browser| browser.hashed() == shown_to);
        same_browser && site.is_none_or(|site| site == "same-origin")
    }

    /// Sends the user on to Entra, once.
    pub(super) async fn forward(
        &self,
        (request, consent): (AuthorizationRequest, Consent),
        now: Timestamp,
        correlation: &CorrelationId,
    ) -> Response {
        self.sweep_if_due(now).await;
        let binding = BrowserBinding::generate(&*self.0.platform.random);
        let login = self.login(binding.clone());
        let consented = request.consent(consent, login, now);
        let sent = self.send_to_entra(&consented.into(), &binding, now).await;
        sent.unwrap_or_else(|error| page(&error, correlation))
    }

    /// Sends a browser on to Entra, once.
    pub(super) async fn send_to_entra(
        &self,
        pending: &PendingLogin,
        binding: &BrowserBinding,
        now: Timestamp,
    ) -> Result<Response, ConsentError> {
        let expires_at = now + LOGIN_LIFETIME;
        match self.0.store.put_request(pending, expires_at).await? {
            Written::Yes => {}
            Written::Conflict | Written::Revoked => return Err(ConsentError::Answered),
        }
        let login = pending.login();
        let cookies = self.cookies();
        let mut response = pages::redirect(self.0.entra.login_url(login).as_str());
        let cookie = cookies.set_login(login.state(), binding);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(response)
    }

    pub(super) fn login(&self, binding: BrowserBinding) -> Login {
        let random = &*self.0.platform.random;
        Login::new(
            CodeVerifier::generate(random),
            Nonce::generate(random),
            binding,
        )
    }

    /// Tells what a user answered; who it is, nobody knows yet.
    fn consented(
        &self,
        request: &AuthorizationRequest,
        decision: Decision,
        correlation: &CorrelationId,
    ) {
        let event = self.event(Act::Consent, decision);
        let name = request.client_name.as_deref();
        self.tell(event.of_client(&request.client_id, name), correlation);
    }

    /// Tells the client that the user said no. The form cannot be answered again.
    async fn deny(
        &self,
        request: AuthorizationRequest,
        correlation: &CorrelationId,
        now: Timestamp,
    ) -> Result<Response, ConsentError> {
        let until = now + LOGIN_LIFETIME;
        match self
            .0
            .store
            .spend_request(&request.upstream_state, until)
            .await?
        {
            Written::Yes => {}
            Written::Conflict | Written::Revoked => return Err(ConsentError::Answered),
        }
        tracing::info!(correlation_id = %correlation, client_id = %request.client_id, "consent denied");
        let reason = DENIED.error_description.to_owned();
        let code = DENIED.error;
        self.consented(&request, Decision::Denied { code, reason }, correlation);
        let to = AnswerTo::new(request.redirect, request.state);
        Ok(pages::redirect(&self.error_location(&to, DENIED)))
    }
}

/// What the client is told when the user said no.
const DENIED: ErrorResponse = ErrorResponse {
    error: ErrorCode::AccessDenied,
    error_description: "the user denied access",
};

fn page(error: &ConsentError, correlation: &CorrelationId) -> Response {
    let answer = ErrorResponse::from(error);
    answer::log(error, answer.error, correlation);
    let words = match error {
        ConsentError::Form => Words {
            title: "This form cannot be used",
            message: "It is not one this server showed you, or it was changed.",
            advice: pages::START_AGAIN,
        },
        ConsentError::OtherBrowser => Words {
            title: "This form belongs to another browser",
            message: "Your answer did not come from the page this server showed to this browser. \
                      Cookies must be allowed for this site.",
            advice: "Close this window and start again from your app. If another site brought \
                     you here, do not go back to it.",
        },
        ConsentError::Expired => Words {
            title: "This page stood open for too long",
            message: "For your safety an answer counts for ten minutes.",
            advice: pages::START_AGAIN,
        },
        ConsentError::Answered => Words {
            title: "You answered this before",
            message: "An answer counts once.",
            advice: pages::START_AGAIN,
        },
        ConsentError::Store(_) => pages::UNAVAILABLE,
    };
    pages::error(answer.error, words, correlation)
}

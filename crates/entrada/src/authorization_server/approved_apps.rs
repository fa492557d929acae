//! `GET` and `POST /approved-apps`: the user sees which clients act for them, and removes some.

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::approvals::days_ago;
use super::callback::{
    NOT_COMPLETED, NotSignedIn, UNAVAILABLE, UpstreamError, UpstreamRefusal, unredeemed,
};
use super::consent::ConsentError;
use super::correlation::CorrelationId;
use super::pages::{self, ApprovedApp, ApprovedAppsPage, SignInPage, Words};
use super::{AuthorizationServer, answer};
use crate::audit::{Act, AuditEvent, Decision, Who};
use crate::entra::error::EntraError;
use crate::grant::{ApprovedClient, LOGIN_LIFETIME, PageLogin, SignedIn, UserKey};
use crate::keys::Purpose;
use crate::oauth::client::ClientId;
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, Hashed, UpstreamState};
use crate::store::{RecordError, StoreError};

/// What the cookie of whoever signed in is sealed for.
const SESSION: Purpose<'static> = Purpose::new("approved-apps-session", b"");

/// What a form is sealed for.
const FORM: Purpose<'static> = Purpose::new("approved-apps-form", b"");

/// The path of the page.
pub(super) const PATH: &str = "/approved-apps";

/// Why the page cannot do what it was asked for. All of them end on a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovedAppsError {
    /// The form is not one of ours.
    #[error("the form is not one we showed")]
    Form,
    /// The form was posted by another site, or shown to another browser.
    #[error("the form was not posted by the browser it was shown to")]
    OtherBrowser,
    /// The page stood open for too long, or was answered before.
    #[error("the form has expired or was answered before")]
    Expired,
    /// Nobody is signed in, or somebody else.
    #[error("whom the form was shown to is not signed in")]
    SignedOut,
    /// Entra does not say who signed in.
    #[error("the user has no object id")]
    Nobody,
    /// Entra's own error, sent through the browser.
    #[error("entra sent the user back with an error")]
    Entra(#[source] UpstreamRefusal),
    /// Entra did not take its own code, or gave nothing that holds.
    #[error("the login could not be completed")]
    Redeem(#[source] EntraError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Form or cookie could not be sealed.
    #[error(transparent)]
    Seal(#[from] RecordError),
}

impl From<&ApprovedAppsError> for ErrorResponse {
    fn from(error: &ApprovedAppsError) -> Self {
        use ApprovedAppsError as E;
        let (code, description) = match error {
            E::Form => (ErrorCode::InvalidRequest, "the form is not one we showed"),
            E::OtherBrowser => (
                ErrorCode::AccessDenied,
                "the form belongs to another browser",
            ),
            E::Expired => (ErrorCode::InvalidRequest, "the page has expired"),
            E::SignedOut => (ErrorCode::AccessDenied, "nobody is signed in"),
            E::Nobody => (ErrorCode::AccessDenied, "the user has no object id"),
            E::Entra(refusal) => refusal.on_page(),
            E::Redeem(error) => unredeemed(error),
            E::Store(_) => UNAVAILABLE,
            E::Seal(_) => NOT_COMPLETED,
        };
        Self::new(code, description)
    }
}

impl From<ConsentError> for ApprovedAppsError {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Store(error) => Self::Store(error),
            ConsentError::OtherBrowser => Self::OtherBrowser,
            ConsentError::Form | ConsentError::Expired | ConsentError::Answered => Self::Expired,
        }
    }
}

impl From<NotSignedIn> for ApprovedAppsError {
    fn from(error: NotSignedIn) -> Self {
        match error {
            NotSignedIn::Entra(error) => Self::Entra(error),
            NotSignedIn::NoCode => Self::Form,
            NotSignedIn::Redeem(error) => Self::Redeem(error),
        }
    }
}

/// Who signed in to see the page.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Session {
    user: Hashed<UserKey>,
    account: Option<String>,
    until: Timestamp,
}

/// A form of the page.
#[derive(Debug, Deserialize, Serialize)]
struct Form {
    browser: Hashed<BrowserBinding>,
    shown_at: Timestamp,
    asks: Asks,
}

#[derive(Debug, Deserialize, Serialize)]
enum Asks {
    SignIn,
    Remove {
        user: Hashed<UserKey>,
        client_id: ClientId,
    },
    SignOut,
}

pub(super) async fn get(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
) -> Response {
    let shown = server.approved_apps(&headers).await;
    shown.unwrap_or_else(|error| page(&error, &correlation))
}

pub(super) async fn post(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let done = server.answer_apps_form(&body, &headers, &correlation).await;
    done.unwrap_or_else(|error| page(&error, &correlation))
}

impl AuthorizationServer {
    async fn approved_apps(&self, headers: &HeaderMap) -> Result<Response, ApprovedAppsError> {
        let now = self.now();
        let random = &*self.0.platform.random;
        let (browser, set_cookie) = self.cookies().browser_or_new(headers, random);
        let form = |asks| {
            let form = Form {
                browser: browser.hashed(),
                shown_at: now,
                asks,
            };
            self.0.store.seal_for(FORM, &form)
        };
        let mut response = match self.session(headers, now).await? {
            None => SignInPage {
                server_name: &self.0.config.resources.first().name,
                sealed_request: &form(Asks::SignIn)?,
                action: &self.0.endpoints.path(PATH),
                form_action_sources: &self.0.entra.login_origin(),
            }
            .into_response(),
            Some(session) => {
                let user = session.user;
                let approvals = self.0.store.approvals(user, now).await?;
                let apps = approvals.clients().into_iter().map(|client| {
                    let client_id = client.id.clone();
                    let removal = form(Asks::Remove { user, client_id })?;
                    Ok::<_, RecordError>(shown(client, removal, now))
                });
                ApprovedAppsPage {
                    server_name: &self.0.config.resources.first().name,
                    account: session.account.as_deref(),
                    apps: apps.collect::<Result<_, _>>()?,
                    sign_out: &form(Asks::SignOut)?,
                    action: &self.0.endpoints.path(PATH),
                }
                .into_response()
            }
        };
        let headers = response.headers_mut();
        headers.append(header::SET_COOKIE, set_cookie);
        Ok(response)
    }

    async fn answer_apps_form(
        &self,
        body: &[u8],
        headers: &HeaderMap,
        correlation: &CorrelationId,
    ) -> Result<Response, ApprovedAppsError> {
        use ApprovedAppsError as E;
        let now = self.now();
        let params = Params::parse(body).map_err(|_| E::Form)?;
        let sealed = params.get("request").ok_or(E::Form)?;
        let form: Option<Form> = self.0.store.open_for(FORM, sealed).await?;
        let form = form.ok_or(E::Form)?;
        if !self.is_posted_by(form.browser, headers) {
            return Err(E::OtherBrowser);
        }
        if now.since(form.shown_at) > LOGIN_LIFETIME {
            return Err(E::Expired);
        }
        match form.asks {
            Asks::SignIn => self.sign_in_to_apps(now).await,
            Asks::Remove { user, client_id } => {
                let session = self.session(headers, now).await?;
                let session = session.filter(|session| session.user == user);
                let account = session.ok_or(E::SignedOut)?.account;
                self.remove_client(user, &client_id, now).await?;
                let event = self.event(Act::Removal, Decision::Allowed);
                let event = AuditEvent {
                    who: account.map(Who::named),
                    ..event.of_client(&client_id, None)
                };
                self.tell(event, correlation);
                Ok(self.to_apps(&[]))
            }
            Asks::SignOut => {
                let cookies = self.cookies();
                Ok(self.to_apps(&[cookies.clear_session(), cookies.clear_user()]))
            }
        }
    }

    /// Sends the user to Entra, to learn who they are.
    async fn sign_in_to_apps(&self, now: Timestamp) -> Result<Response, ApprovedAppsError> {
        let random = &*self.0.platform.random;
        let binding = BrowserBinding::generate(random);
        let (state, login) = (UpstreamState::generate(random), self.login(binding.clone()));
        let scope = self.0.config.resources.first().scopes.required().clone();
        let pending = PageLogin::new(state, login, scope, now).into();
        Ok(self.send_to_entra(&pending, &binding, now).await?)
    }

    /// Lets whoever signed in see the page. The tokens Entra gave are dropped.
    pub(super) fn signed_in_to_apps(
        &self,
        signed_in: &SignedIn,
        now: Timestamp,
    ) -> Result<Response, ApprovedAppsError> {
        let principal = &signed_in.principal;
        let user = UserKey::of(principal).ok_or(ApprovedAppsError::Nobody)?;
        let session = Session {
            user,
            account: principal.preferred_username.clone(),
            until: now + LOGIN_LIFETIME,
        };
        let sealed = self.0.store.seal_for(SESSION, &session)?;
        Ok(self.to_apps(&[self.cookies().set_session(&sealed)]))
    }

    async fn session(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let Some(sealed) = self.cookies().session(headers) else {
            return Ok(None);
        };
        let session: Option<Session> = self.0.store.open_for(SESSION, sealed).await?;
        Ok(session.filter(|session| now < session.until))
    }

    fn to_apps(&self, cookies: &[HeaderValue]) -> Response {
        let mut response = pages::redirect(&self.0.endpoints.url(PATH));
        for cookie in cookies {
            let headers = response.headers_mut();
            headers.append(header::SET_COOKIE, cookie.clone());
        }
        response
    }
}

fn shown(client: ApprovedClient, removal: String, now: Timestamp) -> ApprovedApp {
    ApprovedApp {
        used: days_ago(client.used_at, now),
        client,
        removal,
    }
}

pub(super) fn page(error: &ApprovedAppsError, correlation: &CorrelationId) -> Response {
    use ApprovedAppsError as E;
    let answer = ErrorResponse::from(error);
    answer::log(error, answer.error, correlation);
    let words = match error {
        E::Form => Words {
            title: "This form cannot be used",
            message: "It is not one this server showed you, or it was changed.",
            advice: AGAIN,
        },
        E::OtherBrowser => Words {
            title: "This form belongs to another browser",
            message: "Your answer did not come from the page this server showed to this browser. \
                      Cookies must be allowed for this site.",
            advice: AGAIN,
        },
        E::Expired => Words {
            title: "This page stood open for too long",
            message: "For your safety an answer counts for ten minutes. Nothing was changed.",
            advice: AGAIN,
        },
        E::SignedOut => Words {
            title: "You are not signed in any more",
            message: "Nothing was changed.",
            advice: AGAIN,
        },
        E::Nobody => Words {
            title: "Your account cannot be told from others",
            message: "Microsoft did not say who you are, so this server cannot tell which apps are \
                      yours.",
            advice: "Ask whoever runs this server to end what you allowed.",
        },
        E::Entra(refusal) if refusal.error() == UpstreamError::AccessDenied => Words {
            title: "Microsoft did not sign you in",
            message: "You said no, or a policy of your organisation did. Nothing was changed.",
            advice: AGAIN,
        },
        E::Entra(_) | E::Redeem(_) | E::Seal(_) => Words {
            title: "Signing in did not work",
            message: "Microsoft sent you back without what was needed. Nothing was changed.",
            advice: AGAIN,
        },
        E::Store(_) => Words {
            advice: "Wait a minute, then open the page again.",
            ..pages::UNAVAILABLE
        },
    };
    pages::error(answer.error, words, correlation)
}

/// The advice wherever the page can be opened again.
const AGAIN: &str = "Open the page of your apps again.";

//! What a person sees: the consent page and the error page.
//!
//! No script, and nothing from elsewhere: the only style is our own, inline, named by its digest
//! in the content security policy. Every value is escaped by the template engine; the client's
//! own words are isolated as well, so that their direction cannot reorder ours.

mod approved_apps;
pub(crate) mod headers;
mod permission;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

pub(crate) use self::approved_apps::{ApprovedApp, ApprovedAppsPage, SignInPage};
use self::permission::Permission;
use super::correlation::CorrelationId;
use crate::oauth::client::ClientId;
use crate::oauth::client_document::ClientDocumentUrl;
use crate::oauth::error::ErrorCode;
use crate::oauth::redirect_uri::{Place, RedirectUri};
use crate::oauth::scope::Scope;

/// Asks the user whether a client may use the protected server (RFC 6819 §5.2.3.2; MCP security
/// best practices, *Consent UI Requirements*).
///
/// The answer comes back as a form: `request` and `answer`, which is `allow` or `deny`.
///
/// # Security
///
/// Because the page has no referrer, browsers send `Origin: null` with the form. What binds the
/// answer to this browser is the sealed request and its cookie, and `Sec-Fetch-Site`.
#[derive(Clone, Copy)]
pub(crate) struct ConsentPage<'a> {
    /// What people call the protected server.
    pub(crate) server_name: &'a str,
    /// What the client calls itself: its own claim, unchecked.
    pub(crate) client_name: Option<&'a str>,
    /// The client's identifier.
    pub(crate) client_id: &'a ClientId,
    /// Where the code will go.
    pub(crate) redirect: &'a RedirectUri,
    /// What the client will be able to do.
    pub(crate) scopes: &'a Scope,
    /// What Entra will be asked for besides, for the server's own use.
    pub(crate) additional_scopes: &'a Scope,
    /// What it may be asked for later.
    pub(crate) incremental_scopes: &'a Scope,
    /// How long the answer is remembered, if it is.
    pub(crate) remembered_for: Option<Duration>,
    /// Where the user can take it back.
    pub(crate) take_back_at: &'a str,
    /// The request the answer belongs to.
    pub(crate) sealed_request: &'a str,
    /// Where the answer goes.
    pub(crate) action: &'a str,
    /// Entra's origin, where the answer is redirected first.
    pub(crate) form_action_sources: &'a str,
}

/// Asks a user to go to Microsoft once more, for an app that they use already.
///
/// The answer comes back as a form: `request`.
#[derive(Clone, Copy)]
pub(crate) struct SignInAgainPage<'a> {
    /// What people call the protected server.
    pub(crate) server_name: &'a str,
    /// What the client calls itself: its own claim, unchecked.
    pub(crate) client_name: Option<&'a str>,
    /// The client's identifier.
    pub(crate) client_id: &'a ClientId,
    /// Who has to sign in.
    pub(crate) user: Option<&'a str>,
    /// What they will be asked to consent to.
    pub(crate) consents: &'a Scope,
    /// The request the answer belongs to.
    pub(crate) sealed_request: &'a str,
    /// Where the answer goes.
    pub(crate) action: &'a str,
    /// Entra's origin, where the answer is redirected.
    pub(crate) form_action_sources: &'a str,
}

/// What its template needs.
#[derive(Template)]
#[template(path = "sign_in_again.html")]
struct SignInAgainTemplate<'a> {
    server_name: &'a str,
    client_name: Option<&'a str>,
    publisher: Option<String>,
    user: Option<&'a str>,
    consents: Vec<Permission<'a>>,
    sealed_request: &'a str,
    action: &'a str,
}

/// Tells the user that all is well.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "done.html")]
struct DonePage {
    /// What it says.
    words: Words,
}

/// Tells the user what went wrong where no client can be told.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    /// The status of the response.
    status: StatusCode,
    /// What it says.
    words: Words,
    /// Finds the event in the log.
    correlation_id: &'a str,
}

/// What a page says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// What happened, in a few words.
    pub(crate) title: &'static str,
    /// What happened, in a sentence.
    pub(crate) message: &'static str,
    /// What the user can do now.
    pub(crate) advice: &'static str,
}

/// The advice wherever nothing but a new start helps.
pub(crate) const START_AGAIN: &str = "Close this window and start again from your app.";

/// The title of a link or an answer that lacks something.
pub(crate) const NOT_COMPLETE: &str = "This link is not complete";

/// The store is not there just now.
pub(crate) const UNAVAILABLE: Words = Words {
    title: "Signing in is not possible right now",
    message: "The server has a passing problem of its own.",
    advice: "Wait a minute, then start again from your app.",
};

/// Says that the fault is ours.
pub(crate) fn trouble(correlation: &CorrelationId) -> Response {
    let words = Words {
        title: "Something went wrong",
        message: "This server made a mistake of its own. Nothing was shared.",
        advice: UNAVAILABLE.advice,
    };
    error(ErrorCode::ServerError, words, correlation)
}

/// The page of an error no client can be told of, with the status of its code.
pub(crate) fn error(code: ErrorCode, words: Words, correlation: &CorrelationId) -> Response {
    // RFC 6749 has `access_denied` in redirects alone, where no status goes with it. A browser that
    // is turned away is forbidden (RFC 9110 §15.5.4).
    let status = if code == ErrorCode::AccessDenied {
        StatusCode::FORBIDDEN
    } else {
        code.status()
    };
    ErrorPage {
        status,
        words,
        correlation_id: correlation.as_str(),
    }
    .into_response()
}

/// The page of something that went well.
pub(crate) fn done(words: Words) -> Response {
    html(StatusCode::OK, headers::page("'none'"), &DonePage { words })
}

/// Sends the browser to `location` with 303, so that a form is never sent on (RFC 9700 §4.12).
///
/// Codes and states ride in these locations: the answer is not kept, and where the browser goes
/// next does not learn where it came from.
pub(crate) fn redirect(location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut headers = headers::private();
    headers.insert(header::LOCATION, location);
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// How long something lasts, as people say it: never longer than it does.
fn in_words(time: Duration) -> String {
    let hours = time.as_secs() / (60 * 60);
    match (hours / 24, hours) {
        (0, 0 | 1) => "an hour".to_owned(),
        (0, hours) => format!("{hours} hours"),
        (1, _) => "a day".to_owned(),
        (days, _) => format!("{days} days"),
    }
}

/// What the template of the consent page needs.
#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentTemplate<'a> {
    server_name: &'a str,
    client_name: Option<&'a str>,
    client_id: &'a str,
    publisher: Option<String>,
    redirect_uri: &'a str,
    destination: Destination,
    permissions: Vec<Permission<'a>>,
    additional_permissions: Vec<Permission<'a>>,
    incremental_permissions: Vec<Permission<'a>>,
    remembered_for: Option<String>,
    take_back_at: &'a str,
    sealed_request: &'a str,
    action: &'a str,
}

/// Where a code goes, as a person would say it.
#[derive(Debug)]
struct Destination {
    name: String,
    place: Place,
}

impl Destination {
    fn of(redirect: &RedirectUri) -> Self {
        Self {
            name: redirect.destination(),
            place: redirect.place(),
        }
    }
}

/// The host of the document that describes the client, if one does: it stands for what the document
/// says.
fn publisher(client_id: &ClientId) -> Option<String> {
    let url = ClientDocumentUrl::parse(client_id).ok()?;
    Some(url.host().to_owned())
}

impl fmt::Debug for ConsentPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sealed request answers for the user, so it stays out of logs.
        f.debug_struct("ConsentPage")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl ConsentPage<'_> {
    /// The page, with the headers that guard it.
    pub(crate) fn into_response(self) -> Response {
        let form_action = headers::form_action(Some(self.redirect), self.form_action_sources);
        let page = ConsentTemplate {
            server_name: self.server_name,
            client_name: self.client_name,
            client_id: self.client_id.as_str(),
            publisher: publisher(self.client_id),
            redirect_uri: self.redirect.as_str(),
            destination: Destination::of(self.redirect),
            permissions: permission::of_server(self.scopes),
            additional_permissions: permission::of_microsoft(self.additional_scopes),
            incremental_permissions: permission::of_microsoft(self.incremental_scopes),
            remembered_for: self.remembered_for.map(in_words),
            take_back_at: self.take_back_at,
            sealed_request: self.sealed_request,
            action: self.action,
        };
        html(StatusCode::OK, headers::page(&form_action), &page)
    }
}

impl fmt::Debug for SignInAgainPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInAgainPage").finish_non_exhaustive()
    }
}

impl SignInAgainPage<'_> {
    /// The page, with the headers that guard it.
    pub(crate) fn into_response(self) -> Response {
        let page = SignInAgainTemplate {
            server_name: self.server_name,
            client_name: self.client_name,
            publisher: publisher(self.client_id),
            user: self.user,
            consents: permission::of_microsoft(self.consents),
            sealed_request: self.sealed_request,
            action: self.action,
        };
        let form_action = headers::form_action(None, self.form_action_sources);
        html(StatusCode::OK, headers::page(&form_action), &page)
    }
}

impl ErrorPage<'_> {
    /// The page, with the headers that guard it.
    fn into_response(self) -> Response {
        html(self.status, headers::page("'none'"), &self)
    }
}

fn html(status: StatusCode, headers: HeaderMap, page: &impl Template) -> Response {
    match page.render() {
        Ok(body) => (status, headers, body).into_response(),
        // Writing to a string does not fail.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

//! The page of the clients that act for a user, and the page before it.

use std::fmt;

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::permission::{self, Permission};
use super::{headers, html, publisher};
use crate::grant::ApprovedClient;
use crate::oauth::redirect_uri::RedirectUri;

/// Asks a user to sign in, to see which clients act for them.
///
/// The answer comes back as a form: `request`.
#[derive(Clone, Copy, Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignInPage<'a> {
    /// What people call the protected server.
    pub(crate) server_name: &'a str,
    /// What the answer belongs to.
    pub(crate) sealed_request: &'a str,
    /// Where the answer goes.
    pub(crate) action: &'a str,
    /// Entra's origin, where the answer is redirected.
    pub(crate) form_action_sources: &'a str,
}

/// Shows a user which clients act for them.
///
/// The answer comes back as a form: `request`, which says what is wanted.
pub(crate) struct ApprovedAppsPage<'a> {
    /// What people call the protected server.
    pub(crate) server_name: &'a str,
    /// Who is signed in.
    pub(crate) account: Option<&'a str>,
    /// The clients, the last to be used first.
    pub(crate) apps: Vec<ApprovedApp>,
    /// The request to sign out.
    pub(crate) sign_out: &'a str,
    /// Where the answers go.
    pub(crate) action: &'a str,
}

/// A client that acts for a user.
pub(crate) struct ApprovedApp {
    pub(crate) client: ApprovedClient,
    /// When it was used last, in words.
    pub(crate) used: String,
    /// The request to remove it.
    pub(crate) removal: String,
}

/// What the template needs.
#[derive(Template)]
#[template(path = "approved_apps.html")]
struct ApprovedAppsTemplate<'a> {
    server_name: &'a str,
    account: Option<&'a str>,
    apps: Vec<AppTemplate<'a>>,
    sign_out: &'a str,
    action: &'a str,
}

struct AppTemplate<'a> {
    name: Option<&'a str>,
    client_id: &'a str,
    /// What is read aloud with its button.
    label: &'a str,
    publisher: Option<String>,
    destinations: Vec<String>,
    permissions: Vec<Permission<'a>>,
    used: &'a str,
    removal: &'a str,
}

impl fmt::Debug for SignInPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInPage").finish_non_exhaustive()
    }
}

impl SignInPage<'_> {
    /// The page, with the headers that guard it.
    pub(crate) fn into_response(self) -> Response {
        let form_action = headers::form_action(None, self.form_action_sources);
        html(StatusCode::OK, headers::page(&form_action), &self)
    }
}

impl fmt::Debug for ApprovedAppsPage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApprovedAppsPage").finish_non_exhaustive()
    }
}

impl ApprovedAppsPage<'_> {
    /// The page, with the headers that guard it.
    pub(crate) fn into_response(self) -> Response {
        let page = ApprovedAppsTemplate {
            server_name: self.server_name,
            account: self.account,
            apps: self.apps.iter().map(AppTemplate::of).collect(),
            sign_out: self.sign_out,
            action: self.action,
        };
        html(StatusCode::OK, headers::page("'self'"), &page)
    }
}

impl<'a> AppTemplate<'a> {
    fn of(app: &'a ApprovedApp) -> Self {
        let client = &app.client;
        let mut destinations: Vec<_> = client
            .redirects
            .iter()
            .map(RedirectUri::destination)
            .collect();
        destinations.sort_unstable();
        destinations.dedup();
        let name = client.name.as_deref();
        Self {
            name,
            client_id: client.id.as_str(),
            label: name.unwrap_or(client.id.as_str()),
            publisher: publisher(&client.id),
            destinations,
            permissions: permission::of_server(&client.scope),
            used: &app.used,
            removal: &app.removal,
        }
    }
}

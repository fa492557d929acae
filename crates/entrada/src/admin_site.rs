//! The pages and the API of an operator, behind an app role of Entra's.
//!
//! It has an origin of its own, with cookies and a callback of its own, so nothing of it is at the public
//! address, and nothing that is shown there can be posted here.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use url::{Host, Url};

use crate::access_token::AccessTokenVerifier;
use crate::administration::Administration;
use crate::entra::EntraClient;
use crate::oauth::scope::Scope;
use crate::platform::{Platform, Timestamp};
use crate::store::SealedStore;

mod action;
mod api;
mod cookie;
mod page;
mod refusal;
mod session;

/// How large a request may be.
const BODY_LIMIT: usize = 64 * 1024;

/// Where Entra sends an operator back to, below the base URL: to be registered in Entra.
pub const CALLBACK_PATH: &str = "/admin/callback";

/// What an operator's pages and API are told.
///
/// # Security
///
/// Whoever has the role signs everybody out, and sees who uses what. Give it to few, and let the listener be
/// reached from within alone.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    base_url: String,
    role: String,
    tenant: Option<String>,
    verifier: Option<Arc<dyn AccessTokenVerifier>>,
}

/// Why there can be no pages for operators.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The URL is none they can be at.
    #[error(
        "the base URL must be https://, or http:// at localhost or a loopback address, without path, query and \
         user"
    )]
    BaseUrl,
    /// There is no role.
    #[error("name the app role that operators have")]
    Role,
    /// Several tenants give roles, and none is said to be the operators'.
    #[error(
        "name the tenant of operators: users of several sign in, and each tenant gives the app role to whom it \
         likes"
    )]
    Tenant,
}

impl AdminSettings {
    /// Operators reach the pages at `base_url` and have the app role `role`.
    pub fn new(base_url: impl Into<String>, role: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            role: role.into(),
            tenant: None,
            verifier: None,
        }
    }

    /// Operators are of this tenant, by its id. It must be said where users of several sign in.
    ///
    /// # Security
    ///
    /// The app registration says which roles there are; who has one, every tenant says of its own users and
    /// applications.
    #[must_use]
    pub fn tenant(mut self, id: impl Into<String>) -> Self {
        self.tenant = Some(id.into());
        self
    }

    /// Programs may use the API with tokens that `verifier` finds good, if they are applications that act
    /// for themselves and have the role.
    #[must_use]
    pub fn programs(mut self, verifier: impl AccessTokenVerifier + 'static) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// Whether it is said whose roles count.
    pub(crate) const fn names_a_tenant(&self) -> bool {
        self.tenant.is_some()
    }

    /// The redirect URI to register in Entra.
    ///
    /// # Errors
    ///
    /// [`AdminError`] if the settings cannot be used.
    pub fn redirect_uri(&self) -> Result<String, AdminError> {
        if self.role.trim().is_empty() {
            return Err(AdminError::Role);
        }
        let base = base(&self.base_url).ok_or(AdminError::BaseUrl)?;
        Ok(format!("{base}{CALLBACK_PATH}"))
    }
}

/// The origin, if pages can be there.
fn base(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let local = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    let safe = url.scheme() == "https" || (url.scheme() == "http" && local);
    (is_plain && nobody && safe).then(|| url.origin().ascii_serialization())
}

/// What the pages need.
#[derive(Clone, Debug)]
struct Site(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    administration: Administration,
    entra: EntraClient,
    store: SealedStore,
    scope: Scope,
    role: String,
    tenant: Option<String>,
    verifier: Option<Arc<dyn AccessTokenVerifier>>,
    is_https: bool,
    name: String,
    platform: Platform,
}

/// What the server lends its pages.
pub(crate) struct Lent {
    pub(crate) administration: Administration,
    pub(crate) entra: EntraClient,
    pub(crate) store: SealedStore,
    /// What a login asks Entra for, which lets none ask for nothing.
    pub(crate) scope: Scope,
    /// What people call the protected server.
    pub(crate) name: String,
    pub(crate) platform: Platform,
}

/// The pages and the API.
pub(crate) fn router(settings: AdminSettings, lent: Lent) -> Router {
    let site = Site(Arc::new(Inner {
        administration: lent.administration,
        entra: lent.entra,
        store: lent.store,
        scope: lent.scope,
        role: settings.role,
        tenant: settings.tenant,
        verifier: settings.verifier,
        is_https: settings.base_url.starts_with("https:"),
        name: lent.name,
        platform: lent.platform,
    }));
    Router::new()
        .route("/admin", get(page::grants))
        .route("/admin/clients", get(page::clients))
        .route("/admin/keys", get(page::keys))
        .route("/admin/live", get(page::live))
        .route("/admin/sign-in", post(session::sign_in))
        .route(CALLBACK_PATH, get(session::callback))
        .route("/admin/act", post(action::post))
        .nest("/admin/api", api::router())
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(site)
}

impl Site {
    fn now(&self) -> Timestamp {
        self.0.platform.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_at_an_origin_that_nobody_listens_in_on() {
        for (url, there) in [
            ("https://admin.example.com", true),
            ("https://admin.example.com:8443/", true),
            ("http://localhost:9000", true),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
            ("http://admin.example.com", false),
            ("https://admin.example.com/below", false),
            ("https://admin.example.com/?a", false),
            ("https://a@admin.example.com/", false),
            ("ftp://localhost", false),
            ("admin.example.com", false),
        ] {
            let redirect_uri = AdminSettings::new(url, "Admin").redirect_uri();
            assert_eq!(redirect_uri.is_ok(), there, "{url}");
        }
        let no_role = AdminSettings::new("https://admin.example.com", " ");
        assert_eq!(no_role.redirect_uri(), Err(AdminError::Role));
    }
}

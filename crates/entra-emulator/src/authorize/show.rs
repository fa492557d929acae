//! From what must be asked next to the page that asks it.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use crate::authorize::interaction::{Interaction, SignedIn, Step};
use crate::authorize::pages::{
    ConsentPage, Permission, PickAccountPage, SecondFactorPage, SignInPage, page,
};
use crate::authorize::request::{Prompt, Purpose};
use crate::directory::Directory;
use crate::scope::OIDC;

/// A page about to be shown.
pub(crate) struct Shown<'a> {
    pub(crate) interaction: &'a Interaction,
    pub(crate) context: &'a str,
    pub(crate) problem: Option<String>,
}

impl Shown<'_> {
    /// Renders the page that `step` needs.
    pub(crate) fn render(
        &self,
        step: &Step,
        accounts: &[SignedIn],
        directory: &Directory,
    ) -> Response {
        let request = &self.interaction.request;
        let client = directory.app(&request.client_id);
        let application = client.map_or("", |app| app.display_name.as_str());
        let account = self.interaction.account.as_ref();
        let username = account.map_or("", |account| account.username.as_str());
        let html = match step {
            Step::SignIn => SignInPage {
                action: &self.action("login"),
                context: self.context,
                application,
                hint: request
                    .login_hint
                    .as_deref()
                    .or(directory.default_login_hint.as_deref())
                    .filter(|_| request.prompt != Some(Prompt::SelectAccount))
                    .unwrap_or(""),
                problem: self.problem.clone(),
                forgettable: false,
            }
            .render(),
            Step::PickAccount => PickAccountPage {
                action: &self.action("account"),
                context: self.context,
                application,
                accounts: &named(accounts, directory),
            }
            .render(),
            Step::SecondFactor => SecondFactorPage {
                action: &self.action("second-factor"),
                context: self.context,
                username,
                problem: self.problem.clone(),
            }
            .render(),
            Step::Consent(permissions) => ConsentPage {
                action: &self.action("consent"),
                context: self.context,
                application,
                publisher: client
                    .and_then(|app| directory.tenant(&app.tenant))
                    .map_or("", |tenant| tenant.display_name.as_str()),
                username,
                permissions: &described(permissions, directory),
                everybody: request.purpose == Purpose::AdminConsent,
                admin: directory.user(username).is_some_and(|user| user.admin),
            }
            .render(),
            Step::Done => Ok(String::new()),
        };
        page(StatusCode::OK, html)
    }

    // Relative to the host, which may have other names than the one in the metadata.
    fn action(&self, page: &str) -> String {
        format!("/{}/{page}", self.interaction.segment)
    }
}

fn named(accounts: &[SignedIn], directory: &Directory) -> Vec<(String, String)> {
    let name = |account: &SignedIn| {
        let user = directory.user(&account.username);
        let name = user.map_or_else(String::new, |user| user.name.clone());
        (account.username.clone(), name)
    };
    accounts.iter().map(name).collect()
}

fn described(permissions: &[(String, String)], directory: &Directory) -> Vec<Permission> {
    let describe = |(resource, name): &(String, String)| {
        let app = directory.app(resource);
        let scope = app.and_then(|app| app.scope(name));
        let prefix = app.and_then(|app| app.identifier_uris.first());
        Permission {
            description: scope.map_or_else(|| name.clone(), |scope| scope.description.clone()),
            name: match prefix.filter(|_| !OIDC.contains(&name.as_str())) {
                Some(prefix) => format!("{prefix}/{name}"),
                None => name.clone(),
            },
        }
    };
    permissions.iter().map(describe).collect()
}

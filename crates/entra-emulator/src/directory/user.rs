//! People.

use serde::Deserialize;

/// One user object in one tenant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a condition of its own, and all combine"
)]
pub struct User {
    /// The tenant the object is in, by GUID or domain.
    pub tenant: String,
    /// The object id.
    pub oid: String,
    /// `userPrincipalName`; what people type at the login page, except guests.
    pub username: String,
    /// The name a guest types: that of the home account.
    pub home_username: Option<String>,
    /// The password. Public: this is a test directory.
    pub password: String,
    /// The display name.
    pub name: String,
    /// The first name.
    pub given_name: String,
    /// The last name.
    pub family_name: String,
    /// The mail address, when there is one.
    pub email: Option<String>,
    /// The groups the user is in, by object id.
    pub groups: Vec<String>,
    /// How many further groups with made-up ids the user is in.
    pub filler_groups: u32,
    /// Directory roles, by template id: the claim `wids`.
    pub directory_roles: Vec<String>,
    /// The app roles assigned to the user.
    pub app_roles: Vec<AppRoleAssignment>,
    /// Whether each sign-in needs a second factor.
    pub mfa: bool,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// Whether the password must be changed before it is of use again.
    pub password_expired: bool,
    /// Whether the user may consent for the whole tenant.
    pub admin: bool,
    /// Whether it is the account of an agent, not of a person.
    pub is_agent: bool,
    /// What Microsoft Graph shows in the mailbox.
    pub messages: Vec<Message>,
}

/// An app role given to a user or to a service principal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AppRoleAssignment {
    /// The application id of the resource that defines the role.
    pub resource: String,
    /// The role's value.
    pub role: String,
}

/// One mail.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Message {
    /// The subject line.
    pub subject: String,
    /// Who sent it, as a mail address.
    pub from: String,
    /// The beginning of its text.
    pub preview: String,
}

impl User {
    /// What the user types at the login page.
    pub fn sign_in_name(&self) -> &str {
        self.home_username.as_deref().unwrap_or(&self.username)
    }

    /// Whether the object stands for an account of another tenant.
    pub fn is_guest(&self) -> bool {
        self.home_username.is_some()
    }

    /// Every group of the user, made-up ones included.
    pub fn all_groups(&self) -> Vec<String> {
        with_made_up(&self.groups, self.filler_groups)
    }

    /// The app roles the user has at the resource `client_id`.
    pub(crate) fn roles_at(&self, client_id: &str) -> Vec<String> {
        roles_at(&self.app_roles, client_id)
    }
}

/// `groups`, and `filler` further ones.
pub(crate) fn with_made_up(groups: &[String], filler: u32) -> Vec<String> {
    let made_up = (0..filler).map(|n| format!("50000000-0000-4000-9000-{n:012}"));
    groups.iter().cloned().chain(made_up).collect()
}

pub(crate) fn roles_at(assigned: &[AppRoleAssignment], client_id: &str) -> Vec<String> {
    assigned
        .iter()
        .filter(|assignment| assignment.resource == client_id)
        .map(|assignment| assignment.role.clone())
        .collect()
}

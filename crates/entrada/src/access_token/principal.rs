//! Whom a token speaks for.

use serde::{Deserialize, Serialize};

/// Whom a token speaks for, in Entra's terms.
///
/// Key users by `tenant_id` and `object_id`, or by the token's issuer and subject where Entra
/// leaves the object id out; every other field can change or be chosen by somebody else
/// (Microsoft, *access token claims reference*).
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Principal {
    /// Whether it is a person or a program.
    #[serde(default)]
    pub kind: PrincipalKind,
    /// `tid`: the tenant the token is for. Guests are in the tenant that invited them.
    pub tenant_id: String,
    /// `oid`: the user or service principal within that tenant. Tokens of users who were not
    /// asked for the scope `profile` have none.
    pub object_id: Option<String>,
    /// `name`: for display only.
    pub name: Option<String>,
    /// `preferred_username`: for display only.
    pub preferred_username: Option<String>,
    /// Whether the account is a guest in the tenant.
    #[serde(default)]
    pub is_guest: bool,
    /// `idp`, where the account lives elsewhere: another tenant, or `live.com`.
    #[serde(default)]
    pub identity_provider: Option<String>,
    /// `roles`: app roles given to the user or the application.
    pub roles: Vec<String>,
    /// `groups`: object ids of groups, where the app registration asks for them.
    pub groups: Vec<String>,
    /// Whether there are more groups than the token could list, so that it lists none, and nobody
    /// has looked them up: see [`GraphGroups`](crate::provider::GraphGroups).
    #[serde(default)]
    pub groups_overage: bool,
    /// The agent that acts, where one does.
    #[serde(default)]
    pub agent: Option<Agent>,
}

/// Whether a token speaks for a person or for a program itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A user, who gave a client some of their rights.
    #[default]
    User,
    /// An application that signed in as itself: it has app roles and no scopes.
    Application,
}

/// An agent identity of Entra's (Microsoft, *token claims reference for agents*).
///
/// For the log and for the page that shows who did what: Microsoft advises against deciding by
/// these claims.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Agent {
    /// `xms_par_app_azp`: the blueprint that the agent was made from.
    pub blueprint: Option<String>,
    /// Whether the user account is the agent's own rather than a person's.
    pub is_user: bool,
}

/// The tenant that all personal accounts live in.
pub(crate) const PERSONAL_ACCOUNTS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

impl Principal {
    /// Whether it is a personal Microsoft account, signed in as itself rather than as a guest.
    pub fn is_personal_account(&self) -> bool {
        self.tenant_id == PERSONAL_ACCOUNTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_version_before_are_read() {
        let stored = r#"{"tenant_id":"t","object_id":"o","name":null,"preferred_username":null,
            "roles":[],"groups":["g"]}"#;
        let principal: Principal = serde_json::from_str(stored).unwrap();
        assert_eq!(principal.object_id.as_deref(), Some("o"));
        assert_eq!(principal.kind, PrincipalKind::User);
        assert!(!principal.is_guest && !principal.is_personal_account());
    }
}

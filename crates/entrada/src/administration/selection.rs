//! Which grants are meant. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::access_token::Principal;
use crate::grant::{GrantId, UserKey};
use crate::jwt::verify::is_guid;
use crate::oauth::client::ClientId;
use crate::secret::Hashed;

/// A user of Entra's.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub enum User {
    /// By what never changes.
    Id {
        /// Who they are within their tenant.
        object_id: String,
        /// Their tenant.
        tenant_id: String,
    },
    /// By the name they sign in as, which their grants tell as it was when they were last refreshed.
    Name(String),
}

/// The text names no user.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("neither object-id@tenant-id nor the name a user signs in as")]
#[non_exhaustive]
pub struct UserError;

impl FromStr for User {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some((object_id, tenant_id)) = text.split_once('@')
            && is_guid(object_id)
            && is_guid(tenant_id)
        {
            return Ok(Self::Id {
                object_id: object_id.to_owned(),
                tenant_id: tenant_id.to_owned(),
            });
        }
        let is_name = !text.is_empty() && !text.chars().any(|it| it.is_control() || it == ' ');
        // An object id alone is nobody in particular, and no name.
        let is_name = is_name && !is_guid(text);
        is_name
            .then(|| Self::Name(text.to_owned()))
            .ok_or(UserError)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id {
                object_id,
                tenant_id,
            } => write!(f, "{object_id}@{tenant_id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl User {
    /// The user that `principal` is, if Entra tells who it is.
    pub(super) fn of(principal: &Principal) -> Option<Self> {
        Some(Self::Id {
            object_id: principal.object_id.clone()?,
            tenant_id: principal.tenant_id.clone(),
        })
    }

    /// What is remembered of them is kept under this. Entra writes ids in small letters.
    pub(super) fn key(&self) -> Option<Hashed<UserKey>> {
        let Self::Id {
            object_id,
            tenant_id,
        } = self
        else {
            return None;
        };
        UserKey::of(&Principal {
            object_id: Some(object_id.to_ascii_lowercase()),
            tenant_id: tenant_id.to_ascii_lowercase(),
            ..Principal::default()
        })
    }

    /// Whether `principal` is this user. Entra's ids and names are the same in any case.
    pub(super) fn is(&self, principal: &Principal) -> bool {
        let same = |mine: &str, theirs: Option<&str>| {
            theirs.is_some_and(|theirs| theirs.to_lowercase() == mine.to_lowercase())
        };
        match self {
            Self::Id {
                object_id,
                tenant_id,
            } => {
                same(object_id, principal.object_id.as_deref())
                    && same(tenant_id, Some(&principal.tenant_id))
            }
            Self::Name(name) => same(name, principal.preferred_username.as_deref()),
        }
    }
}

/// Which grants to list: those that meet all that is said.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct GrantFilter {
    /// Of this user.
    pub user: Option<User>,
    /// Of this client.
    pub client: Option<ClientId>,
    /// Of the users of this tenant.
    pub tenant: Option<String>,
}

impl GrantFilter {
    /// Whether a grant of this client and principal is among them.
    pub(super) fn admits(&self, client_id: &ClientId, principal: &Principal) -> bool {
        self.user.as_ref().is_none_or(|user| user.is(principal))
            && self.client.as_ref().is_none_or(|id| id == client_id)
            && self
                .tenant
                .as_ref()
                .is_none_or(|tenant| is_of(tenant, principal))
    }
}

/// Which grants to end.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub enum Selection {
    /// This one.
    Grant(GrantId),
    /// All of this user.
    User(User),
    /// All of this client.
    Client(ClientId),
    /// All of the users of this tenant.
    Tenant(String),
    /// All.
    All,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Client(id) => write!(f, "client {id}"),
            Self::Tenant(id) => write!(f, "tenant {id}"),
            Self::All => f.write_str("all"),
        }
    }
}

impl Selection {
    /// Whether a grant of this client and principal is among them. One that is named is looked up instead.
    pub(super) fn admits(&self, client_id: &ClientId, principal: &Principal) -> bool {
        match self {
            Self::Grant(_) => false,
            Self::User(user) => user.is(principal),
            Self::Client(id) => id == client_id,
            Self::Tenant(tenant) => is_of(tenant, principal),
            Self::All => true,
        }
    }
}

/// Whether a principal is of a tenant: whom Entra does not know is of none.
fn is_of(tenant: &str, principal: &Principal) -> bool {
    !tenant.is_empty() && principal.tenant_id.eq_ignore_ascii_case(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "11111111-aaaa-1111-1111-111111111111";
    const TID: &str = "22222222-2222-2222-2222-22222222aaaa";

    fn alice() -> Principal {
        Principal {
            tenant_id: TID.to_owned(),
            object_id: Some(OID.to_owned()),
            preferred_username: Some("Alice@Contoso.example".to_owned()),
            ..Principal::default()
        }
    }

    fn named(text: &str) -> User {
        text.parse().unwrap()
    }

    #[test]
    fn users_are_named_by_id_or_by_what_they_sign_in_as() {
        let id = named(&format!(" {OID}@{TID}\n"));
        assert!(matches!(id, User::Id { .. }));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(named("a@b"), User::Name("a@b".to_owned()));
        for text in ["", " ", "a b", "a\nb", OID] {
            assert_eq!(text.parse::<User>(), Err(UserError), "{text:?}");
        }
    }

    #[test]
    fn a_selection_holds_what_it_says_and_nothing_else() {
        let client = ClientId::parse("c").unwrap();
        let other_tenant = Principal {
            tenant_id: OID.to_owned(),
            ..alice()
        };
        let bob = Principal {
            object_id: Some(TID.to_owned()),
            preferred_username: Some("bob@contoso.example".to_owned()),
            ..alice()
        };
        let program = Principal::default();
        let everybody = [&alice(), &other_tenant, &bob, &program];
        let by = |text: &str| Selection::User(named(text));
        for (selection, expected) in [
            (by(&format!("{OID}@{TID}")), [true, false, false, false]),
            (
                by(&format!("{OID}@{TID}").to_uppercase()),
                [true, false, false, false],
            ),
            (by("alice@contoso.example"), [true, true, false, false]),
            (by("alice@contoso"), [false; 4]),
            (
                Selection::Tenant(TID.to_owned()),
                [true, false, true, false],
            ),
            (Selection::Tenant(String::new()), [false; 4]),
            (Selection::Client(client.clone()), [true; 4]),
            (Selection::Client(ClientId::parse("C").unwrap()), [false; 4]),
            (Selection::All, [true; 4]),
            (Selection::Grant(GrantId::from_stored([0; 16])), [false; 4]),
        ] {
            let found = everybody.map(|principal| selection.admits(&client, principal));
            assert_eq!(found, expected, "{selection:?}");
        }
    }

    #[test]
    fn a_filter_wants_all_that_it_says() {
        let client = ClientId::parse("c").unwrap();
        let none = GrantFilter::default();
        let user = Some(named(&format!("{OID}@{TID}")));
        let tenant = Some(OID.to_owned());
        for (filter, expected) in [
            (none.clone(), true),
            (
                GrantFilter {
                    user,
                    ..none.clone()
                },
                true,
            ),
            (
                GrantFilter {
                    client: Some(client.clone()),
                    tenant,
                    ..none
                },
                false,
            ),
        ] {
            assert_eq!(filter.admits(&client, &alice()), expected, "{filter:?}");
        }
    }
}

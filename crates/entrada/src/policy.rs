//! Who may do what. Pure.
//!
//! A [`Requirement`] is held against the facts of a verified token, whoever issued it: our own
//! authorization server, Entra, or another issuer. One is put before a whole server
//! ([`Protection::requirement`](crate::resource_server::Protection)), before single routes
//! ([`RequireLayer`](crate::resource_server::RequireLayer)), or before single tools (the crate
//! `entrada-rmcp`).
//!
//! ```
//! use entrada::policy::Requirement;
//!
//! // People with the scope, or programs with the role, of one tenant.
//! let tenant = "11111111-2222-3333-4444-555555555555";
//! let requirement = Requirement::any([
//!     Requirement::all([Requirement::user(), Requirement::scopes(["mcp.write"])]),
//!     Requirement::all([Requirement::application(), Requirement::roles(["Mcp.Write.All"])]),
//! ])
//! .and(Requirement::any_tenant([tenant]));
//! # let _ = requirement;
//! ```

use serde::{Deserialize, Serialize};

use crate::access_token::{Lack, PrincipalKind, Shortfall, TokenFacts};
use crate::oauth::scope::Scope;

/// What a caller must have.
///
/// A requirement that was written wrongly, such as one that names no role, is met by nobody.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(from = "Rule")]
pub struct Requirement(Rule);

#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    /// Nothing besides a good token.
    #[default]
    Nothing,
    Scopes(Scope),
    AnyScope(Scope),
    Roles(Vec<String>),
    AnyRole(Vec<String>),
    AnyGroup(Vec<String>),
    AnyTenant(Vec<String>),
    AnyClient(Vec<String>),
    Kind(PrincipalKind),
    All(Vec<Self>),
    Any(Vec<Self>),
    Impossible(String),
}

impl Requirement {
    /// Nothing besides a good token.
    pub fn nothing() -> Self {
        Self(Rule::Nothing)
    }

    /// All of these scopes, in short spelling.
    pub fn scopes<I: IntoIterator<Item: AsRef<str>>>(scopes: I) -> Self {
        Self::of_scopes(scopes, Rule::Scopes)
    }

    /// One of these scopes: the first is what a client is told to ask for. Where a broad scope
    /// includes a narrow one, name the narrow one first and the broad one after it.
    pub fn any_scope<I: IntoIterator<Item: AsRef<str>>>(scopes: I) -> Self {
        Self::of_scopes(scopes, Rule::AnyScope)
    }

    /// All of these app roles.
    pub fn roles<I: IntoIterator<Item: Into<String>>>(roles: I) -> Self {
        Self::of_names("app role", roles, Rule::Roles)
    }

    /// One of these app roles.
    pub fn any_role<I: IntoIterator<Item: Into<String>>>(roles: I) -> Self {
        Self::of_names("app role", roles, Rule::AnyRole)
    }

    /// Membership of one of these groups, by object id.
    pub fn any_group<I: IntoIterator<Item: Into<String>>>(groups: I) -> Self {
        Self::of_names("group", groups, Rule::AnyGroup)
    }

    /// A token for one of these tenants, by id.
    pub fn any_tenant<I: IntoIterator<Item: Into<String>>>(tenants: I) -> Self {
        Self::of_names("tenant", tenants, Rule::AnyTenant)
    }

    /// One of these clients, by id.
    pub fn any_client<I: IntoIterator<Item: Into<String>>>(clients: I) -> Self {
        Self::of_names("client", clients, Rule::AnyClient)
    }

    /// A user, rather than an application.
    pub fn user() -> Self {
        Self(Rule::Kind(PrincipalKind::User))
    }

    /// An application that signed in as itself, rather than a user.
    pub fn application() -> Self {
        Self(Rule::Kind(PrincipalKind::Application))
    }

    /// All of these.
    pub fn all(requirements: impl IntoIterator<Item = Self>) -> Self {
        let rules: Vec<Rule> = requirements.into_iter().map(|Self(rule)| rule).collect();
        Self(if rules.is_empty() {
            impossible("requirement")
        } else {
            Rule::All(rules)
        })
    }

    /// One of these.
    pub fn any(requirements: impl IntoIterator<Item = Self>) -> Self {
        let rules: Vec<Rule> = requirements.into_iter().map(|Self(rule)| rule).collect();
        Self(if rules.is_empty() {
            impossible("requirement")
        } else {
            Rule::Any(rules)
        })
    }

    /// This, and `other` besides.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Rule::Nothing, rule) | (rule, Rule::Nothing) => Self(rule),
            (one, two) => Self(Rule::All(vec![one, two])),
        }
    }

    fn of_scopes<I>(scopes: I, rule: fn(Scope) -> Rule) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let parsed: Result<Vec<Scope>, String> = scopes
            .into_iter()
            .map(|text| Scope::parse(text.as_ref()).map_err(|_| text.as_ref().to_owned()))
            .collect();
        Self(match parsed {
            Err(text) => Rule::Impossible(format!("{text:?} is no scope")),
            Ok(scopes) => {
                let scope: Scope = scopes.iter().flat_map(Scope::iter).cloned().collect();
                if scope.is_empty() {
                    impossible("scope")
                } else {
                    rule(scope)
                }
            }
        })
    }

    fn of_names<I>(what: &str, names: I, rule: fn(Vec<String>) -> Rule) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        Self(if names.is_empty() || names.iter().any(String::is_empty) {
            impossible(what)
        } else {
            rule(names)
        })
    }
}

// What was read is made anew, so that an empty list in a file requires no less than one in code.
impl From<Rule> for Requirement {
    fn from(rule: Rule) -> Self {
        let made = |rules: Vec<Rule>| rules.into_iter().map(Self::from);
        match rule {
            Rule::Scopes(scope) => Self::scopes([scope.to_string()]),
            Rule::AnyScope(scope) => Self::any_scope([scope.to_string()]),
            Rule::Roles(roles) => Self::roles(roles),
            Rule::AnyRole(roles) => Self::any_role(roles),
            Rule::AnyGroup(groups) => Self::any_group(groups),
            Rule::AnyTenant(tenants) => Self::any_tenant(tenants),
            Rule::AnyClient(clients) => Self::any_client(clients),
            Rule::All(rules) => Self::all(made(rules)),
            Rule::Any(rules) => Self::any(made(rules)),
            Rule::Nothing | Rule::Kind(_) | Rule::Impossible(_) => Self(rule),
        }
    }
}

fn impossible(what: &str) -> Rule {
    Rule::Impossible(format!("it names no {what}"))
}

impl Requirement {
    /// Whether `facts` meet the requirement.
    ///
    /// # Errors
    ///
    /// [`Shortfall`]: the scopes with which they would, or what no scope makes up for.
    pub fn decide(&self, facts: &TokenFacts) -> Result<(), Shortfall> {
        // The common answer is given without an allocation.
        if self.0.is_met(facts) {
            Ok(())
        } else {
            Err(self.0.way(facts).shortfall(&self.0))
        }
    }

    /// Why nobody can meet it, if it was written wrongly.
    pub fn mistake(&self) -> Option<&str> {
        self.0.mistake()
    }

    /// Every scope it speaks of.
    pub(crate) fn scopes_named(&self) -> Scope {
        self.0.scopes_named()
    }
}

/// How a caller can come to meet a rule.
enum Way {
    /// With these scopes, which may all be there already.
    Scope(Scope),
    /// Not by asking for scopes.
    None(Lack),
}

impl Way {
    fn shortfall(self, rule: &Rule) -> Shortfall {
        match self {
            Self::Scope(scope) if !scope.is_empty() => Shortfall::Scope(scope),
            Self::Scope(_) => Shortfall::Other(Lack::Impossible(format!("{rule:?}"))),
            Self::None(lack) => Shortfall::Other(lack),
        }
    }
}

impl Rule {
    fn is_met(&self, facts: &TokenFacts) -> bool {
        let principal = &facts.principal;
        let holds = |held: &[String], name: &String| held.contains(name);
        match self {
            Self::Nothing => true,
            Self::Scopes(scope) => facts.scope.covers(scope),
            Self::AnyScope(scope) => scope.iter().any(|token| facts.scope.contains(token)),
            Self::Roles(roles) => roles.iter().all(|role| holds(&principal.roles, role)),
            Self::AnyRole(roles) => roles.iter().any(|role| holds(&principal.roles, role)),
            // Ids are GUIDs, which fold case.
            Self::AnyGroup(groups) => principal
                .groups
                .iter()
                .any(|held| groups.iter().any(|group| held.eq_ignore_ascii_case(group))),
            Self::AnyTenant(tenants) => tenants
                .iter()
                .any(|tenant| tenant.eq_ignore_ascii_case(&principal.tenant_id)),
            Self::AnyClient(clients) => clients
                .iter()
                .any(|client| client.eq_ignore_ascii_case(facts.client_id.as_str())),
            Self::Kind(kind) => principal.kind == *kind,
            Self::All(rules) => rules.iter().all(|rule| rule.is_met(facts)),
            Self::Any(rules) => rules.iter().any(|rule| rule.is_met(facts)),
            Self::Impossible(_) => false,
        }
    }

    /// What it takes. Scopes that are there already count: a client may ask for those it is told
    /// and no others, and then lose what it had.
    fn way(&self, facts: &TokenFacts) -> Way {
        let met = self.is_met(facts);
        match self {
            Self::Scopes(_) | Self::AnyScope(_) if !met && is_application(facts) => {
                Way::None(Lack::Kind(PrincipalKind::User))
            }
            Self::Scopes(scope) => Way::Scope(scope.clone()),
            Self::AnyScope(scope) => {
                let held = scope.iter().find(|token| facts.scope.contains(token));
                Way::Scope(
                    held.or_else(|| scope.iter().next())
                        .cloned()
                        .into_iter()
                        .collect(),
                )
            }
            Self::All(rules) => all_ways(rules, facts),
            Self::Any(rules) => easiest_way(rules, facts),
            _ if met => Way::Scope(Scope::default()),
            Self::Roles(roles) => Way::None(Lack::Roles(roles.join(" "))),
            Self::AnyRole(roles) => Way::None(Lack::Roles(roles.join(" or "))),
            Self::AnyGroup(groups) if facts.principal.groups_overage => {
                Way::None(Lack::GroupsUnknown(groups.join(" or ")))
            }
            Self::AnyGroup(groups) => Way::None(Lack::Groups(groups.join(" or "))),
            Self::AnyTenant(tenants) => Way::None(Lack::Tenants(tenants.join(" or "))),
            Self::AnyClient(clients) => Way::None(Lack::Clients(clients.join(" or "))),
            Self::Kind(kind) => Way::None(Lack::Kind(*kind)),
            Self::Impossible(why) => Way::None(Lack::Impossible(why.clone())),
            Self::Nothing => Way::Scope(Scope::default()),
        }
    }

    fn scopes_named(&self) -> Scope {
        match self {
            Self::Scopes(scope) | Self::AnyScope(scope) => scope.clone(),
            Self::All(rules) | Self::Any(rules) => {
                rules.iter().fold(Scope::default(), |all, rule| {
                    all.union(&rule.scopes_named())
                })
            }
            Self::Nothing
            | Self::Roles(_)
            | Self::AnyRole(_)
            | Self::AnyGroup(_)
            | Self::AnyTenant(_)
            | Self::AnyClient(_)
            | Self::Kind(_)
            | Self::Impossible(_) => Scope::default(),
        }
    }

    fn mistake(&self) -> Option<&str> {
        match self {
            Self::Impossible(why) => Some(why),
            Self::All(rules) | Self::Any(rules) => rules.iter().find_map(Self::mistake),
            Self::Nothing
            | Self::Scopes(_)
            | Self::AnyScope(_)
            | Self::Roles(_)
            | Self::AnyRole(_)
            | Self::AnyGroup(_)
            | Self::AnyTenant(_)
            | Self::AnyClient(_)
            | Self::Kind(_) => None,
        }
    }
}

fn is_application(facts: &TokenFacts) -> bool {
    facts.principal.kind == PrincipalKind::Application
}

/// The scopes that all rules together take; what no scope makes up for comes first, for then no
/// scope is worth asking for.
fn all_ways(rules: &[Rule], facts: &TokenFacts) -> Way {
    let mut needed = Scope::default();
    for rule in rules {
        match rule.way(facts) {
            Way::Scope(scope) => needed = needed.union(&scope),
            lack @ Way::None(_) => return lack,
        }
    }
    Way::Scope(needed)
}

/// The way that takes the fewest scopes the caller does not have; the one named first among
/// equals.
fn easiest_way(rules: &[Rule], facts: &TokenFacts) -> Way {
    let mut lack = None;
    let mut easiest: Option<(usize, Scope)> = None;
    for rule in rules {
        match rule.way(facts) {
            // What a way for the other kind of caller lacks says nothing to this one.
            Way::None(why) if matches!(lack, None | Some(Lack::Kind(_))) => lack = Some(why),
            Way::None(_) => {}
            Way::Scope(scope) => {
                let missing = scope.without(&facts.scope).iter().count();
                if easiest.as_ref().is_none_or(|(fewest, _)| missing < *fewest) {
                    easiest = Some((missing, scope));
                }
            }
        }
    }
    match (easiest, lack) {
        (Some((_, scope)), _) => Way::Scope(scope),
        (None, Some(lack)) => Way::None(lack),
        (None, None) => Way::None(Lack::Impossible("it names no requirement".to_owned())),
    }
}

#[cfg(test)]
mod tests;

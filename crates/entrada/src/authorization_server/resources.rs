//! The servers that tokens are issued for.

use std::fmt;

use super::ScopePolicy;
use crate::oauth::params::Params;
use crate::oauth::resource::{AskedResources, ResourceIndicator, ResourceIndicatorError};
use crate::oauth::scope::{Scope, ScopeToken};

/// A server that tokens are issued for: an audience with scopes of its own (RFC 8707 §1).
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) indicator: ResourceIndicator,
    /// What people call it.
    pub(crate) name: String,
    /// The scopes there are.
    pub(crate) scopes: ScopePolicy,
}

/// All of them. The first is meant where a client names none, as clients of before 2025-06-18 do.
#[derive(Clone, Debug)]
pub(crate) struct Resources {
    first: Resource,
    others: Vec<Resource>,
}

/// Why a client gets nothing for what it names: `invalid_target` (RFC 8707 §2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum UnknownResource<'a> {
    /// It is none of ours.
    Foreign(&'a str),
    /// It is one of ours, and so is another that was named: a token is for one server.
    Another(&'a str),
}

impl<'a> UnknownResource<'a> {
    /// What the client named.
    pub(super) fn asked(self) -> &'a str {
        match self {
            Self::Foreign(asked) | Self::Another(asked) => asked,
        }
    }
}

impl Resources {
    pub(crate) fn new(first: Resource, others: Vec<Resource>) -> Self {
        Self { first, others }
    }

    /// The one that is meant where none is named.
    pub(crate) fn first(&self) -> &Resource {
        &self.first
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Resource> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The one that `indicator` names.
    pub(crate) fn of(&self, indicator: &ResourceIndicator) -> Option<&Resource> {
        self.iter()
            .find(|resource| resource.indicator.names_same(indicator))
    }

    /// The one that a client asks for: they all name it, or it is the first.
    pub(super) fn asked_for<'a>(
        &self,
        asked: impl Iterator<Item = &'a str>,
    ) -> Result<&Resource, UnknownResource<'a>> {
        let mut found: Option<&Resource> = None;
        for asked in asked {
            let parsed = ResourceIndicator::parse(asked).ok();
            let named = parsed.and_then(|indicator| self.of(&indicator));
            let named = named.ok_or(UnknownResource::Foreign(asked))?;
            if found.is_some_and(|found| !found.indicator.names_same(&named.indicator)) {
                return Err(UnknownResource::Another(asked));
            }
            found = Some(named);
        }
        Ok(found.unwrap_or(&self.first))
    }

    /// What a token request with `params` can be for (RFC 8707 §2.2).
    pub(super) fn asked_in(
        &self,
        params: &Params,
    ) -> Result<AskedResources, ResourceIndicatorError> {
        let named = params.resources().map(ResourceIndicator::parse);
        let served = self.iter().map(|resource| resource.indicator.clone());
        Ok(AskedResources::new(
            named.collect::<Result<_, _>>()?,
            served.collect(),
        ))
    }

    /// The scopes of all of them in our spelling; scopes of OpenID Connect left out.
    pub(super) fn in_short(&self, scope: &Scope) -> Scope {
        self.first.scopes.in_short(scope)
    }

    /// What authorization server metadata lists; `offline_access` besides, for clients that ask for a
    /// refresh token only where they see it.
    pub(super) fn advertised(&self) -> Scope {
        let each = self.iter().map(|resource| resource.scopes.advertised());
        let own = each.fold(Scope::default(), |all, scopes| all.union(scopes));
        let offline: Scope = ScopeToken::parse("offline_access").into_iter().collect();
        own.union(&offline)
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.first.indicator.as_str())?;
        for other in &self.others {
            write!(f, " or {}", other.indicator.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entra::scope::ScopeNames;

    fn resource(url: &str, required: &str) -> Resource {
        let required = Scope::parse(required).unwrap();
        let names = ScopeNames::new("api://app");
        Resource {
            indicator: ResourceIndicator::parse(url).unwrap(),
            name: url.to_owned(),
            scopes: ScopePolicy::new(&required, names).unwrap(),
        }
    }

    fn resources() -> Resources {
        let first = resource("https://h/mcp", "read");
        let others = [("https://h/mcp/a", "a.read"), ("https://g/mcp", "read g")];
        let others = others.map(|(url, required)| resource(url, required));
        Resources::new(first, others.to_vec())
    }

    #[test]
    fn clients_name_one_server_or_none() {
        use UnknownResource as E;
        let resources = resources();
        for (asked, expected) in [
            (&[][..], Ok("https://h/mcp")),
            (&["https://h/mcp"], Ok("https://h/mcp")),
            (&["https://H/mcp/"], Ok("https://h/mcp")),
            (&["https://h/mcp/a"], Ok("https://h/mcp/a")),
            (&["https://g/mcp", "https://g:443/mcp"], Ok("https://g/mcp")),
            (
                &["https://h/mcp", "https://g/mcp"],
                Err(E::Another("https://g/mcp")),
            ),
            (
                &["https://h/mcp", "https://x/mcp"],
                Err(E::Foreign("https://x/mcp")),
            ),
            (&["https://h"], Err(E::Foreign("https://h"))),
            (&["https://h/mcp/a/b"], Err(E::Foreign("https://h/mcp/a/b"))),
            (&[""], Err(E::Foreign(""))),
        ] {
            let found = resources.asked_for(asked.iter().copied());
            let found = found.map(|resource| resource.indicator.as_str());
            assert_eq!(found, expected, "{asked:?}");
        }
    }

    #[test]
    fn the_scopes_of_all_are_advertised_once() {
        assert_eq!(
            resources().advertised().to_string(),
            "read a.read g offline_access"
        );
    }
}

//! What a `scope` parameter asks for, and what of it may be given.

use std::collections::BTreeSet;

use crate::directory::Directory;
use crate::directory::app::App;
use crate::directory::tenant::Tenant;
use crate::directory::user::User;
use crate::error::Aadsts;

/// The scopes of `OpenID` Connect, which belong to no resource.
pub(crate) const OIDC: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// A parsed `scope` parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScopeRequest {
    /// Which of [`OIDC`] were asked for.
    pub(crate) oidc: BTreeSet<&'static str>,
    /// What was asked of each resource, in the order of the request.
    pub(crate) resources: Vec<ResourceScopes>,
    /// The parameter as it came, for error texts.
    pub(crate) text: String,
}

/// What was asked of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceScopes {
    /// The application id of the resource.
    pub(crate) client_id: String,
    /// The prefix the request used; `None` for bare names, which mean Microsoft Graph.
    pub(crate) prefix: Option<String>,
    /// Scope values, without prefix.
    pub(crate) names: Vec<String>,
    /// Whether `.default` was asked for.
    pub(crate) default: bool,
}

/// What a token will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantedScopes {
    /// Scope values for `scp`, in the order the resource declares them.
    pub(crate) names: Vec<String>,
    /// The `scope` member of the response, prefixed as the request was.
    pub(crate) response: String,
}

impl ResourceScopes {
    /// How the request named the resource, for `aud` of v1 tokens.
    pub(crate) fn named(&self) -> &str {
        self.prefix.as_deref().unwrap_or(&self.client_id)
    }

    fn prefixed(&self, name: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.to_owned(),
        }
    }
}

impl ScopeRequest {
    /// Parses `text` against the applications known in `tenant`.
    ///
    /// Each value is a resource, a slash and a name: the *last* slash, so that a resource may hold
    /// slashes. A value without one is a permission of Microsoft Graph.
    pub(crate) fn parse(
        text: &str,
        client: &App,
        tenant: Option<&Tenant>,
        directory: &Directory,
    ) -> Result<Self, Aadsts> {
        let mut request = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        for value in text.split(' ').filter(|value| !value.is_empty()) {
            if let Some(oidc) = OIDC.iter().find(|name| **name == value) {
                request.oidc.insert(oidc);
                continue;
            }
            let (prefix, name) = match value.rsplit_once('/') {
                Some((prefix, name)) => (Some(prefix), name),
                None => (None, value),
            };
            let resource = find(prefix, tenant, directory)?;
            request.add(resource, prefix, name, client)?;
        }
        request.check_default()?;
        Ok(request)
    }

    /// What the v1 endpoints ask with their `resource` parameter: all that was consented to.
    pub(crate) fn of_v1_resource(
        resource: &str,
        tenant: Option<&Tenant>,
        directory: &Directory,
    ) -> Result<Self, Aadsts> {
        let app = find(Some(resource), tenant, directory)?;
        Ok(Self {
            oidc: OIDC.into_iter().collect(),
            resources: vec![ResourceScopes {
                client_id: app.client_id.clone(),
                prefix: Some(resource.to_owned()),
                names: Vec::new(),
                default: true,
            }],
            text: resource.to_owned(),
        })
    }

    fn add(
        &mut self,
        resource: &App,
        prefix: Option<&str>,
        name: &str,
        client: &App,
    ) -> Result<(), Aadsts> {
        let default = name == ".default";
        if !default && resource.scope(name).is_none() {
            return Err(Aadsts::UnknownScope {
                app: client.display_name.clone(),
                scope: name.to_owned(),
                resource: resource.client_id.clone(),
            });
        }
        let known = |asked: &ResourceScopes| asked.client_id == resource.client_id;
        if !self.resources.iter().any(known) {
            self.resources.push(ResourceScopes {
                client_id: resource.client_id.clone(),
                prefix: prefix.map(str::to_owned),
                names: Vec::new(),
                default: false,
            });
        }
        let Some(asked) = self.resources.iter_mut().find(|asked| known(asked)) else {
            return Ok(());
        };
        if default {
            asked.default = true;
        } else if !asked.names.iter().any(|known| known == name) {
            asked.names.push(name.to_owned());
        }
        Ok(())
    }

    // `.default` stands alone: neither beside named scopes nor beside another `.default`.
    fn check_default(&self) -> Result<(), Aadsts> {
        let defaults = self.resources.iter().filter(|asked| asked.default).count();
        let named = self.resources.iter().any(|asked| !asked.names.is_empty());
        if defaults > 1 || (defaults == 1 && named) {
            return Err(Aadsts::InvalidScope(self.text.clone()));
        }
        Ok(())
    }

    /// The only resource, the error for several, or `None` when only [`OIDC`] were asked for.
    pub(crate) fn single_resource(&self) -> Result<Option<&ResourceScopes>, Aadsts> {
        match self.resources.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            _ => Err(Aadsts::SeveralResources(self.text.clone())),
        }
    }

    /// Microsoft Graph with whatever was consented to: what [`OIDC`] alone leads to.
    pub(crate) fn graph() -> ResourceScopes {
        ResourceScopes {
            client_id: crate::builtin::GRAPH_APP_ID.to_owned(),
            prefix: None,
            names: Vec::new(),
            default: false,
        }
    }
}

/// Checks the `resource` parameter against the scopes (RFC 8707, as Entra means it).
///
/// Since 2026 it must be, byte for byte, what prefixes every resource scope. This looks at the text
/// alone, because Entra reports it before it looks up what the prefixes name.
pub(crate) fn check_resource(scope: &str, resource: &str) -> Result<(), Aadsts> {
    let values = scope.split(' ').filter(|value| !value.is_empty());
    let mut asked = values.filter(|value| !OIDC.contains(value)).peekable();
    let matches = |value: &str| {
        let prefix = value.rsplit_once('/').map(|(prefix, _)| prefix);
        prefix == Some(resource)
    };
    if asked.peek().is_none() || !asked.all(matches) {
        return Err(Aadsts::ResourceMismatch);
    }
    Ok(())
}

fn find<'a>(
    prefix: Option<&str>,
    tenant: Option<&Tenant>,
    directory: &'a Directory,
) -> Result<&'a App, Aadsts> {
    let named = prefix.unwrap_or(crate::builtin::GRAPH_APP_ID);
    directory
        .resource(named)
        // An application open to every tenant gets its service principal by being consented to.
        .filter(|app| {
            app.sign_in_audience.admits_every_tenant()
                || tenant.is_none_or(|tenant| directory.is_installed(app, tenant))
        })
        .ok_or_else(|| Aadsts::UnknownResource {
            resource: named.to_owned(),
            tenant: tenant.map_or_else(String::new, |tenant| tenant.display_name.clone()),
        })
}

/// Who asks, for whom, where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) tenant: &'a Tenant,
    pub(crate) client: &'a App,
    pub(crate) user: &'a User,
}

impl Party<'_> {
    /// Which of `asked` the user has not consented to.
    pub(crate) fn missing(&self, asked: &ScopeRequest) -> Vec<(String, String)> {
        let mut missing = self.everything(asked);
        missing.retain(|(resource, name)| {
            let app = self.directory.app(resource);
            !app.is_some_and(|app| self.consented(app).contains(name))
        });
        missing
    }

    /// All of `asked`: application id of the resource, and scope. `.default` is spelled out.
    pub(crate) fn everything(&self, asked: &ScopeRequest) -> Vec<(String, String)> {
        let mut everything = Vec::new();
        let graph = ResourceScopes {
            names: asked.oidc.iter().map(|&name| name.to_owned()).collect(),
            ..ScopeRequest::graph()
        };
        for resource in std::iter::once(&graph).chain(&asked.resources) {
            let Some(app) = self.directory.app(&resource.client_id) else {
                continue;
            };
            let names: Vec<String> = if resource.default {
                self.statically_required()
                    .filter(|(required, _)| *required == app.client_id)
                    .map(|(_, name)| name.to_owned())
                    .collect()
            } else {
                resource.names.clone()
            };
            let names = names.into_iter();
            everything.extend(names.map(|name| (app.client_id.clone(), name)));
        }
        everything
    }

    fn statically_required(&self) -> impl Iterator<Item = (&str, &str)> {
        let required = self.client.required_resource_access.iter();
        required.flat_map(|access| {
            let names = access.scopes.iter();
            names.map(|name| (access.resource.as_str(), name.as_str()))
        })
    }

    fn consented(&self, resource: &App) -> BTreeSet<String> {
        self.directory
            .consented(self.tenant, self.client, resource, self.user)
    }

    /// Whether `name` of [`OIDC`] was asked for or consented to before.
    pub(crate) fn has_oidc(&self, asked: &ScopeRequest, name: &str) -> bool {
        let graph = self.directory.app(crate::builtin::GRAPH_APP_ID);
        asked.oidc.contains(name) || graph.is_some_and(|app| self.consented(app).contains(name))
    }

    /// What a token for `asked` may say: that, and what else of the resource was consented to.
    pub(crate) fn grant(
        &self,
        asked: &ResourceScopes,
        resource: &App,
        oidc: &BTreeSet<&'static str>,
    ) -> Result<GrantedScopes, Aadsts> {
        let consented = self.consented(resource);
        let nothing = asked.default && consented.is_empty();
        if nothing || asked.names.iter().any(|name| !consented.contains(name)) {
            return Err(Aadsts::ConsentRequired {
                client_id: self.client.client_id.clone(),
                name: self.client.display_name.clone(),
            });
        }
        let names: Vec<String> = resource
            .scopes
            .iter()
            .map(|scope| scope.value.clone())
            .filter(|name| consented.contains(name) && name != "offline_access")
            .collect();
        let is_oidc = |name: &str| OIDC.contains(&name);
        let mut response: Vec<String> = names
            .iter()
            .filter(|name| !is_oidc(name))
            .map(|name| asked.prefixed(name))
            .collect();
        if resource.is_graph() {
            let shown = oidc.iter().filter(|name| **name != "offline_access");
            response.extend(shown.map(|&name| name.to_owned()));
        }
        if asked.default {
            response.push(asked.prefixed(".default"));
        }
        Ok(GrantedScopes {
            names,
            response: response.join(" "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::{
        ALICE, CLIENT_ID, DOWNSTREAM_IDENTIFIER_URI, IDENTIFIER_URI, TENANT_ID, URL_IDENTIFIER_URI,
    };

    fn parse(text: &str) -> Result<ScopeRequest, u32> {
        let directory = Directory::default();
        let client = directory.app(CLIENT_ID).unwrap();
        ScopeRequest::parse(text, client, directory.tenant(TENANT_ID), &directory)
            .map_err(|error| error.code())
    }

    #[test]
    fn scopes_name_a_resource_or_mean_graph() {
        for (text, wanted) in [
            (format!("{IDENTIFIER_URI}/mcp.read openid"), Ok(1)),
            (format!("{CLIENT_ID}/.default"), Ok(1)),
            ("User.Read".to_owned(), Ok(1)),
            (
                "https://graph.microsoft.com/User.Read Mail.Read".to_owned(),
                Ok(1),
            ),
            ("openid offline_access".to_owned(), Ok(0)),
            (format!("{IDENTIFIER_URI}/mcp.read User.Read"), Ok(2)),
            ("mcp.read".to_owned(), Err(650_053)),
            ("address".to_owned(), Err(650_053)),
            (format!("{IDENTIFIER_URI}/nonsense"), Err(650_053)),
            ("api://nobody/mcp.read".to_owned(), Err(500_011)),
            (format!("{IDENTIFIER_URI}//mcp.read"), Err(500_011)),
            (
                format!("{IDENTIFIER_URI}/.default {IDENTIFIER_URI}/mcp.read"),
                Err(70_011),
            ),
            (format!("{IDENTIFIER_URI}/.default User.Read"), Err(70_011)),
            (
                format!("{IDENTIFIER_URI}/.default https://graph.microsoft.com/.default"),
                Err(70_011),
            ),
        ] {
            assert_eq!(
                parse(&text).map(|request| request.resources.len()),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn the_resource_parameter_must_be_the_prefix_of_every_scope() {
        for (scope, resource, ok) in [
            (format!("{IDENTIFIER_URI}/mcp.read"), IDENTIFIER_URI, true),
            (
                format!("{IDENTIFIER_URI}/mcp.read"),
                "https://srv/mcp",
                false,
            ),
            (
                format!("{URL_IDENTIFIER_URI}/mcp.access"),
                URL_IDENTIFIER_URI,
                true,
            ),
            (
                format!("{URL_IDENTIFIER_URI}/mcp.access"),
                "https://mcp.contoso.onmicrosoft.com/mcp/",
                false,
            ),
            ("User.Read".to_owned(), "https://graph.microsoft.com", false),
            ("mcp.read".to_owned(), IDENTIFIER_URI, false),
            (
                "openid profile offline_access".to_owned(),
                IDENTIFIER_URI,
                false,
            ),
        ] {
            assert_eq!(
                check_resource(&scope, resource).is_ok(),
                ok,
                "{scope} with {resource}"
            );
        }
    }

    #[test]
    fn a_token_also_carries_what_was_consented_to_before() {
        let directory = Directory::default();
        let party = Party {
            directory: &directory,
            tenant: directory.tenant(TENANT_ID).unwrap(),
            client: directory.app(CLIENT_ID).unwrap(),
            user: directory.user(ALICE).unwrap(),
        };
        let granted = |text: &str| {
            let request = parse(text).unwrap();
            let asked = request.single_resource().unwrap().unwrap();
            let resource = directory.app(&asked.client_id).unwrap();
            party
                .grant(asked, resource, &request.oidc)
                .map_err(|error| error.code())
        };
        let own = granted(&format!("{IDENTIFIER_URI}/mcp.read openid")).unwrap();
        assert_eq!(own.names, ["mcp.read", "mcp.write", "mcp.access"]);
        assert_eq!(
            own.response,
            format!(
                "{IDENTIFIER_URI}/mcp.read {IDENTIFIER_URI}/mcp.write {IDENTIFIER_URI}/mcp.access"
            )
        );
        let graph = granted("https://graph.microsoft.com/.default openid offline_access").unwrap();
        assert_eq!(
            graph.response,
            "https://graph.microsoft.com/User.Read https://graph.microsoft.com/Mail.Read openid \
             https://graph.microsoft.com/.default"
        );
        assert_eq!(granted(&format!("{IDENTIFIER_URI}/mcp.admin")), Err(65_001));
        assert_eq!(
            granted(&format!("{DOWNSTREAM_IDENTIFIER_URI}/data.write")),
            Err(65_001)
        );
    }
}

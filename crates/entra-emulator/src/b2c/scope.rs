//! What a user flow is asked for.

use crate::b2c::error::Aadb2c;
use crate::directory::app::App;
use crate::directory::tenant::Tenant;
use crate::directory::user::User;
use crate::directory::{Directory, is_guid};

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) openid: bool,
    pub(crate) offline: bool,
    pub(crate) resource: Option<AskedResource>,
}

/// What was asked of one resource.
#[derive(Debug, Clone)]
pub(crate) struct AskedResource {
    pub(crate) client_id: String,
    /// The values as they were asked.
    values: Vec<String>,
    /// Scope values, without prefix; none when the client asked for itself by its id.
    pub(crate) names: Vec<String>,
}

impl Asked {
    /// Parses `text`: a resource, a slash and a name each, or the client's own id.
    pub(super) fn parse(text: &str, client: &App, directory: &Directory) -> Result<Self, Aadb2c> {
        let mut asked = Self::default();
        for value in text.split(' ').filter(|value| !value.is_empty()) {
            match value {
                "openid" => asked.openid = true,
                "offline_access" => asked.offline = true,
                // Every library of Microsoft's sends it; it changes nothing.
                "profile" => {}
                _ => {
                    let (resource, name) = find(value, client, directory)?;
                    asked.add(resource, name, value, text)?;
                }
            }
        }
        Ok(asked)
    }

    fn add(
        &mut self,
        resource: &App,
        name: Option<&str>,
        value: &str,
        text: &str,
    ) -> Result<(), Aadb2c> {
        let asked = self.resource.get_or_insert_with(|| AskedResource {
            client_id: resource.client_id.clone(),
            values: Vec::new(),
            names: Vec::new(),
        });
        if asked.client_id != resource.client_id {
            return Err(Aadb2c::SeveralResources(text.to_owned()));
        }
        asked.values.push(value.to_owned());
        asked.names.extend(name.map(str::to_owned));
        Ok(())
    }

    /// Whether an administrator let `client` have all of it.
    pub(super) fn check_permissions(
        &self,
        (directory, tenant): (&Directory, &Tenant),
        client: &App,
        user: &User,
    ) -> Result<(), Aadb2c> {
        let Some(asked) = &self.resource else {
            return Ok(());
        };
        let resource = directory.app(&asked.client_id);
        let resource = resource.ok_or(Aadb2c::Permissions)?;
        let granted = directory.consented(tenant, client, resource, user);
        if asked.names.iter().all(|name| granted.contains(name)) {
            Ok(())
        } else {
            Err(Aadb2c::Permissions)
        }
    }

    /// `scope` of the answer: empty when it asked for no resource.
    pub(super) fn response(&self) -> String {
        let Some(asked) = &self.resource else {
            return String::new();
        };
        let oidc = [(self.openid, "openid"), (self.offline, "offline_access")];
        let oidc = oidc.into_iter().filter(|(asked, _)| *asked);
        let values = asked.values.iter().map(String::as_str);
        let all: Vec<&str> = values.chain(oidc.map(|(_, name)| name)).collect();
        all.join(" ")
    }
}

fn find<'a>(
    value: &'a str,
    client: &App,
    directory: &'a Directory,
) -> Result<(&'a App, Option<&'a str>), Aadb2c> {
    let unsupported = || Aadb2c::UnsupportedScope(value.to_owned());
    let Some((prefix, name)) = value.rsplit_once('/') else {
        if value == client.client_id {
            return Ok((directory.app(value).ok_or_else(unsupported)?, None));
        }
        return Err(if is_guid(value) {
            Aadb2c::ScopeWithoutResource(value.to_owned())
        } else {
            unsupported()
        });
    };
    let resource = directory.resource(prefix).ok_or_else(unsupported)?;
    let same_tenant = resource.tenant.eq_ignore_ascii_case(&client.tenant);
    if !same_tenant || resource.scope(name).is_none() {
        return Err(unsupported());
    }
    Ok((resource, Some(name)))
}

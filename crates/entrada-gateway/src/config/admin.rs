//! Where operators are served, and who is one.

use std::net::SocketAddr;

use entrada::admin_site::AdminSettings;
use url::Url;

use crate::config::source::Sources;
use crate::config::value::{self, is_guid};

/// What listening on more than this machine means.
const FROM_OUTSIDE: &str = "operators' pages are listened for on every network of this machine: name an address that \
                            is reached from within alone";

/// Why the pages cannot be where everything else is.
const PUBLIC: &str = "is where clients are served, and operators' pages are never there: give them a host or a port \
                      of their own";

/// Where operators are served, and who is one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminListener {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Where browsers reach that.
    pub base_url: String,
    /// The app role that operators have.
    pub role: String,
    /// The tenant they are of, where users of several sign in.
    pub tenant: Option<String>,
}

impl AdminListener {
    /// The same, for the library.
    pub fn settings(&self) -> AdminSettings {
        let settings = AdminSettings::new(&self.base_url, &self.role);
        match &self.tenant {
            Some(tenant) => settings.tenant(tenant),
            None => settings,
        }
    }
}

/// Where operators are served, if they are; a problem where it cannot be so.
pub(super) fn read(sources: &mut Sources<'_>) -> Option<AdminListener> {
    sources.needs("admin_base_url", &["admin_listen"]);
    sources.needs("admin_role", &["admin_listen"]);
    sources.needs("admin_tenant", &["admin_listen"]);
    let listen = sources.parsed("admin_listen", value::address)?;
    if listen.ip().is_unspecified() {
        sources.warn("admin_listen", FROM_OUTSIDE);
    }
    let role = sources.required("admin_role");
    // What a browser on this machine reaches needs no name of its own.
    let local = (listen.ip().is_loopback() && listen.port() != 0)
        .then(|| format!("http://localhost:{}", listen.port()));
    let base_url = match (sources.text("admin_base_url"), local) {
        (None, Some(local)) => local,
        (Some(_) | None, _) => sources.required("admin_base_url"),
    };
    let tenant = tenant(sources);
    let public = sources.text("base_url");
    let listener = AdminListener {
        listen,
        base_url,
        role,
        tenant,
    };
    if listener.base_url.is_empty() || listener.role.is_empty() {
        return None;
    }
    let checked = match listener.settings().redirect_uri() {
        Err(error) => Err(error.to_string()),
        Ok(_) if public.is_some_and(|public| is_same(&public, &listener.base_url)) => {
            Err(PUBLIC.to_owned())
        }
        Ok(_) => Ok(Some(listener)),
    };
    sources.check("admin_base_url", checked)
}

/// Whose roles count: it must be said where users of several tenants sign in.
fn tenant(sources: &mut Sources<'_>) -> Option<String> {
    let id = |text: &str| {
        let form = "write the id of a tenant, such as 11111111-2222-3333-4444-555555555555";
        is_guid(text)
            .then(|| text.to_owned())
            .ok_or_else(|| form.to_owned())
    };
    if are_several_tenants(sources) {
        return sources.required_as("admin_tenant", id);
    }
    sources.parsed("admin_tenant", id)
}

/// Whether users of several tenants may sign in.
pub(super) fn are_several_tenants(sources: &Sources<'_>) -> bool {
    let tenant_id = sources.text("tenant_id").unwrap_or_default();
    stands_for_several(&tenant_id) && sources.list("allowed_tenants").len() != 1
}

/// Whether users of several tenants may sign in at this one.
pub(super) fn stands_for_several(tenant_id: &str) -> bool {
    let known = ["organizations", "common"];
    known
        .into_iter()
        .any(|known| known.eq_ignore_ascii_case(tenant_id))
}

fn is_same(one: &str, other: &str) -> bool {
    let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
    origin(one).is_some_and(|one| Some(one) == origin(other))
}

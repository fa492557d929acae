//! The protected servers, as clients know them: the one named outside of routes, and one for each route.

use std::str::FromStr;

use entrada::provider::ProtectedResource;
use url::Url;

use crate::config::UpstreamSettings;
use crate::config::problem::Problem;
use crate::config::source::Sources;
use crate::config::{policy, stdio, upstream as upstream_tls, value};
use crate::policy::Rule;

/// A protected server, as clients know it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResourceSettings {
    /// The host it has to itself, where it is not below the base URL.
    pub host: Option<String>,
    /// Whose tokens let users in.
    pub tokens: TokensOf,
    /// The app registration that Entra's tokens are for, where it is one of the route's own, with its
    /// Application ID URI.
    pub registration: Option<(String, Option<String>)>,
    /// Its path, below the base URL where it has no host of its own.
    pub path: String,
    /// What people are told it is called.
    pub name: Option<String>,
    /// Scopes a token for it must have.
    pub required_scopes: Vec<String>,
    /// Further scopes clients may ask for.
    pub optional_scopes: Vec<String>,
    /// App roles that let applications in, as themselves.
    pub required_app_roles: Vec<String>,
    /// The only applications that are let in as themselves.
    pub allowed_applications: Vec<String>,
    /// Origins whose pages may call it.
    pub allowed_origins: Vec<String>,
    /// File and line, where it is a route's.
    pub(super) route: Option<String>,
}

/// Whose tokens let users in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the configuration names every variant"
)]
pub enum TokensOf {
    /// Ours alone.
    #[default]
    Us,
    /// Entra's alone: clients are sent there for them.
    Entra,
    /// Ours, which clients are sent to us for, and Entra's, which some have.
    Both,
}

impl FromStr for TokensOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ours" => Ok(Self::Us),
            "entra" => Ok(Self::Entra),
            "both" => Ok(Self::Both),
            _ => Err("write ours, entra or both".to_owned()),
        }
    }
}

impl ResourceSettings {
    /// Its URL, where the gateway is at `base_url`.
    pub fn url(&self, base_url: &str) -> String {
        match &self.host {
            None => format!("{}{}", base_url.trim_end_matches('/'), self.path),
            Some(host) => {
                let scheme = base_url.split("://").next().unwrap_or("https");
                format!("{scheme}://{host}{}", self.path)
            }
        }
    }

    /// What it is called: its host, where it has one to itself, and its path.
    pub(super) fn shown(&self) -> String {
        format!("{}{}", self.host.as_deref().unwrap_or_default(), self.path)
    }

    /// Whether applications are let in as themselves.
    pub(super) fn lets_applications_in(&self) -> bool {
        !self.required_app_roles.is_empty() || !self.allowed_applications.is_empty()
    }

    /// Whether it takes tokens of Entra's, whoever they are of.
    pub(super) fn takes_entras_tokens(&self) -> bool {
        self.tokens != TokensOf::Us || self.lets_applications_in()
    }

    /// What the library is told of it, where it is not the first.
    pub(super) fn protected(&self, base_url: &str) -> ProtectedResource {
        let resource = ProtectedResource::new(self.url(base_url))
            .allowed_origins(&self.allowed_origins)
            .accept_nothing_else();
        let resource = match self.tokens {
            TokensOf::Entra => resource,
            TokensOf::Us | TokensOf::Both => resource
                .required_scopes(&self.required_scopes)
                .optional_scopes(&self.optional_scopes),
        };
        match &self.name {
            Some(name) => resource.name(name),
            None => resource,
        }
    }
}

/// All of them, and what is behind each, in the same order; nothing is behind any where a problem was
/// noted. The first is meant where a client names none.
pub(super) fn read(
    sources: &mut Sources<'_>,
    upstream: impl Fn(&mut Sources<'_>, (&str, String), Vec<Rule>) -> Option<UpstreamSettings>,
) -> (Vec<ResourceSettings>, Option<Vec<UpstreamSettings>>) {
    let (routes, rules) = (sources.take_routes(), sources.take_rules());
    let (mut resources, mut upstreams) = (Vec::new(), Vec::new());
    if routes.is_empty() || sources.is_given("upstream") || sources.is_given("command") {
        let path = sources.parsed("resource_path", value::path);
        let path = path.unwrap_or_default();
        resources.push(resource(sources, (None, path.clone()), None));
        upstreams.push(upstream(sources, (&path, path.clone()), rules));
    } else {
        let own = ["upstream_scope", upstream_tls::HEALTH, upstream_tls::HTTP2];
        for name in own.into_iter().chain(upstream_tls::OF_TLS) {
            sources.needs(name, &["upstream"]);
        }
        stdio::needs_command(sources);
        sources.note(rules.first().map(of_no_server));
    }
    for mut route in routes {
        let rules = std::mem::take(&mut route.rules);
        let line = Some(route.place.clone());
        let (resource, upstream) = sources.within(route, |sources| {
            let place = place(sources, &resources);
            // What else is wrong with it is told, too.
            let (host, path) = place.clone().unwrap_or_default();
            let name = format!("{}{path}", host.as_deref().unwrap_or_default());
            let behind = upstream(sources, (&name, path.clone()), rules);
            let resource = resource(sources, (host, path), line);
            (resource, behind.filter(|_| place.is_some()))
        });
        resources.push(resource);
        upstreams.push(upstream);
    }
    policy::look(sources, &upstreams);
    stdio::look(sources, &upstreams);
    (resources, upstreams.into_iter().collect())
}

/// A rule that holds for nobody, and may be believed to hold for all.
fn of_no_server(rule: &Rule) -> Problem {
    let what =
        "is for the server of upstream, which is not set: write [[route.rule]] below a route";
    Problem::at(&rule.place, format_args!("[[rule]] {what}")).naming("rule")
}

/// Where the route is that is read: host and path.
fn place(
    sources: &mut Sources<'_>,
    taken: &[ResourceSettings],
) -> Option<(Option<String>, String)> {
    let has_host = sources.unread_route_host().is_some();
    let host = sources.route_host(value::host);
    if has_host && host.is_none() {
        return None;
    }
    let is_taken = |path: &str| {
        let mut taken = taken.iter();
        taken.any(|other| other.path == path && host == other.host)
    };
    let read = |path: &str| {
        let path = value::path(path)?;
        if is_taken(&path) {
            return Err("another server has that path".to_owned());
        }
        Ok(path)
    };
    let path = sources.route_path(host.as_ref().map(|_| PATH_ON_ITS_HOST), read);
    path.map(|path| (host, path))
}

/// The path of a route that has a host to itself, where it does not say.
pub(super) const PATH_ON_ITS_HOST: &str = "/mcp";

fn resource(
    sources: &mut Sources<'_>,
    (host, path): (Option<String>, String),
    route: Option<String>,
) -> ResourceSettings {
    let tokens = sources.parsed("tokens", str::parse).unwrap_or_default();
    let registration = registration(sources, tokens);
    ResourceSettings {
        host,
        tokens,
        registration,
        path,
        name: sources.text("resource_name"),
        required_scopes: sources.required_list("required_scopes"),
        optional_scopes: sources.list("optional_scopes"),
        required_app_roles: sources.list("required_app_roles"),
        allowed_applications: applications(sources, tokens),
        allowed_origins: sources.list("allowed_origins"),
        route,
    }
}

/// The only applications that are let in; a problem where they are named in vain.
fn applications(sources: &mut Sources<'_>, tokens: TokensOf) -> Vec<String> {
    const NAME: &str = "allowed_applications";
    if tokens == TokensOf::Us {
        return sources.only(NAME);
    }
    if sources.is_said_here(NAME) {
        let what = "where users come with tokens of Entra's, too, required_app_roles alone lets \
                    applications in";
        sources.check(NAME, Err::<(), _>(what.to_owned()));
    } else if sources.is_given(NAME) && !sources.list("required_app_roles").is_empty() {
        // Whoever said which are the only ones would let in more than those.
        let what = "holds for no server whose users come with tokens of Entra's, too, where \
                    required_app_roles alone lets applications in: say it for each route it is for, \
                    or required_app_roles = [] for those others";
        sources.check(NAME, Err::<(), _>(what.to_owned()));
    }
    Vec::new()
}

/// The app registration of the route that is read, where that is not the one of all.
fn registration(sources: &mut Sources<'_>, tokens: TokensOf) -> Option<(String, Option<String>)> {
    let own = sources
        .own("client_id")
        .filter(|_| tokens == TokensOf::Entra);
    for name in ["client_id", "identifier_uri"] {
        let strange = own.is_none() && sources.own(name).is_some();
        if strange {
            let what = "a route has one of its own only with tokens = \"entra\" and a client_id";
            sources.check(name, Err::<(), _>(what.to_owned()));
        }
    }
    if own.is_some() && sources.is_given("upstream_scope") {
        let what = "tokens for another app registration than the gateway's cannot be exchanged: take the \
                    client_id out";
        sources.check("upstream_scope", Err::<(), _>(what.to_owned()));
    }
    own.map(|client_id| (client_id, sources.own("identifier_uri")))
}

/// Whether `base_url` ends with the path of a server that is below it, which is put behind it once more.
pub(super) fn repeats(base_url: &str, resources: &[ResourceSettings]) -> bool {
    let base = Url::parse(base_url).ok();
    let base = base.as_ref().map(|url| url.path().trim_end_matches('/'));
    let below = resources.iter().filter(|resource| resource.host.is_none());
    let mut paths = below.map(|resource| resource.path.trim_end_matches('/'));
    paths.any(|path| !path.is_empty() && base.is_some_and(|base| base.ends_with(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_below_the_base_url_or_on_its_own_host() {
        let of = |host: Option<&str>, path: &str, base_url: &str| {
            let resource = ResourceSettings {
                host: host.map(str::to_owned),
                tokens: TokensOf::Us,
                registration: None,
                path: path.to_owned(),
                name: None,
                required_scopes: Vec::new(),
                optional_scopes: Vec::new(),
                required_app_roles: Vec::new(),
                allowed_applications: Vec::new(),
                allowed_origins: Vec::new(),
                route: None,
            };
            resource.url(base_url)
        };
        let orders = Some("orders.example.com");
        for (host, path, base_url, expected) in [
            (None, "/mcp", "https://h", "https://h/mcp"),
            (None, "/mcp", "https://h/team/", "https://h/team/mcp"),
            (None, "/", "https://h", "https://h/"),
            (
                orders,
                "/mcp",
                "https://h/team",
                "https://orders.example.com/mcp",
            ),
            (
                Some("localhost:8000"),
                "/",
                "http://127.0.0.1:8000",
                "http://localhost:8000/",
            ),
        ] {
            assert_eq!(of(host, path, base_url), expected);
        }
    }
}

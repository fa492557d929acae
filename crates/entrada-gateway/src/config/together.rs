//! What settings come to that are each right by themselves: what may be meant is warned of.

use url::Url;

use crate::config::provider::ProviderSettings;
use crate::config::resource::{ResourceSettings, TokensOf, repeats};
use crate::config::source::Sources;
use crate::tls::CERTIFICATE;

/// Scopes of Microsoft Graph that let one read the groups one is in (Microsoft, *directoryObject:
/// getMemberGroups*).
const READ_GROUPS: [&str; 7] = [
    "User.Read",
    "User.ReadWrite",
    "User.Read.All",
    "User.ReadWrite.All",
    "GroupMember.Read.All",
    "Group.Read.All",
    "Directory.Read.All",
];

/// Looks for what may be meant, and warns of it.
pub(super) fn look(sources: &mut Sources<'_>, provider: &ProviderSettings) {
    if repeats(&provider.base_url, &provider.resources) {
        let what = "ends with the path of a server, which is put behind it once more: take it out, \
                    unless that is meant";
        sources.warn("base_url", what);
    }
    if share_a_registration(&provider.resources) {
        let what = "several servers take users' tokens of Entra's for one app registration: who has one for \
                    a server gets in at each whose required_scopes it has; give each scopes of its own, or \
                    a client_id";
        sources.warn("tokens", what);
    }
    let graph = provider.cloud.unwrap_or_default().graph_host();
    let asked = [&provider.additional_scopes, &provider.incremental_scopes];
    let mut asked = asked.into_iter().flatten();
    if provider.groups_from_graph && !asked.any(|scope| reads_groups(scope, graph)) {
        let what = format!(
            "users are not asked to consent to it: put https://{graph}/User.Read among the \
             additional_scopes, unless an administrator consented for everybody"
        );
        sources.warn("groups_from_graph", &what);
    }
}

/// Whether clients are led to where TLS is spoken, where it is.
pub(super) fn look_at_tls(sources: &mut Sources<'_>, provider: &ProviderSettings) {
    let given = [CERTIFICATE, "acme_domains"];
    let given = given.into_iter().find(|name| sources.is_given(name));
    let is_plain = Url::parse(&provider.base_url).is_ok_and(|url| url.scheme() == "http");
    if let Some(given) = given.filter(|_| is_plain) {
        let what =
            format!("is http://, but TLS is spoken here, for there is {given}: write https://");
        sources.refuse("base_url", &what);
    }
}

/// Whether several of `resources` take tokens of users that Entra issued for the same app registration.
fn share_a_registration(resources: &[ResourceSettings]) -> bool {
    let takes = |resource: &&ResourceSettings| resource.tokens != TokensOf::Us;
    let mut taking = resources.iter().filter(takes);
    let mut seen = Vec::new();
    taking.any(|resource| {
        let registration = resource.registration.as_ref().map(|(id, _)| id);
        let again = seen.contains(&registration);
        seen.push(registration);
        again
    })
}

/// Whether `scope` is one of Microsoft Graph that reads groups.
fn reads_groups(scope: &str, graph: &str) -> bool {
    let (api, name) = scope.rsplit_once('/').unwrap_or(("", scope));
    let mut known = READ_GROUPS.iter();
    api.strip_prefix("https://") == Some(graph)
        && known.any(|known| known.eq_ignore_ascii_case(name))
}

//! What the library finds wrong, in the words of the gateway.

use entrada::authorization_server::PreregisteredClientError;
use entrada::provider::ConfigError as Finding;

use crate::config::credential;
use crate::config::problem::Problem;
use crate::config::provider::ProviderSettings;
use crate::config::resource::ResourceSettings;
use crate::config::source::Origin;
use crate::config::table::Setting;
use crate::telemetry::WithCauses;

/// What the library found, without what follows from a problem `reported` already.
pub(super) fn problems(
    found: &[Finding],
    reported: &[Problem],
    settings: &ProviderSettings,
) -> Vec<Problem> {
    let fresh = |finding: &&Finding| {
        let causes = causes(finding);
        !reported
            .iter()
            .any(|problem| causes.iter().any(|name| problem.is_about(name)))
    };
    let findings = found.iter().filter(fresh);
    // We build the resource's URL upon the base URL: what is wrong with the one is with the other.
    let base = found
        .iter()
        .any(|other| matches!(other, Finding::BaseUrl(_)));
    let findings = findings.filter(|finding| !(base && matches!(finding, Finding::ResourceUrl(_))));
    // Where nobody set it, it is made of the client id.
    let of_client_id = found.iter().any(|other| matches!(other, Finding::ClientId))
        && settings.origins.of("identifier_uri").is_none();
    let findings =
        findings.filter(|finding| !(of_client_id && matches!(finding, Finding::IdentifierUri)));
    // Routes whose places could not be read have none, and so the same.
    let has_no_place = |url: &str| {
        let mut resources = settings.resources.iter();
        let is_it = |resource: &ResourceSettings| resource.url(&settings.base_url) == url;
        resources.any(|resource| resource.path.is_empty() && is_it(resource))
    };
    let is_nowhere = |finding: &Finding| {
        if let Finding::Resource { url, source } = finding {
            matches!(**source, Finding::ResourceTwice) && has_no_place(url)
        } else {
            false
        }
    };
    let findings = findings.filter(|finding| reported.is_empty() || !is_nowhere(finding));
    findings.map(|finding| problem(finding, settings)).collect()
}

/// A finding of the library's, with why, with our name for the setting, and with where it was set.
fn problem(finding: &Finding, settings: &ProviderSettings) -> Problem {
    let mut text = WithCauses::of(finding).to_string();
    for (theirs, ours) in [
        ("resource_url: ", "resource_path: "),
        ("app_only: ", "required_app_roles: "),
        ("allowed_clients", "allowed_applications"),
        ("identifier_uris: ", "identifier_uri: "),
    ] {
        text = text.replace(theirs, ours);
    }
    if let Finding::Resource { url, source } = finding {
        return of_route(url, source, settings);
    }
    if let Finding::Client { client_id, source } = finding {
        return of_client(client_id, *source, &text, settings);
    }
    let problem = match text.split_once(": ") {
        Some((theirs, what)) => named(ours(theirs, finding, settings), what, settings),
        None => Problem::new(text),
    };
    if matches!(finding, Finding::Keys(_) | Finding::Store(_)) {
        return problem.outside();
    }
    problem
}

/// What is wrong with the setting `name`. The library knows the server of the first route as its own; of what a
/// verifier of Entra's tokens is told, too, it does not say of which server it is.
fn named(name: &str, what: &str, settings: &ProviderSettings) -> Problem {
    const OF_NO_VERIFIER: [&str; 3] = ["path", "allowed_origins", "optional_scopes"];
    let key = if name == "resource_path" {
        "path"
    } else {
        name
    };
    let is_of_route = |setting: &Setting| setting.of_route.is_some();
    let may_be = key == "path" || Setting::named(name).is_some_and(is_of_route);
    let is_its_own = settings.resources.len() == 1 || OF_NO_VERIFIER.contains(&key);
    let origin = settings.origins.of(name);
    let is_set = origin.is_some_and(|origin| *origin != Origin::Default);
    let first = settings.resources.first();
    let first = first.filter(|_| !is_set && may_be && is_its_own);
    match first.and_then(|first| Some((first, first.route.as_ref()?))) {
        Some((first, place)) => Problem::of_key(key, place, what).of_route(&first.shown()),
        None => settings.problem_with(name, what).naming(name),
    }
}

/// What is wrong with the server of a route.
fn of_route(url: &str, finding: &Finding, settings: &ProviderSettings) -> Problem {
    let text = WithCauses::of(finding).to_string();
    let text = text.replace("resource_url: ", "path: ");
    let mut resources = settings.resources.iter();
    let resource = resources.find(|resource| resource.url(&settings.base_url) == url);
    match resource.and_then(|resource| resource.route.as_ref()) {
        Some(place) => {
            let key = text.split_once(": ").map_or("path", |(key, _)| key);
            let name = resource.map(ResourceSettings::shown).unwrap_or_default();
            Problem::at(place, &text).naming(key).of_route(&name)
        }
        None => Problem::new(text),
    }
}

/// What is wrong with a client of the file; `text` says it without the place.
fn of_client(
    client_id: &str,
    source: PreregisteredClientError,
    text: &str,
    settings: &ProviderSettings,
) -> Problem {
    let key = key_of(source);
    let told_with_key = [
        PreregisteredClientError::Secret,
        PreregisteredClientError::Keys,
    ];
    let text = if told_with_key.contains(&source) {
        format!("{key}: {text}")
    } else {
        text.to_owned()
    };
    let problem = match settings.origins.of_client(client_id) {
        Some(place) => Problem::at(place, text),
        None => Problem::new(text),
    };
    problem.naming(key)
}

/// What of a `[[client]]` is wrong.
const fn key_of(source: PreregisteredClientError) -> &'static str {
    match source {
        PreregisteredClientError::Id | PreregisteredClientError::Twice => "client_id",
        PreregisteredClientError::Secret | PreregisteredClientError::NoProof => "secret_file",
        PreregisteredClientError::Keys => "jwks_file",
        PreregisteredClientError::Roles => "app_roles",
        PreregisteredClientError::Scopes => "client_credentials",
        PreregisteredClientError::Dpop => "dpop_bound_access_tokens",
        PreregisteredClientError::Metadata(_) => "redirect_uris",
        _ => "client",
    }
}

/// The setting that the library calls `theirs`: the one that was set, where it has one name for several.
fn ours<'a>(theirs: &'a str, finding: &Finding, settings: &ProviderSettings) -> &'a str {
    let first = settings.resources.first();
    let [required, optional] = first.map_or_else(Default::default, |first| {
        [&*first.required_scopes, &*first.optional_scopes]
    });
    let lists = [
        ("required_scopes", required),
        ("optional_scopes", optional),
        ("additional_scopes", &settings.additional_scopes),
        ("incremental_scopes", &settings.incremental_scopes),
    ];
    let is_set = |name: &&&'static str| settings.origins.of(name).is_some();
    let found = match (theirs, finding) {
        ("client_secret" | "credential", _) => credential::SETTINGS.iter().find(is_set).copied(),
        ("lifetimes", _) => LIFETIMES.iter().find(is_set).copied(),
        (_, Finding::Scope(scope)) => {
            let holds = |(_, list): &&(&'static str, &[String])| list.contains(scope);
            lists.iter().find(holds).map(|(name, _)| *name)
        }
        _ => None,
    };
    found.unwrap_or(theirs)
}

const LIFETIMES: [&str; 2] = ["access_token_lifetime", "refresh_token_lifetime"];

/// The settings a finding may come from.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a finding we do not know of is reported, whatever else is"
)]
fn causes(finding: &Finding) -> &'static [&'static str] {
    match finding {
        Finding::Tenant(_) => &["tenant_id"],
        Finding::AllowedTenants => &["tenant_id", "allowed_tenants"],
        Finding::ClientId => &["client_id"],
        Finding::IdentifierUri => &["client_id", "identifier_uri"],
        Finding::NoCredential => &credential::SETTINGS,
        Finding::RequiredScopes(_) => &["required_scopes"],
        Finding::OptionalScopes(_) => &["optional_scopes"],
        Finding::AdditionalScope(_) => &["additional_scopes", "upstream_scope"],
        Finding::IncrementalScope(_) => &["incremental_scopes"],
        Finding::BaseUrl(_) => &["base_url"],
        Finding::IssuerUrl(_) => &["base_url", "issuer_url"],
        Finding::ResourceUrl(_) | Finding::ResourcePath => &["base_url", "resource_path"],
        Finding::RedirectPath => &["redirect_path"],
        _ => &[],
    }
}

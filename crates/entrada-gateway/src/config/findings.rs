//! What the library finds wrong, in the words of the gateway.

use entrada::provider::ConfigError as Finding;

use crate::config::credential;
use crate::config::problem::Problem;
use crate::telemetry::WithCauses;

/// What the library found, without what follows from a problem `reported` already.
pub(super) fn problems(found: &[Finding], reported: &[Problem]) -> Vec<Problem> {
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
    findings.map(problem).collect()
}

/// A finding of the library's, with why, and with our name for the setting.
fn problem(finding: &Finding) -> Problem {
    let mut text = WithCauses::of(finding).to_string();
    for (theirs, ours) in [
        ("resource_url: ", "resource_path: "),
        ("app_only: ", "required_app_roles: "),
        ("allowed_clients", "allowed_applications"),
        ("identifier_uris: ", "identifier_uri: "),
    ] {
        text = text.replace(theirs, ours);
    }
    Problem::new(text)
}

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
        Finding::ResourceUrl(_) | Finding::ResourceOrigin | Finding::ResourcePath => {
            &["base_url", "resource_path"]
        }
        Finding::RedirectPath => &["redirect_path"],
        _ => &[],
    }
}

//! Who may call what: the rules of the file, and what is set besides.

use std::path::Path;
use std::sync::Arc;

use entrada::oauth::scope::Scope;

use crate::config::UpstreamSettings;
use crate::config::admin::are_several_tenants;
use crate::config::environment::Environment;
use crate::config::flags::Flags;
use crate::config::problem::{ConfigError, Problem};
use crate::config::source::Sources;
use crate::policy::{CedarError, CedarPolicies, Policy, Rule};

/// The policy of the server at `path` whose settings are read, with its `rules`.
pub(super) fn read(sources: &mut Sources<'_>, path: Option<&str>, rules: Vec<Rule>) -> Policy {
    let cedar = cedar(sources);
    let policy = Policy {
        route: path.unwrap_or_default().to_owned(),
        without_rule: sources
            .parsed("without_rule", str::parse)
            .unwrap_or_default(),
        filter_lists: sources
            .parsed("filter_lists", str::parse)
            .unwrap_or_default(),
        cedar,
        rules,
    };
    let offered = offered(sources);
    for rule in &policy.rules {
        sources.note(unoffered(rule, &offered));
    }
    groups(sources, &policy);
    roles(sources, &policy);
    policy
}

fn cedar(sources: &mut Sources<'_>) -> Option<Arc<CedarPolicies>> {
    let path = sources.text("policy_file")?;
    let read = CedarPolicies::read(Path::new(&path));
    match read {
        Ok(policies) => Some(Arc::new(policies)),
        Err(CedarError::Wrong(all)) => {
            for what in all {
                sources.refuse("policy_file", &what);
            }
            None
        }
        Err(error) => {
            let what = match &error {
                CedarError::Unreadable(cause) => format!("{path}: {error}: {cause}"),
                CedarError::Wrong(_) | CedarError::NotBuilt => error.to_string(),
            };
            sources.check("policy_file", Err::<(), _>(what));
            None
        }
    }
}

/// The scopes a client can come to have.
fn offered(sources: &Sources<'_>) -> Scope {
    let lists = ["required_scopes", "optional_scopes"].map(|name| sources.list(name).join(" "));
    let lists = lists.iter().filter_map(|list| Scope::parse(list).ok());
    lists.fold(Scope::default(), |all, scope| all.union(&scope))
}

/// The problem of a rule that names a scope no client can ask for.
fn unoffered(rule: &Rule, offered: &Scope) -> Option<Problem> {
    let missing = rule.scopes.without(offered);
    (!missing.is_empty()).then(|| {
        let what = "name it among the optional_scopes, or the required_scopes";
        let what = format_args!("no client is given {missing}: {what}");
        Problem::at(&rule.place, what).naming("scopes")
    })
}

/// The policies in the file that is named `config`, or else by `environment`: one for each server.
/// Nothing but the policies need be right.
///
/// # Errors
///
/// [`ConfigError`] with what is wrong with them.
pub fn policies(
    config: Option<&str>,
    environment: &Environment,
) -> Result<Vec<Policy>, ConfigError> {
    let flags = Flags::naming(config);
    let mut sources = Sources::open(&flags, environment).map_err(ConfigError::new)?;
    if !sources.is_given("config") {
        let what = "name the file with the rules: --config FILE, or ENTRADA_CONFIG";
        return Err(ConfigError::new(vec![Problem::new(what)]));
    }
    let (routes, rules) = (sources.take_routes(), sources.take_rules());
    let mut found = Vec::new();
    if routes.is_empty() || sources.is_given("upstream") || !rules.is_empty() {
        let path = sources.text("resource_path");
        found.push(read(&mut sources, path.as_deref(), rules));
    }
    for mut route in routes {
        let rules = std::mem::take(&mut route.rules);
        let name = route.name();
        let read = |sources: &mut Sources<'_>| read(sources, Some(&name), rules);
        found.push(sources.within(route, read));
    }
    let problems = sources.into_problems();
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(ConfigError::new(problems))
    }
}

/// Warns of rules that shut out whoever is in many groups, unless somebody looks those up.
fn groups(sources: &mut Sources<'_>, policy: &Policy) {
    if sources.text("groups_from_graph").as_deref() == Some("true") {
        return;
    }
    let what = "groups of who is in more than a token lists are not known, and they are denied: set \
                groups_from_graph";
    let rules = policy.rules.iter().filter(|rule| rule.speaks_of_groups);
    sources.warn_of_all(rules.map(|rule| Problem::of_key("any_group", &rule.place, what)));
    let cedar = policy.cedar.as_ref();
    if cedar.is_some_and(|cedar| cedar.speaks_of_groups()) {
        sources.warn("policy_file", what);
    }
}

/// Warns of rules whose roles another tenant may give to whom it likes.
fn roles(sources: &mut Sources<'_>, policy: &Policy) {
    if !are_several_tenants(sources) {
        return;
    }
    let what = "the administrators of each tenant that may sign in here give its users these roles: say \
                whose count, with any_tenant";
    let rules = policy.rules.iter();
    let rules = rules.filter(|rule| rule.takes_roles_of_any_tenant);
    sources.warn_of_all(rules.map(|rule| Problem::of_key("roles", &rule.place, what)));
}

/// A problem where it is said what callers see, or what becomes of the rest, and nothing else.
pub(super) fn look(sources: &mut Sources<'_>, servers: &[Option<UpstreamSettings>]) {
    if servers
        .iter()
        .flatten()
        .any(|server| !server.policy.is_empty())
    {
        return;
    }
    for name in ["without_rule", "filter_lists"] {
        if sources.is_set(name) {
            let what = "means nothing without [[rule]], [[route.rule]] or policy_file";
            sources.check(name, Err::<(), _>(what.to_owned()));
        }
    }
}

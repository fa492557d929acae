//! What callers must have: `[[rule]]`, and `[[route.rule]]`.

use entrada::oauth::scope::Scope;
use entrada::policy::Requirement;
use toml::de::{DeTable, DeValue};

use super::{RULE, tables};
use crate::config::problem::Problem;
use crate::config::spelling::nearest_of;
use crate::config::value::is_guid;
use crate::policy::{Pattern, Rule};

/// The keys that name what is called.
const NAMES: [&str; 4] = ["tools", "prompts", "resources", "methods"];

/// The keys that say what a caller must have, as the library calls it.
const REQUIREMENTS: [&str; 9] = [
    "scopes",
    "any_scope",
    "roles",
    "any_role",
    "any_group",
    "any_tenant",
    "any_client",
    "caller",
    ANY,
];

/// The key of several ways, one of which is enough.
const ANY: &str = "any";
/// The key of what is nobody's.
const DENY: &str = "deny";

/// Finds the place of what begins at an offset.
type At<'a> = &'a dyn Fn(usize) -> String;

/// Reads the rules, as far as they can be, and what is wrong with them; `place` is where the first stands, `at`
/// names any other place.
pub(super) fn read(rules: &DeValue<'_>, place: &str, at: At<'_>) -> (Vec<Rule>, Vec<Problem>) {
    let Some(tables) = tables(rules) else {
        let what = format_args!("write [[{RULE}]], or [[route.{RULE}]], before each");
        return (Vec::new(), vec![Problem::at(place, what).naming(RULE)]);
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (table, span) in tables {
        // What else is said of a broken one is looked at, too.
        found.push(rule(table, &at(span.start), at, &mut problems));
    }
    (found, problems)
}

fn rule(table: &DeTable<'_>, place: &str, at: At<'_>, problems: &mut Vec<Problem>) -> Rule {
    let mut rule = Rule::new(place);
    rule.takes_roles_of_any_tenant = takes_roles_of_any_tenant(table);
    let (mut required, before) = (Vec::new(), problems.len());
    for (key, value) in table {
        let (key, place) = (&**key.get_ref(), at(key.span().start));
        let read = match key {
            "tools" => patterns(value.get_ref()).map(|names| rule.tools = names),
            "prompts" => patterns(value.get_ref()).map(|names| rule.prompts = names),
            "resources" => patterns(value.get_ref()).map(|names| rule.resources = names),
            "methods" => patterns(value.get_ref()).map(|names| rule.methods = names),
            DENY => switch(value.get_ref()).map(|denies| rule.denies = denies),
            key => {
                let read = requirement(key, value.get_ref(), &place, (at, &mut rule));
                match read {
                    Ok(requirement) => required.push(requirement),
                    Err(wrong) => problems.extend(wrong),
                }
                continue;
            }
        };
        problems.extend(read.err().map(|what| wrong(&place, key, &what)));
    }
    if problems.len() == before && rule.is_about_nothing() {
        let what = "the rule names nothing: write tools, prompts, resources or methods";
        problems.push(Problem::at(place, what).naming(RULE));
    }
    if rule.denies && !required.is_empty() {
        let what = "nobody may, whatever they have: take deny away, or what callers must have";
        problems.push(wrong(place, DENY, what));
    }
    if !required.is_empty() {
        rule.requirement = Requirement::all(required);
    }
    rule
}

/// Whether a role of any tenant's is enough: each tenant gives its own.
fn takes_roles_of_any_tenant(table: &DeTable<'_>) -> bool {
    let value_of = |name: &str| {
        let mut entries = table.iter();
        let entry = entries.find(|(key, _)| key.get_ref() == name);
        entry.map(|(_, value)| value.get_ref())
    };
    if value_of("any_tenant").is_some() {
        return false;
    }
    let ways = value_of(ANY).and_then(tables).unwrap_or_default();
    let of_a_way = ways.iter().any(|(way, _)| takes_roles_of_any_tenant(way));
    of_a_way
        || ["roles", "any_role"]
            .iter()
            .any(|name| value_of(name).is_some())
}

/// What the member `key` requires.
fn requirement(
    key: &str,
    value: &DeValue<'_>,
    place: &str,
    (at, rule): (At<'_>, &mut Rule),
) -> Result<Requirement, Vec<Problem>> {
    let names = || names(value).map_err(|what| vec![wrong(place, key, &what)]);
    let requirement = match key {
        "scopes" => Requirement::scopes(names()?),
        "any_scope" => Requirement::any_scope(names()?),
        "roles" => Requirement::roles(names()?),
        "any_role" => Requirement::any_role(names()?),
        "any_group" => {
            rule.speaks_of_groups = true;
            Requirement::any_group(guids(names()?, place, key)?)
        }
        "any_tenant" => Requirement::any_tenant(guids(names()?, place, key)?),
        "any_client" => Requirement::any_client(names()?),
        "caller" => match value.as_str() {
            Some("user") => Requirement::user(),
            Some("application") => Requirement::application(),
            _ => return Err(vec![wrong(place, key, "write \"user\" or \"application\"")]),
        },
        ANY => return any(value, place, (at, rule)),
        key => {
            let known = [&NAMES[..], &REQUIREMENTS, &[DENY]].concat();
            let nearest = nearest_of(key, known);
            return Err(vec![Problem::unknown(key, place, nearest)]);
        }
    };
    if let Some(mistake) = requirement.mistake() {
        return Err(vec![wrong(place, key, mistake)]);
    }
    if key == "scopes" || key == "any_scope" {
        // They were read once, so they are scopes.
        let spoken_of = Scope::parse(&names()?.join(" ")).unwrap_or_default();
        rule.scopes = rule.scopes.union(&spoken_of);
    }
    Ok(requirement)
}

/// Several ways, each a table of its own.
fn any(
    value: &DeValue<'_>,
    place: &str,
    (at, rule): (At<'_>, &mut Rule),
) -> Result<Requirement, Vec<Problem>> {
    let ways = tables(value).filter(|ways| !ways.is_empty());
    let ways = ways.ok_or_else(|| {
        let what = "write a list of tables, such as [{ scopes = [\"a\"] }, { roles = [\"B\"] }]";
        vec![wrong(place, ANY, what)]
    })?;
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (table, span) in ways {
        let mut required = Vec::new();
        for (key, value) in table {
            let place = at(key.span().start);
            match requirement(key.get_ref(), value.get_ref(), &place, (at, &mut *rule)) {
                Ok(requirement) => required.push(requirement),
                Err(wrong) => problems.extend(wrong),
            }
        }
        if table.is_empty() {
            problems.push(wrong(
                &at(span.start),
                ANY,
                "one of the ways requires nothing",
            ));
        }
        found.push(Requirement::all(required));
    }
    if problems.is_empty() {
        Ok(Requirement::any(found))
    } else {
        Err(problems)
    }
}

fn patterns(value: &DeValue<'_>) -> Result<Vec<Pattern>, String> {
    names(value)?
        .iter()
        .map(|name| Pattern::parse(name))
        .collect()
}

/// A list of names. They may hold spaces, so a string is one name.
fn names(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let what = || "write a list of strings, which may not be empty".to_owned();
    let list = value.as_array().ok_or_else(what)?.iter();
    let list: Option<Vec<String>> = list
        .map(|name| Some(name.get_ref().as_str()?.to_owned()))
        .collect();
    list.filter(|list| !list.is_empty()).ok_or_else(what)
}

/// Names that are ids: a display name would be met by nobody.
fn guids(names: Vec<String>, place: &str, key: &str) -> Result<Vec<String>, Vec<Problem>> {
    if names.iter().all(|name| is_guid(name)) {
        Ok(names)
    } else {
        let what = "write ids, such as 11111111-2222-3333-4444-555555555555";
        Err(vec![wrong(place, key, what)])
    }
}

fn switch(value: &DeValue<'_>) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| "write true or false".to_owned())
}

fn wrong(place: &str, key: &str, what: &str) -> Problem {
    Problem::of_key(key, place, what)
}

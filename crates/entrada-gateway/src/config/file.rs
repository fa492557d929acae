//! The configuration file: TOML, with no key we do not know; flat, but for the routes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use entrada::authorization_server::PreregisteredClient;
use toml::de::{DeTable, DeValue};

mod client;
mod issuer;
mod rule;

use crate::config::prints::{Print, Prints};
use crate::config::problem::Problem;
use crate::config::resource::PATH_ON_ITS_HOST;
use crate::config::source::{Given, Origin, belongs_in_file};
use crate::config::spelling::nearest;
use crate::config::table::Setting;
use crate::policy::Rule;

/// The key of the routes.
const ROUTE: &str = "route";
/// The key of the clients.
const CLIENT: &str = "client";
/// The key of the issuers whose assertions are taken.
const TRUSTED_ISSUER: &str = "trusted_issuer";
/// The key of the rules.
const RULE: &str = "rule";
/// The keys of all that are no settings.
const TABLES: [&str; 4] = [ROUTE, CLIENT, TRUSTED_ISSUER, RULE];
/// What stands in a route besides settings: where it is, and its rules.
const OF_ROUTE: [&str; 3] = ["host", "path", RULE];

/// The values in a file, by the name of their setting.
pub(super) type Values = BTreeMap<&'static str, Given>;

/// A client, and the file and line where it begins.
pub(super) type PlacedClient = (PreregisteredClient, String);

/// What becomes of the secrets of clients, which stand in files of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Secrets {
    Read,
    /// Nobody needs them: the files need not be there, nor be readable.
    LeftOut,
}

/// What a file says.
#[derive(Default)]
pub(super) struct Content {
    /// What is set outside of routes.
    pub(super) values: Values,
    pub(super) routes: Vec<RouteTable>,
    pub(super) clients: Vec<PlacedClient>,
    /// Issuers whose assertions are taken, each with where its keys are.
    pub(super) trusted_issuers: Vec<(String, String)>,
    /// Rules of the server that is named outside of routes.
    pub(super) rules: Vec<Rule>,
    /// Of the tables.
    pub(super) prints: Prints,
    /// Which settings are wrong.
    pub(super) problems: Vec<Problem>,
}

/// One `[[route]]`.
#[derive(Default)]
pub(super) struct RouteTable {
    /// File and line.
    pub(super) place: String,
    pub(super) host: Option<Given>,
    pub(super) path: Option<Given>,
    pub(super) values: Values,
    pub(super) rules: Vec<Rule>,
    /// Whether some of its settings are wrong already.
    pub(super) is_faulty: bool,
}

/// Reads the file at `path`.
///
/// # Errors
///
/// Why the file as such cannot be read.
pub(super) fn read(path: &Path, secrets: Secrets) -> Result<Content, Vec<Problem>> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text, secrets),
        Err(error) => {
            let what = format_args!("the file cannot be read: {error}");
            Err(vec![Problem::at(&name, what)])
        }
    }
}

/// Reads `text`, the content of the file called `name`.
fn parse(name: &str, text: &str, secrets: Secrets) -> Result<Content, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let at = |start: usize| format!("{name}:{}", line(text, start));
    if !errors.is_empty() {
        let broken = errors.iter().map(|error| {
            let place = at(error.span().map_or(0, |span| span.start));
            Problem::at(&place, error.message())
        });
        return Err(broken.collect());
    }
    let mut content = Content::default();
    for (key, value) in table.get_ref() {
        let place = at(key.span().start);
        // Before the files that they name are read.
        for name in TABLES.into_iter().filter(|name| key.get_ref() == name) {
            let print = Print::of_value(name, value.get_ref());
            content.prints.note(name, print);
        }
        if key.get_ref() == ROUTE {
            content.read_routes(value.get_ref(), &place, &at);
            continue;
        }
        let problems = match &**key.get_ref() {
            CLIENT => {
                let (clients, problems) = client::read(value.get_ref(), &place, (&at, secrets));
                content.clients = clients;
                problems
            }
            TRUSTED_ISSUER => {
                let (issuers, problems) = issuer::read(value.get_ref(), &place, &at);
                content.trusted_issuers = issuers;
                problems
            }
            RULE => {
                let (rules, problems) = rule::read(value.get_ref(), &place, &at);
                content.rules = rules;
                problems
            }
            key => match entry(key, value.get_ref(), place, &TABLES) {
                Ok((name, given)) => {
                    content.values.insert(name, given);
                    continue;
                }
                Err(problem) => vec![problem],
            },
        };
        content.problems.extend(problems);
    }
    Ok(content)
}

impl Content {
    fn read_routes(&mut self, routes: &DeValue<'_>, place: &str, at: &dyn Fn(usize) -> String) {
        let Some(tables) = tables(routes) else {
            let what = format_args!("write [[{ROUTE}]] before the settings of each");
            self.problems.push(Problem::at(place, what).naming(ROUTE));
            return;
        };
        for (table, span) in tables {
            let (route, problems) = RouteTable::read(table, at(span.start), at);
            self.problems.extend(problems);
            self.routes.push(route);
        }
    }
}

impl RouteTable {
    /// The route that begins at `place`, and what is wrong with it.
    fn read(
        table: &DeTable<'_>,
        place: String,
        at: &dyn Fn(usize) -> String,
    ) -> (Self, Vec<Problem>) {
        let mut route = Self {
            place,
            ..Self::default()
        };
        let mut problems = Vec::new();
        for (key, value) in table {
            let place = at(key.span().start);
            if key.get_ref() == RULE {
                let (rules, wrong) = rule::read(value.get_ref(), &place, at);
                route.rules = rules;
                problems.extend(wrong);
            } else if let Err(problem) = route.set(key.get_ref(), value.get_ref(), place) {
                route.is_faulty = true;
                problems.push(problem);
            }
        }
        let name = route.name();
        let problems = problems.into_iter().map(|problem| problem.of_route(&name));
        (route, problems.collect())
    }

    /// What it is called: its host, where it has one to itself, and its path, as they are written.
    pub(super) fn name(&self) -> String {
        let written = |part: &Option<Given>| part.as_ref().map(|given| given.value.clone());
        let host = written(&self.host).unwrap_or_default();
        let usual = if host.is_empty() {
            ""
        } else {
            PATH_ON_ITS_HOST
        };
        let path = written(&self.path).unwrap_or_else(|| usual.to_owned());
        format!("{}{path}", host.to_ascii_lowercase())
    }

    fn set(&mut self, key: &str, value: &DeValue<'_>, place: String) -> Result<(), Problem> {
        let part = match key {
            "host" => Some(&mut self.host),
            "path" => Some(&mut self.path),
            _ => None,
        };
        if let Some(part) = part {
            let Some(text) = value.as_str() else {
                return Err(Problem::of_key(key, &place, "write a string"));
            };
            let (value, origin) = (text.to_owned(), Origin::File(place));
            *part = Some(Given { value, origin });
            return Ok(());
        }
        let (name, given) = entry(key, value, place.clone(), &OF_ROUTE)?;
        if Setting::named(name).is_none_or(|setting| setting.of_route.is_none()) {
            let what = format_args!("{name} holds for all routes: write it before the first");
            return Err(Problem::at(&place, what).naming(name));
        }
        self.values.insert(name, given);
        Ok(())
    }
}

/// The tables of an array, each with where it begins.
fn tables<'a>(array: &'a DeValue<'a>) -> Option<Vec<(&'a DeTable<'a>, Range<usize>)>> {
    let tables = array.as_array()?.iter();
    tables
        .map(|table| Some((table.get_ref().as_table()?, table.span())))
        .collect()
}

/// A setting and its value; `others` may stand there besides.
fn entry(
    key: &str,
    value: &DeValue<'_>,
    place: String,
    others: &[&'static str],
) -> Result<(&'static str, Given), Problem> {
    let setting = Setting::named(key);
    let setting = setting.ok_or_else(|| Problem::unknown(key, &place, nearest(key, others)))?;
    if !belongs_in_file(setting) {
        return Err(Problem::misplaced(setting, &place));
    }
    let origin = Origin::File(place);
    if value.as_bool().is_some() && !is_switch(setting) {
        // It would be a scope, a role or a path called that.
        let what = "true and false say nothing here";
        return Err(Problem::wrong(setting, &origin, what));
    }
    let value = match setting.name {
        // Of these the words may have spaces in them.
        "command" | "environment" => list_of(value).or_else(|| text_of(value)),
        _ => text_of(value),
    };
    let value = value.ok_or_else(|| {
        let what = "write a string, a number, true or false, or a list of strings";
        Problem::wrong(setting, &origin, what)
    })?;
    Ok((setting.name, Given { value, origin }))
}

/// Whether the setting is on or off, if nothing else.
fn is_switch(setting: &Setting) -> bool {
    setting.value == "BOOL" || setting.name == "filter_lists"
}

/// A value the way a flag would spell it.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return Some(number.as_str().to_owned());
    }
    if let Some(switch) = value.as_bool() {
        return Some(switch.to_string());
    }
    let words = value.as_array()?.iter();
    let words: Option<Vec<&str>> = words.map(|word| word.get_ref().as_str()).collect();
    Some(words?.join(" "))
}

/// A list of strings as a list in JSON.
fn list_of(value: &DeValue<'_>) -> Option<String> {
    let words = value.as_array()?.iter();
    let words: Option<Vec<&str>> = words.map(|word| word.get_ref().as_str()).collect();
    serde_json::to_string(&words?).ok()
}

fn line(text: &str, start: usize) -> usize {
    let before = text.get(..start).unwrap_or(text);
    before.matches('\n').count() + 1
}

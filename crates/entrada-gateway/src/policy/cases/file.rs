//! What a file of cases says, read key by key, so that what is wrong is told as `config check` tells it.

use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::config::nearest_of;

/// What a file says, and what of it is wrong.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) callers: BTreeMap<String, Caller>,
    /// Each with where it begins.
    pub(super) cases: Vec<(CaseTable, usize)>,
    /// Each with file and line.
    pub(super) wrong: Vec<String>,
}

/// A `[[case]]`.
#[derive(Debug)]
pub(super) struct CaseTable {
    pub(super) name: Option<String>,
    pub(super) route: Option<String>,
    pub(super) caller: WhichCaller,
    pub(super) calls: Vec<String>,
    pub(super) expected: Expected,
    pub(super) scopes: Option<Vec<String>>,
}

#[derive(Debug)]
pub(super) enum WhichCaller {
    Named(String),
    Described(Caller),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expected {
    Allow,
    /// For want of scopes or of anything else.
    Deny,
    /// For want of scopes alone.
    StepUp,
}

/// Somebody who calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    pub(super) kind: Kind,
    pub(super) scopes: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) groups_overage: bool,
    pub(super) tenant: String,
    pub(super) object_id: Option<String>,
    pub(super) client: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) guest: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Kind {
    #[default]
    User,
    Application,
}

/// What stands in the file itself.
const OF_FILE: [&str; 2] = ["caller", "case"];
/// What is said of a case.
const OF_CASE: [&str; 6] = ["name", "route", "caller", "call", "expect", "scopes"];
/// What is said of a caller.
const OF_CALLER: [&str; 10] = [
    "kind",
    "scopes",
    "roles",
    "groups",
    "groups_overage",
    "tenant",
    "object_id",
    "client",
    "subject",
    "guest",
];

/// What is read so far, and what of it is wrong.
struct Reader<'a> {
    /// Finds the place of what begins at an offset.
    at: &'a dyn Fn(usize) -> String,
    /// Each with where it begins.
    wrong: Vec<(usize, String)>,
}

/// A key, and where it stands.
type Key<'a> = Spanned<DeString<'a>>;

impl Content {
    /// Reads `text`; `at` finds the place of what begins at an offset.
    pub(super) fn read(text: &str, at: &dyn Fn(usize) -> String) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let wrong = Vec::new();
        let (mut content, mut reader) = (Self::default(), Reader { at, wrong });
        for error in &errors {
            let start = error.span().map_or(0, |span| span.start);
            reader.note(start, error.message());
        }
        // What can be read of a broken file may be another's.
        let entries = table.get_ref().iter().filter(|_| errors.is_empty());
        for (key, value) in entries {
            match &**key.get_ref() {
                "caller" => content.read_callers(key, value.get_ref(), &mut reader),
                "case" => content.read_cases(key, value.get_ref(), &mut reader),
                _ => reader.unknown(key, &OF_FILE),
            }
        }
        reader.wrong.sort_by_key(|(start, _)| *start);
        let wrong = reader.wrong.into_iter();
        content.wrong = wrong.map(|(_, what)| what).collect();
        content
    }

    fn read_callers(&mut self, key: &Key<'_>, callers: &DeValue<'_>, reader: &mut Reader<'_>) {
        let Some(callers) = callers.as_table() else {
            return reader.refuse(key, "write [caller.NAME] before what is said of each");
        };
        for (name, caller) in callers {
            let described = if let Some(table) = caller.get_ref().as_table() {
                Caller::read(table, reader)
            } else {
                reader.refuse(name, "write a table, such as { scopes = [\"a\"] }");
                Caller::default()
            };
            self.callers.insert(name.get_ref().to_string(), described);
        }
    }

    fn read_cases(&mut self, key: &Key<'_>, cases: &DeValue<'_>, reader: &mut Reader<'_>) {
        let tables = cases.as_array().map(|cases| cases.iter());
        let tables = tables.and_then(|cases| {
            let tables = cases.map(|case| Some((case.get_ref().as_table()?, case.span().start)));
            tables.collect::<Option<Vec<_>>>()
        });
        let Some(tables) = tables else {
            return reader.refuse(key, "write [[case]] before what is said of each");
        };
        for (table, start) in tables {
            let case = CaseTable::read(table, start, reader);
            self.cases.extend(case.map(|case| (case, start)));
        }
    }
}

impl CaseTable {
    fn read(table: &DeTable<'_>, start: usize, reader: &mut Reader<'_>) -> Option<Self> {
        let (mut name, mut route, mut caller) = (None, None, None);
        let (mut calls, mut expected, mut scopes) = (None, None, None);
        for (key, value) in table {
            let value = value.get_ref();
            match &**key.get_ref() {
                "name" => name = reader.take(key, text(value)),
                "route" => route = reader.take(key, text(value)),
                "caller" => caller = WhichCaller::read(key, value, reader),
                "call" => calls = reader.take(key, one_or_more(value)),
                "expect" => expected = reader.take(key, Expected::read(value)),
                "scopes" => scopes = reader.take(key, list(value)),
                _ => reader.unknown(key, &OF_CASE),
            }
        }
        for needed in ["caller", "call", "expect"] {
            if !table.iter().any(|(key, _)| key.get_ref() == needed) {
                reader.note(start, format_args!("the case has no {needed}"));
            }
        }
        Some(Self {
            name,
            route,
            caller: caller?,
            calls: calls?,
            expected: expected?,
            scopes,
        })
    }
}

impl WhichCaller {
    fn read(key: &Key<'_>, value: &DeValue<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        if let Some(table) = value.as_table() {
            return Some(Self::Described(Caller::read(table, reader)));
        }
        let what = "write the name of a [caller.NAME], or a table, such as { scopes = [\"a\"] }";
        let name = value.as_str().ok_or_else(|| what.to_owned());
        reader
            .take(key, name)
            .map(|name| Self::Named(name.to_owned()))
    }
}

impl Expected {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("allow") => Ok(Self::Allow),
            Some("deny") => Ok(Self::Deny),
            Some("step-up") => Ok(Self::StepUp),
            _ => Err("write \"allow\", \"deny\" or \"step-up\"".to_owned()),
        }
    }
}

impl Kind {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("user") => Ok(Self::User),
            Some("application") => Ok(Self::Application),
            _ => Err("write \"user\" or \"application\"".to_owned()),
        }
    }
}

impl Caller {
    fn read(table: &DeTable<'_>, reader: &mut Reader<'_>) -> Self {
        let mut caller = Self::default();
        for (key, value) in table {
            let value = value.get_ref();
            match &**key.get_ref() {
                "kind" => caller.kind = reader.take(key, Kind::read(value)).unwrap_or_default(),
                "scopes" => caller.scopes = reader.take(key, list(value)).unwrap_or_default(),
                "roles" => caller.roles = reader.take(key, list(value)).unwrap_or_default(),
                "groups" => caller.groups = reader.take(key, list(value)).unwrap_or_default(),
                "groups_overage" => {
                    caller.groups_overage = reader.take(key, switch(value)).unwrap_or_default();
                }
                "tenant" => caller.tenant = reader.take(key, text(value)).unwrap_or_default(),
                "object_id" => caller.object_id = reader.take(key, text(value)),
                "client" => caller.client = reader.take(key, text(value)),
                "subject" => caller.subject = reader.take(key, text(value)),
                "guest" => caller.guest = reader.take(key, switch(value)).unwrap_or_default(),
                _ => reader.unknown(key, &OF_CALLER),
            }
        }
        caller
    }
}

impl Reader<'_> {
    fn note(&mut self, start: usize, what: impl fmt::Display) {
        let what = format!("{}: {what}", (self.at)(start));
        self.wrong.push((start, what));
    }

    fn refuse(&mut self, key: &Key<'_>, what: &str) {
        self.note(key.span().start, format_args!("{}: {what}", key.get_ref()));
    }

    fn unknown(&mut self, key: &Key<'_>, known: &[&'static str]) {
        let name = key.get_ref();
        let meant = nearest_of(name, known.iter().copied());
        let meant = meant.map(|meant| format!(": is {meant} meant?"));
        let meant = meant.unwrap_or_else(|| format!(": there are {}", known.join(", ")));
        self.note(
            key.span().start,
            format_args!("there is no {name:?} here{meant}"),
        );
    }

    /// What was read of the value of `key`, or a note of why it could not be.
    fn take<T>(&mut self, key: &Key<'_>, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.refuse(key, &what)).ok()
    }
}

fn text(value: &DeValue<'_>) -> Result<String, String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| "write a string".to_owned())
}

fn switch(value: &DeValue<'_>) -> Result<bool, String> {
    let switch = value.as_bool();
    switch.ok_or_else(|| "write true or false".to_owned())
}

fn list(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let form = || "write a list of strings".to_owned();
    let list = value.as_array().ok_or_else(form)?.iter();
    let list = list.map(|word| word.get_ref().as_str().map(str::to_owned));
    list.collect::<Option<_>>().ok_or_else(form)
}

fn one_or_more(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let one = text(value).map(|one| vec![one]);
    let found = one.or_else(|_| list(value));
    found.map_err(|_| "write a call, or a list of calls".to_owned())
}

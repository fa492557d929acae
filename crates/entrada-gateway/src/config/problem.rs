//! What is wrong with a configuration, in words that say what to change.

use std::collections::HashSet;
use std::fmt;

use entrada::causes::OnOneLine;

use crate::config::source::Origin;
use crate::config::table::{Place, Setting};

/// The configuration cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self {
            problems: in_order(problems),
        }
    }

    /// Every problem there is.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether a setting is wrong, rather than what one names in use or failing.
    pub(crate) fn is_of_settings(&self) -> bool {
        !self.problems.iter().all(|problem| problem.is_outside)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_of_settings() {
            "the configuration cannot be used:"
        } else {
            "cannot begin:"
        })?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

/// One thing to change. Its text never holds a value that could be a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The setting it is about, where it is about one; or what stands in its place in a route or a rule.
    setting: Option<String>,
    /// The route it is about, by host and path.
    route: Option<String>,
    /// File and line, where it stands in a file.
    place: Option<String>,
    /// Whether no setting is wrong, but what one names is in use or fails.
    is_outside: bool,
    text: String,
}

/// Those that stand in a file as they stand there, then the others as they were found; each once, though several
/// routes may have it from one line.
pub(super) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    let mut told = HashSet::new();
    problems.retain(|problem| told.insert(problem.text.clone()));
    problems.sort_by(|one, other| one.position().cmp(&other.position()));
    problems
}

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            setting: None,
            route: None,
            place: None,
            is_outside: false,
            text: text.into(),
        }
    }

    /// One that stands at `place`, file and line.
    pub(super) fn at(place: &str, what: impl fmt::Display) -> Self {
        Self::new(format!("{place}: {what}")).standing(place)
    }

    /// One with `key`, a setting or a key of a rule, that stands at `place`.
    pub(super) fn of_key(key: &str, place: &str, what: impl fmt::Display) -> Self {
        Self::at(place, format_args!("{key}: {what}")).naming(key)
    }

    /// The same, said to be about `key`, where its text says it otherwise.
    pub(super) fn naming(self, key: &str) -> Self {
        Self {
            setting: Some(key.to_owned()),
            ..self
        }
    }

    /// The same, of the route called `name`.
    pub(super) fn of_route(self, name: &str) -> Self {
        Self {
            route: Some(name.to_owned()),
            ..self
        }
    }

    /// The same, where no setting is wrong, but what one names is in use or fails.
    pub(super) fn outside(self) -> Self {
        Self {
            is_outside: true,
            ..self
        }
    }

    fn about(setting: &Setting, text: String) -> Self {
        Self::new(text).naming(setting.name)
    }

    fn standing(self, place: &str) -> Self {
        Self {
            place: Some(place.to_owned()),
            ..self
        }
    }

    /// What sorts it: whether it stands nowhere, its file, its line.
    fn position(&self) -> (bool, Option<&str>, Option<usize>) {
        (self.place.is_none(), self.file(), self.line())
    }

    /// The file it stands in, where it stands in one.
    pub fn file(&self) -> Option<&str> {
        self.file_and_line().map(|(file, _)| file)
    }

    /// The line of that file; none where the file as such is meant.
    pub fn line(&self) -> Option<usize> {
        self.file_and_line()?.1
    }

    fn file_and_line(&self) -> Option<(&str, Option<usize>)> {
        let place = self.place.as_deref()?;
        let parts = place.rsplit_once(':');
        let parts = parts.and_then(|(file, line)| Some((file, Some(line.parse().ok()?))));
        Some(parts.unwrap_or((place, None)))
    }

    /// The setting it is about, where it is about one; of a route or a rule it may be a key of those.
    pub fn setting(&self) -> Option<&str> {
        self.setting.as_deref()
    }

    /// The route it is about, where it is about one.
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        self.setting() == Some(name)
    }

    pub(super) fn missing(setting: &Setting) -> Self {
        let (flag, variable, name) = (setting.flag(), setting.variable(), setting.name);
        let text = if setting.place == Place::OnlyInEnvironment {
            format!("{name} is missing: set {variable}, or name a file with --{flag}-file")
        } else {
            format!(
                "{name} is missing: give --{flag} {value}, set {variable}, or write {name} = \"…\" \
                 in the configuration file",
                value = setting.value,
            )
        };
        Self::about(setting, text)
    }

    /// There is nothing to prove the app registration with.
    pub(super) fn no_credential(secret: &Setting) -> Self {
        let missing = Self::missing(secret);
        let others = "or use client_certificate, federated_token_file or managed_identity";
        Self::about(secret, format!("{missing}; {others}"))
    }

    /// The keys are in the store, and it is not said of which server.
    pub(super) fn keys_of_nobody(base_url: &Setting) -> Self {
        let missing = Self::missing(base_url);
        let why =
            "it says whose keys are meant of those in the store, so say what the gateway is told";
        Self::about(base_url, format!("{missing}; {why}"))
    }

    /// The route at `place` does not say `name`.
    pub(super) fn missing_in_route(name: &str, place: &str) -> Self {
        Self::at(place, format_args!("the route has no {name}")).naming(name)
    }

    /// The route at `place` says nowhere where it is.
    pub(super) fn nowhere(place: &str) -> Self {
        Self::at(place, "the route has no path, and no host").naming("path")
    }

    /// The host or the path of a route is none.
    pub(super) fn of_place(name: &str, origin: &Origin, what: &str) -> Self {
        match origin {
            Origin::File(place) => Self::of_key(name, place, what),
            Origin::Flag | Origin::Environment | Origin::Default => {
                Self::new(format!("{name}: {what}")).naming(name)
            }
        }
    }

    pub(super) fn wrong(setting: &Setting, origin: &Origin, what: &str) -> Self {
        let name = setting.name;
        let text = match origin {
            Origin::Flag => format!("--{}: {what}", setting.flag()),
            Origin::Environment => format!("{}: {what}", setting.variable()),
            Origin::File(place) => format!("{place}: {name}: {what}"),
            Origin::Default => format!("{name}: {what}"),
        };
        let problem = Self::about(setting, text);
        match origin {
            Origin::File(place) => problem.standing(place),
            Origin::Flag | Origin::Environment | Origin::Default => problem,
        }
    }

    pub(super) fn both(name: &str, file: &Setting) -> Self {
        let text = format!("{name} and {} are both set: take one away", file.name);
        Self::about(file, text)
    }

    pub(super) fn misplaced(setting: &Setting, place: &str) -> Self {
        let (name, variable) = (setting.name, setting.variable());
        let text = if setting.place == Place::OnlyInEnvironment {
            format!(
                "{place}: {name} does not belong in a configuration file: write {name}_file, or \
                 set {variable}"
            )
        } else {
            let flag = setting.flag();
            format!("{place}: {name} cannot be set in a file: give --{flag}, or set {variable}")
        };
        Self::about(setting, text).standing(place)
    }

    pub(super) fn misspelt(variable: &str, meant: &Setting) -> Self {
        let meant = meant.variable();
        Self::new(format!(
            "{variable}: there is no such setting: is {meant} meant?"
        ))
    }

    pub(super) fn unknown(name: &str, place: &str, nearest: Option<&str>) -> Self {
        let meant = nearest.map(|nearest| format!(": is {nearest} meant?"));
        let meant = meant.unwrap_or_default();
        let problem = Self::at(place, format_args!("there is no setting {name:?}{meant}"));
        // A setting that stands where none is to be says nothing of the one that is missing elsewhere.
        match Setting::named(name) {
            Some(_) => problem,
            None => problem.naming(name),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OnOneLine(&self.text).fmt(f)
    }
}

//! What is wrong with a configuration, in words that say what to change.

use std::fmt;

use crate::config::source::Origin;
use crate::config::table::{Place, Setting};

/// The configuration cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) const fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// Every problem there is.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

/// One thing to change. Its text never holds the value that was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem(String);

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn missing(setting: &Setting) -> Self {
        let (flag, variable, name) = (setting.flag(), setting.variable(), setting.name);
        Self(format!(
            "{name} is missing: give --{flag} {value}, set {variable}, or write {name} = \"…\" in \
             the configuration file",
            value = setting.value,
        ))
    }

    pub(super) fn wrong(setting: &Setting, origin: &Origin, what: &str) -> Self {
        let name = setting.name;
        match origin {
            Origin::Flag => Self(format!("--{}: {what}", setting.flag())),
            Origin::Environment => Self(format!("{}: {what}", setting.variable())),
            Origin::File(place) => Self(format!("{place}: {name}: {what}")),
            Origin::Default => Self(format!("{name}: {what}")),
        }
    }

    pub(super) fn misplaced(setting: &Setting, place: &str) -> Self {
        let (name, variable) = (setting.name, setting.variable());
        if setting.place == Place::OnlyInEnvironment {
            return Self(format!(
                "{place}: {name} does not belong in a configuration file: write {name}_file, or \
                 set {variable}"
            ));
        }
        Self(format!(
            "{place}: {name} cannot be set in the file itself: give --{}, or set {variable}",
            setting.flag()
        ))
    }

    pub(super) fn unknown(name: &str, place: &str, nearest: Option<&str>) -> Self {
        match nearest {
            Some(nearest) => Self(format!(
                "{place}: there is no setting {name:?}: is {nearest} meant?"
            )),
            None => Self(format!("{place}: there is no setting {name:?}")),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

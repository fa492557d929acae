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
pub struct Problem {
    /// The setting it is about, where it is about one.
    setting: Option<&'static str>,
    text: String,
}

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            setting: None,
            text: text.into(),
        }
    }

    fn about(setting: &Setting, text: String) -> Self {
        Self {
            setting: Some(setting.name),
            text,
        }
    }

    /// The setting it is about, where it is about one.
    pub const fn setting(&self) -> Option<&'static str> {
        self.setting
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        self.setting == Some(name)
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
        let Self { setting, text } = Self::missing(secret);
        let others = "or use client_certificate, federated_token_file or managed_identity";
        let text = format!("{text}; {others}");
        Self { setting, text }
    }

    /// The keys are in the store, and it is not said of which server.
    pub(super) fn keys_of_nobody(base_url: &Setting) -> Self {
        let Self { setting, text } = Self::missing(base_url);
        let why =
            "it says whose keys are meant of those in the store, so say what the gateway is told";
        let text = format!("{text}; {why}");
        Self { setting, text }
    }

    /// The route at `place` does not say `name`.
    pub(super) fn missing_in_route(name: &str, place: &str) -> Self {
        Self::new(format!("{place}: the route has no {name}"))
    }

    /// The host or the path of a route is none.
    pub(super) fn of_place(name: &str, origin: &Origin, what: &str) -> Self {
        match origin {
            Origin::File(place) => Self::new(format!("{place}: {name}: {what}")),
            Origin::Flag | Origin::Environment | Origin::Default => {
                Self::new(format!("{name}: {what}"))
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
        Self::about(setting, text)
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
        Self::about(setting, text)
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
        Self::new(format!("{place}: there is no setting {name:?}{meant}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

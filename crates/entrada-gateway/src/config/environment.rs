//! The environment, which nothing else reads.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use crate::config::problem::Problem;
use crate::config::source::Origin;
use crate::config::spelling::nearest;
use crate::config::table::Setting;

/// What Azure sets for whatever runs there, for its own SDKs, and what names the collector of traces to
/// all that have some.
const AZURE: [&str; 5] = [
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// How our own begin.
const OURS: &str = "ENTRADA_";

/// The `ENTRADA_*` variables, some of Azure's, and what children may be given, as they were when the process started.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<&'static str, OsString>,
    /// All of them, ours not among them, for processes that are to have some.
    others: BTreeMap<String, OsString>,
    /// Azure's, by their own names.
    azure: BTreeMap<&'static str, String>,
    /// Variables that are no setting's but nearly so, with the setting meant.
    misspelt: Vec<(String, &'static Setting)>,
}

impl Environment {
    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        Self::gather(variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value))))
    }

    /// Takes `variables` for the environment.
    pub fn from_pairs(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter();
        Self::gather(variables.map(|(name, value)| ((*name).to_owned(), value.into())))
    }

    fn gather(variables: impl Iterator<Item = (String, OsString)>) -> Self {
        let mut environment = Self::default();
        for (variable, value) in variables {
            if let Some(known) = AZURE.into_iter().find(|known| *known == variable) {
                let value = value.into_string().unwrap_or_default();
                environment.azure.insert(known, value);
                continue;
            }
            let Some(name) = variable.strip_prefix(OURS) else {
                environment.others.insert(variable, value);
                continue;
            };
            let name = name.to_ascii_lowercase();
            match Setting::named(&name) {
                Some(setting) if setting.variable() == variable => {
                    environment.values.insert(setting.name, value);
                }
                _ => {
                    let meant = nearest(&name, &[]).and_then(Setting::named);
                    let misspelt = meant.map(|meant| (variable, meant));
                    environment.misspelt.extend(misspelt);
                }
            }
        }
        environment
    }

    /// The value of the variable for the setting called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.to_str()
    }

    /// All variables but ours and those of Azure's that are for us.
    pub(super) const fn all(&self) -> &BTreeMap<String, OsString> {
        &self.others
    }

    /// Whether a variable is for us, or for a child to hear from us.
    pub(super) fn is_ours(name: &str) -> bool {
        name.starts_with(OURS) || AZURE.contains(&name)
    }

    /// The value of a variable of Azure's, which is no setting of ours.
    pub(super) fn azure(&self, name: &str) -> Option<String> {
        self.azure.get(name).cloned()
    }

    /// What is wrong with the variables as such.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        let values = self.values.iter();
        let unreadable = values.filter(|(_, value)| value.to_str().is_none());
        let unreadable = unreadable.filter_map(|(name, _)| {
            let what = "the value is not UTF-8";
            Some(Problem::wrong(
                Setting::named(name)?,
                &Origin::Environment,
                what,
            ))
        });
        let misspelt = self.misspelt.iter();
        unreadable.chain(misspelt.map(|(variable, meant)| Problem::misspelt(variable, meant)))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

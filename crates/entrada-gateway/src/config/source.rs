//! Where values come from, and which one counts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use entrada::authorization_server::PreregisteredClient;
use entrada::secret::ClientSecret;

use crate::config::environment::Environment;
use crate::config::file::{self, Content, PlacedClient, RouteTable, Secrets, Values};
use crate::config::flags::Flags;
use crate::config::prints::{Print, Prints, is_of_server};
use crate::config::problem::{ConfigError, Problem};
use crate::config::table::{OfRoute, Place, Setting, settings};
use crate::config::value;
use crate::policy::Rule;

/// Where a value was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    Flag,
    Environment,
    /// File and line.
    File(String),
    Default,
}

/// A value, and where it was found.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// Where the values were found.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    /// By the name of the setting.
    settings: BTreeMap<&'static str, Origin>,
    /// File and line, by the id of the client.
    clients: BTreeMap<String, String>,
}

impl Origins {
    /// Where the setting was found, if it was set or has a default.
    pub(super) fn of(&self, name: &str) -> Option<&Origin> {
        self.settings.get(name)
    }

    /// Where the client was found.
    pub(super) fn of_client(&self, client_id: &str) -> Option<&str> {
        self.clients.get(client_id).map(String::as_str)
    }
}

/// All places together, and what was wrong in them so far.
pub(super) struct Sources<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    file: Values,
    routes: Vec<RouteTable>,
    clients: Vec<PlacedClient>,
    trusted_issuers: Vec<(String, String)>,
    rules: Vec<Rule>,
    /// The route whose settings are asked for.
    route: Option<RouteTable>,
    problems: Vec<Problem>,
    /// What may be meant.
    warnings: Vec<Problem>,
    prints: Prints,
}

impl<'a> Sources<'a> {
    /// Brings the places together, and reads the file that flags or environment name.
    ///
    /// # Errors
    ///
    /// What is wrong so far, if the file cannot be read: what it would have set is unknown.
    pub(super) fn open(
        flags: &'a Flags,
        environment: &'a Environment,
    ) -> Result<Self, Vec<Problem>> {
        Self::open_with(flags, environment, Secrets::Read)
    }

    /// The same, for who needs the secrets of clients, or for who does not.
    ///
    /// # Errors
    ///
    /// Likewise.
    pub(super) fn open_with(
        flags: &'a Flags,
        environment: &'a Environment,
        secrets: Secrets,
    ) -> Result<Self, Vec<Problem>> {
        let mut sources = Self {
            flags,
            environment,
            file: Values::new(),
            routes: Vec::new(),
            clients: Vec::new(),
            trusted_issuers: Vec::new(),
            rules: Vec::new(),
            route: None,
            problems: environment.problems().collect(),
            warnings: Vec::new(),
            prints: Prints::default(),
        };
        if let Some(config) = sources.given("config") {
            match file::read(Path::new(&config.value), secrets) {
                Ok(content) => sources.take_in(content),
                Err(problems) => {
                    sources.problems.extend(problems);
                    return Err(sources.problems);
                }
            }
        }
        sources.print();
        Ok(sources)
    }

    /// Takes the prints, before anything that is named here is read: what changes meanwhile differs the
    /// next time.
    fn print(&mut self) {
        for setting in settings() {
            if let Some(given) = self.given(setting.name) {
                let print = Print::of_setting(setting.name, &given.value);
                self.prints.note(setting.name, print);
            }
        }
    }

    /// What tells all that is set from what was set before.
    pub(super) const fn prints(&self) -> &Prints {
        &self.prints
    }

    /// What tells the way to the server at `place`, whose settings are asked for, from another.
    pub(super) fn print_of_server(&self, place: &str) -> Print {
        let of_server = settings();
        let of_server = of_server
            .filter(|setting| setting.of_route.is_some() && is_of_server(setting.name))
            .filter_map(|setting| Some((setting.name, self.given(setting.name)?.value)));
        Print::of_all(place, of_server)
    }

    fn take_in(&mut self, content: Content) {
        self.file = content.values;
        self.routes = content.routes;
        self.clients = content.clients;
        self.trusted_issuers = content.trusted_issuers;
        self.rules = content.rules;
        self.prints = content.prints;
        self.problems.extend(content.problems);
    }

    /// The setting as text, where it was set.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.given(name).map(|given| given.value)
    }

    /// The setting as text, where the route that is read says it itself.
    pub(super) fn own(&self, name: &str) -> Option<String> {
        let given = self.route.as_ref()?.values.get(name)?;
        Some(given.value.clone())
    }

    /// Whether the setting was set by the route that is read, or outside where none is.
    pub(super) fn is_said_here(&self, name: &str) -> bool {
        match &self.route {
            Some(route) => route.values.contains_key(name),
            None => self.is_given(name),
        }
    }

    /// The setting as text; empty, and a problem, where it was not set.
    pub(super) fn required(&mut self, name: &str) -> String {
        self.required_as(name, |value| Ok(value.to_owned()))
            .unwrap_or_default()
    }

    /// The setting read by `parse`; a problem where it was not set or cannot be read.
    pub(super) fn required_as<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let reported = match &self.route {
            Some(route) => route.is_faulty,
            None => self.problems.iter().any(|problem| problem.is_about(name)),
        };
        if self.given(name).is_none() && !reported {
            let missing = match &self.route {
                Some(route) => Some(Problem::missing_in_route(name, &route.place)),
                None => Setting::named(name).map(Problem::missing),
            };
            self.note(missing);
        }
        self.parsed(name, parse)
    }

    /// The routes of the file.
    pub(super) fn take_routes(&mut self) -> Vec<RouteTable> {
        std::mem::take(&mut self.routes)
    }

    /// The rules of the file that stand outside of routes.
    pub(super) fn take_rules(&mut self) -> Vec<Rule> {
        std::mem::take(&mut self.rules)
    }

    /// The clients of the file.
    pub(super) fn take_clients(&mut self) -> Vec<PreregisteredClient> {
        let clients = std::mem::take(&mut self.clients);
        clients.into_iter().map(|(client, _)| client).collect()
    }

    /// Where everything was found that is set outside of routes.
    pub(super) fn origins(&self) -> Origins {
        let settings = settings().filter_map(|setting| {
            let given = self.given(setting.name)?;
            Some((setting.name, given.origin))
        });
        let clients = self.clients.iter();
        let clients = clients.map(|(client, place)| (client.client_id().to_owned(), place.clone()));
        Origins {
            settings: settings.collect(),
            clients: clients.collect(),
        }
    }

    /// The issuers of the file whose assertions are taken.
    pub(super) fn take_trusted_issuers(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.trusted_issuers)
    }

    /// What `read` makes of the settings of `route`.
    pub(super) fn within<T>(&mut self, route: RouteTable, read: impl FnOnce(&mut Self) -> T) -> T {
        let name = route.name();
        let before = (self.problems.len(), self.warnings.len());
        self.route = Some(route);
        let read = read(self);
        self.route = None;
        let found = self.problems.split_off(before.0).into_iter();
        let found = found.map(|problem| problem.of_route(&name));
        self.problems.extend(found);
        let found = self.warnings.split_off(before.1).into_iter();
        let found = found.map(|warning| warning.of_route(&name));
        self.warnings.extend(found);
        read
    }

    /// The host of the route, read by `parse`, where it has one to itself.
    pub(super) fn route_host(
        &mut self,
        parse: impl FnOnce(&str) -> Result<String, String>,
    ) -> Option<String> {
        let Given { value, origin } = self.route.as_ref()?.host.as_ref()?;
        let read = parse(value).map_err(|what| Problem::of_place("host", origin, &what));
        read.map_err(|problem| self.note(Some(problem))).ok()
    }

    /// The path of the route, read by `parse`, or `usual`; a problem where there is neither.
    pub(super) fn route_path(
        &mut self,
        usual: Option<&str>,
        parse: impl FnOnce(&str) -> Result<String, String>,
    ) -> Option<String> {
        let route = self.route.as_ref()?;
        let own = route.path.as_ref();
        let (value, origin) = match (own, usual) {
            (Some(Given { value, origin }), _) => (value.as_str(), origin.clone()),
            (None, Some(usual)) => (usual, Origin::File(route.place.clone())),
            (None, None) if route.is_faulty => return None,
            (None, None) => {
                self.note(Some(Problem::nowhere(&route.place)));
                return None;
            }
        };
        let read = parse(value).map_err(|what| Problem::of_place("path", &origin, &what));
        read.map_err(|problem| self.note(Some(problem))).ok()
    }

    /// The host of the route, as it is written.
    pub(super) fn unread_route_host(&self) -> Option<&str> {
        let host = self.route.as_ref()?.host.as_ref()?;
        Some(&host.value)
    }

    /// The path of the route, as it is written.
    pub(super) fn unread_route_path(&self) -> Option<&str> {
        let path = self.route.as_ref()?.path.as_ref()?;
        Some(&path.value)
    }

    /// The setting read by `parse`, where it was set; a problem where it cannot be read.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.given(name)?;
        parse(&given.value)
            .map_err(|what| self.wrong(name, &given.origin, &what))
            .ok()
    }

    /// The setting as a list; a problem where it was not set.
    pub(super) fn required_list(&mut self, name: &str) -> Vec<String> {
        self.required(name);
        self.list(name)
    }

    /// The setting as a list: words apart by spaces or commas.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        let words = text.split([' ', ',', '\n', '\t']);
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The setting as a list of the only ones there are; a problem where it was set and is empty, which
    /// could be all as well as none.
    pub(super) fn only(&mut self, name: &str) -> Vec<String> {
        let list = self.list(name);
        if let Some(given) = self.given(name).filter(|_| list.is_empty()) {
            let what =
                "the list is empty, which is neither all nor none: leave it out, or name one";
            self.wrong(name, &given.origin, what);
        }
        list
    }

    /// A problem with the setting, if there is one.
    pub(super) fn check<T: Default>(&mut self, name: &str, checked: Result<T, String>) -> T {
        checked.unwrap_or_else(|what| {
            let origin = self
                .given(name)
                .map_or(Origin::Default, |given| given.origin);
            self.wrong(name, &origin, &what);
            T::default()
        })
    }

    /// Whether the setting was set.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// Whether anybody set it: a default does not count.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let given = self.given(name);
        given.is_some_and(|given| given.origin != Origin::Default)
    }

    /// A problem where the setting is set, and none of the `others` is, without which it means
    /// nothing.
    pub(super) fn needs(&mut self, name: &str, others: &[&str]) {
        if let Some(given) = self.given(name)
            && !others.iter().any(|other| self.is_given(other))
        {
            let what = format!("means nothing without {}", others.join(" or "));
            self.wrong(name, &given.origin, &what);
        }
    }

    /// A problem with the setting, where it is set.
    pub(super) fn refuse(&mut self, name: &str, what: &str) {
        if let Some(given) = self.given(name) {
            self.wrong(name, &given.origin, what);
        }
    }

    /// All variables, for processes that are to have some of them.
    pub(super) const fn variables(&self) -> &'a BTreeMap<String, OsString> {
        self.environment.all()
    }

    /// Warns of `what` the setting means, where it is set: that may be meant.
    pub(super) fn warn(&mut self, name: &str, what: &str) {
        let warning = Setting::named(name).zip(self.given(name));
        let warning = warning.map(|(setting, given)| Problem::wrong(setting, &given.origin, what));
        self.warnings.extend(warning);
    }

    /// Warns of some.
    pub(super) fn warn_of_all(&mut self, warnings: impl IntoIterator<Item = Problem>) {
        self.warnings.extend(warnings);
    }

    /// What there is to warn of.
    pub(super) fn take_warnings(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.warnings)
    }

    /// A variable of Azure's, which is no setting of ours.
    pub(super) fn azure(&self, name: &str) -> Option<String> {
        self.environment.azure(name)
    }

    /// Notes a problem.
    pub(super) fn note(&mut self, problem: Option<Problem>) {
        self.problems.extend(problem);
    }

    /// The secret called `name`, or what the file called `file` holds, where one of them was set.
    pub(super) fn secret(&mut self, name: &str, file: &str) -> Option<ClientSecret> {
        match (self.given(name), self.given(file)) {
            (Some(_), Some(_)) => {
                self.note(Setting::named(file).map(|file| Problem::both(name, file)));
                None
            }
            (Some(secret), None) => Some(ClientSecret::new(secret.value)),
            (None, Some(path)) => self.secret_in(file, &path),
            (None, None) => None,
        }
    }

    /// What the file holds that the setting called `name` names, where it was set.
    pub(super) fn secret_file(&mut self, name: &str) -> Option<ClientSecret> {
        let path = self.given(name)?;
        self.secret_in(name, &path)
    }

    /// Whether the value that counts is a variable's.
    pub(super) fn is_of_environment(&self, name: &str) -> bool {
        let given = self.given(name);
        given.is_some_and(|given| given.origin == Origin::Environment)
    }

    /// What was `read`, if nothing was wrong.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that was.
    pub(super) fn done<T>(self, read: Option<T>) -> Result<T, ConfigError> {
        match (read, self.problems) {
            (Some(read), problems) if problems.is_empty() => Ok(read),
            (Some(_) | None, problems) => Err(ConfigError::new(problems)),
        }
    }

    /// Everything that was wrong.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn secret_in(&mut self, name: &str, path: &Given) -> Option<ClientSecret> {
        let what = match std::fs::read_to_string(&path.value) {
            Ok(text) if text.trim().is_empty() => "the file is empty".to_owned(),
            Ok(text) => return Some(ClientSecret::new(text.trim())),
            Err(error) => value::unreadable(&path.value, &error),
        };
        self.wrong(name, &path.origin, &what);
        None
    }

    /// The value that counts. One that is empty does not.
    fn given(&self, name: &str) -> Option<Given> {
        let setting = Setting::named(name)?;
        if let (Some(route), Some(of_route)) = (&self.route, setting.of_route) {
            let own = route.values.get(name).cloned();
            if own.is_some() || of_route == OfRoute::Own {
                return own;
            }
        }
        let found = |value: &str, origin| {
            let value = value.to_owned();
            (!value.is_empty()).then_some(Given { value, origin })
        };
        let flag = || found(self.flags.get(name)?, Origin::Flag);
        let variable = || found(self.environment.get(name)?, Origin::Environment);
        let file = || self.file.get(name).cloned();
        let default = || found(setting.default?, Origin::Default);
        flag().or_else(variable).or_else(file).or_else(default)
    }

    fn wrong(&mut self, name: &str, origin: &Origin, what: &str) {
        let setting = Setting::named(name);
        self.problems
            .extend(setting.map(|setting| Problem::wrong(setting, origin, what)));
    }
}

/// Whether the file may hold `setting`.
pub(super) fn belongs_in_file(setting: &Setting) -> bool {
    setting.place == Place::Anywhere
}

//! The settings: every name, with what it means and what it is when nobody says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

mod settings;

pub(super) use settings::settings;

/// The default of `listen`.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
/// The default of `body_limit`.
pub(super) const BODY_LIMIT: u64 = 4 << 20;
/// The default of `upstream_timeout`.
pub(super) const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(300);

/// The default of `max_concurrent_requests_per_user`.
pub(super) const CONCURRENT_REQUESTS: u32 = 256;

/// One thing that can be set.
#[derive(Debug)]
pub(super) struct Setting {
    /// The name: the key in the file, and what flag and variable are made of.
    pub(super) name: &'static str,
    /// The heading it stands under.
    pub(super) heading: &'static str,
    /// What kind of value it takes.
    pub(super) value: &'static str,
    /// The value when nobody says.
    pub(super) default: Option<&'static str>,
    /// Where it may be set.
    pub(super) place: Place,
    /// What it is to a route, where it is something.
    pub(super) of_route: Option<OfRoute>,
    /// What it is.
    pub(super) help: &'static str,
}

/// Where a setting may be set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Flag, environment and file.
    Anywhere,
    /// Flag and environment: it says where the file is.
    NotInFile,
    /// The environment alone: flags are seen by every user of the machine, and configuration
    /// files are kept in repositories.
    OnlyInEnvironment,
}

/// What a setting is to a route of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum OfRoute {
    /// It is said by each route, or is not.
    Own,
    /// Where the route does not say, what is said outside holds.
    Inherited,
}

impl Setting {
    /// The setting called `name`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.name == name)
    }

    /// The name of its flag, without the dashes.
    pub(super) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The name of its variable.
    pub(super) fn variable(&self) -> String {
        format!("ENTRADA_{}", self.name.to_ascii_uppercase())
    }
}

/// The names of all settings.
pub fn names() -> impl Iterator<Item = &'static str> {
    settings().map(|setting| setting.name)
}

const fn setting(
    heading: &'static str,
    name: &'static str,
    value: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        name,
        heading,
        value,
        default: None,
        place: Place::Anywhere,
        of_route: None,
        help,
    }
}

impl Setting {
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn only(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    const fn of_route(mut self, of_route: OfRoute) -> Self {
        self.of_route = Some(of_route);
        self
    }
}

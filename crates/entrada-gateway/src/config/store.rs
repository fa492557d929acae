//! Where grants are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use entrada::secret::ClientSecret;
use entrada::store::{Moving, OpenStoreError, OpenUrlError, Store, StoreKind, StoreUrl};

use crate::config::environment::Environment;
use crate::config::file::Secrets;
use crate::config::flags::Flags;
use crate::config::problem::{ConfigError, Problem};
use crate::config::source::Sources;
use crate::config::table::Setting;
use crate::telemetry::WithCauses;

/// What a URL with a password means anywhere but in the environment.
const SEEN: &str = "there is a password in the URL, and flags and files are seen by others: set the \
                    variable, or put the password in a file of its own";

/// What `memory:` means.
const FORGETS: &str = "nothing outlives the process: after a restart everybody signs in anew, and no two \
                       replicas know of each other";

/// What `redis://` means where it leads to another machine.
const IN_CLEAR: &str = "redis:// is not encrypted: whoever is on the way learns the password, and can make codes and \
                        revoked grants good again. Use rediss:// unless that network is yours alone";

/// Where grants are kept, and where they are to move.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoreSettings {
    /// The store; the file in the data directory where none is named.
    pub url: Option<StoreUrl>,
    /// The store that grants move to once all replicas know that they do.
    pub next: Option<StoreUrl>,
    /// The store that they come from.
    pub before: Option<StoreUrl>,
}

/// A store that is open.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct OpenStore {
    /// The store; the one in the data directory if there is none.
    pub store: Option<Arc<dyn Store>>,
    /// What nobody else can move out of the store before, for this process has it alone.
    pub to_move: Option<Moving>,
}

/// A store that cannot be opened.
#[derive(Debug)]
pub(super) struct Unopened {
    /// By which setting it is named.
    pub(super) setting: &'static str,
    /// Why.
    pub(super) what: String,
    /// Whether another process has it.
    pub(super) is_in_use: bool,
    /// Whether it is what the setting names that fails.
    pub(super) is_outside: bool,
}

impl StoreSettings {
    /// Where grants are, and where they move, without whatever logs in there.
    pub(super) fn places(&self, data_dir: &Path) -> String {
        let store = match &self.url {
            Some(url) => url.place(),
            None => StoreUrl::file(in_data_dir(data_dir)).place(),
        };
        match (&self.next, &self.before) {
            (Some(next), _) => format!("{store}, later {}", next.place()),
            (None, Some(before)) => format!("{store}, after {}", before.place()),
            (None, None) => store,
        }
    }

    /// Opens the stores; where one must be named that is not, it is the one in `data_dir`.
    pub(super) fn open(&self, data_dir: &Path) -> Result<OpenStore, Unopened> {
        let default = StoreUrl::file(in_data_dir(data_dir));
        let url = self.url.as_ref();
        let store = || open("store", url.unwrap_or(&default));
        let (store, to_move) = match (&self.next, &self.before) {
            (None, None) if url.is_none() => return Ok(OpenStore::default()),
            (None, None) => (store()?, None),
            (Some(next), _) => {
                let moving = Moving::announced(store()?, open("store_next", next)?);
                (Arc::new(moving) as Arc<dyn Store>, None)
            }
            (None, Some(before)) => {
                let is_shared = matches!(before.kind(), StoreKind::Redis | StoreKind::Postgres);
                let moving = Moving::under_way(open("store_before", before)?, store()?);
                let to_move = (!is_shared).then(|| moving.clone());
                (Arc::new(moving) as Arc<dyn Store>, to_move)
            }
        };
        let store = Some(store);
        Ok(OpenStore { store, to_move })
    }
}

/// Where the library keeps grants if it is not told.
pub(super) fn in_data_dir(directory: &Path) -> PathBuf {
    directory.join("grants.redb")
}

fn open(name: &'static str, url: &StoreUrl) -> Result<Arc<dyn Store>, Unopened> {
    let opened = url.open();
    opened.map_err(|error| Unopened {
        setting: name,
        what: WithCauses::of(&error).to_string(),
        is_in_use: matches!(error, OpenUrlError::File(OpenStoreError::InUse(_))),
        is_outside: matches!(error, OpenUrlError::File(_)),
    })
}

/// The stores that are named; a problem where one cannot be one.
pub(super) fn read(sources: &mut Sources<'_>) -> StoreSettings {
    let settings = StoreSettings {
        url: url(sources, "store", "store_password_file"),
        next: url(sources, "store_next", "store_next_password_file"),
        before: url(sources, "store_before", "store_before_password_file"),
    };
    if settings.url.as_ref().map(StoreUrl::kind) == Some(StoreKind::Memory) {
        sources.warn("store", FORGETS);
    }
    for (name, url) in [
        ("store", &settings.url),
        ("store_next", &settings.next),
        ("store_before", &settings.before),
    ] {
        if url.as_ref().is_some_and(StoreUrl::goes_in_clear) {
            sources.warn(name, IN_CLEAR);
        }
    }
    if sources.is_given("store_next") && sources.is_given("store_before") {
        sources.note(Setting::named("store_before").map(|it| Problem::both("store_next", it)));
    }
    for other in ["store_next", "store_before"] {
        if sources.is_given(other) && sources.text(other) == sources.text("store") {
            let same = "is the store itself: nothing moves";
            sources.check(other, Err::<(), _>(same.to_owned()));
        }
    }
    sources.needs("store_before", &["store"]);
    settings
}

/// The store that grants come from and the one they go to, by `environment` and by the file that `config`
/// or it names.
///
/// # Errors
///
/// [`ConfigError`] if any of that is wrong.
pub(crate) fn ends_of_move(
    config: Option<&str>,
    environment: &Environment,
) -> Result<StoreSettings, ConfigError> {
    let flags = Flags::naming(config);
    let sources = Sources::open_with(&flags, environment, Secrets::LeftOut);
    let mut sources = sources.map_err(ConfigError::new)?;
    let settings = read(&mut sources);
    sources.done(Some(settings))
}

/// A store that a flag names, with the password in `file`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn named(url: &str, file: Option<&Path>) -> Result<StoreUrl, String> {
    let url = parse(url)?;
    if url.has_password() {
        return Err(SEEN.to_owned());
    }
    let Some(file) = file else {
        return Ok(url);
    };
    let password = std::fs::read_to_string(file);
    let password =
        password.map_err(|error| format!("the password file cannot be read: {error}"))?;
    let password = ClientSecret::new(password.trim());
    url.with_password(password.expose())
        .map_err(|error| error.to_string())
}

/// The URL that the setting `name` holds, with the password in the file that the setting `file` names.
fn url(sources: &mut Sources<'_>, name: &str, file: &str) -> Option<StoreUrl> {
    sources.needs(file, &[name]);
    let password = sources.secret_file(file);
    let url = sources.parsed(name, parse)?;
    if url.has_password() && !sources.is_of_environment(name) {
        sources.check(name, Err::<(), _>(SEEN.to_owned()));
        return None;
    }
    let Some(password) = password else {
        return Some(url);
    };
    let with_password = url.with_password(password.expose());
    let with_password = with_password.map(Some).map_err(|error| error.to_string());
    sources.check(file, with_password)
}

fn parse(url: &str) -> Result<StoreUrl, String> {
    let url = url.parse::<StoreUrl>();
    url.map_err(|error| WithCauses::of(&error).to_string())
}

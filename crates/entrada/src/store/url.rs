//! The store that a URL names.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use url::Url;

#[cfg(feature = "embedded")]
use super::{EmbeddedStore, OpenStoreError};
use super::{MemoryStore, Store};
#[cfg(feature = "postgres")]
use super::{OpenPostgresError, PostgresSettings, PostgresStore, PostgresUrlError};
#[cfg(feature = "redis")]
use super::{OpenRedisError, RedisSettings, RedisStore};
#[cfg(feature = "postgres")]
use crate::secret::DatabasePassword;

/// Which store there is, and how it is reached: what one URL says.
///
/// | URL | store |
/// |---|---|
/// | `memory:` | [`MemoryStore`]: gone when the process is |
/// | `file:/var/lib/entrada/grants.redb` | `EmbeddedStore` (feature `embedded`): one file, for one process |
/// | `redis://`, `rediss://`, `redis+sentinel://`, `rediss+cluster://`, … | `RedisStore` (feature `redis`): its settings say what else |
/// | `postgres://` | `PostgresStore` (feature `postgres`): its settings say what else |
///
/// ```
/// # use entrada::store::StoreUrl;
/// let store = "memory:".parse::<StoreUrl>()?.open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Neither `Debug` nor an error shows anything of a password.
#[derive(Clone)]
pub struct StoreUrl {
    place: Place,
    has_password: bool,
    goes_in_clear: bool,
}

#[derive(Clone)]
enum Place {
    Memory,
    #[cfg(feature = "embedded")]
    File(PathBuf),
    #[cfg(feature = "redis")]
    Redis(Box<RedisSettings>),
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresSettings>),
}

/// What kind of store a URL names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreKind {
    /// Gone when the process is.
    Memory,
    /// One file, for one process.
    File,
    /// Redis, for any number of processes.
    Redis,
    /// A PostgreSQL database, for any number of processes.
    Postgres,
}

/// Why a URL names no store. No part of the URL is told, for there may be a password in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreUrlError {
    /// Its scheme is no store's.
    #[error(
        "the URL of a store begins with memory:, file:, redis://, rediss://, redis+sentinel://, \
         rediss+sentinel://, redis+cluster://, rediss+cluster:// or postgres://"
    )]
    Scheme,
    /// This build knows of no such store.
    #[error("this build has no {0} store: build it with the feature `{0}`")]
    NotBuilt(&'static str),
    /// There is more than `memory:`.
    #[error("write memory: and nothing behind it")]
    Memory,
    /// It is not the whole path of a file.
    #[error("write the whole path of the file, such as file:/var/lib/entrada/grants.redb")]
    File,
    /// There is nothing that asks for a password.
    #[error("a store in memory or in a file asks for no password")]
    NoPassword,
    /// There is another password in the URL.
    #[error("there is a password in the URL already: take one of the two away")]
    TwoPasswords,
    /// It names no Redis.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] OpenRedisError),
    /// It names no PostgreSQL database.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] PostgresUrlError),
}

/// Why a store that a URL names could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenUrlError {
    /// The file cannot be used.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    File(#[from] OpenStoreError),
    /// What the URL of a Redis says cannot be used.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] OpenRedisError),
    /// What the URL of a PostgreSQL database says cannot be used.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] OpenPostgresError),
}

impl StoreUrl {
    /// The store in the file `path`.
    #[cfg(feature = "embedded")]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::File(path.into()),
            has_password: false,
            goes_in_clear: false,
        }
    }

    /// The same with this password, which is then not in the URL.
    ///
    /// # Errors
    ///
    /// [`StoreUrlError`] if there is one already, or if nothing asks for one.
    pub fn with_password(self, password: &str) -> Result<Self, StoreUrlError> {
        if self.has_password {
            return Err(StoreUrlError::TwoPasswords);
        }
        Ok(Self {
            place: self.place.with_password(password)?,
            has_password: true,
            ..self
        })
    }

    /// Whether there is a password in it, so that it is to be seen by nobody.
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    /// Whether what is kept there goes to another machine unencrypted because the URL says nothing else. That of a
    /// PostgreSQL must say so.
    pub fn goes_in_clear(&self) -> bool {
        self.goes_in_clear
    }

    /// What kind of store it names.
    pub fn kind(&self) -> StoreKind {
        match &self.place {
            Place::Memory => StoreKind::Memory,
            #[cfg(feature = "embedded")]
            Place::File(_) => StoreKind::File,
            #[cfg(feature = "redis")]
            Place::Redis(_) => StoreKind::Redis,
            #[cfg(feature = "postgres")]
            Place::Postgres(_) => StoreKind::Postgres,
        }
    }

    /// What kind of store it names, and where that is: for a log, with nothing of user, password or
    /// parameters.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Memory => "memory:".to_owned(),
            #[cfg(feature = "embedded")]
            Place::File(path) => format!("file:{}", path.display()),
            #[cfg(feature = "redis")]
            Place::Redis(settings) => settings.place(),
            #[cfg(feature = "postgres")]
            Place::Postgres(settings) => settings.place(),
        }
    }

    /// The file it names, if it names one.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Memory => None,
            #[cfg(feature = "embedded")]
            Place::File(path) => Some(path),
            #[cfg(feature = "redis")]
            Place::Redis(_) => None,
            #[cfg(feature = "postgres")]
            Place::Postgres(_) => None,
        }
    }

    /// Opens the store. A file is read or made at once, which blocks; a server need not be there
    /// yet.
    ///
    /// # Errors
    ///
    /// [`OpenUrlError`] says what to mend.
    pub fn open(&self) -> Result<Arc<dyn Store>, OpenUrlError> {
        match &self.place {
            Place::Memory => Ok(Arc::new(MemoryStore::new())),
            #[cfg(feature = "embedded")]
            Place::File(path) => Ok(Arc::new(EmbeddedStore::open(path)?)),
            #[cfg(feature = "redis")]
            Place::Redis(settings) => Ok(Arc::new(RedisStore::open((**settings).clone())?)),
            #[cfg(feature = "postgres")]
            Place::Postgres(settings) => Ok(Arc::new(PostgresStore::open((**settings).clone())?)),
        }
    }
}

impl Place {
    #[cfg_attr(
        not(any(feature = "redis", feature = "postgres")),
        expect(unused_variables, reason = "nothing that is built asks for one")
    )]
    fn with_password(self, password: &str) -> Result<Self, StoreUrlError> {
        match self {
            Self::Memory => Err(StoreUrlError::NoPassword),
            #[cfg(feature = "embedded")]
            Self::File(_) => Err(StoreUrlError::NoPassword),
            #[cfg(feature = "redis")]
            Self::Redis(settings) => Ok(Self::Redis(Box::new(settings.with_password(password)))),
            #[cfg(feature = "postgres")]
            Self::Postgres(settings) => {
                let password = DatabasePassword::new(password);
                Ok(Self::Postgres(Box::new(settings.with_password(&password))))
            }
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(url: &str) -> Result<Self, StoreUrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(StoreUrlError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let family = scheme.split('+').next().unwrap_or_default();
        let place = match family {
            "memory" if rest.is_empty() => Place::Memory,
            "memory" => return Err(StoreUrlError::Memory),
            "file" => file(url)?,
            "redis" | "rediss" | "valkey" | "valkeys" => redis(url)?,
            "postgres" | "postgresql" => postgres(url)?,
            _ => return Err(StoreUrlError::Scheme),
        };
        let in_clear = ["redis", "valkey"].contains(&family) && !scheme.ends_with("unix");
        Ok(Self {
            place,
            has_password: has_password(rest),
            goes_in_clear: in_clear && !is_local(rest),
        })
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreUrl").field(&self.kind()).finish()
    }
}

/// Whether all hosts of a URL are this machine; `rest` is what follows its scheme.
fn is_local(rest: &str) -> bool {
    let authority = rest.trim_start_matches('/');
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    hosts.split(',').all(|host| {
        let name = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.split(']').next(),
            None => host.split(':').next(),
        };
        let name = name.unwrap_or_default();
        let address = name.parse::<IpAddr>();
        name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(feature = "embedded")]
fn file(url: &str) -> Result<Place, StoreUrlError> {
    path(url).map(Place::File)
}

#[cfg(not(feature = "embedded"))]
fn file(url: &str) -> Result<Place, StoreUrlError> {
    path(url)?;
    Err(StoreUrlError::NotBuilt("embedded"))
}

#[cfg(feature = "redis")]
fn redis(url: &str) -> Result<Place, StoreUrlError> {
    let settings = RedisSettings::from_url(url)?;
    Ok(Place::Redis(Box::new(settings)))
}

#[cfg(not(feature = "redis"))]
fn redis(_url: &str) -> Result<Place, StoreUrlError> {
    Err(StoreUrlError::NotBuilt("redis"))
}

#[cfg(feature = "postgres")]
fn postgres(url: &str) -> Result<Place, StoreUrlError> {
    Ok(Place::Postgres(Box::new(url.parse()?)))
}

#[cfg(not(feature = "postgres"))]
fn postgres(_url: &str) -> Result<Place, StoreUrlError> {
    Err(StoreUrlError::NotBuilt("postgres"))
}

/// The whole path of a file on this machine (RFC 8089 §2).
fn path(url: &str) -> Result<PathBuf, StoreUrlError> {
    let is_whole = (url.get("file:".len()..)).is_some_and(|rest| rest.starts_with('/'));
    let parsed = Url::parse(url).ok().filter(|_| is_whole);
    let parsed = parsed.filter(|url| url.query().is_none() && url.fragment().is_none());
    let path = parsed.and_then(|url| url.to_file_path().ok());
    path.filter(|path| path.file_name().is_some())
        .ok_or(StoreUrlError::File)
}

/// Whether a password stands before the host or among the parameters.
fn has_password(rest: &str) -> bool {
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    user.is_some_and(|user| user.contains(':'))
        || query.split('&').any(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default();
            name.contains("password") && !name.ends_with("_file")
        })
}

#[cfg(test)]
mod tests;

//! What the options of a database's URL mean.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, TargetSessionAttrs};

use super::url::Parts;
use super::{PostgresSettings, PostgresUrlError as Error, is_local, is_socket};
use crate::store::limit;
use crate::store::tls::TlsFiles;

const DEFAULT_PORT: u16 = 5432;

/// The longest name PostgreSQL does not cut.
const LONGEST_NAME: usize = 63;

/// How long one thing may take at least and at most.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// The settings that a URL stands for.
pub(super) fn settings(parts: Parts) -> Result<PostgresSettings, Error> {
    let Parts {
        user,
        password,
        hosts,
        database,
        mut options,
    } = parts;
    let mut config = Config::new();
    config.user(user.ok_or(Error::NoUser)?);
    config.dbname(database.ok_or(Error::NoDatabase)?);
    if hosts.is_empty() {
        return Err(Error::NoHost);
    }
    let hosts: Vec<_> = hosts
        .into_iter()
        .map(|(host, port)| (host, port.unwrap_or(DEFAULT_PORT)))
        .collect();
    if let Some(password) = password {
        config.password(password);
    }
    session(&mut config, &mut options)?;
    let tls = tls(&mut options, &hosts)?;
    config.ssl_mode(match tls {
        Some(_) => SslMode::Require,
        None => SslMode::Disable,
    });
    let mut settings = PostgresSettings::new(config, hosts, tls);
    ours(&mut settings, &mut options)?;
    if options.is_empty() {
        Ok(settings)
    } else {
        Err(Error::Unknown)
    }
}

/// What the server or the way there is told.
fn session(config: &mut Config, options: &mut BTreeMap<String, String>) -> Result<(), Error> {
    let name = options.remove("application_name");
    config.application_name(name.unwrap_or_else(|| "entrada".to_owned()));
    if let Some(flags) = options.remove("options") {
        config.options(flags);
    }
    // A standby is of no use, and one of several hosts may be one: libpq's `any` would stay there.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    chosen(
        options,
        "target_session_attrs",
        "any, read-write or primary",
        |it| matches!(it, "any" | "read-write" | "primary").then_some(()),
    )?;
    let binding = chosen(
        options,
        "channel_binding",
        "disable, prefer or require",
        |it| match it {
            "disable" => Some(ChannelBinding::Disable),
            "prefer" => Some(ChannelBinding::Prefer),
            "require" => Some(ChannelBinding::Require),
            _ => None,
        },
    )?;
    config.channel_binding(binding.unwrap_or(ChannelBinding::Prefer));
    Ok(())
}

/// Whether there is TLS, and with what.
fn tls(
    options: &mut BTreeMap<String, String>,
    hosts: &[(String, u16)],
) -> Result<Option<TlsFiles>, Error> {
    let verified = chosen(
        options,
        "sslmode",
        "verify-full, or disable: the server is verified or there is no TLS",
        |it| match it {
            "require" | "verify-ca" | "verify-full" => Some(true),
            "disable" => Some(false),
            _ => None,
        },
    )?;
    let roots = options.remove("sslrootcert");
    let client = match (options.remove("sslcert"), options.remove("sslkey")) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        (Some(_), None) => return Err(value("sslkey", "the file with the key to sslcert")),
        (None, Some(_)) => return Err(value("sslcert", "the file with the certificate to sslkey")),
    };
    let files_named = roots.is_some() || client.is_some();
    match verified {
        Some(false) if files_named => {
            return Err(value("sslmode", "verify-full if there are certificates"));
        }
        Some(false) => return Ok(None),
        None if !files_named && hosts.iter().all(|(host, _)| is_local(host)) => return Ok(None),
        None | Some(true) => {}
    }
    if hosts.iter().any(|(host, _)| is_socket(host)) {
        return Err(value("sslmode", "disable for a Unix socket"));
    }
    let roots = roots.filter(|name| name != "system").map(PathBuf::from);
    Ok(Some(TlsFiles {
        authorities: roots,
        client,
    }))
}

/// What is of this crate.
fn ours(
    settings: &mut PostgresSettings,
    options: &mut BTreeMap<String, String>,
) -> Result<(), Error> {
    let schema = chosen(
        options,
        "schema",
        "at most 63 lower-case letters, digits and _, beginning with a letter",
        quoted_schema,
    )?;
    if let Some(schema) = schema {
        settings.schema = schema;
    }
    let timeout = chosen(options, "timeout", "from 100ms to 60s, such as 2s", |it| {
        limit::read(it).filter(|time| (TIMEOUTS.0..=TIMEOUTS.1).contains(time))
    })?;
    if let Some(timeout) = timeout {
        settings.timeout = timeout;
    }
    let pool = chosen(options, "pool", "a number from 1 to 1000", |it| {
        it.parse().ok().filter(|size| (1..=1000).contains(size))
    })?;
    if let Some(pool) = pool {
        settings.pool = pool;
    }
    if let Some(migrate) = chosen(options, "migrate", "true or false", |it| it.parse().ok())? {
        settings.migrate = migrate;
    }
    if let Some(prepare) = chosen(options, "prepare", "true or false", |it| it.parse().ok())? {
        settings.prepare = prepare;
    }
    Ok(())
}

/// A schema as statements name it.
fn quoted_schema(name: &str) -> Option<String> {
    let may = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let plain = name.bytes().all(may) && name.len() <= LONGEST_NAME;
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    // What begins so is the server's own.
    let is_ours = !name.starts_with("pg_");
    (plain && begins && is_ours).then(|| format!("\"{name}\""))
}

/// What `understood` makes of an option, if it is there.
fn chosen<T>(
    options: &mut BTreeMap<String, String>,
    option: &'static str,
    expected: &'static str,
    understood: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(text) = options.remove(option) else {
        return Ok(None);
    };
    match understood(&text) {
        Some(meaning) => Ok(Some(meaning)),
        None => Err(value(option, expected)),
    }
}

fn value(option: &'static str, expected: &'static str) -> Error {
    Error::Value { option, expected }
}

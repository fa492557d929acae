//! The parts of a database's URL.
//!
//! Such a URL may name several hosts, which other URLs may not, so nothing that parses those reads
//! it. What might be a password that nobody encoded is refused, and never told.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::PostgresUrlError as Error;

/// A URL in parts, decoded.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// Hosts, and ports where they are named.
    pub(super) hosts: Vec<(String, Option<u16>)>,
    pub(super) database: Option<String>,
    pub(super) options: BTreeMap<String, String>,
}

impl Parts {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let rest = ["postgres://", "postgresql://"]
            .into_iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or(Error::Scheme)?;
        if rest.contains('#') {
            return Err(Error::Encoding);
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = before.split_once('/').unwrap_or((before, ""));
        // An @ behind the authority is the end of a password with a / or a ? in it, unless the
        // authority has one of its own.
        let (credentials, hosts) = match authority.split_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None if rest.contains('@') && authority.contains(':') => return Err(Error::Encoding),
            None => (None, authority),
        };
        if hosts.contains('@') || database.contains(['@', '/']) {
            return Err(Error::Encoding);
        }
        let mut parts = Self {
            hosts: named_hosts(hosts)?,
            database: named(database)?,
            options: options(query)?,
            ..Self::default()
        };
        if let Some(credentials) = credentials {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            if password.contains(':') {
                return Err(Error::Encoding);
            }
            parts.user = named(user)?;
            parts.password = named(password)?;
        }
        parts.take_from_options()?;
        Ok(parts)
    }

    /// Puts what stands among the options, as it may, into its place.
    fn take_from_options(&mut self) -> Result<(), Error> {
        let places = [
            ("user", &mut self.user),
            ("password", &mut self.password),
            ("dbname", &mut self.database),
        ];
        for (name, place) in places {
            if let Some(value) = self.options.remove(name)
                && place.replace(value).is_some()
            {
                return Err(Error::Twice(name.to_owned()));
            }
        }
        if let Some(hosts) = self.options.remove("host") {
            if !self.hosts.is_empty() {
                return Err(Error::Twice("host".to_owned()));
            }
            self.hosts = hosts.split(',').map(|it| (it.to_owned(), None)).collect();
        }
        if let Some(ports) = self.options.remove("port") {
            self.take_ports(&ports)?;
        }
        Ok(())
    }

    /// Gives each host its port: there is one for all, or one for each.
    fn take_ports(&mut self, ports: &str) -> Result<(), Error> {
        let ports: Vec<_> = ports.split(',').map(port).collect::<Result<_, _>>()?;
        if ports.len() != 1 && ports.len() != self.hosts.len() {
            return Err(Error::Port);
        }
        for ((_, place), port) in self.hosts.iter_mut().zip(ports.into_iter().cycle()) {
            if place.replace(port).is_some() {
                return Err(Error::Twice("port".to_owned()));
            }
        }
        Ok(())
    }
}

fn named_hosts(hosts: &str) -> Result<Vec<(String, Option<u16>)>, Error> {
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    hosts.split(',').map(named_host).collect()
}

/// A host and its port; addresses of IPv6 stand in brackets.
fn named_host(text: &str) -> Result<(String, Option<u16>), Error> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(Error::NoHost)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(number) => Some(port(number)?),
        None if rest.is_empty() => None,
        None => return Err(Error::Port),
    };
    let host = named(host)?.ok_or(Error::NoHost)?;
    Ok((host, port))
}

fn port(text: &str) -> Result<u16, Error> {
    match text.parse() {
        Ok(0) | Err(_) => Err(Error::Port),
        Ok(port) => Ok(port),
    }
}

fn options(query: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut options = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(Error::Encoding)?;
        let (name, value) = (decoded(name)?, decoded(value)?);
        if options.insert(name.clone(), value).is_some() {
            return Err(Error::Twice(name));
        }
    }
    Ok(options)
}

/// What the text says; nothing if it is empty.
fn named(text: &str) -> Result<Option<String>, Error> {
    let text = decoded(text)?;
    Ok((!text.is_empty()).then_some(text))
}

/// Refuses a `%` that encodes nothing: it is part of a password that nobody encoded.
fn decoded(text: &str) -> Result<String, Error> {
    let encoded = |rest: &&str| {
        let mut digits = rest.chars();
        let mut digit = || digits.next().is_some_and(|it| it.is_ascii_hexdigit());
        digit() && digit()
    };
    if !text.split('%').skip(1).all(|rest| encoded(&rest)) {
        return Err(Error::Encoding);
    }
    let text = percent_decode_str(text).decode_utf8();
    Ok(text.map_err(|_| Error::Encoding)?.into_owned())
}

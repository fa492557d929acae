//! Reads a URL that may have several hosts, which no ordinary URL has.

use std::path::PathBuf;
use std::time::Duration;

use ::url::{Host, Url, form_urlencoded};
use rustls::pki_types::ServerName;

use super::super::dial::{Login, Peer};
use super::{OpenRedisError, PREFIX, Place, RedisSettings, TIMEOUT, WaitFor};
use crate::store::limit;
use crate::store::tls::TlsFiles;

/// What Redis listens on.
const REDIS_PORT: u16 = 6379;

/// What sentinels listen on.
const SENTINEL_PORT: u16 = 26379;

/// How long a command may take at least and at most.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

const A_TIME: &str = "a time from 50ms to 60s, as in 500ms or 2s";

/// The parts of a URL, as they are written.
struct Written<'a> {
    userinfo: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

/// What a scheme says.
#[derive(Clone, Copy)]
enum Kind {
    One,
    Unix,
    Sentinels,
    Cluster,
}

pub(super) fn read(url: &str) -> Result<RedisSettings, OpenRedisError> {
    let (scheme, rest) = url.split_once("://").ok_or(OpenRedisError::NotAUrl)?;
    let (kind, tls) = kind(scheme)?;
    let written = split(rest)?;
    let mut parameters = Parameters::default();
    for (name, value) in form_urlencoded::parse(written.query.as_bytes()) {
        parameters.take(&name, value.into_owned())?;
    }
    let login = Login {
        db: db(kind, written.path, parameters.db)?,
        ..login(written.userinfo)?
    };
    let timeout = parameters.timeout.unwrap_or(TIMEOUT);
    let wait_timeout = parameters.wait_timeout.unwrap_or(timeout / 2);
    if wait_timeout >= timeout {
        return Err(OpenRedisError::Parameter {
            name: "wait_timeout",
            expected: "less than `timeout`",
        });
    }
    if parameters.sentinel_login.password.is_some() && parameters.sentinel_password_file.is_some() {
        return Err(OpenRedisError::Parameter {
            name: "sentinel_password_file",
            expected: "left out beside sentinel_password",
        });
    }
    Ok(RedisSettings {
        place: place(kind, &written)?,
        tls: tls_files(tls, &mut parameters)?,
        tls_name: tls_name(tls, parameters.tls_name.take())?,
        login,
        sentinel_login: parameters.sentinel_login,
        sentinel_password_file: parameters.sentinel_password_file,
        prefix: parameters.prefix.unwrap_or_else(|| PREFIX.to_owned()),
        timeout,
        wait: (parameters.wait_replicas > 0).then_some(WaitFor {
            replicas: parameters.wait_replicas,
            timeout: wait_timeout,
        }),
    })
}

fn kind(scheme: &str) -> Result<(Kind, bool), OpenRedisError> {
    let scheme = scheme.to_ascii_lowercase();
    let (base, kind) = scheme.split_once('+').unwrap_or((&scheme, ""));
    let tls = match base {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return Err(OpenRedisError::Scheme),
    };
    match (kind, tls) {
        ("", tls) => Ok((Kind::One, tls)),
        ("sentinel", tls) => Ok((Kind::Sentinels, tls)),
        ("cluster", tls) => Ok((Kind::Cluster, tls)),
        ("unix", false) => Ok((Kind::Unix, false)),
        _ => Err(OpenRedisError::Scheme),
    }
}

fn split(rest: &str) -> Result<Written<'_>, OpenRedisError> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    // Most likely a password that is not encoded: no part of it may come into another error.
    if behind.contains(['@', '#']) {
        return Err(OpenRedisError::NotEncoded);
    }
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    Ok(Written {
        userinfo,
        hosts,
        path,
        query,
    })
}

fn login(userinfo: Option<&str>) -> Result<Login, OpenRedisError> {
    let Some(userinfo) = userinfo else {
        return Ok(Login::default());
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let some = |text| decoded(text).map(|text| Some(text).filter(|text| !text.is_empty()));
    Ok(Login {
        user: some(user)?,
        password: some(password)?.map(Into::into),
        db: 0,
    })
}

/// Percent-decodes; a `+` is a `+`.
fn decoded(text: &str) -> Result<String, OpenRedisError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|it| char::from(it).to_digit(16));
            let (high, low) = (digit(rest.next()), digit(rest.next()));
            let value = high.zip(low).map(|(high, low)| high * 16 + low);
            let value = value.and_then(|value| u8::try_from(value).ok());
            value.ok_or(OpenRedisError::NotAUrl)?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).map_err(|_| OpenRedisError::NotAUrl)
}

fn place(kind: Kind, written: &Written<'_>) -> Result<Place, OpenRedisError> {
    let peers = |port| written.hosts.split(',').map(move |host| peer(host, port));
    match kind {
        Kind::One => peer(written.hosts, REDIS_PORT).map(Place::One),
        Kind::Unix => match (written.hosts, decoded(written.path)?) {
            ("", path) if path.len() > 1 => Ok(Place::One(Peer::Unix(path.into()))),
            _ => Err(OpenRedisError::Path("the whole path of a socket")),
        },
        Kind::Cluster => match written.path {
            "" | "/" => Ok(Place::Cluster(peers(REDIS_PORT).collect::<Result<_, _>>()?)),
            _ => Err(OpenRedisError::Path("empty: a cluster has one database")),
        },
        Kind::Sentinels => match decoded(written.path.trim_start_matches('/'))? {
            service if service.is_empty() => Err(OpenRedisError::Path(
                "the name by which the sentinels know the primary, as in \
                 redis+sentinel://host/name",
            )),
            service => Ok(Place::Sentinels {
                sentinels: peers(SENTINEL_PORT).collect::<Result<_, _>>()?,
                service,
            }),
        },
    }
}

/// Reads `host:port`, `host` or `[address]:port`.
fn peer(written: &str, port: u16) -> Result<Peer, OpenRedisError> {
    let url = Url::parse(&format!("redis://{written}")).map_err(|_| OpenRedisError::Host)?;
    let host = match url.host() {
        Some(Host::Domain(host)) if is_name(host) => host.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(_)) | None => return Err(OpenRedisError::Host),
    };
    let port = url.port().unwrap_or(port);
    Ok(Peer::Tcp { host, port })
}

fn is_name(host: &str) -> bool {
    let may = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(may)
}

fn db(kind: Kind, path: &str, parameter: Option<i64>) -> Result<i64, OpenRedisError> {
    let in_path = match (kind, path.trim_start_matches('/')) {
        (Kind::One, db) if !db.is_empty() => Some(number_of_db(db).ok_or(OpenRedisError::Path(
            "the number of a database, as in redis://host/0",
        ))?),
        (Kind::One | Kind::Unix | Kind::Sentinels | Kind::Cluster, _) => None,
    };
    match (kind, in_path, parameter) {
        (Kind::Cluster, _, Some(1..)) => Err(OpenRedisError::Parameter {
            name: "db",
            expected: "0: a cluster has one database",
        }),
        (_, Some(_), Some(_)) => Err(OpenRedisError::Parameter {
            name: "db",
            expected: "left out where the path says it",
        }),
        (_, in_path, parameter) => Ok(in_path.or(parameter).unwrap_or_default()),
    }
}

fn number_of_db(text: &str) -> Option<i64> {
    text.parse::<u32>().ok().map(i64::from)
}

fn tls_files(tls: bool, parameters: &mut Parameters) -> Result<Option<TlsFiles>, OpenRedisError> {
    let files = TlsFiles {
        authorities: parameters.tls_ca.take(),
        client: match (parameters.tls_cert.take(), parameters.tls_key.take()) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(OpenRedisError::Parameter {
                    name: "tls_key",
                    expected: "there if `tls_cert` is, and only then",
                });
            }
        },
    };
    match (tls, &files) {
        (true, _) => Ok(Some(files)),
        (
            false,
            TlsFiles {
                authorities: None,
                client: None,
            },
        ) => Ok(None),
        (false, _) => Err(OpenRedisError::Parameter {
            name: "tls_ca",
            expected: "left out without TLS: did you mean rediss://?",
        }),
    }
}

fn tls_name(
    tls: bool,
    written: Option<String>,
) -> Result<Option<ServerName<'static>>, OpenRedisError> {
    let parameter = |expected| OpenRedisError::Parameter {
        name: "tls_name",
        expected,
    };
    match written {
        None => Ok(None),
        Some(_) if !tls => Err(parameter("left out without TLS: did you mean rediss://?")),
        Some(name) => match ServerName::try_from(name) {
            Ok(name) => Ok(Some(name)),
            Err(_) => Err(parameter("a name, such as redis.example.com")),
        },
    }
}

/// What stands behind the `?`.
#[derive(Default)]
struct Parameters {
    prefix: Option<String>,
    timeout: Option<Duration>,
    db: Option<i64>,
    tls_ca: Option<PathBuf>,
    tls_name: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    wait_replicas: u32,
    wait_timeout: Option<Duration>,
    sentinel_login: Login,
    sentinel_password_file: Option<PathBuf>,
}

impl Parameters {
    fn take(&mut self, name: &str, value: String) -> Result<(), OpenRedisError> {
        match name {
            "prefix" => self.prefix = Some(value),
            "timeout" => self.timeout = Some(time("timeout", &value)?),
            "wait_timeout" => self.wait_timeout = Some(time("wait_timeout", &value)?),
            "tls_ca" => self.tls_ca = Some(value.into()),
            "tls_name" => self.tls_name = Some(value),
            "tls_cert" => self.tls_cert = Some(value.into()),
            "tls_key" => self.tls_key = Some(value.into()),
            "sentinel_user" => self.sentinel_login.user = Some(value),
            "sentinel_password" => self.sentinel_login.password = Some(value.into()),
            "sentinel_password_file" => self.sentinel_password_file = Some(value.into()),
            "db" => {
                let number = number_of_db(&value).ok_or(OpenRedisError::Parameter {
                    name: "db",
                    expected: "the number of a database",
                })?;
                self.db = Some(number);
            }
            "wait_replicas" => {
                self.wait_replicas = value.parse().map_err(|_| OpenRedisError::Parameter {
                    name: "wait_replicas",
                    expected: "a number of replicas",
                })?;
            }
            _ => return Err(OpenRedisError::UnknownParameter),
        }
        Ok(())
    }
}

fn time(name: &'static str, value: &str) -> Result<Duration, OpenRedisError> {
    limit::read(value)
        .filter(|time| (TIMEOUTS.0..=TIMEOUTS.1).contains(time))
        .ok_or(OpenRedisError::Parameter {
            name,
            expected: A_TIME,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Peer {
        Peer::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn one_server() {
        let settings =
            read("rediss://us%40er:p%2fw+%3A@redis.example:7000/3?timeout=500ms").unwrap();
        assert!(matches!(&settings.place, Place::One(peer) if *peer == tcp("redis.example", 7000)));
        assert!(settings.tls.is_some());
        assert_eq!(settings.login.user.as_deref(), Some("us@er"));
        assert_eq!(settings.login.password.as_ref().unwrap().expose(), "p/w+:");
        assert_eq!(settings.login.db, 3);
        assert_eq!(settings.timeout, Duration::from_millis(500));
        assert_eq!(settings.prefix, "entrada:");
        let plain = read("valkey://:secret@[::1]").unwrap();
        assert!(matches!(&plain.place, Place::One(peer) if *peer == tcp("::1", 6379)));
        assert_eq!(plain.login.user, None);
        assert_eq!(plain.login.password.as_ref().unwrap().expose(), "secret");
        assert!(plain.tls.is_none());
    }

    #[test]
    fn several_servers() {
        let sentinels = "redis+sentinel://u:p@a,b:5000/main?db=2&sentinel_password=q&prefix=x%3a";
        let settings = read(sentinels).unwrap();
        let Place::Sentinels { sentinels, service } = &settings.place else {
            panic!("{settings:?}");
        };
        assert_eq!(*sentinels, [tcp("a", 26379), tcp("b", 5000)]);
        assert_eq!((service.as_str(), settings.login.db), ("main", 2));
        assert_eq!(settings.prefix, "x:");
        let settings = read("rediss+cluster://a:1,[::2]:2?wait_replicas=2").unwrap();
        assert!(matches!(&settings.place, Place::Cluster(nodes) if nodes.len() == 2));
        let wait = settings.wait.unwrap();
        assert_eq!((wait.replicas, wait.timeout), (2, Duration::from_secs(1)));
        let settings = read("redis+unix:///run/redis.sock").unwrap();
        assert!(
            matches!(&settings.place, Place::One(Peer::Unix(path)) if path.ends_with("redis.sock"))
        );
    }

    #[test]
    fn a_password_for_sentinels_can_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let url = format!(
            "redis+sentinel://a/main?sentinel_password_file={}",
            file.display()
        );
        let settings = read(&url).unwrap();
        let refusal = settings.login_to_sentinels().unwrap_err();
        assert!(refusal.to_string().ends_with("password"), "{refusal}");
        std::fs::write(&file, "hunter2\n").unwrap();
        let login = settings.login_to_sentinels().unwrap();
        assert_eq!(login.password.unwrap().expose(), "hunter2");
        let given = settings.with_sentinel_password("other");
        let login = given.login_to_sentinels().unwrap();
        assert_eq!(login.password.unwrap().expose(), "other");
    }

    #[test]
    fn a_place_is_told_without_the_login() {
        for (url, place) in [
            ("redis://u:hunter2@host/3", "redis://host:6379"),
            ("rediss://:hunter2@[::1]:1", "rediss://[::1]:1"),
            (
                "valkeys+sentinel://u:hunter2@a,b:5000/main?sentinel_password=hunter2",
                "rediss+sentinel://a:26379,b:5000/main",
            ),
            (
                "redis+cluster://u:hunter2@a,b",
                "redis+cluster://a:6379,b:6379",
            ),
            (
                "redis+unix:///run/redis.sock",
                "redis+unix:///run/redis.sock",
            ),
        ] {
            assert_eq!(read(url).unwrap().place(), place);
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, says) in [
            ("hunter2", "no URL"),
            ("hunter2:6379", "no URL"),
            ("http://hunter2@host", "scheme"),
            ("redis+tls://hunter2@host", "scheme"),
            ("rediss+unix://hunter2/", "scheme"),
            ("redis://u:hunter2/x@host", "percent-encoded"),
            ("redis://u:hunter2?x@host", "percent-encoded"),
            ("redis://u:hunter2#x@host", "percent-encoded"),
            ("redis://u:hunter2%@host", "no URL"),
            ("redis://u:hunter2%zz@host", "no URL"),
            ("redis://u:hunter2@", "no host"),
            ("redis://u:hunter2@host:port", "no host"),
            ("redis://u:hunter2@host:99999", "no host"),
            ("redis://u:hunter2@a,b", "no host"),
            ("redis+cluster://u:hunter2@a,,b", "no host"),
            ("redis://u:hunter2@host/main", "number of a database"),
            ("redis://u:hunter2@host/1?db=1", "left out"),
            ("redis+cluster://u:hunter2@host/1", "one database"),
            ("redis+cluster://u:hunter2@host?db=1", "one database"),
            ("redis+sentinel://u:hunter2@host", "the sentinels know"),
            ("redis+unix://host", "whole path"),
            ("redis://u:hunter2@host?timeout=0", "`timeout`"),
            ("redis://u:hunter2@host?timeout=2h", "`timeout`"),
            ("redis://u:hunter2@host?timeout=2ss", "`timeout`"),
            ("redis://u:hunter2@host?wait_timeout=2s", "`wait_timeout`"),
            ("redis://u:hunter2@host?wait_replicas=-1", "`wait_replicas`"),
            ("redis://u:hunter2@host?db=x", "`db`"),
            ("redis://u:hunter2@host?tls_ca=ca.pem", "rediss"),
            ("rediss://u:hunter2@host?tls_cert=c.pem", "`tls_cert`"),
            ("redis://u:hunter2@host?tls_name=redis.example", "rediss"),
            ("rediss://u:hunter2@host?tls_name=a/b", "`tls_name`"),
            (
                "redis+sentinel://a/main?sentinel_password=hunter2&sentinel_password_file=/x",
                "left out",
            ),
            ("redis://u:hunter2@host?pool=3", "not known"),
            ("redis://u@host?password=a&hunter2=b", "not known"),
        ] {
            let refusal = read(url).unwrap_err();
            let told = format!("{refusal} {refusal:?}");
            assert!(told.contains(says), "{url}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
        let settings = read("redis://u:hunter2@host").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}

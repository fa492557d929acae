//! An MCP server that is reached over HTTP: where it is, and how it and we know each other.

use std::path::PathBuf;

use url::Url;

use crate::config::Transport;
use crate::config::ourselves::Ourselves;
use crate::config::source::Sources;
use crate::config::value;
use crate::telemetry::WithCauses;
use crate::upstream::TlsSettings;
use crate::upstream::checks::HealthChecks;
use crate::upstream::headers::HostHeader;
use crate::upstream::place::Place;

/// What says how an `https` server and we know each other.
pub(super) const OF_TLS: [&str; 3] = ["upstream_ca_file", "upstream_certificate", "upstream_key"];

/// Reads where the replicas are.
pub(super) fn read(sources: &mut Sources<'_>, ourselves: &Ourselves) -> Option<Vec<Place>> {
    sources.required_as("upstream", |text| {
        let places = places(text)?;
        for place in places.iter().filter(|place| place.socket.is_none()) {
            ourselves.refuse(place.url.clone())?;
        }
        Ok(places)
    })
}

/// Reads how the server that is reached by `transport` and we know each other.
pub(super) fn tls(sources: &mut Sources<'_>, transport: Option<&Transport>) -> TlsSettings {
    if !transport.is_none_or(is_https) {
        for name in OF_TLS {
            sources.refuse(name, "means nothing where upstream is not https");
        }
    }
    let file = |name: &str| sources.text(name).map(PathBuf::from);
    let settings = TlsSettings {
        ca_file: file("upstream_ca_file"),
        identity: file("upstream_certificate").zip(file("upstream_key")),
    };
    sources.needs("upstream_certificate", &["upstream_key"]);
    sources.needs("upstream_key", &["upstream_certificate"]);
    if transport.is_none_or(is_https) {
        for mistake in settings.mistakes() {
            let name = mistake.setting().unwrap_or("upstream_ca_file");
            sources.refuse(name, &WithCauses::of(&mistake).to_string());
        }
    }
    settings
}

/// Reads whether HTTP/2 may be spoken to the server that is reached by `transport`.
pub(super) fn http2(
    sources: &mut Sources<'_>,
    (transport, host_header): (Option<&Transport>, Option<HostHeader>),
) -> bool {
    if !transport.is_none_or(is_https) {
        sources.refuse(HTTP2, "means nothing where upstream is not https");
    }
    let wanted = sources.parsed(HTTP2, value::switch) == Some(true);
    if wanted && host_header == Some(HostHeader::Preserve) {
        let what =
            "HTTP/2 has no Host beside the server's own name: write host_header = \"rewrite\"";
        sources.refuse(HTTP2, what);
    }
    wanted
}

pub(super) const HTTP2: &str = "upstream_http2";

fn is_https(transport: &Transport) -> bool {
    match transport {
        Transport::Http(places) => places.iter().any(|place| place.url.scheme() == "https"),
        Transport::Stdio(_) => false,
    }
}

/// Reads where the replicas of the server that is reached by `transport` say whether they are well.
pub(super) fn health_checks(
    sources: &mut Sources<'_>,
    transport: Option<&Transport>,
) -> Option<HealthChecks> {
    let are_several = transport.is_none_or(|transport| match transport {
        Transport::Http(places) => places.len() > 1,
        Transport::Stdio(_) => false,
    });
    if !are_several {
        sources.refuse(HEALTH, "means nothing where upstream is one server alone");
    }
    sources.parsed(HEALTH, HealthChecks::parse)
}

pub(super) const HEALTH: &str = "upstream_health_path";

/// One place, or several of one path, apart by spaces or commas.
fn places(text: &str) -> Result<Vec<Place>, String> {
    let mut places: Vec<Place> = Vec::new();
    for word in words(text) {
        let place = place(word)?;
        let first = places.first().unwrap_or(&place);
        let resource = |place: &Place| {
            let path = place.url.path().to_owned();
            (path, place.url.query().map(str::to_owned))
        };
        if resource(first) != resource(&place) {
            return Err(
                "replicas of one server have the same path: other servers are routes \
                        of the configuration file"
                    .to_owned(),
            );
        }
        if places.iter().any(|other| other.shown() == place.shown()) {
            return Err(format!("{} is there twice", place.shown()));
        }
        places.push(place);
    }
    if places.is_empty() {
        return value::upstream(text).map(|url| vec![Place::at(url)]);
    }
    Ok(places)
}

/// The places in `text`. A comma may be part of a URL, too.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|word| {
        let mut rest = Some(word);
        std::iter::from_fn(move || {
            let word = rest?;
            let begins = SCHEMES.iter().filter_map(|scheme| {
                let found = word.match_indices(scheme);
                found
                    .map(|(at, _)| at)
                    .find(|at| word.get(..*at).is_some_and(|before| before.ends_with(',')))
            });
            let next = begins.min().and_then(|at| word.split_at_checked(at));
            let (word, left) = next.map_or((word, None), |(word, left)| (word, Some(left)));
            rest = left;
            Some(word.trim_matches(','))
        })
        .filter(|word| !word.is_empty())
    })
}

const SCHEMES: [&str; 3] = ["http://", "https://", "unix:"];

fn place(word: &str) -> Result<Place, String> {
    let Some(socket) = word.strip_prefix("unix:") else {
        return value::upstream(word).map(Place::at);
    };
    if cfg!(not(unix)) {
        return Err("this system has no Unix sockets".to_owned());
    }
    let form = || "write a socket and a path, such as unix:/run/mcp.sock:/mcp".to_owned();
    let (socket, path) = socket.split_once(':').ok_or_else(form)?;
    if !socket.starts_with('/') || !path.starts_with('/') || path.contains('#') {
        return Err(form());
    }
    let url = Url::parse(&format!("http://localhost{path}")).map_err(|_| form())?;
    Ok(Place::on(socket, url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let places = places(text)?.into_iter();
        Ok(places
            .map(|place| format!("{} {}", place.shown(), place.url))
            .collect())
    }

    #[test]
    fn replicas_are_written_apart_by_spaces_or_commas() {
        let two = ["http://a:1 http://a:1/mcp", "http://b:1 http://b:1/mcp"];
        for text in [
            "http://a:1/mcp http://b:1/mcp",
            "http://a:1/mcp,http://b:1/mcp",
            " http://a:1/mcp,  http://b:1/mcp, ",
        ] {
            assert_eq!(read(text).unwrap(), two, "{text}");
        }
        for (text, expected) in [
            ("https://a/mcp?k=1,2", "https://a https://a/mcp?k=1,2"),
            ("http://a/m,n", "http://a http://a/m,n"),
            #[cfg(unix)]
            (
                "unix:/run/mcp.sock:/mcp?k=1",
                "unix:/run/mcp.sock http://localhost/mcp?k=1",
            ),
        ] {
            assert_eq!(read(text).unwrap(), [expected]);
        }
    }

    #[test]
    fn what_are_no_replicas_of_one_server_is_refused() {
        for (text, part) in [
            ("http://a/mcp http://b/other", "the same path"),
            ("http://a/mcp?k=1 http://b/mcp?k=2", "the same path"),
            ("http://a/mcp http://a:80/mcp", "there twice"),
            ("http://a/mcp b/mcp", "not a URL"),
            (",", "not a URL"),
            ("http://a/mcp http://user@b/mcp", "user name"),
            #[cfg(unix)]
            ("unix:/run/mcp.sock", "a socket and a path"),
            #[cfg(unix)]
            ("unix:mcp.sock:/mcp", "a socket and a path"),
            #[cfg(unix)]
            ("unix:/run/mcp.sock:mcp", "a socket and a path"),
        ] {
            let what = read(text).unwrap_err();
            assert!(what.contains(part), "{text}: {what}");
        }
    }
}

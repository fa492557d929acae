//! How long a document may be used before it is asked for again (RFC 9111 §4.2).

use std::time::Duration;

use http::{HeaderMap, header};

/// How long, where its host does not say.
pub(super) const USUAL: Duration = Duration::from_secs(60 * 60);

/// How long at least: a login names the document several times.
const SHORTEST: Duration = Duration::from_secs(5 * 60);

/// How long at most: a client that lost its keys must not be believed for longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What the answer says, within bounds. `Expires` is not read: it is the older of two clocks.
pub(super) fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let directives = values.flat_map(|value| value.split(',')).map(str::trim);
    let lifetimes = directives.filter_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => Some(Duration::ZERO),
            "max-age" => {
                let seconds = value.trim_matches('"').parse().unwrap_or_default();
                Some(Duration::from_secs(seconds))
            }
            _ => None,
        }
    });
    lifetimes
        .min()
        .map(|lifetime| lifetime.clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_how_long_within_bounds() {
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        for (values, expected) in [
            (&[][..], None),
            (&["public"], None),
            (&["max-age=600"], minutes(10)),
            (&["public, Max-Age=\"600\""], minutes(10)),
            (&["max-age=1"], minutes(5)),
            (&["max-age=99999999999999999999"], minutes(5)),
            (&["max-age=31536000, immutable"], minutes(24 * 60)),
            (&["s-maxage=7200"], None),
            (&["no-store"], minutes(5)),
            (&["max-age=7200", "no-cache"], minutes(5)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CACHE_CONTROL, value.parse().unwrap());
            }
            assert_eq!(freshness(&headers), expected, "{values:?}");
        }
    }
}

//! How long something may take, as the URL of a store says it.

use std::time::Duration;

/// Reads `500ms`, `2s`, or seconds without a unit.
pub(super) fn read(text: &str) -> Option<Duration> {
    let number = |text: &str| text.parse::<u32>().ok().map(u64::from);
    match text.strip_suffix("ms") {
        Some(milliseconds) => number(milliseconds).map(Duration::from_millis),
        None => number(text.strip_suffix('s').unwrap_or(text)).map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_milliseconds_are_read_and_nothing_else() {
        for (text, limit) in [
            ("500ms", Some(Duration::from_millis(500))),
            ("2s", Some(Duration::from_secs(2))),
            ("2", Some(Duration::from_secs(2))),
            ("", None),
            ("s", None),
            ("2ss", None),
            ("2m", None),
            ("-1s", None),
            ("0.5s", None),
            ("4294967296", None),
        ] {
            assert_eq!(read(text), limit, "{text}");
        }
    }
}

//! Which setting somebody meant.

use crate::config::table::names;

/// The setting, or the one of `others`, whose name, or the beginning of it, is spelled most like
/// `asked`, if any is close.
pub(super) fn nearest(asked: &str, others: &[&'static str]) -> Option<&'static str> {
    let asked = asked.replace('-', "_").to_ascii_lowercase();
    let all = names().chain(others.iter().copied());
    nearest_of(&asked, all).or_else(|| Some(beginning(&asked)?.1))
}

/// The one of `names` that is spelled most like `asked`, if any is close.
pub(crate) fn nearest_of<'a>(
    asked: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distances = names.into_iter().map(|name| (distance(asked, name), name));
    let close = distances.filter(|(distance, _)| *distance <= 2).min();
    close.map(|(_, name)| name)
}

/// The setting that begins with the words `asked`, and goes on with the fewest others.
fn beginning(asked: &str) -> Option<(usize, &'static str)> {
    let ends = |name: &'static str| name.match_indices('_').map(move |(end, _)| (name, end));
    let parts = names().flat_map(ends);
    let parts = parts.filter_map(|(name, end)| Some((name, name.get(..end)?)));
    // Variables such as ENTRADA_HOST and ENTRADA_PORT are common, and not ours.
    let parts = parts.filter(|(_, part)| part.len() > 4);
    let distances = parts.map(|(name, part)| (distance(asked, part), name));
    let close = distances.filter(|(distance, _)| *distance <= 1);
    close.min_by_key(|(distance, name)| (*distance, name.len()))
}

/// The edit distance between two words (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&other) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            *cell = replaced.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_recognised() {
        for (asked, expected) in [
            ("tenent_id", Some("tenant_id")),
            ("tenant-id", Some("tenant_id")),
            ("Upstream", Some("upstream")),
            ("bse_url", Some("base_url")),
            ("tenant", Some("tenant_id")),
            ("TENENT", Some("tenant_id")),
            ("client", Some("client_id")),
            ("access-token", Some("access_token_lifetime")),
            ("Routes", Some("route")),
            ("host", None),
            ("port", None),
            ("port_8000_tcp_addr", None),
            ("service_host", None),
            ("", None),
        ] {
            assert_eq!(nearest(asked, &["route"]), expected, "{asked}");
        }
    }

    #[test]
    fn distances_are_edits() {
        for (one, other, edits) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
    }
}

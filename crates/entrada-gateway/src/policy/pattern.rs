//! Names with stars.

use crate::message::folded;
use crate::upstream::target::decoded;

/// A name, or the names that a star in it stands for: `*` is any text, none among it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    /// What lies between the stars.
    parts: Vec<String>,
    /// The same in the letters that every reader tells apart.
    small: Vec<String>,
    /// The same as [`flat`] URIs.
    flat: Vec<String>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.trim() != text || text.contains(char::is_control) {
            return Err("write names, such as read_file or delete_*".to_owned());
        }
        Ok(Self {
            parts: text.split('*').map(str::to_owned).collect(),
            small: text.split('*').map(folded).collect(),
            flat: text.split('*').map(flat).collect(),
        })
    }

    /// Whether `name` is one of those.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.parts, name)
    }

    /// Whether it is this name alone, without a star.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(&*self.parts, [only] if only == name)
    }

    /// Whether it is but for its case. `small` is the name, folded.
    pub(super) fn resembles(&self, small: &str) -> bool {
        matches(&self.small, small)
    }

    /// Whether it is but for how it is written. `flat` is the URI, flattened.
    pub(super) fn resembles_uri(&self, flat: &str) -> bool {
        let path = flat.split(['?', '#']).next().unwrap_or_default();
        matches(&self.flat, flat) || matches(&self.flat, path)
    }
}

/// `uri` decoded, with one slash for several and for backslashes in its path, where that is another text.
pub(super) fn plain(uri: &str) -> Option<String> {
    let decoded = decoded(uri)?;
    let (scheme, path) = match decoded.split_once("://") {
        Some((scheme, path)) => (format!("{scheme}://"), path),
        None => (String::new(), &*decoded),
    };
    let plain = scheme + &one_slash(path);
    (plain != uri).then_some(plain)
}

/// `uri` so that whatever some server takes for the same is the same: decoded, in small letters, with one
/// slash for several and for backslashes (RFC 3986 §6.2.2).
pub(super) fn flat(uri: &str) -> String {
    let plain = decoded(uri).unwrap_or_else(|| uri.to_owned());
    one_slash(&folded(&plain))
}

fn one_slash(path: &str) -> String {
    let mut short = String::with_capacity(path.len());
    for letter in path.chars() {
        let letter = if letter == '\\' { '/' } else { letter };
        if letter != '/' || !short.ends_with('/') {
            short.push(letter);
        }
    }
    short
}

fn matches(parts: &[String], name: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.iter().any(|only| only == name);
    };
    let rest = name.strip_prefix(first.as_str());
    let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(last.as_str())) else {
        return false;
    };
    for part in middle {
        match rest.split_once(part.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "A", false),
            ("*", "", true),
            ("*", "anything/at\\all", true),
            ("delete_*", "delete_", true),
            ("delete_*", "delete_order", true),
            ("delete_*", "xdelete_order", false),
            ("*_order", "delete_order", true),
            ("*_order", "delete_orders", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("a*bc*bc", "abc", false),
            ("**", "x", true),
            ("é*", "é", true),
            ("é*", "e", false),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern:?} {name}");
        }
        let pattern = Pattern::parse("Delete_*").unwrap();
        assert!(!pattern.matches("delete_x") && pattern.resembles("delete_x"));
    }

    #[test]
    fn what_is_no_name_is_no_pattern() {
        for text in ["", " a", "a ", "a\nb", "a\0"] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }
}

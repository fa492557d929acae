//! Strings in claims, which mostly need no memory of their own.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

/// A string that is borrowed from the document it stands in, unless something in it is escaped.
///
/// Serde borrows a `Cow` where it stands by itself, and copies it inside of an `Option`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Characters;

        impl<'de> Visitor<'de> for Characters {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Characters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_escaped_is_copied() {
        for (json, expected, borrowed) in [
            (r#""plain""#, "plain", true),
            (r#""a\/b""#, "a/b", false),
            (r#""\u00e9""#, "\u{e9}", false),
        ] {
            let text: Option<Text<'_>> = serde_json::from_str(json).unwrap();
            let text = text.unwrap();
            assert_eq!(&*text, expected);
            assert_eq!(matches!(text.0, Cow::Borrowed(_)), borrowed, "{json}");
            assert_eq!(text.into_owned(), expected);
        }
        assert!(serde_json::from_str::<Text<'_>>("1").is_err());
    }
}

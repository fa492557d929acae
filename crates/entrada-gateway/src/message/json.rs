//! JSON as far as everybody reads it alike.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{MessageError, not_json};

/// The members of the object `raw` that are called `known`; nothing if it is no object.
///
/// # Errors
///
/// [`MessageError`] where one comes twice, or in other letters.
pub(crate) fn members<'a, const N: usize>(
    raw: &'a RawValue,
    known: [&'static str; N],
) -> Result<Option<[Option<&'a RawValue>; N]>, MessageError> {
    if !raw.get().starts_with('{') {
        return Ok(None);
    }
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    let read = reader.deserialize_map(Members { known });
    read.map_err(not_json)?.map(Some)
}

/// The elements of the array `raw`; nothing if there are more than `most`.
///
/// # Errors
///
/// [`MessageError`] if it is no array.
pub(crate) fn elements(
    raw: &RawValue,
    most: usize,
) -> Result<Option<Vec<&RawValue>>, MessageError> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    reader.deserialize_seq(Elements { most }).map_err(not_json)
}

/// Whether objects and arrays in `text` go deeper than parsers are sure to follow.
pub(crate) fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEEPEST {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// As deep as the parsers of common servers go.
const DEEPEST: usize = 100;

struct Members<const N: usize> {
    known: [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = Result<[Option<&'de RawValue>; N], MessageError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        let mut wrong = None;
        while let Some(key) = object.next_key::<String>()? {
            match which(&key, &self.known) {
                Ok(Some(at)) => {
                    let value = Some(object.next_value::<&RawValue>()?);
                    let place = found.get_mut(at).ok_or_else(|| A::Error::custom("index"))?;
                    if std::mem::replace(place, value).is_some() {
                        let name = self.known.get(at).copied().unwrap_or_default();
                        wrong.get_or_insert(MessageError::Repeated(name));
                    }
                }
                Ok(None) => {
                    object.next_value::<IgnoredAny>()?;
                }
                Err(error) => {
                    object.next_value::<IgnoredAny>()?;
                    wrong.get_or_insert(error);
                }
            }
        }
        Ok(wrong.map_or(Ok(found), Err))
    }
}

/// Which of `known` the `key` is.
fn which(key: &str, known: &[&'static str]) -> Result<Option<usize>, MessageError> {
    if let Some(at) = known.iter().position(|known| *known == key) {
        return Ok(Some(at));
    }
    let resembled = if key.is_ascii() && !key.contains('\0') {
        known.iter().find(|known| key.eq_ignore_ascii_case(known))
    } else {
        let alike = folded(key);
        known.iter().find(|known| folded(known) == alike)
    };
    resembled.map_or(Ok(None), |known| Err(MessageError::Resembling(known)))
}

/// `text` as the most lenient of readers compares it: in any case (Go's `encoding/json`, Jackson
/// and .NET can be told to), with the letters that Unicode folds to ASCII, and up to a NUL, where C
/// ends.
pub(crate) fn folded(text: &str) -> String {
    let text = text.split('\0').next().unwrap_or_default();
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|letter| match letter {
            // The long s; the dotless i. Lower-casing has made k of the Kelvin sign.
            '\u{17f}' => 's',
            '\u{131}' => 'i',
            letter => letter,
        })
        // What lower-casing leaves of the dotted capital I.
        .filter(|letter| *letter != '\u{307}')
        .collect()
}

struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = array.next_element()? {
            if found.len() == self.most {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            found.push(element);
        }
        Ok(Some(found))
    }
}

//! What is called with what, for the audit log alone: nothing is decided by it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{elements, members};

/// The arguments of each message in `body`, which was read before: as JSON, or as the text that came, where
/// readers of JSON make different things of it, or nothing.
pub(crate) fn arguments(body: &[u8]) -> Vec<Option<Value>> {
    let Ok(whole) = serde_json::from_slice::<&RawValue>(body) else {
        return Vec::new();
    };
    match elements(whole, usize::MAX) {
        Ok(Some(messages)) => messages.into_iter().map(of_message).collect(),
        Ok(None) | Err(_) => vec![of_message(whole)],
    }
}

fn of_message(message: &RawValue) -> Option<Value> {
    let [params] = members(message, ["params"]).ok()??;
    let params = params?;
    // Twice, or in other letters: the server takes one of them.
    let Ok(found) = members(params, ["arguments"]) else {
        return Some(text(params));
    };
    let [arguments] = found?;
    let arguments = arguments?;
    Some(plain(arguments).unwrap_or_else(|| text(arguments)))
}

/// What everybody reads in `raw`.
fn plain(raw: &RawValue) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    KeysOnce.deserialize(&mut reader).ok()?;
    serde_json::from_str(raw.get()).ok()
}

fn text(raw: &RawValue) -> Value {
    Value::String(raw.get().to_owned())
}

/// Reads whatever has no key twice.
struct KeysOnce;

impl<'de> DeserializeSeed<'de> for KeysOnce {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeysOnce {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = object.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("a key comes twice"));
            }
            object.next_value_seed(Self)?;
        }
        Ok(())
    }
}

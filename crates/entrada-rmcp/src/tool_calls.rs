//! Which tools a body calls.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The names of the tools that `body` calls: one JSON-RPC message, or a batch of them (MCP,
/// 2025-03-26).
///
/// # Errors
///
/// [`BodyError`] wherever two readers could come to different answers. One of them may be the
/// server.
pub(crate) fn tools_called(body: &[u8]) -> Result<BTreeSet<String>, BodyError> {
    let Calls { tools, error } = serde_json::from_slice(body).map_err(BodyError::NotJson)?;
    error.map_or(Ok(tools), Err)
}

/// Why it cannot be told which tools a body calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is no JSON in UTF-8 (RFC 8259 §8.1).
    #[error("the body is no JSON")]
    NotJson(#[source] serde_json::Error),
    /// Readers take the first, or the last, or none (RFC 8259 §4).
    #[error("a message says twice what it asks for")]
    Repeated,
    /// A call without the name of a tool.
    #[error("a tool is called and not named")]
    Nameless,
}

/// The one method that runs a tool.
const TOOLS_CALL: &str = "tools/call";

/// What was found so far.
#[derive(Default)]
struct Calls {
    tools: BTreeSet<String>,
    error: Option<BodyError>,
}

impl Calls {
    fn add(&mut self, message: Option<Message>) {
        match message.map_or(Ok(None), Message::tool) {
            Ok(tool) => self.tools.extend(tool),
            Err(error) => self.error = Some(error),
        }
    }
}

impl<'de> Deserialize<'de> for Calls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = deserializer.deserialize_any(Lenient(PhantomData))?;
        Ok(read.unwrap_or_default())
    }
}

impl Expected for Calls {
    fn of_object<'de, A: MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
        let mut calls = Self::default();
        calls.add(Message::of_object(object)?);
        Ok(Some(calls))
    }

    fn of_array<'de, A: SeqAccess<'de>>(mut array: A) -> Result<Option<Self>, A::Error> {
        let mut calls = Self::default();
        while let Some(Value(message)) = array.next_element()? {
            calls.add(message);
        }
        Ok(Some(calls))
    }
}

/// A JSON-RPC message, as far as it says what is asked for.
#[derive(Default)]
struct Message {
    method: Member<String>,
    params: Member<Params>,
}

impl Message {
    /// The tool it calls, if it does.
    fn tool(self) -> Result<Option<String>, BodyError> {
        let (method, params) = (self.method.once()?, self.params.once()?);
        if method.as_deref() != Some(TOOLS_CALL) {
            return Ok(None);
        }
        let name = params.map_or(Ok(None), |params| params.name.once())?;
        name.map(Some).ok_or(BodyError::Nameless)
    }
}

impl Expected for Message {
    fn of_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut message = Self::default();
        while let Some(key) = object.next_key::<String>()? {
            match key.as_str() {
                "method" => message.method.take(object.next_value()?),
                "params" => message.params.take(object.next_value()?),
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(message))
    }
}

/// The parameters of a message, as far as they name a tool.
#[derive(Default)]
struct Params {
    name: Member<String>,
}

impl Expected for Params {
    fn of_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut params = Self::default();
        while let Some(key) = object.next_key::<String>()? {
            if key == "name" {
                params.name.take(object.next_value()?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Some(params))
    }
}

impl Expected for String {
    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// How often an object has a member, and what it is.
#[derive(Default)]
enum Member<T> {
    #[default]
    Missing,
    Once(Value<T>),
    Repeated,
}

impl<T> Member<T> {
    fn take(&mut self, value: Value<T>) {
        *self = match self {
            Self::Missing => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    fn once(self) -> Result<Option<T>, BodyError> {
        match self {
            Self::Missing => Ok(None),
            Self::Once(Value(value)) => Ok(value),
            Self::Repeated => Err(BodyError::Repeated),
        }
    }
}

/// A JSON value, if it is of the kind expected.
struct Value<T>(Option<T>);

impl<'de, T: Expected> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient(PhantomData)).map(Self)
    }
}

/// What one kind of JSON value is read as. The others are skipped.
trait Expected: Sized {
    fn of_text(_: &str) -> Option<Self> {
        None
    }

    fn of_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn of_array<'de, A: SeqAccess<'de>>(mut array: A) -> Result<Option<Self>, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Takes any JSON value.
struct Lenient<T>(PhantomData<T>);

impl<'de, T: Expected> Visitor<'de> for Lenient<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<T>, E> {
        Ok(T::of_text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Option<T>, A::Error> {
        T::of_array(array)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Option<T>, A::Error> {
        T::of_object(object)
    }
}

#[cfg(test)]
mod tests;

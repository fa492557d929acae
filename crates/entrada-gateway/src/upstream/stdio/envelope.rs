//! One JSON-RPC message, read no further than the bridge must.
//!
//! The rest stays the bytes it was: a typed round trip would lose what its types do not know, and
//! change how numbers are written. What can be read in two ways, with a key twice say, is refused.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The envelope of a message.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    text: &'a str,
    kind: Kind<'a>,
    params: Params<'a>,
}

/// What a message is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Kind<'a> {
    /// It wants an answer.
    Request {
        /// What the answer will have as its `id`, as it was written.
        id: &'a str,
        /// What is asked.
        method: Cow<'a, str>,
    },
    /// It wants none.
    Notification {
        /// What is told.
        method: Cow<'a, str>,
    },
    /// It is an answer.
    Response {
        /// The `id` of the request, as it was written; `null` where that could not be read.
        id: &'a str,
        /// The code of the error, where it is one.
        error: Option<i64>,
    },
}

/// What of the parameters concerns a bridge, each value as it was written.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Params<'a> {
    /// All of them.
    pub whole: Option<&'a str>,
    /// What progress of a request will be told by, in its `_meta`.
    pub asked_progress_token: Option<&'a str>,
    /// What progress is told by, in the notification.
    pub progress_token: Option<&'a str>,
    /// The revision of the protocol, in `_meta`.
    pub protocol_version: Option<&'a str>,
    /// The subscription a notification belongs to, in `_meta`.
    pub subscription_id: Option<&'a str>,
    /// The request that is cancelled.
    pub request_id: Option<&'a str>,
    /// A tool or a prompt.
    pub name: Option<&'a str>,
    /// A resource.
    pub uri: Option<&'a str>,
    /// A task.
    pub task_id: Option<&'a str>,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is no JSON, or a key is there twice.
    #[error("not one JSON object, or a key is in it twice")]
    Json,
    /// It is JSON, and no message.
    #[error("not a JSON-RPC 2.0 message")]
    Message,
}

impl<'a> Envelope<'a> {
    /// Reads `text`.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] if it is not one message.
    pub fn read(text: &'a str) -> Result<Self, EnvelopeError> {
        let fields: Fields<'a> = object(text)?;
        if fields.jsonrpc.as_deref() != Some("2.0") {
            return Err(EnvelopeError::Message);
        }
        let id = fields.id.map(RawValue::get);
        let kind = match (fields.method, id, fields.result, fields.error) {
            (Some(method), Some(id), None, None) if is_id(id) => Kind::Request { id, method },
            (Some(method), None, None, None) => Kind::Notification { method },
            (None, Some(id), Some(_), None) if is_id(id) => Kind::Response { id, error: None },
            (None, Some(id), None, Some(error)) if is_id(id) || id == "null" => {
                let error: ErrorFields = object(error.get())?;
                let error = Some(error.code);
                Kind::Response { id, error }
            }
            _ => return Err(EnvelopeError::Message),
        };
        let params = Params::read(fields.params.map(RawValue::get))?;
        Ok(Self { text, kind, params })
    }

    /// What it is.
    pub const fn kind(&self) -> &Kind<'a> {
        &self.kind
    }

    /// What concerns us of its parameters.
    pub const fn params(&self) -> &Params<'a> {
        &self.params
    }

    /// The message on one line, with other values where these were read.
    ///
    /// Each of `changes` is a value of this envelope's, and what to write in its place; all else
    /// stays as it is.
    pub fn with(&self, changes: &[(&'a str, &str)]) -> String {
        let mut spans: Vec<_> = changes
            .iter()
            .filter_map(|(value, new)| Some((self.offset(value)?, value.len(), *new)))
            .collect();
        spans.sort_unstable();
        let mut out = String::with_capacity(self.text.len() + 24 * spans.len());
        let mut at = 0;
        for (start, length, new) in spans {
            out.push_str(self.text.get(at..start).unwrap_or_default());
            out.push_str(new);
            at = start + length;
        }
        out.push_str(self.text.get(at..).unwrap_or_default());
        on_one_line(out)
    }

    /// Where in the text `value` begins, which was read of it.
    fn offset(&self, value: &str) -> Option<usize> {
        let offset = value
            .as_ptr()
            .addr()
            .checked_sub(self.text.as_ptr().addr())?;
        let same = self.text.get(offset..offset + value.len())? == value;
        same.then_some(offset)
    }
}

impl<'a> Params<'a> {
    fn read(whole: Option<&'a str>) -> Result<Self, EnvelopeError> {
        let Some(text) = whole.filter(|text| text.starts_with('{')) else {
            return Ok(Self {
                whole,
                ..Self::default()
            });
        };
        let fields: ParamFields<'a> = object(text)?;
        let meta: MetaFields<'a> = match fields.meta.map(RawValue::get) {
            Some(meta) if meta.starts_with('{') => object(meta)?,
            Some(_) | None => MetaFields::default(),
        };
        Ok(Self {
            whole,
            asked_progress_token: meta.progress_token.map(RawValue::get),
            progress_token: fields.progress_token.map(RawValue::get),
            protocol_version: meta.protocol_version.map(RawValue::get),
            subscription_id: meta.subscription_id.map(RawValue::get),
            request_id: fields.request_id.map(RawValue::get),
            name: fields.name.map(RawValue::get),
            uri: fields.uri.map(RawValue::get),
            task_id: fields.task_id.map(RawValue::get),
        })
    }
}

/// The messages of a batch (MCP 2025-03-26), or the one that is none.
///
/// # Errors
///
/// [`EnvelopeError::Json`] if it is neither.
pub fn messages(text: &str) -> Result<Vec<&str>, EnvelopeError> {
    if !text.trim_start_matches(WHITESPACE).starts_with('[') {
        return Ok(vec![text]);
    }
    let all: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| EnvelopeError::Json)?;
    Ok(all.into_iter().map(RawValue::get).collect())
}

/// A value that is a string, as the string it is.
pub fn string(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// What of JSON is no value (RFC 8259 §2).
const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// An object, and never an array, which serde takes for one.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, EnvelopeError> {
    if !text.trim_start_matches(WHITESPACE).starts_with('{') {
        return Err(EnvelopeError::Json);
    }
    serde_json::from_str(text).map_err(|_| EnvelopeError::Json)
}

/// Whether `value` may be the `id` of a request: a string or a number, and not `null`
/// (MCP, *Requests*).
fn is_id(value: &str) -> bool {
    value.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// Within JSON, line breaks stand between values alone, where any white space will do.
fn on_one_line(text: String) -> String {
    if text.contains(['\n', '\r']) {
        text.replace(['\n', '\r'], " ")
    } else {
        text
    }
}

/// Tells a value that is `null` from one that is not there.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorFields {
    code: i64,
}

#[derive(Deserialize)]
struct ParamFields<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestId")]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "taskId")]
    task_id: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct MetaFields<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/subscriptionId")]
    subscription_id: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests;

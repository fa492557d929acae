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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> Result<Kind<'_>, EnvelopeError> {
        Envelope::read(text).map(|envelope| envelope.kind().clone())
    }

    #[test]
    fn a_message_is_a_request_a_notification_or_a_response() {
        let request = |id| Kind::Request {
            id,
            method: "a".into(),
        };
        let response = |id, error| Kind::Response { id, error };
        let (json, message) = (EnvelopeError::Json, EnvelopeError::Message);
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#, Ok(request("1"))),
            (
                r#"{"id":1.0,"method":"a","jsonrpc":"2.0"}"#,
                Ok(request("1.0")),
            ),
            (
                r#"{"jsonrpc":"2.0","id":"x\"","method":"\u0061"}"#,
                Ok(request(r#""x\"""#)),
            ),
            (
                r#" {"jsonrpc":"2.0","id":-1e2,"method":"a","params":[1]} "#,
                Ok(request("-1e2")),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"a"}"#,
                Ok(Kind::Notification { method: "a".into() }),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
                Ok(response("1", None)),
            ),
            (
                r#"{"result":{},"jsonrpc":"2.0","id":"1"}"#,
                Ok(response("\"1\"", None)),
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}"#,
                Ok(response("null", Some(-32700))),
            ),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, Err(message)),
            (r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#, Err(message)),
            (r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#, Err(message)),
            (r#"{"jsonrpc":"2.0","id":null,"result":1}"#, Err(message)),
            (r#"{"jsonrpc":"2.0","id":1}"#, Err(message)),
            (r#"{"jsonrpc":"2.0","result":1}"#, Err(message)),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#,
                Err(message),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}"#,
                Err(message),
            ),
            (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, Err(message)),
            (r#"{"id":1,"method":"a"}"#, Err(message)),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Err(json)),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}"#,
                Err(json),
            ),
            (r#"["2.0",1,"a",null,null,null]"#, Err(json)),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"} {}"#, Err(json)),
            ("", Err(json)),
            ("null", Err(json)),
            ("{", Err(json)),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","\u006dethod":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"a","name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{},"_meta":{}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestId":2}}"#,
        ] {
            assert_eq!(kind(text), Err(EnvelopeError::Json), "{text}");
        }
    }

    #[test]
    fn values_are_replaced_where_they_stand() {
        let text = "{ \"id\" : 1,\r\n\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"x\":1.0,\n\
                    \"params\":{\"n\":1,\"_meta\":{\"progressToken\":1,\"y\":\"1\"},\"name\":\"\\n\"}}";
        let envelope = Envelope::read(text).unwrap();
        let Kind::Request { id, .. } = *envelope.kind() else {
            panic!("{envelope:?}");
        };
        let token = envelope.params().asked_progress_token.unwrap();
        let written = envelope.with(&[(token, "77"), (id, "1234")]);
        assert_eq!(
            written,
            "{ \"id\" : 1234,  \"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"x\":1.0, \
             \"params\":{\"n\":1,\"_meta\":{\"progressToken\":77,\"y\":\"1\"},\"name\":\"\\n\"}}"
        );
        assert_eq!(envelope.with(&[]).len(), text.len());
    }

    #[test]
    fn a_value_of_another_text_replaces_nothing() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#;
        let other = "1".to_owned();
        assert_eq!(Envelope::read(text).unwrap().with(&[(&other, "2")]), text);
    }

    #[test]
    fn a_batch_is_taken_apart() {
        assert_eq!(messages(" [ {\"a\":1} ,2]"), Ok(vec!["{\"a\":1}", "2"]));
        assert_eq!(messages("[]"), Ok(vec![]));
        assert_eq!(messages("{}"), Ok(vec!["{}"]));
        assert_eq!(messages("[1,"), Err(EnvelopeError::Json));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("1.0".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(" ,\n")));
            let object = prop::collection::vec(("[a-z_]{1,6}", inner), 0..4).prop_map(|fields| {
                let fields = fields
                    .iter()
                    .map(|(name, value)| format!("\"{name}\": {value}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            });
            prop_oneof![list, object]
        })
    }

    proptest! {
        #[test]
        fn bytes_of_strangers_are_read_or_refused(text in ".{0,64}") {
            let _ = messages(&text);
            let _ = Envelope::read(&text);
        }

        #[test]
        fn all_but_the_id_stays_as_it_was(before in json(), after in json(), number in any::<u64>()) {
            let text = format!(
                "{{\"x1\":{before},\"id\":\"mine\",\"jsonrpc\":\"2.0\",\n\"result\":{after}}}"
            );
            let envelope = Envelope::read(&text).unwrap();
            let Kind::Response { id, .. } = *envelope.kind() else {
                panic!("{envelope:?}");
            };
            let written = envelope.with(&[(id, &number.to_string())]);
            prop_assert!(!written.contains(['\n', '\r']));
            let read = Envelope::read(&written).unwrap();
            let Kind::Response { id: ours, .. } = *read.kind() else {
                panic!("{read:?}");
            };
            prop_assert_eq!(ours, number.to_string());
            let restored = read.with(&[(ours, "\"mine\"")]);
            prop_assert_eq!(restored, text.replace(['\n', '\r'], " "));
        }
    }
}

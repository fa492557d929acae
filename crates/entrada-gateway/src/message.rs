//! What the body of a request says, as far as a policy must know.
//!
//! MCP servers are written in many languages, and their parsers differ in what they make of odd
//! JSON: of a key that comes twice, or in other letters. Whoever decides by a body must read what
//! the server reads, so a body that can be read in two ways is refused (MCP transports, *Server
//! Validation*). Nothing is written anew: what goes on is what came.

mod arguments;
mod content;
mod json;
mod mirrored;

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

pub use content::{ContentError, plain_json};
pub use mirrored::Mismatch;

pub(crate) use arguments::arguments;
pub(crate) use content::is_json;
pub(crate) use json::{elements, folded, is_too_deep, members};

/// The JSON-RPC messages in a body: one, or a batch of them (MCP 2025-03-26).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Messages {
    /// At least one.
    pub messages: Vec<Message>,
    /// Whether they came as an array.
    pub is_batch: bool,
}

/// One JSON-RPC message.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The id of a request, as it was written.
    pub id: Option<String>,
    /// What is asked for; a response asks for nothing.
    pub method: Option<String>,
    /// What it is asked of: a tool, say.
    pub items: Vec<Item>,
    /// The version of MCP that it says it is of.
    version: Option<String>,
    /// What the header `Mcp-Name` must say.
    mirrored_name: Option<String>,
}

/// Something of a server's that has a name.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Its name; the URI of a resource.
    pub name: String,
}

impl Item {
    /// The `kind` of thing called `name`.
    pub fn new(kind: ItemKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

/// What a server has that is called by name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum ItemKind {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// A resource, or a template of some.
    Resource,
}

impl ItemKind {
    /// The method that gets one, or runs it.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/call",
            Self::Prompt => "prompts/get",
            Self::Resource => "resources/read",
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        })
    }
}

/// Why it cannot be told what a body says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is no JSON in UTF-8 (RFC 8259 §8.1).
    #[error("the body is no JSON")]
    NotJson(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It goes deeper than parsers follow.
    #[error("the body is nested too deeply")]
    TooDeep,
    /// Readers take the first, or the last, or none (RFC 8259 §4).
    #[error("a message has {0} twice")]
    Repeated(&'static str),
    /// Some readers take it for the key it resembles.
    #[error("a message has a key that differs from {0} in its letters alone")]
    Resembling(&'static str),
    /// It is neither a JSON-RPC message nor some of them.
    #[error("the body is no JSON-RPC message")]
    NotMessage,
    /// It says that it is a request, and a response.
    #[error("a message is a request and a response at once")]
    Both,
    /// It asks for something and does not say of what.
    #[error("a message does not say which tool, prompt or resource it means")]
    Nameless,
    /// A name or a method that readers may trim, cut off, or take for another.
    #[error("a message has a name or a method that can be read in two ways")]
    Ambiguous,
    /// It is a batch of more messages than anybody sends.
    #[error("the batch has more than {MOST_MESSAGES} messages")]
    TooMany,
    /// It calls more than anybody does at once: each thing is decided, counted and written down.
    #[error("the body calls more than {MOST_MESSAGES} things")]
    TooMuch,
}

/// How many messages a batch may have.
const MOST_MESSAGES: usize = 256;

/// How long a name, a method or a URI may be.
const LONGEST_NAME: usize = 8192;

/// Where a message of 2026-07-28 and later says its version.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

impl Messages {
    /// Reads `body`.
    ///
    /// # Errors
    ///
    /// [`MessageError`] wherever two readers could come to different answers.
    pub fn read(body: &[u8]) -> Result<Self, MessageError> {
        let text = str::from_utf8(body).map_err(|error| MessageError::NotJson(error.into()))?;
        if is_too_deep(text) {
            return Err(MessageError::TooDeep);
        }
        let whole: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        let is_batch = whole.get().starts_with('[');
        let messages = if is_batch {
            let parts = elements(whole, MOST_MESSAGES)?.ok_or(MessageError::TooMany)?;
            let parts = parts.into_iter();
            parts.map(Message::read).collect::<Result<Vec<_>, _>>()?
        } else {
            vec![Message::read(whole)?]
        };
        if messages.is_empty() {
            return Err(MessageError::NotMessage);
        }
        let called = messages.iter().map(|message| message.items.len());
        if called.sum::<usize>() > MOST_MESSAGES {
            return Err(MessageError::TooMuch);
        }
        Ok(Self { messages, is_batch })
    }
}

impl Message {
    fn read(raw: &RawValue) -> Result<Self, MessageError> {
        let known = ["jsonrpc", "id", "method", "params", "result", "error"];
        let found = members(raw, known)?.ok_or(MessageError::NotMessage)?;
        let [_, id, method, params, result, error] = found;
        let id = id.map(|id| id.get().to_owned());
        let Some(method) = method else {
            let answers = result.is_some() || error.is_some();
            return answers
                .then(|| Self::response(id))
                .ok_or(MessageError::NotMessage);
        };
        if result.is_some() || error.is_some() {
            return Err(MessageError::Both);
        }
        let method = name(Some(method))?.ok_or(MessageError::NotMessage)?;
        let mut known = KNOWN.iter().chain(&LISTS);
        if known.any(|known| is_disguised(&method, known)) {
            return Err(MessageError::Ambiguous);
        }
        let params = Params::read(params)?;
        let (items, mirrored_name) = params.named_by(&method)?;
        Ok(Self {
            id,
            version: params.version()?,
            method: Some(method),
            items,
            mirrored_name,
        })
    }

    const fn response(id: Option<String>) -> Self {
        Self {
            id,
            method: None,
            items: Vec::new(),
            version: None,
            mirrored_name: None,
        }
    }

    /// Whether the answer lists what a server has.
    pub fn asks_for_a_list(&self) -> bool {
        let method = self.method.as_deref();
        method.is_some_and(|method| LISTS.contains(&method))
    }
}

/// The parameters of a message, as far as they say what is meant.
#[derive(Default)]
struct Params<'a> {
    name: Option<&'a RawValue>,
    uri: Option<&'a RawValue>,
    task_id: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
    notifications: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    fn read(raw: Option<&'a RawValue>) -> Result<Self, MessageError> {
        let known = ["name", "uri", "taskId", "ref", "notifications", "_meta"];
        let Some(found) = raw.map_or(Ok(None), |raw| members(raw, known))? else {
            return Ok(Self::default());
        };
        let [name, uri, task_id, reference, notifications, meta] = found;
        Ok(Self {
            name,
            uri,
            task_id,
            reference,
            notifications,
            meta,
        })
    }

    /// What `method` is asked of, and what its header says.
    fn named_by(&self, method: &str) -> Result<(Vec<Item>, Option<String>), MessageError> {
        let (kind, named) = match method {
            "tools/call" => (ItemKind::Tool, self.name),
            "prompts/get" => (ItemKind::Prompt, self.name),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                (ItemKind::Resource, self.uri)
            }
            "completion/complete" => return Ok((vec![self.referred_to()?], None)),
            "subscriptions/listen" => return Ok((self.listened_to()?, None)),
            "tasks/get" | "tasks/update" | "tasks/cancel" => {
                return Ok((Vec::new(), name(self.task_id)?));
            }
            _ => return Ok((Vec::new(), None)),
        };
        let named = name(named)?.ok_or(MessageError::Nameless)?;
        Ok((vec![Item::new(kind, named.clone())], Some(named)))
    }

    /// What is to be completed (MCP, *Completion*).
    fn referred_to(&self) -> Result<Item, MessageError> {
        let raw = self.reference.ok_or(MessageError::Nameless)?;
        let found = members(raw, ["type", "name", "uri"])?.ok_or(MessageError::Nameless)?;
        let [kind, called, uri] = found;
        let (kind, named) = match name(kind)?.as_deref() {
            Some("ref/prompt") => (ItemKind::Prompt, called),
            Some("ref/resource") => (ItemKind::Resource, uri),
            _ => return Err(MessageError::Nameless),
        };
        let named = name(named)?.ok_or(MessageError::Nameless)?;
        Ok(Item::new(kind, named))
    }

    /// The resources whose changes are to be told (MCP, *Subscriptions*).
    fn listened_to(&self) -> Result<Vec<Item>, MessageError> {
        let found = match self.notifications {
            Some(raw) => members(raw, ["resourceSubscriptions"])?,
            None => None,
        };
        let Some([Some(uris)]) = found else {
            return Ok(Vec::new());
        };
        if uris.get() == "null" {
            return Ok(Vec::new());
        }
        let uris = elements(uris, MOST_MESSAGES)?.ok_or(MessageError::TooMuch)?;
        let uris = uris.into_iter().map(|uri| {
            let uri = name(Some(uri))?.ok_or(MessageError::Nameless)?;
            Ok(Item::new(ItemKind::Resource, uri))
        });
        uris.collect()
    }

    fn version(&self) -> Result<Option<String>, MessageError> {
        let found = match self.meta {
            Some(raw) => members(raw, [VERSION])?,
            None => None,
        };
        found.map_or(Ok(None), |[version]| name(version))
    }
}

/// The text in `raw`, if it is one, and a name that nobody reads in another way.
fn name(raw: Option<&RawValue>) -> Result<Option<String>, MessageError> {
    let Some(raw) = raw.filter(|raw| raw.get().starts_with('"')) else {
        return Ok(None);
    };
    let text: Cow<'_, str> = serde_json::from_str(raw.get()).map_err(not_json)?;
    // JavaScript trims the mark of a byte order, too.
    let is_trimmed = |letter: char| letter.is_whitespace() || letter == '\u{feff}';
    let is_plain = !text.starts_with(is_trimmed) && !text.ends_with(is_trimmed);
    let is_plain = is_plain && !text.contains(char::is_control);
    if !is_plain || text.len() > LONGEST_NAME {
        return Err(MessageError::Ambiguous);
    }
    Ok(Some(text.into_owned()))
}

/// Whether `method` is `known`, but for its letters.
fn is_disguised(method: &str, known: &str) -> bool {
    method != known && folded(method) == folded(known)
}

fn not_json(error: serde_json::Error) -> MessageError {
    MessageError::NotJson(error.into())
}

/// The methods that list what a server has.
const LISTS: [&str; 4] = [
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
];

/// The methods that name something.
const KNOWN: [&str; 7] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
    "subscriptions/listen",
];

#[cfg(test)]
mod tests;

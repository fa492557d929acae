//! What a client calls: the part of a message that audit log and rate limits need.

use http::{HeaderMap, Request};

/// What is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Called {
    /// The method, such as `tools/call`.
    pub method: String,
    /// The tool, prompt or resource.
    pub name: Option<String>,
    /// What it is called with, as JSON.
    pub arguments: Option<serde_json::Value>,
    /// Who says so.
    pub from: CalledFrom,
}

/// Who says what is called.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CalledFrom {
    /// The message, which was read.
    #[default]
    Body,
    /// The client, beside a message that cannot be read for sure: in `Mcp-Method` and `Mcp-Name`.
    Header,
    /// Nobody: a WebSocket was opened, and what is said there is not read.
    Handshake,
}

impl Called {
    /// What was read in a message.
    pub fn new(method: impl Into<String>, name: Option<String>) -> Self {
        Self {
            method: method.into(),
            name,
            ..Self::default()
        }
    }

    /// A WebSocket that is opened.
    pub(crate) fn opening() -> Self {
        Self {
            from: CalledFrom::Handshake,
            ..Self::default()
        }
    }

    /// What `request` calls: as whoever read its messages put it into the extensions, or else as the
    /// client says. Only a batch calls several things.
    pub(crate) fn all_of<B>(request: &Request<B>) -> Vec<Self> {
        let read = request.extensions().get::<Calls>();
        match read {
            Some(Calls(read)) => read.clone(),
            None => Self::said(request.headers()).into_iter().collect(),
        }
    }

    fn said(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            (value.len() <= LONGEST).then(|| value.to_owned())
        };
        Some(Self {
            method: text("mcp-method")?,
            name: text("mcp-name"),
            arguments: None,
            from: CalledFrom::Header,
        })
    }

    /// The tool, if one is called.
    pub(crate) fn tool(&self) -> Option<&str> {
        let is_call = self.method == "tools/call";
        self.name.as_deref().filter(|_| is_call)
    }
}

/// What was read in the messages of a request.
#[derive(Clone, Debug, Default)]
pub struct Calls(pub(crate) Vec<Called>);

impl Calls {
    /// These.
    pub fn new(calls: impl IntoIterator<Item = Called>) -> Self {
        Self(calls.into_iter().collect())
    }
}

/// The longest name that is taken from a header.
const LONGEST: usize = 256;

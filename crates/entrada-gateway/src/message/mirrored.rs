//! What the headers of a request repeat of its body (MCP transports, 2026-07-28).
//!
//! A server, or whatever stands before it, may go by the headers. So what they say must be what the
//! body says, wherever they say it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};

use super::{Message, Messages};

/// Which header does not say what the body says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// `MCP-Protocol-Version`.
    #[error("MCP-Protocol-Version differs from the body")]
    Version,
    /// `Mcp-Method`.
    #[error("Mcp-Method differs from the body, or is missing")]
    Method,
    /// `Mcp-Name`.
    #[error("Mcp-Name differs from the body, or is missing")]
    Name,
}

impl Messages {
    /// Whether `headers` say what the body says.
    ///
    /// # Errors
    ///
    /// [`Mismatch`], the first there is.
    pub fn agree_with(&self, headers: &HeaderMap) -> Result<(), Mismatch> {
        let said = Said::read(headers)?;
        let versions = self
            .messages
            .iter()
            .map(|message| message.version.as_deref());
        let of_body = versions.flatten();
        for version in of_body {
            if said.version.as_deref() != Some(version) {
                return Err(Mismatch::Version);
            }
        }
        let is_modern = said.version.as_deref().is_some_and(is_modern);
        match &*self.messages {
            [message] if !self.is_batch => said.agrees_with(message, is_modern),
            // No header speaks for many messages, and no version that has them has batches.
            _ if is_modern || said.method.is_some() => Err(Mismatch::Method),
            _ if said.name.is_some() => Err(Mismatch::Name),
            _ => Ok(()),
        }
    }
}

/// What the headers say.
struct Said {
    version: Option<String>,
    method: Option<String>,
    name: Option<String>,
}

impl Said {
    fn read(headers: &HeaderMap) -> Result<Self, Mismatch> {
        let only = |name: &str| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(value), None) => text(value).map(Some).ok_or(()),
                (Some(_), Some(_)) => Err(()),
            }
        };
        let name = only("mcp-name").map_err(|()| Mismatch::Name)?;
        Ok(Self {
            version: only("mcp-protocol-version").map_err(|()| Mismatch::Version)?,
            method: only("mcp-method").map_err(|()| Mismatch::Method)?,
            name: match name {
                Some(name) => Some(decoded(name).ok_or(Mismatch::Name)?),
                None => None,
            },
        })
    }

    fn agrees_with(&self, message: &Message, is_modern: bool) -> Result<(), Mismatch> {
        let method = message.method.as_deref();
        // Which version is spoken is not known before this has been answered.
        let is_due = is_modern && method.is_some() && method != Some("initialize");
        if is_due && message.id.is_some() && message.version.is_none() {
            return Err(Mismatch::Version);
        }
        if (is_due || self.method.is_some()) && self.method.as_deref() != method {
            return Err(Mismatch::Method);
        }
        let name = message.mirrored_name.as_deref();
        match (&self.name, name) {
            (None, Some(_)) if is_due => Err(Mismatch::Name),
            (None, _) => Ok(()),
            (Some(said), name) if Some(&**said) == name => Ok(()),
            (Some(_), _) => Err(Mismatch::Name),
        }
    }
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}

/// A value that was wrapped because headers cannot hold it (MCP transports, *Value Encoding*).
fn decoded(value: String) -> Option<String> {
    let wrapped = value.strip_prefix("=?base64?");
    let Some(wrapped) = wrapped.and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(value);
    };
    String::from_utf8(STANDARD.decode(wrapped).ok()?).ok()
}

/// Whether a message of this version must be repeated in headers: all are, that are not older.
fn is_modern(version: &str) -> bool {
    !OLDER.contains(&version)
}

/// The versions without such headers.
const OLDER: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

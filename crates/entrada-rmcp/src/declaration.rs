//! What a tool requires, written down beside it.

use std::error::Error;

use entrada::policy::Requirement;
use rmcp::model::{MetaObject, Tool};
use serde::Deserialize as _;

/// Declares what a tool requires of its caller: the `meta` of a tool.
///
/// It is for [`ToolRequirements`](crate::ToolRequirements) to read, and never leaves the server.
/// Alone it does nothing.
///
/// ```
/// use entrada::policy::Requirement;
/// use entrada_rmcp::requires;
/// use rmcp::{tool, tool_router};
///
/// struct Server;
///
/// #[tool_router]
/// impl Server {
///     /// Deletes everything.
///     #[tool(meta = requires(Requirement::scopes(["files.write"])))]
///     async fn delete(&self) -> String {
///         "deleted".to_owned()
///     }
/// }
/// ```
pub fn requires(requirement: Requirement) -> MetaObject {
    requires_with(requirement, MetaObject::new())
}

/// The same for a tool that has other `meta` besides, which clients go on to see.
pub fn requires_with(requirement: Requirement, mut meta: MetaObject) -> MetaObject {
    // What cannot be written is refused when it is read.
    let written = serde_json::to_value(requirement).unwrap_or_default();
    meta.0.insert(KEY.to_owned(), written);
    meta
}

/// Why what a tool requires cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeclarationError {
    /// What stands beside the tool is no requirement.
    #[error("the tool {tool:?} declares something that is no requirement")]
    Unreadable {
        /// The tool.
        tool: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It is a requirement that nobody can meet.
    #[error("nobody can meet what the tool {tool:?} requires: {mistake}")]
    Mistaken {
        /// The tool.
        tool: String,
        /// Why.
        mistake: String,
    },
    /// What all other tools require can be met by nobody.
    #[error("nobody can meet what all other tools require: {mistake}")]
    MistakenDefault {
        /// Why.
        mistake: String,
    },
}

/// Whether `tool` declares anything, be it readable or not.
pub(crate) fn declares(tool: &Tool) -> bool {
    tool.meta
        .as_ref()
        .is_some_and(|meta| meta.0.contains_key(KEY))
}

/// What `tool` declares.
pub(crate) fn declared(tool: &Tool) -> Result<Option<Requirement>, DeclarationError> {
    let Some(written) = tool.meta.as_ref().and_then(|meta| meta.0.get(KEY)) else {
        return Ok(None);
    };
    let requirement =
        Requirement::deserialize(written).map_err(|error| DeclarationError::Unreadable {
            tool: tool.name.clone().into_owned(),
            source: Box::new(error),
        })?;
    match requirement.mistake() {
        None => Ok(Some(requirement)),
        Some(mistake) => Err(DeclarationError::Mistaken {
            tool: tool.name.clone().into_owned(),
            mistake: mistake.to_owned(),
        }),
    }
}

/// `tool` as clients may see it.
pub(crate) fn without_declaration(mut tool: Tool) -> Tool {
    if let Some(mut meta) = tool.meta.take() {
        let declared = meta.0.remove(KEY).is_some();
        tool.meta = Some(meta).filter(|meta| !(declared && meta.0.is_empty()));
    }
    tool
}

/// Under which it stands (MCP, *General fields: `_meta`*).
const KEY: &str = "io.github.entrada-auth/requirement";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn tool(meta: Option<Value>) -> Tool {
        let mut tool = Tool::new("erase", "", Arc::new(rmcp::model::JsonObject::new()));
        tool.meta = meta.map(|meta| MetaObject(rmcp::model::object(meta)));
        tool
    }

    #[test]
    fn what_is_declared_is_read_back() {
        let requirement = Requirement::any([
            Requirement::scopes(["files.write"]),
            Requirement::all([Requirement::application(), Requirement::roles(["Writer"])]),
        ]);
        let tool = tool(None).with_meta(requires(requirement.clone()));
        assert_eq!(declared(&tool).unwrap(), Some(requirement));
        assert!(declares(&tool));
    }

    #[test]
    fn a_declaration_that_cannot_be_met_or_read_is_an_error() {
        let mistaken = requires(Requirement::scopes(["two words, \"quoted\""]));
        for (meta, expected) in [
            (
                json!({ KEY: "files.write" }),
                "the tool \"erase\" declares something that is no requirement",
            ),
            (
                json!({ KEY: null }),
                "the tool \"erase\" declares something that is no requirement",
            ),
            (
                json!({ KEY: { "scopes": 5 } }),
                "the tool \"erase\" declares something that is no requirement",
            ),
            (
                Value::Object(requires(Requirement::roles([""])).0),
                "nobody can meet what the tool \"erase\" requires: it names no app role",
            ),
            (
                Value::Object(mistaken.0),
                "nobody can meet what the tool \"erase\" requires: \
                 \"two words, \\\"quoted\\\"\" is no scope",
            ),
        ] {
            let error = declared(&tool(Some(meta.clone()))).unwrap_err();
            assert_eq!(error.to_string(), expected, "{meta}");
        }
    }

    #[test]
    fn other_meta_stays_and_the_declaration_goes() {
        let other = MetaObject(rmcp::model::object(json!({ "com.example/icon": "x" })));
        let requirement = || Requirement::scopes(["files.write"]);
        for (meta, seen) in [
            (None, None),
            (Some(MetaObject::new()), Some(MetaObject::new())),
            (Some(other.clone()), Some(other.clone())),
            (Some(requires(requirement())), None),
            (
                Some(requires_with(requirement(), other.clone())),
                Some(other),
            ),
        ] {
            let mut declaring = tool(None);
            declaring.meta = meta;
            assert_eq!(without_declaration(declaring).meta, seen);
        }
    }
}

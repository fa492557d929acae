//! Tools that ask their caller while they run, as revisions before 2026-07-28 have it.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CreateMessageRequestParams, ElicitRequestParams, LoggingLevel, LoggingMessageNotificationParam,
    SamplingMessage,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{Context, Fixture, typed};

/// The time between two things that a tool tells of.
const STEP: Duration = Duration::from_millis(50);
/// As many streams as a session of the suite opens before it calls `test_reconnection`, and some more.
const STREAMS: u64 = 16;

pub(crate) async fn log(context: &Context) -> Result<String, ErrorData> {
    for message in [
        "Tool execution started",
        "Tool processing data",
        "Tool execution completed",
    ] {
        let entry = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(message));
        // Whoever left cannot be told.
        let _ = context.peer.notify_logging_message(entry).await;
        sleep(STEP).await;
    }
    Ok("logged".to_owned())
}

pub(crate) async fn sample(context: &Context, prompt: &str) -> Result<String, ErrorData> {
    let asked = CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], 100);
    let answer = context.peer.create_message(asked).await;
    let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let answer = serde_json::to_value(answer.message.content).unwrap_or_default();
    Ok(format!("LLM response: {answer}"))
}

pub(crate) async fn elicit(
    context: &Context,
    message: &str,
    schema: Value,
) -> Result<String, ErrorData> {
    let asked: ElicitRequestParams =
        typed(json!({ "mode": "form", "message": message, "requestedSchema": schema }))?;
    let answer = context.peer.create_elicitation(asked).await;
    let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let answer = serde_json::to_value(answer).unwrap_or_default();
    Ok(format!("Elicitation completed: {answer}"))
}

/// What `test_elicitation` asks for.
pub(crate) fn user() -> Value {
    json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    })
}

/// A default of each kind there is (SEP-1034).
pub(crate) fn defaults() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
            "verified": { "type": "boolean", "default": true },
        },
    })
}

/// A choice of each kind there is (SEP-1330).
pub(crate) fn choices() -> Value {
    let titled = |what: &str| {
        let option = |number: &str, title: &str| json!({ "const": format!("value{number}"), "title": format!("{title} {what}") });
        json!([
            option("1", "First"),
            option("2", "Second"),
            option("3", "Third")
        ])
    };
    json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": ["option1", "option2", "option3"] },
            "titledSingle": { "type": "string", "oneOf": titled("Option") },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {
                "type": "array",
                "items": { "type": "string", "enum": ["option1", "option2", "option3"] },
            },
            "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
        },
    })
}

impl Fixture {
    /// Closes the stream on which the caller waits, who comes back for what is answered (SEP-1699).
    pub(crate) async fn hang_up(&self, context: &Context) -> Result<String, ErrorData> {
        let session = context
            .extensions
            .get::<http::request::Parts>()
            .and_then(|parts| parts.headers.get("mcp-session-id")?.to_str().ok());
        if let Some(id) = session
            && let Some(session) = self.sessions.sessions.read().await.get(id)
        {
            // rmcp does not tell a tool which of the streams is its own.
            for stream in 0..STREAMS {
                let _ = session.close_sse_stream(stream, Some(STEP)).await;
            }
        }
        sleep(STEP * 2).await;
        Ok("told after the stream was closed".to_owned())
    }
}

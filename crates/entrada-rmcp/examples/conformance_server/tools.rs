//! The tools, by name.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode,
    ProgressNotificationParam,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::content::{AUDIO, IMAGE};
use crate::{Change, Context, Fixture, input, legacy, tasks, typed, whole};

/// The tools that take nothing.
const PLAIN: &[&str] = &[
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_tool_with_logging",
    "test_logging_tool",
    "test_error_handling",
    "test_tool_with_progress",
    "test_reconnection",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_tampered_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_capabilities",
];

pub(crate) fn listed() -> Value {
    let tool = |name: &str, schema: Value| json!({ "name": name, "description": format!("{name}, as the suite has it"), "inputSchema": schema });
    let text = |field: &str| json!({ "type": "object", "properties": { field: { "type": "string" } }, "required": [field] });
    let nothing = || json!({ "type": "object", "properties": {} });
    let mut tools: Vec<Value> = PLAIN.iter().map(|name| tool(name, nothing())).collect();
    tools.push(tool("test_sampling", text("prompt")));
    tools.push(tool("test_elicitation", text("message")));
    tools.push(tool("json_schema_2020_12_tool", every_keyword()));
    // SEP-2243: the argument stands in a header, too.
    let mirrored = json!({ "type": "string", "x-mcp-header": "Region" });
    let mirrored =
        json!({ "type": "object", "properties": { "region": mirrored }, "required": ["region"] });
    tools.push(tool("test_custom_header", mirrored));
    tools.push(tool("greet", text("name")));
    tools.extend(tasks::listed().as_array().cloned().unwrap_or_default());
    Value::Array(tools)
}

/// What must come through of JSON Schema 2020-12 (SEP-1613, SEP-2106).
fn every_keyword() -> Value {
    let street_and_city = json!({ "street": { "type": "string" }, "city": { "type": "string" } });
    let address =
        json!({ "$anchor": "addressDef", "type": "object", "properties": street_and_city });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": address },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

/// What a tool answers that does nothing but answer.
fn fixed(name: &str) -> Option<Value> {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let image = || json!({ "type": "image", "data": IMAGE, "mimeType": "image/png" });
    let resource = |uri: &str, mime_type: &str, text: &str| json!({ "type": "resource", "resource": { "uri": uri, "mimeType": mime_type, "text": text } });
    let content = match name {
        "test_simple_text" => json!([text("This is a simple text response for testing.")]),
        "test_image_content" => json!([image()]),
        "test_audio_content" => {
            json!([{ "type": "audio", "data": AUDIO, "mimeType": "audio/wav" }])
        }
        "test_embedded_resource" => json!([resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]),
        "test_multiple_content_types" => json!([
            text("Multiple content types test:"),
            image(),
            resource(
                "test://mixed-content-resource",
                "application/json",
                "{\"test\":\"data\",\"value\":123}",
            ),
        ]),
        "test_error_handling" => {
            let content = [text("This tool intentionally returns an error for testing")];
            return Some(whole(json!({ "content": content, "isError": true })));
        }
        "test_custom_header" | "json_schema_2020_12_tool" | "test_logging_tool" => {
            json!([text("done")])
        }
        _ => return None,
    };
    Some(whole(json!({ "content": content, "isError": false })))
}

async fn progress(context: &Context) -> Result<String, ErrorData> {
    let token = context.meta.get_progress_token();
    for done in [0.0, 50.0, 100.0] {
        if let Some(token) = token.clone() {
            let step = ProgressNotificationParam::new(token, done).with_total(100.0);
            // Whoever left cannot be told.
            let _ = context.peer.notify_progress(step).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok("progressed".to_owned())
}

impl Fixture {
    pub(crate) async fn call(
        &self,
        call: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(answer) = fixed(&call.name) {
            return Ok(CallToolResponse::Complete(typed(answer)?));
        }
        let answered = input::Answered {
            responses: call.input_responses.clone(),
            state: call.request_state.clone(),
        };
        let rounds = input::rounds(&call.name);
        if let Some(rounds) = &rounds
            && let Some(asks) = input::outstanding(rounds, &answered, &context)?
        {
            return Ok(CallToolResponse::InputRequired(asks));
        }
        if let Some(task) = tasks::begun(&self.tasks, &call, &context)? {
            return Ok(task);
        }
        let text = match rounds {
            Some(_) => format!("state-ok, told {:?}", answered.responses),
            None => self.act(&call, &context).await?,
        };
        let said = vec![ContentBlock::text(text)];
        Ok(CallToolResponse::Complete(CallToolResult::success(said)))
    }

    /// Calls a tool that does something before it answers.
    async fn act(
        &self,
        call: &CallToolRequestParams,
        context: &Context,
    ) -> Result<String, ErrorData> {
        let argument = |name: &str| {
            let arguments = call.arguments.as_ref();
            let found = arguments.and_then(|all| all.get(name)?.as_str());
            found.ok_or_else(|| ErrorData::invalid_params(format!("{name} is missing"), None))
        };
        match call.name.as_ref() {
            "greet" => Ok(format!("Hello, {}!", argument("name")?)),
            "test_tool_with_logging" => legacy::log(context).await,
            "test_tool_with_progress" => progress(context).await,
            "test_sampling" => legacy::sample(context, argument("prompt")?).await,
            "test_elicitation" => {
                legacy::elicit(context, argument("message")?, legacy::user()).await
            }
            "test_elicitation_sep1034_defaults" => {
                legacy::elicit(context, "Take the defaults", legacy::defaults()).await
            }
            "test_elicitation_sep1330_enums" => {
                legacy::elicit(context, "Choose", legacy::choices()).await
            }
            "test_reconnection" => self.hang_up(context).await,
            "test_missing_capability" => samples(context),
            "test_trigger_tool_change" => self.tell(Change::Tools),
            "test_trigger_prompt_change" => self.tell(Change::Prompts),
            unknown => {
                let message = format!("there is no tool {unknown}");
                Err(ErrorData::new(ErrorCode::INVALID_PARAMS, message, None))
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of many that may fail")]
    fn tell(&self, change: Change) -> Result<String, ErrorData> {
        // Nobody need listen.
        let _ = self.changes.send(change);
        Ok("changed".to_owned())
    }
}

/// Needs a client that has a model.
fn samples(context: &Context) -> Result<String, ErrorData> {
    let has = context
        .client_capabilities()
        .is_some_and(|capabilities| capabilities.sampling.is_some());
    if has {
        return Ok("it can".to_owned());
    }
    let required = typed(json!({ "sampling": {} }))?;
    Err(ErrorData::missing_required_client_capability(required))
}

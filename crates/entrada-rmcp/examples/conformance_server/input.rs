//! Tools and a prompt that ask their caller for more by their answer, as 2026-07-28 has it (SEP-2322).

use rmcp::ErrorData;
use rmcp::model::{InputRequiredResult, InputResponses};
use serde_json::{Value, json};

use crate::{Context, typed};

/// What is asked for at once, and the state that must come back with it.
pub(crate) struct Round {
    asks: Value,
    state: Option<&'static str>,
}

/// What came with a request of what was asked before.
pub(crate) struct Answered {
    pub(crate) responses: Option<InputResponses>,
    pub(crate) state: Option<String>,
}

pub(crate) fn form(message: &str, field: &str, kind: &str) -> Value {
    let schema =
        json!({ "type": "object", "properties": { field: { "type": kind } }, "required": [field] });
    json!({ "method": "elicitation/create", "params": { "message": message, "requestedSchema": schema } })
}

fn sampling(prompt: &str) -> Value {
    let content = json!({ "type": "text", "text": prompt });
    let params = json!({ "messages": [{ "role": "user", "content": content }], "maxTokens": 100 });
    json!({ "method": "sampling/createMessage", "params": params })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

/// What the tool or prompt `name` asks for, one after the other, if it asks for anything.
pub(crate) fn rounds(name: &str) -> Option<Vec<Round>> {
    let round = |state, asks| Round { asks, state };
    let name_of_user = || form("What is your name?", "name", "string");
    let confirm = || json!({ "confirm": form("Please confirm", "ok", "boolean") });
    Some(match name {
        "test_input_required_result_elicitation"
        | "test_streaming_elicitation"
        | "test_tool_with_task" => {
            vec![round(None, json!({ "user_name": name_of_user() }))]
        }
        "test_input_required_result_sampling" => {
            let asks = json!({ "capital_question": sampling("What is the capital of France?") });
            vec![round(None, asks)]
        }
        "test_input_required_result_list_roots" => {
            vec![round(None, json!({ "client_roots": roots() }))]
        }
        "test_input_required_result_request_state"
        | "test_input_required_result_tampered_state" => {
            vec![round(Some("to-be-confirmed"), confirm())]
        }
        "test_input_required_result_multiple_inputs" => {
            let greeting = sampling("Generate a greeting");
            let asks = json!({ "user_name": name_of_user(), "greeting": greeting, "client_roots": roots() });
            vec![round(Some("three-things"), asks)]
        }
        "test_input_required_result_multi_round" => {
            let name = form("Step 1: What is your name?", "name", "string");
            let color = form("Step 2: What is your favorite color?", "color", "string");
            vec![
                round(Some("first"), json!({ "step1": name })),
                round(Some("second"), json!({ "step2": color })),
            ]
        }
        "test_input_required_result_capabilities" => {
            let asks =
                json!({ "user_name": name_of_user(), "greeting": sampling("Generate a greeting") });
            vec![round(None, asks)]
        }
        "test_input_required_result_prompt" => {
            let asks = form("What context should the prompt use?", "context", "string");
            vec![round(None, json!({ "user_context": asks }))]
        }
        _ => return None,
    })
}

/// What is still to be asked for, if anything is.
pub(crate) fn outstanding(
    rounds: &[Round],
    answered: &Answered,
    context: &Context,
) -> Result<Option<InputRequiredResult>, ErrorData> {
    let state = answered.state.as_deref();
    // Whatever state we did not give was made up.
    let at = match state {
        None => 0,
        given => rounds
            .iter()
            .position(|round| round.state == given)
            .ok_or_else(|| ErrorData::invalid_params("requestState is not ours", None))?,
    };
    let is_answered = |round: &Round| {
        let responses = answered.responses.as_ref();
        let came = |name| responses.is_some_and(|all| all.get(name).is_some_and(Value::is_object));
        round.state == state
            && round
                .asks
                .as_object()
                .is_some_and(|asks| asks.keys().all(came))
    };
    let next = rounds.iter().skip(at).find(|round| !is_answered(round));
    let Some(round) = next else {
        return Ok(None);
    };
    let requests = typed(what_the_client_can(round.asks.clone(), context))?;
    let state = round.state.map(str::to_owned);
    Ok(Some(InputRequiredResult::new(Some(requests), state)))
}

/// `asks` without what the client did not say it has.
fn what_the_client_can(mut asks: Value, context: &Context) -> Value {
    let declared = context
        .client_capabilities()
        .and_then(|capabilities| serde_json::to_value(capabilities).ok())
        .unwrap_or_default();
    if let Some(asks) = asks.as_object_mut() {
        asks.retain(|_, ask| {
            let method = ask
                .get("method")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let capability = method.split('/').next().unwrap_or_default();
            declared.get(capability).is_some()
        });
    }
    asks
}

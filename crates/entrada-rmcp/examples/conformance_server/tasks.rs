//! Tools that answer with a task, for clients that know tasks (SEP-2663).

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult,
    InputRequest, InputResponses,
};
use rmcp::task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{Context, input, typed};

/// What to do, of which the arguments are read.
enum Job {
    Compute(Duration),
    Fail,
    Break,
    Ask(&'static [&'static str]),
    Greet(String),
}

impl Job {
    /// What the tool of that name does, if it makes tasks.
    fn of(call: &CallToolRequestParams) -> Option<Self> {
        let arguments = call.arguments.as_ref();
        Some(match call.name.as_ref() {
            "slow_compute" => {
                let seconds = arguments.and_then(|all| all.get("seconds")?.as_f64());
                Self::Compute(Duration::try_from_secs_f64(seconds.unwrap_or_default()).ok()?)
            }
            "failing_job" => Self::Fail,
            "protocol_error_job" => Self::Break,
            "confirm_delete" => Self::Ask(&["confirm"]),
            "multi_input" => Self::Ask(&["first", "second"]),
            "test_tool_with_task" => Self::Greet(name_told(call.input_responses.as_ref())),
            _ => return None,
        })
    }

    async fn run(self, task: TaskContext) -> Result<CallToolResult, TaskExit> {
        let text = match self {
            Self::Compute(time) => {
                tokio::select! {
                    () = sleep(time) => "computed".to_owned(),
                    () = task.cancelled() => return Err(TaskExit::Cancelled),
                }
            }
            Self::Fail => return Ok(CallToolResult::error(vec![ContentBlock::text("failed")])),
            Self::Break => return Err(ErrorData::internal_error("broken", None).into()),
            Self::Ask(keys) => ask(&task, keys).await?,
            Self::Greet(name) => format!("Hello, {name}!"),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]))
    }
}

/// Asks for all at once.
async fn ask(task: &TaskContext, keys: &[&str]) -> Result<String, TaskExit> {
    let asked = keys.iter().map(|key| async move {
        let form: InputRequest = typed(input::form("Go on?", "confirm", "boolean"))?;
        task.request_input(*key, form).await
    });
    let answers = futures_util::future::try_join_all(asked).await?;
    Ok(Value::from(answers).to_string())
}

fn name_told(responses: Option<&InputResponses>) -> String {
    let name = responses.and_then(|all| all.get("user_name")?.pointer("/content/name")?.as_str());
    name.unwrap_or("nobody").to_owned()
}

/// The answer of a tool that makes tasks, if `call` is of one. A client that knows none has some answered at once.
pub(crate) fn begun(
    tasks: &TaskManager,
    call: &CallToolRequestParams,
    context: &Context,
) -> Result<Option<CallToolResponse>, ErrorData> {
    let Some(job) = Job::of(call) else {
        return Ok(None);
    };
    let knows_tasks = context
        .client_capabilities()
        .is_some_and(|capabilities| capabilities.supports_tasks());
    if !knows_tasks && matches!(job, Job::Compute(_)) {
        let done = CallToolResult::success(vec![ContentBlock::text("computed")]);
        return Ok(Some(CallToolResponse::Complete(done)));
    }
    if !knows_tasks {
        let required = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        return Err(ErrorData::missing_required_client_capability(typed(
            required,
        )?));
    }
    let options = TaskOptions::new().with_poll_interval_ms(100);
    let run = |task| -> TaskFuture { Box::pin(job.run(task)) };
    let created = CreateTaskResult::new(tasks.spawn(options, run));
    Ok(Some(CallToolResponse::Task(created)))
}

/// The tools, as they are listed.
pub(crate) fn listed() -> Value {
    let tool = |name: &str, properties: Value| json!({ "name": name, "description": format!("{name}, as the suite has it"), "inputSchema": { "type": "object", "properties": properties } });
    let compute = json!({ "seconds": { "type": "number" }, "label": { "type": "string" } });
    json!([
        tool("slow_compute", compute),
        tool("failing_job", json!({})),
        tool("protocol_error_job", json!({})),
        tool(
            "confirm_delete",
            json!({ "filename": { "type": "string" } })
        ),
        tool("multi_input", json!({})),
        tool("test_tool_with_task", json!({})),
    ])
}

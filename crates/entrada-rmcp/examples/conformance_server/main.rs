//! An MCP server without authorization that has what MCP's conformance suite asks a server for, so that
//! the suite can be run against it and through a gateway: `conformance_server PORT`.

#![expect(
    deprecated,
    reason = "older revisions of the protocol have what newer ones deprecate"
)]

mod content;
mod input;
mod legacy;
mod tasks;
mod tools;

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt as _;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams,
    CompleteResult, GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerConfig,
    SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

type Failure = Box<dyn Error + Send + Sync>;
type Context = RequestContext<RoleServer>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let port = std::env::args().nth(1).ok_or("which port?")?.parse()?;
    let sessions = Arc::new(LocalSessionManager::default());
    let fixture = Fixture {
        sessions: Arc::clone(&sessions),
        changes: broadcast::channel(16).0,
        tasks: TaskManager::new(),
    };
    let service = StreamableHttpService::new(
        move || Ok(fixture.clone()),
        sessions,
        StreamableHttpServerConfig::default(),
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let app = Router::new().route_service("/mcp", service);
    Ok(axum::serve(listener.tap_io(send_at_once), app).await?)
}

/// An event must not wait until the client has acknowledged the one before.
fn send_at_once(connection: &mut TcpStream) {
    // Without it events are late, and nothing else.
    let _ = connection.set_nodelay(true);
}

/// What there is more of than there was.
#[derive(Clone, Copy, Debug)]
enum Change {
    Tools,
    Prompts,
}

/// The server, one for each session.
#[derive(Clone)]
struct Fixture {
    sessions: Arc<LocalSessionManager>,
    changes: broadcast::Sender<Change>,
    tasks: TaskManager,
}

/// What `value` says as one of rmcp's types. The suite writes down answers as JSON, and so do we.
fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let info = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {
                "completions": {},
                "extensions": { "io.modelcontextprotocol/tasks": {} },
                "logging": {},
                "prompts": { "listChanged": true },
                "resources": { "subscribe": true },
                "tools": { "listChanged": true },
            },
            "serverInfo": { "name": "conformance", "version": "1.0.0" },
        });
        serde_json::from_value(info).unwrap_or_default()
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        typed(cached(json!({ "tools": tools::listed() })))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools: Vec<Tool> = typed(tools::listed()).ok()?;
        tools.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(call, context).await
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        typed(cached(json!({ "resources": content::resources() })))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        typed(cached(json!({ "resourceTemplates": content::templates() })))
    }

    async fn read_resource(
        &self,
        read: ReadResourceRequestParams,
        _context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let contents = content::resource(&read.uri).ok_or_else(|| {
            ErrorData::resource_not_found("no such resource", Some(json!({ "uri": read.uri })))
        })?;
        Ok(ReadResourceResponse::Complete(typed(cached(
            json!({ "contents": [contents] }),
        ))?))
    }

    async fn subscribe(
        &self,
        _asked: SubscribeRequestParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _asked: UnsubscribeRequestParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        typed(cached(json!({ "prompts": content::prompts() })))
    }

    async fn get_prompt(
        &self,
        asked: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let answered = input::Answered {
            responses: asked.input_responses,
            state: asked.request_state,
        };
        if let Some(rounds) = input::rounds(&asked.name)
            && let Some(asks) = input::outstanding(&rounds, &answered, &context)?
        {
            return Ok(GetPromptResponse::InputRequired(asks));
        }
        let arguments = Value::Object(asked.arguments.unwrap_or_default());
        let messages = content::prompt(&asked.name, &arguments)
            .ok_or_else(|| ErrorData::invalid_params("no such prompt", None))?;
        let messages = typed(whole(json!({ "messages": messages })));
        Ok(GetPromptResponse::Complete(messages?))
    }

    async fn complete(
        &self,
        _asked: CompleteRequestParams,
        _context: Context,
    ) -> Result<CompleteResult, ErrorData> {
        let completion = json!({ "values": ["test"], "total": 1, "hasMore": false });
        typed(whole(json!({ "completion": completion })))
    }

    async fn set_level(
        &self,
        _asked: SetLevelRequestParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn get_task(
        &self,
        asked: GetTaskParams,
        _context: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&asked.task_id)?))
    }

    async fn update_task(
        &self,
        asked: UpdateTaskParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        self.tasks
            .update_task(&asked.task_id, asked.input_responses)
    }

    async fn cancel_task(
        &self,
        asked: CancelTaskParams,
        _context: Context,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&asked.task_id)
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            let sink = context.sink();
            // A change of what was not asked for is refused by the sink, as it should be.
            let _ = match change {
                Ok(Change::Tools) => sink.notify_tool_list_changed().await,
                Ok(Change::Prompts) => sink.notify_prompt_list_changed().await,
                Err(_) => return Ok(()),
            };
        }
    }
}

/// A whole result, as 2026-07-28 wants it called (SEP-2322). rmcp leaves that out for older clients.
fn whole(mut result: Value) -> Value {
    if let Some(fields) = result.as_object_mut() {
        fields.insert("resultType".to_owned(), json!("complete"));
    }
    result
}

/// A whole result, with what 2026-07-28 says of how long it may be kept (SEP-2549).
fn cached(result: Value) -> Value {
    let mut result = whole(result);
    if let Some(fields) = result.as_object_mut() {
        fields.insert("ttlMs".to_owned(), json!(1000));
        fields.insert("cacheScope".to_owned(), json!("private"));
    }
    result
}

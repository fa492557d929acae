//! A server whose tools are called by those who may.

use std::borrow::Cow;

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestMethod, CallToolRequestParams, CallToolResponse, CancelTaskParams,
    CancelledNotificationParam, CompleteRequestParams, CompleteResult, ConstString as _,
    CustomNotification, CustomRequest, CustomResult, DiscoverResult, GetPromptRequestParams,
    GetPromptResponse, GetSkillRequestParams, GetSkillResult, GetTaskParams, GetTaskResult,
    InitializeRequestParams, InitializeResult, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListSkillsResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ProtocolVersion, ReadResourceDirectoryRequestParams,
    ReadResourceDirectoryResult, ReadResourceRequestParams, ReadResourceResponse, ServerConfig,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer};

use crate::current_user::CurrentUser;
use crate::declaration;
use crate::tool_requirements::ToolRequirements;

/// A server whose tools are called by those who may, and listed to them.
///
/// It is the half of [`ToolRequirements`] that cannot be gone around: however a message came here,
/// a tool runs for nobody who lacks what it requires. All it can answer with is a JSON-RPC error,
/// so the [`StepUpLayer`](crate::StepUpLayer) goes before it.
///
/// What it lists depends on who asks, so it lets nobody share the list with others (`cacheScope`,
/// MCP schema, 2026-07-28).
///
/// A task, once started, is reached by its id: whoever may ask for it is for the server to decide.
#[derive(Clone, Debug)]
pub struct GuardedHandler<H> {
    handler: H,
    requirements: ToolRequirements,
}

impl<H> GuardedHandler<H> {
    pub(crate) fn new(handler: H, requirements: ToolRequirements) -> Self {
        Self {
            handler,
            requirements,
        }
    }
}

impl<H: ServerHandler> GuardedHandler<H> {
    fn admit(&self, tool: &str, caller: &CurrentUser) -> Result<(), ErrorData> {
        // A name that is known has been read; the server is asked for others alone.
        if self.requirements.is_unknown(tool)
            && let Some(tool) = self.handler.get_tool(tool)
            && self.requirements.is_unread(&tool)
        {
            let message = "nobody knows what the tool requires";
            return Err(ErrorData::internal_error(message, None));
        }
        caller.require(self.requirements.requirement(tool))
    }

    fn as_seen_by(&self, caller: &CurrentUser, mut list: ListToolsResult) -> ListToolsResult {
        list.tools = list
            .tools
            .into_iter()
            .filter(|tool| self.requirements.shows(tool, caller))
            .map(declaration::without_declaration)
            .collect();
        list.cache_scope = list.cache_scope.map(|_| CacheScope::Private);
        if self.requirements.list_depends_on_scopes() {
            list.ttl_ms = list.ttl_ms.map(|_| 0);
        }
        list
    }
}

macro_rules! forward {
    ($(async fn $name:ident($($argument:ident: $kind:ty),+) -> $output:ty;)+) => {$(
        async fn $name(&self, $($argument: $kind),+) -> $output {
            self.handler.$name($($argument),+).await
        }
    )+};
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $output:ty;)+) => {$(
        fn $name(&self, $($argument: $kind),*) -> $output {
            self.handler.$name($($argument),*)
        }
    )+};
}

type Context = RequestContext<RoleServer>;
type Page = Option<PaginatedRequestParams>;
type Answer<T> = Result<T, ErrorData>;

// A method that a newer rmcp adds would be answered by its default instead of by the server.
#[deny(clippy::missing_trait_methods)]
#[expect(deprecated, reason = "clients of earlier revisions call them")]
impl<H: ServerHandler> ServerHandler for GuardedHandler<H> {
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Answer<CallToolResponse> {
        let caller = CurrentUser::from_extensions(&context.extensions)?;
        self.admit(&request.name, &caller)?;
        self.handler.call_tool(request, context).await
    }

    async fn list_tools(&self, page: Page, context: Context) -> Answer<ListToolsResult> {
        let caller = CurrentUser::from_extensions(&context.extensions)?;
        let list = self.handler.list_tools(page, context).await?;
        Ok(self.as_seen_by(&caller, list))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tool = self.handler.get_tool(name);
        tool.map(declaration::without_declaration)
    }

    // A call that is no `CallToolRequestParams` comes as one of these two.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Context,
    ) -> Answer<CustomResult> {
        if request.method == CallToolRequestMethod::VALUE {
            return Err(ErrorData::method_not_found::<CallToolRequestMethod>());
        }
        self.handler.on_custom_request(request, context).await
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        context: NotificationContext<RoleServer>,
    ) {
        if notification.method != CallToolRequestMethod::VALUE {
            self.handler
                .on_custom_notification(notification, context)
                .await;
        }
    }

    forward! {
        async fn ping(context: Context) -> Answer<()>;
        async fn initialize(request: InitializeRequestParams, context: Context) -> Answer<InitializeResult>;
        async fn discover(context: Context) -> Answer<DiscoverResult>;
        async fn complete(request: CompleteRequestParams, context: Context) -> Answer<CompleteResult>;
        async fn set_level(request: rmcp::model::SetLevelRequestParams, context: Context) -> Answer<()>;
        async fn get_prompt(request: GetPromptRequestParams, context: Context) -> Answer<GetPromptResponse>;
        async fn list_prompts(page: Page, context: Context) -> Answer<ListPromptsResult>;
        async fn list_resources(page: Page, context: Context) -> Answer<ListResourcesResult>;
        async fn list_resource_templates(page: Page, context: Context) -> Answer<ListResourceTemplatesResult>;
        async fn read_resource(request: ReadResourceRequestParams, context: Context) -> Answer<ReadResourceResponse>;
        async fn read_resource_directory(request: ReadResourceDirectoryRequestParams, context: Context) -> Answer<ReadResourceDirectoryResult>;
        async fn listen(context: SubscriptionContext) -> Answer<()>;
        async fn subscribe(request: SubscribeRequestParams, context: Context) -> Answer<()>;
        async fn unsubscribe(request: UnsubscribeRequestParams, context: Context) -> Answer<()>;
        async fn get_task(request: GetTaskParams, context: Context) -> Answer<GetTaskResult>;
        async fn update_task(request: UpdateTaskParams, context: Context) -> Answer<()>;
        async fn cancel_task(request: CancelTaskParams, context: Context) -> Answer<()>;
        async fn list_skills(page: Page, context: Context) -> Answer<ListSkillsResult>;
        async fn get_skill(request: GetSkillRequestParams, context: Context) -> Answer<GetSkillResult>;
        async fn on_cancelled(notification: CancelledNotificationParam, context: NotificationContext<RoleServer>) -> ();
        async fn on_progress(notification: ProgressNotificationParam, context: NotificationContext<RoleServer>) -> ();
        async fn on_initialized(context: NotificationContext<RoleServer>) -> ();
        async fn on_roots_list_changed(context: NotificationContext<RoleServer>) -> ();
    }

    forward! {
        fn get_info() -> ServerConfig;
        fn negotiate_initialize(request: &InitializeRequestParams) -> Answer<InitializeResult>;
        fn supported_protocol_versions() -> Cow<'static, [ProtocolVersion]>;
        fn accepted_subscription_filter(requested: &SubscriptionFilter) -> Option<SubscriptionFilter>;
    }
}

//! What each tool of a server requires.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use entrada::access_token::{Shortfall, TokenFacts};
use entrada::policy::Requirement;
use rmcp::ServerHandler;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::Tool;
use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use crate::declaration::{self, DeclarationError};
use crate::guarded_handler::GuardedHandler;
use crate::step_up::{StepUp, StepUpLayer};

/// What each tool of a server requires of its caller; cheap to clone.
///
/// It is read once, from what the tools [declare](crate::requires), and enforced twice. Before the
/// server, a [`StepUpLayer`] answers a call that may not be made with the challenge from which a
/// client learns which scopes to ask for (403 `insufficient_scope`, MCP authorization, *Runtime
/// Insufficient Scope Errors*). Around the server, a [`GuardedHandler`] refuses whatever comes to it
/// some other way, and lists to each caller the tools it may call. [`service`](Self::service) puts
/// both in their places.
///
/// A challenge is worth what the authorization server makes of it: require scopes that it gives to
/// whoever asks for them. Where all clients are given the same scopes, require roles or groups.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::Router;
/// use entrada::RemoteAuthProvider;
/// use entrada::policy::Requirement;
/// use entrada_rmcp::{DeclarationError, ToolRequirements, requires};
/// use rmcp::handler::server::router::tool::ToolRouter;
/// use rmcp::transport::StreamableHttpServerConfig;
/// use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
/// use rmcp::{ServerHandler, tool, tool_handler, tool_router};
///
/// #[derive(Clone)]
/// struct Server {
///     tool_router: ToolRouter<Self>,
/// }
///
/// #[tool_router]
/// impl Server {
///     /// Deletes everything.
///     #[tool(meta = requires(Requirement::scopes(["files.write"])))]
///     async fn delete(&self) -> String {
///         "deleted".to_owned()
///     }
/// }
///
/// #[tool_handler(router = self.tool_router)]
/// impl ServerHandler for Server {}
///
/// fn app(provider: &RemoteAuthProvider) -> Result<Router, DeclarationError> {
///     let tool_router = Server::tool_router();
///     let requirements = ToolRequirements::of(&tool_router)?;
///     let server = Server { tool_router };
///     Ok(provider.protect(requirements.service(
///         move || Ok(server.clone()),
///         Arc::new(LocalSessionManager::default()),
///         StreamableHttpServerConfig::default(),
///     )))
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ToolRequirements {
    by_tool: Arc<BTreeMap<String, Option<Requirement>>>,
    otherwise: Arc<Requirement>,
    hide_until_allowed: bool,
}

impl ToolRequirements {
    /// Reads what the tools of `router` declare. It must be the router that serves: a tool that
    /// declares something which was not read here is never run.
    ///
    /// # Errors
    ///
    /// [`DeclarationError`] if what a tool requires cannot be read, or be met by anybody.
    pub fn of<S>(router: &ToolRouter<S>) -> Result<Self, DeclarationError> {
        // What is disabled now may be enabled later.
        let tools = router.map.iter();
        Self::read(tools.map(|(name, route)| (name.as_ref(), &route.attr)))
    }

    /// The same for a server that has no router.
    ///
    /// # Errors
    ///
    /// [`DeclarationError`] if what a tool requires cannot be read, or be met by anybody.
    pub fn of_tools<'a>(
        tools: impl IntoIterator<Item = &'a Tool>,
    ) -> Result<Self, DeclarationError> {
        Self::read(tools.into_iter().map(|tool| (tool.name.as_ref(), tool)))
    }

    fn read<'a>(
        tools: impl Iterator<Item = (&'a str, &'a Tool)>,
    ) -> Result<Self, DeclarationError> {
        let by_tool: Result<_, _> = tools
            .map(|(name, tool)| Ok((name.to_owned(), declaration::declared(tool)?)))
            .collect();
        Ok(Self {
            by_tool: Arc::new(by_tool?),
            otherwise: Arc::new(Requirement::nothing()),
            hide_until_allowed: false,
        })
    }

    /// Requires `requirement` for every tool that declares nothing, and for names that no tool
    /// has. Unless this is said, they require nothing besides a good token.
    ///
    /// # Errors
    ///
    /// [`DeclarationError::MistakenDefault`] if nobody can meet it.
    pub fn otherwise(self, requirement: Requirement) -> Result<Self, DeclarationError> {
        if let Some(mistake) = requirement.mistake() {
            let mistake = mistake.to_owned();
            return Err(DeclarationError::MistakenDefault { mistake });
        }
        let otherwise = Arc::new(requirement);
        Ok(Self { otherwise, ..self })
    }

    /// Lists tools only to those who may call them as they are.
    ///
    /// Otherwise a tool is also listed where nothing but scopes is lacking: a client that does not
    /// see it never calls it, is never challenged, and so never learns that it could ask for more.
    /// What no scope makes up for, such as an app role, hides a tool in any case.
    pub fn hide_until_allowed(self) -> Self {
        Self {
            hide_until_allowed: true,
            ..self
        }
    }

    /// What the tool named `tool` requires.
    pub fn requirement(&self, tool: &str) -> &Requirement {
        let declared = self.by_tool.get(tool).and_then(Option::as_ref);
        declared.unwrap_or(&self.otherwise)
    }
}

impl ToolRequirements {
    /// A server behind both: to be put behind a guard,
    /// [`AzureProvider::protect`](entrada::AzureProvider::protect) or
    /// [`RequireBearerLayer`](entrada::resource_server::RequireBearerLayer).
    ///
    /// The arguments are those of [`StreamableHttpService::new`].
    pub fn service<H, M>(
        &self,
        make_server: impl Fn() -> io::Result<H> + Send + Sync + 'static,
        session_manager: Arc<M>,
        config: StreamableHttpServerConfig,
    ) -> ProtectedServer<H, M>
    where
        H: ServerHandler,
        M: SessionManager,
    {
        let requirements = self.clone();
        let make_server = move || Ok(requirements.guard(make_server()?));
        let layer = self.layer().body_limit(config.max_request_body_bytes);
        let service = StreamableHttpService::new(make_server, session_manager, config);
        tower::Layer::layer(&layer, service)
    }

    /// The half around the server.
    pub fn guard<H>(&self, handler: H) -> GuardedHandler<H> {
        GuardedHandler::new(handler, self.clone())
    }

    /// The half before the server.
    pub fn layer(&self) -> StepUpLayer {
        StepUpLayer::new(self.clone())
    }
}

impl ToolRequirements {
    /// Whether `caller` may call all of `tools`.
    ///
    /// What is lacking for several comes in one challenge, not in one after the other (MCP
    /// authorization, *Server Scope Management*).
    pub(crate) fn decide(
        &self,
        tools: &BTreeSet<String>,
        caller: &TokenFacts,
    ) -> Result<(), Shortfall> {
        // However many names a body holds, there are no more requirements than tools.
        let declaring: BTreeSet<Option<&str>> =
            tools.iter().map(|tool| self.declaring(tool)).collect();
        let requirement =
            |tool: Option<&str>| tool.map_or(&*self.otherwise, |it| self.requirement(it));
        let mut requirements = declaring.into_iter().map(requirement);
        match (requirements.next(), requirements.next()) {
            (None, _) => Ok(()),
            (Some(only), None) => only.decide(caller),
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(requirements).cloned();
                Requirement::all(all).decide(caller)
            }
        }
    }

    /// `tool`, if it has a requirement of its own.
    fn declaring<'a>(&self, tool: &'a str) -> Option<&'a str> {
        self.by_tool
            .get(tool)
            .is_some_and(Option::is_some)
            .then_some(tool)
    }

    /// Whether `caller` is to see `tool` in the list.
    pub(crate) fn shows(&self, tool: &Tool, caller: &TokenFacts) -> bool {
        if self.is_unread(tool) {
            return false;
        }
        match self.requirement(&tool.name).decide(caller) {
            Ok(()) => true,
            Err(Shortfall::Scope(_)) => !self.hide_until_allowed,
            Err(_) => false,
        }
    }

    /// Whether the list changes when a caller comes back with more scopes.
    pub(crate) fn list_depends_on_scopes(&self) -> bool {
        self.hide_until_allowed
    }

    /// Whether nothing is known of a tool named `name`.
    pub(crate) fn is_unknown(&self, name: &str) -> bool {
        !self.by_tool.contains_key(name)
    }

    /// Whether `tool` declares something that was not read, so that nobody knows who may call it.
    pub(crate) fn is_unread(&self, tool: &Tool) -> bool {
        let unread = self.is_unknown(&tool.name) && declaration::declares(tool);
        if unread {
            let tool = &*tool.name;
            tracing::error!(
                tool,
                "ToolRequirements were not read from the router that serves"
            );
        }
        unread
    }
}

/// A server behind [`ToolRequirements`].
pub type ProtectedServer<H, M> = StepUp<StreamableHttpService<GuardedHandler<H>, M>>;

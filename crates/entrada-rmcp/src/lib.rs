//! Entrada for servers built with [rmcp]: who calls, as an argument of tools, and what each tool
//! requires of them.
//!
//! rmcp knows nothing of authentication on the server's side. Entrada's guard stands before its
//! [`StreamableHttpService`](rmcp::transport::StreamableHttpService); what it has verified travels
//! with every message, and [`CurrentUser`] takes it from there.
//!
//! ```
//! use entrada_rmcp::CurrentUser;
//! use rmcp::handler::server::router::tool::ToolRouter;
//! use rmcp::{ServerHandler, tool, tool_handler, tool_router};
//!
//! #[derive(Clone)]
//! struct Server {
//!     tool_router: ToolRouter<Self>,
//! }
//!
//! #[tool_router]
//! impl Server {
//!     /// Says who calls.
//!     #[tool]
//!     async fn whoami(&self, user: CurrentUser) -> String {
//!         user.subject.clone()
//!     }
//! }
//!
//! // Without `router`, rmcp builds the router anew for every call.
//! #[tool_handler(router = self.tool_router)]
//! impl ServerHandler for Server {}
//! ```
//!
//! What a tool requires is declared beside it, with [`requires`], and enforced by
//! [`ToolRequirements`]: a call that may not be made is answered with the challenge from which a
//! client learns which scopes to ask for, before the tool runs.
//!
//! A tool calls Microsoft Graph, or another API, as its caller with [`EntraOboToken`]; where Entra
//! wants to see the user for that, the client is sent to sign them in.

mod current_user;
mod declaration;
mod guarded_handler;
mod hold;
mod obo_token;
mod refusal;
mod step_up;
mod tool_calls;
mod tool_requirements;

pub use current_user::CurrentUser;
pub use declaration::{DeclarationError, requires, requires_with};
pub use guarded_handler::GuardedHandler;
pub use hold::Held;
pub use obo_token::EntraOboToken;
pub use step_up::{StepUp, StepUpLayer};
pub use tool_requirements::{ProtectedServer, ToolRequirements};

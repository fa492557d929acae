//! Entrada for servers built with [rmcp]: who calls, as an argument of tools.
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

mod current_user;
mod refusal;

pub use current_user::CurrentUser;

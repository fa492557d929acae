//! What stands in front of a protected resource: the guard, and the metadata that says where
//! tokens come from.
//!
//! [`RequireBearerLayer`] lets a request through once an
//! [`AccessTokenVerifier`](crate::access_token::AccessTokenVerifier) has vouched for its token.
//! Behind it, handlers find a [`VerifiedToken`](crate::VerifiedToken) in the request extensions
//! and no token. Whatever it refuses carries the [`Refusal`] in the response extensions.
//!
//! ```
//! use axum::Router;
//! use axum::routing::get;
//! use entrada::VerifiedToken;
//! use entrada::resource_server::RequireBearerLayer;
//!
//! fn app(guard: RequireBearerLayer) -> Router {
//!     Router::new().route("/whoami", get(whoami)).layer(guard)
//! }
//!
//! async fn whoami(token: VerifiedToken) -> String {
//!     token.subject.clone()
//! }
//! ```

mod bearer;
mod body;
mod challenge;
mod cors;
mod credentials;
mod extract;
mod future;
mod metadata;
mod origin;
mod possession;
mod protection;
mod refusal;
mod require;
mod session;
mod standing;

pub use crate::access_token::Caller;
pub use bearer::{RequireBearer, RequireBearerLayer};
pub use body::ResponseBody;
pub use extract::Unguarded;
pub use future::ResponseFuture;
pub(crate) use metadata::{Root, protected_resource_metadata_by};
pub use metadata::{protected_resource_metadata, resource_metadata_url};
pub use origin::{AllowedOrigin, AllowedOriginError};
pub use protection::Protection;
pub use refusal::Refusal;
pub use require::{Require, RequireFuture, RequireLayer};
pub use standing::Standing;

#[cfg(test)]
mod tests;

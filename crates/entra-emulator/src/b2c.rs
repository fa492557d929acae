//! Azure AD B2C: user flows, which are authorization servers of their own in one tenant.
//!
//! A user flow has its own metadata, its own grants and its own tokens; the tenant's keys sign for
//! all of them. What a request to the tenant does not say it wants of a user flow goes to the Entra
//! underneath.

mod address;
mod authorize;
mod documents;
pub(crate) mod error;
pub(crate) mod flow;
pub(crate) mod issue;
pub(crate) mod request;
pub(crate) mod scope;
pub(crate) mod state;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use crate::b2c::address::name_policy;
use crate::emulator::Shared;

pub(crate) fn router() -> Router<Arc<Shared>> {
    let flow = |endpoint: &str| format!("/{{tenant}}/{{policy}}/{endpoint}");
    Router::new()
        .route(
            &flow("v2.0/.well-known/openid-configuration"),
            get(documents::metadata),
        )
        .route(&flow("discovery/v2.0/keys"), get(documents::keys))
        .route(
            &flow("oauth2/v2.0/authorize"),
            get(authorize::authorize).post(authorize::authorize),
        )
        .route(&flow("oauth2/v2.0/token"), post(token::token))
        .route(&flow("oauth2/v2.0/logout"), get(authorize::logout))
        .route(&flow("login"), post(authorize::login))
}

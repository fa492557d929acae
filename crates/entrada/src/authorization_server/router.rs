//! Where each endpoint is, and what every answer has.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use http::{HeaderValue, Method, StatusCode, header};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use super::limits::Limited;
use super::{
    AuthorizationServer, approved_apps, authorize, awaited_keys, callback, consent, correlation,
    limits, metadata, register, revoke, sign_in_again, token,
};
use crate::dpop::DPOP_NONCE;

/// How large a request to any of our endpoints may be.
const BODY_LIMIT: usize = 64 * 1024;

impl AuthorizationServer {
    /// Our keys alone: where no tokens are issued, servers verify with them what they are told of callers.
    pub(crate) fn keys_router(&self) -> Router {
        self.finished(self.published_keys().layer(cross_origin()))
    }

    fn published_keys(&self) -> Router<Self> {
        let path = self.0.endpoints.path("/.well-known/jwks.json");
        let with_keys = middleware::from_fn_with_state(self.clone(), awaited_keys::wait);
        Router::new().route(&path, get(metadata::jwks).route_layer(with_keys))
    }

    /// What every answer of ours has.
    fn finished(&self, router: Router<Self>) -> Router {
        router
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .layer(self.transport_security())
            .layer(middleware::from_fn_with_state(
                self.clone(),
                correlation::correlate,
            ))
            .with_state(self.clone())
    }

    /// The endpoints, to be mounted at the root of the origin.
    pub(crate) fn router(&self) -> Router {
        let at = |path: &str| self.0.endpoints.path(path);
        let limited = |what| middleware::from_fn_with_state((self.clone(), what), limits::limit);
        let with_keys = || middleware::from_fn_with_state(self.clone(), awaited_keys::wait);
        let browser = Router::new()
            .route(
                &at("/authorize"),
                get(authorize::get).post(authorize::post).head(not_by_head),
            )
            .route(&at("/consent"), post(consent::post))
            .route(
                &at("/sign-in-again"),
                get(sign_in_again::get)
                    .post(sign_in_again::post)
                    .head(not_by_head),
            )
            .route(
                &at(approved_apps::PATH),
                get(approved_apps::get)
                    .post(approved_apps::post)
                    .head(not_by_head),
            )
            .route(
                &at(&self.0.config.redirect_path),
                get(callback::get).head(not_by_head),
            )
            .route_layer(with_keys())
            .route_layer(limited(Limited::Authorize));
        let registration = Router::new()
            .route(&at("/register"), post(register::post))
            .route_layer(with_keys())
            .route_layer(limited(Limited::Register));
        let mut machine = Router::new()
            .route(&at("/token"), post(token::post))
            .route(&at("/revoke"), post(revoke::post))
            .route_layer(with_keys())
            .route_layer(limited(Limited::Token))
            .merge(registration)
            .merge(self.published_keys())
            .route(
                "/.well-known/oauth-authorization-server",
                get(metadata::get),
            );
        // OpenID Connect would promise ID tokens, and half a document stops clients that look for
        // it first: there is none, even where the protected server has the root of the origin.
        let absent = || get(async || StatusCode::NOT_FOUND);
        machine = machine.route("/.well-known/openid-configuration", absent());
        let inserted = self.0.config.issuer.path();
        if !inserted.is_empty() {
            let path = format!("/.well-known/oauth-authorization-server{inserted}");
            machine = machine
                .route(&path, get(metadata::get))
                .route(
                    &format!("/.well-known/openid-configuration{inserted}"),
                    absent(),
                )
                .route(
                    &format!("{inserted}/.well-known/openid-configuration"),
                    absent(),
                );
        }
        self.finished(browser.merge(machine.layer(cross_origin())))
    }

    /// `Strict-Transport-Security`, where there is transport security (RFC 6797 §7.2).
    fn transport_security(&self) -> SetResponseHeaderLayer<Option<HeaderValue>> {
        let year = HeaderValue::from_static("max-age=31536000");
        let value = self.0.endpoints.secure.then_some(year);
        SetResponseHeaderLayer::if_not_present(header::STRICT_TRANSPORT_SECURITY, value)
    }
}

/// A browser that only looks ahead must not spend a code or open a login.
async fn not_by_head() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

/// Any page may read these endpoints: they take no cookie (OAuth 2.1, *Browser-Based Apps*).
fn cross_origin() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER, DPOP_NONCE])
        .max_age(Duration::from_secs(600))
}

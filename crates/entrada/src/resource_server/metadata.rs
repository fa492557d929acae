//! The protected resource metadata document (RFC 9728 §3).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use http::Method;
use http::header::CACHE_CONTROL;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use url::Url;

use crate::oauth::metadata::ProtectedResourceMetadata;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where the metadata of `resource` stands: the well-known path comes before its own path
/// (RFC 9728 §3.1).
pub fn resource_metadata_url(resource: &Url) -> Url {
    let mut url = resource.clone();
    url.set_path(&format!("{WELL_KNOWN}{}", path_of(resource)));
    url
}

/// Serves `document` under the path of `resource`, and at the root for clients that look nowhere
/// else. Any web page may read it.
pub fn protected_resource_metadata(resource: &Url, document: &ProtectedResourceMetadata) -> Router {
    let document = Arc::new(document.clone());
    protected_resource_metadata_by(resource, Root::Too, move || {
        let document = Arc::clone(&document);
        async move { ProtectedResourceMetadata::clone(&document) }
    })
}

/// Whose metadata stands at the root of the host, for clients that look nowhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Root {
    /// That of this server, too.
    Too,
    /// That of another.
    Others,
}

/// The same for a document that must be asked for.
pub(crate) fn protected_resource_metadata_by<F>(
    resource: &Url,
    root: Root,
    document: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Router
where
    F: Future<Output = ProtectedResourceMetadata> + Send + 'static,
{
    let answer = move || {
        let document = document();
        async move { answer(&document.await) }
    };
    let mut paths = paths(resource);
    if let Root::Too = root {
        paths.insert(WELL_KNOWN.to_owned());
    }
    at_paths(paths, &get(answer))
}

/// Where the document of `resource` stands.
fn paths(resource: &Url) -> BTreeSet<String> {
    let path = path_of(resource);
    // Clients differ on whether a trailing slash of the resource belongs to the path.
    let bare = path.trim_end_matches('/');
    [path.to_owned(), bare.to_owned(), format!("{bare}/")]
        .map(|path| format!("{WELL_KNOWN}{path}"))
        .into()
}

/// `document` at each of `paths`, for any web page.
fn at_paths(paths: BTreeSet<String>, document: &MethodRouter) -> Router {
    let mut router = Router::new().without_v07_checks();
    for path in paths {
        router = router.route(&path, document.clone());
    }
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET])
        .allow_headers(AllowHeaders::mirror_request());
    router.layer(cors)
}

fn answer(document: &ProtectedResourceMetadata) -> Response {
    let cached = [(CACHE_CONTROL, "public, max-age=3600")];
    (cached, Json(document)).into_response()
}

/// The path that is put behind the well-known one: none for a resource at the root.
fn path_of(resource: &Url) -> &str {
    match resource.path() {
        "/" => "",
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::oauth::issuer::Issuer;
    use crate::oauth::resource::ResourceIndicator;
    use crate::oauth::scope::ScopeToken;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn router(resource: &str) -> Router {
        let mut document = ProtectedResourceMetadata::new(
            &ResourceIndicator::parse(resource).unwrap(),
            vec![Issuer::parse("https://h").unwrap()],
        );
        document.scopes_supported = vec![ScopeToken::parse("mcp.read").unwrap()];
        protected_resource_metadata(&url(resource), &document)
    }

    fn get(path: &str) -> Request<Body> {
        let request = Request::get(path).header("origin", "https://anywhere.example");
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn the_well_known_path_comes_first() {
        let root = "https://h/.well-known/oauth-protected-resource";
        for (resource, expected) in [
            ("https://h", root.to_owned()),
            ("https://h/", root.to_owned()),
            ("https://h/mcp", format!("{root}/mcp")),
            ("https://h/a/b/", format!("{root}/a/b/")),
        ] {
            assert_eq!(resource_metadata_url(&url(resource)).as_str(), expected);
        }
    }

    #[tokio::test]
    async fn the_document_stands_at_the_path_and_at_the_root() {
        let root = "/.well-known/oauth-protected-resource";
        for (resource, path, expected) in [
            ("https://h/mcp", "", StatusCode::OK),
            ("https://h/mcp", "/mcp", StatusCode::OK),
            ("https://h/mcp", "/mcp/", StatusCode::OK),
            ("https://h/mcp/", "/mcp", StatusCode::OK),
            ("https://h/mcp", "/other", StatusCode::NOT_FOUND),
            ("https://h", "", StatusCode::OK),
            ("https://h/", "/mcp", StatusCode::NOT_FOUND),
            ("https://h/:id/*rest", "/:id/*rest", StatusCode::OK),
            ("https://h/{id}", "/%7Bid%7D", StatusCode::OK),
        ] {
            let request = get(&format!("{root}{path}"));
            let response = router(resource).oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected, "{resource} {path}");
        }
    }

    #[tokio::test]
    async fn the_document_is_whole_and_for_everyone() {
        let request = get("/.well-known/oauth-protected-resource/mcp");
        let response = router("https://h/mcp").oneshot(request).await.unwrap();
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["cache-control"], "public, max-age=3600");
        assert_eq!(headers["content-type"], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "resource": "https://h/mcp",
                "authorization_servers": ["https://h"],
                "scopes_supported": ["mcp.read"],
                "bearer_methods_supported": ["header"],
            })
        );
    }

    #[tokio::test]
    async fn a_preflight_may_name_any_header() {
        let request = Request::options("/.well-known/oauth-protected-resource")
            .header("origin", "https://anywhere.example")
            .header("access-control-request-method", "GET")
            .header(
                "access-control-request-headers",
                "authorization,mcp-protocol-version",
            )
            .body(Body::empty())
            .unwrap();
        let response = router("https://h/mcp").oneshot(request).await.unwrap();
        assert!(response.status().is_success());
        assert_eq!(
            response.headers()["access-control-allow-headers"],
            "authorization,mcp-protocol-version"
        );
    }
}

//! The three ways to name a user flow, brought into one before a request is routed.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, Uri};
use url::form_urlencoded;

use crate::b2c::error::Aadb2c;
use crate::b2c::flow::{Flow, Style};
use crate::directory::Directory;
use crate::directory::tenant::TenantKind;
use crate::emulator::{Call, Shared};

/// Writes `?p={policy}` and `/tfp/` as the path `/{tenant}/{policy}/…`, and remembers it.
pub(crate) async fn name_policy(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let named = rewritten(request.uri(), &shared.state().directory);
    if let Some((uri, style)) = named {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(style);
    }
    next.run(request).await
}

fn rewritten(uri: &Uri, directory: &Directory) -> Option<(Uri, Style)> {
    let is_b2c = |segment: &str| {
        let tenant = directory.tenant(segment);
        tenant.is_some_and(|tenant| tenant.kind == TenantKind::B2c)
    };
    let path = uri.path().strip_prefix('/')?;
    let (segment, rest) = path.split_once('/')?;
    if segment == "tfp" {
        let (tenant, _) = rest.split_once('/')?;
        return is_b2c(tenant).then(|| with_path(uri, rest, Style::TfpPath))?;
    }
    let known = ["oauth2/", "discovery/", "v2.0/"];
    if !is_b2c(segment) || !known.iter().any(|prefix| rest.starts_with(prefix)) {
        return None;
    }
    let policy = form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(name, _)| name.eq_ignore_ascii_case("p"))
        .map(|(_, value)| value.into_owned())?;
    let policy: String = form_urlencoded::byte_serialize(policy.as_bytes()).collect();
    with_path(uri, &format!("{segment}/{policy}/{rest}"), Style::Query)
}

fn with_path(uri: &Uri, path: &str, style: Style) -> Option<(Uri, Style)> {
    let query = uri.query().map(|query| format!("?{query}"));
    let target = format!("/{path}{}", query.unwrap_or_default());
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Some((Uri::from_parts(parts).ok()?, style))
}

/// The user flow a path names.
#[derive(Debug)]
pub(super) struct FlowPath(pub(super) Flow);

impl FromRequestParts<Arc<Shared>> for FlowPath {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let path = Path::<(String, String)>::from_request_parts(parts, shared).await;
        let Path((segment, policy)) = path.map_err(IntoResponse::into_response)?;
        let style = parts.extensions.get::<Style>().copied();
        let state = shared.state();
        let directory = &state.directory;
        let style = style.unwrap_or(Style::Path);
        if let Some(flow) = Flow::find(&segment, &policy, style, directory) {
            return Ok(Self(flow));
        }
        let tenant = directory.tenant(&segment);
        let tenant = tenant.filter(|tenant| tenant.kind == TenantKind::B2c);
        match (tenant, parts.extensions.get::<Call>()) {
            (Some(tenant), Some(call)) => {
                let tenant = tenant.domain.clone();
                Err(Aadb2c::UnknownPolicy { policy, tenant }.into_answer(call))
            }
            _ => Err(StatusCode::NOT_FOUND.into_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_in_the_query_or_behind_tfp_becomes_part_of_the_path() {
        let directory = Directory::default();
        for (uri, wanted) in [
            (
                "https://h/contosob2c.onmicrosoft.com/oauth2/v2.0/token?p=B2C_1_x",
                Some("/contosob2c.onmicrosoft.com/B2C_1_x/oauth2/v2.0/token?p=B2C_1_x"),
            ),
            (
                "/contosob2c.onmicrosoft.com/v2.0/.well-known/openid-configuration?P=a/../b",
                Some(
                    "/contosob2c.onmicrosoft.com/a%2F..%2Fb/v2.0/.well-known/openid-configuration?P=a/../b",
                ),
            ),
            (
                "/tfp/contosob2c.onmicrosoft.com/b/discovery/v2.0/keys",
                Some("/contosob2c.onmicrosoft.com/b/discovery/v2.0/keys"),
            ),
            ("/contosob2c.onmicrosoft.com/oauth2/v2.0/token", None),
            ("/contoso.onmicrosoft.com/oauth2/v2.0/token?p=x", None),
            ("/tfp/contoso.onmicrosoft.com/b/discovery/v2.0/keys", None),
            ("/tfp", None),
            ("/", None),
        ] {
            let rewritten = rewritten(&uri.parse().unwrap(), &directory);
            let path = rewritten.map(|(uri, _)| uri.path_and_query().unwrap().to_string());
            assert_eq!(path.as_deref(), wanted, "{uri}");
        }
    }
}

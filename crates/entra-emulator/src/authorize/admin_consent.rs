//! An administrator's consent by URL: sign in, look at the permissions, accept for everybody.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use url::form_urlencoded;

use crate::authorize::Visit;
use crate::authorize::claims::ClaimsRequest;
use crate::authorize::interaction::Interaction;
use crate::authorize::redirect_uri::Redirect;
use crate::authorize::request::{
    AuthorizeRequest, Parameters, Purpose, ResponseType, Scope, find_client,
};
use crate::authorize::response::{ResponseMode, ReturnAddress};
use crate::authorize::session::browser_cookie;
use crate::authorize::tenant::TenantSpecifier;
use crate::directory::Directory;
use crate::emulator::{Call, Shared};
use crate::error::Aadsts;
use crate::faults::Endpoint;
use crate::quirks::Quirks;
use crate::version::Version;

/// `GET /{tenant}/v2.0/adminconsent`. Its errors stay on a page until the user decides.
pub(super) async fn admin_consent(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(segment): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Authorize], &call).await {
        return answer;
    }
    let text = query.unwrap_or_default();
    let pairs = form_urlencoded::parse(text.as_bytes()).into_owned();
    let visit = Visit {
        shared: &shared,
        call: &call,
        browser: browser_cookie(&headers),
    };
    let mut state = shared.state();
    let parsed = Parameters::new(pairs.collect()).and_then(|parameters| {
        request(
            &segment,
            &parameters,
            &state.directory,
            &shared.options.quirks,
        )
    });
    match parsed {
        Err(error) => visit.refuse(&error.into(), false),
        Ok(request) => visit.go_on(&mut state, Interaction::new(segment, request), None),
    }
}

fn request(
    segment: &str,
    parameters: &Parameters,
    directory: &Directory,
    quirks: &Quirks,
) -> Result<AuthorizeRequest, Aadsts> {
    let specifier = TenantSpecifier::parse(segment, directory)?;
    let app = find_client(parameters.require("client_id")?, &specifier, directory)?;
    let redirect = Redirect::parse(Some(parameters.require("redirect_uri")?), app)?;
    let scope = Scope {
        version: Version::V2,
        quirks,
        specifier: &specifier,
        app,
    };
    Ok(AuthorizeRequest {
        purpose: Purpose::AdminConsent,
        version: Version::V2,
        client_id: app.client_id.clone(),
        return_address: ReturnAddress {
            uri: redirect.uri.clone(),
            mode: ResponseMode::Query,
            state: parameters.owned("state"),
        },
        response_type: ResponseType {
            code: false,
            id_token: false,
        },
        asked: scope.parse(parameters, directory)?,
        nonce: None,
        prompt: None,
        login_hint: parameters.owned("login_hint"),
        challenge: None,
        claims: ClaimsRequest::default(),
        client_info: false,
        instance_aware: false,
        specifier,
        redirect,
    })
}

/// What an administrator who does not consent sends back.
pub(super) fn cancelled(address: &ReturnAddress) -> Response {
    address.send(vec![
        ("error", "permission_denied".to_owned()),
        (
            "error_description",
            "The admin canceled the request".to_owned(),
        ),
    ])
}

/// What an administrator who consents sends back.
pub(super) fn granted(request: &AuthorizeRequest, tenant_id: &str) -> Response {
    request.return_address.send(vec![
        ("admin_consent", "True".to_owned()),
        ("tenant", tenant_id.to_owned()),
        ("scope", request.asked.text.clone()),
    ])
}

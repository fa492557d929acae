//! The pages people see. They hold no script, but for the one line that posts a form back.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::calendar::timestamp;
use crate::emulator::Call;
use crate::error::Aadsts;

/// Asks for name and password.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignInPage<'a> {
    pub(crate) action: &'a str,
    pub(crate) context: &'a str,
    pub(crate) application: &'a str,
    pub(crate) hint: &'a str,
    pub(crate) problem: Option<String>,
    /// Whether the user may say that the password is forgotten.
    pub(crate) forgettable: bool,
}

/// Asks which signed-in account to go on with.
#[derive(Template)]
#[template(path = "pick_account.html")]
pub(crate) struct PickAccountPage<'a> {
    pub(crate) action: &'a str,
    pub(crate) context: &'a str,
    pub(crate) application: &'a str,
    pub(crate) accounts: &'a [(String, String)],
}

/// Asks for the second factor.
#[derive(Template)]
#[template(path = "second_factor.html")]
pub(crate) struct SecondFactorPage<'a> {
    pub(crate) action: &'a str,
    pub(crate) context: &'a str,
    pub(crate) username: &'a str,
    pub(crate) problem: Option<String>,
}

/// Asks for consent.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    pub(crate) action: &'a str,
    pub(crate) context: &'a str,
    pub(crate) application: &'a str,
    pub(crate) publisher: &'a str,
    pub(crate) username: &'a str,
    pub(crate) permissions: &'a [Permission],
    /// Whether the user is asked to consent for everybody, and for nobody less.
    pub(crate) everybody: bool,
    /// Whether the user may consent for everybody.
    pub(crate) admin: bool,
}

/// One line of the consent page.
#[derive(Debug)]
pub(crate) struct Permission {
    pub(crate) description: String,
    pub(crate) name: String,
}

/// Tells that nothing can be done.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    label: String,
    message: String,
    trace: &'a str,
    correlation: &'a str,
    timestamp: String,
}

/// Tells that the browser is signed out.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOutPage;

/// Asks for the code a device shows.
#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage<'a> {
    problem: Option<&'a str>,
}

/// Tells how a device's sign-in ended.
#[derive(Template)]
#[template(path = "device_result.html")]
struct DeviceResultPage {
    signed_in: bool,
}

/// Posts parameters back (OAuth 2.0 Form Post Response Mode).
#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPost<'a> {
    action: &'a str,
    fields: &'a [(&'static str, String)],
}

/// The error page: Entra gives it status 200, and says the real one in its text.
pub(crate) fn error_page(error: &Aadsts, strict: bool, call: &Call) -> Response {
    let label = format!("AADSTS{}", error.code());
    problem_page(label, error.to_string(), strict, call)
}

/// The same for an error of whatever name.
pub(crate) fn problem_page(label: String, message: String, strict: bool, call: &Call) -> Response {
    let status = if strict {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let html = ErrorPage {
        label,
        message,
        trace: &call.ids.trace,
        correlation: &call.ids.correlation,
        timestamp: timestamp(call.now),
    }
    .render();
    page(status, html)
}

/// The page that asks for the code a device shows.
pub(crate) fn device_page(problem: Option<&str>) -> Response {
    page(StatusCode::OK, DevicePage { problem }.render())
}

/// The page that tells how a device's sign-in ended.
pub(crate) fn device_result_page(signed_in: bool) -> Response {
    page(StatusCode::OK, DeviceResultPage { signed_in }.render())
}

/// The page that posts parameters back, the only one with a script.
pub(crate) fn form_post_page(action: &str, fields: &[(&'static str, String)]) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; frame-ancestors 'none'";
    let mut response = page(StatusCode::OK, FormPost { action, fields }.render());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// A rendered page with the headers every page has.
pub(crate) fn page(status: StatusCode, html: askama::Result<String>) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store, no-cache"),
        (X_FRAME_OPTIONS, "DENY"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ];
    match html {
        Ok(html) => (status, HEADERS, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

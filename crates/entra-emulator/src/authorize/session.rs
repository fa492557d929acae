//! The cookie that says which browser this is.

use axum::response::Response;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

const NAME: &str = "ESTSAUTH";

pub(crate) fn browser_cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == NAME)
        .map(|(_, value)| value.to_owned())
}

pub(crate) fn remember_cookie(response: Response, browser: &str, base: &str) -> Response {
    set(
        response,
        &format!("{NAME}={browser}; Path=/; HttpOnly{}", attributes(base)),
    )
}

pub(crate) fn forget_cookie(response: Response, base: &str) -> Response {
    set(
        response,
        &format!("{NAME}=; Path=/; HttpOnly; Max-Age=0{}", attributes(base)),
    )
}

// Without TLS a browser refuses what may be sent across sites.
fn attributes(base: &str) -> &'static str {
    if base.starts_with("https:") {
        "; Secure; SameSite=None"
    } else {
        "; SameSite=Lax"
    }
}

fn set(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

//! The headers of everything a browser is shown.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::oauth::redirect_uri::RedirectUri;

/// The style of every page.
pub(super) const STYLE: &str = concat!(
    include_str!("../../../templates/base.css"),
    include_str!("../../../templates/page.css")
);

/// The source expression of [`STYLE`] (CSP 3 §2.3.1).
static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| {
    let digest = digest(&SHA256, STYLE.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest))
});

/// What every page is sent with.
///
/// `Cross-Origin-Opener-Policy` is left out on purpose: any value but the default cuts a web
/// client off from the popup it opened, and it then believes that the user closed it.
pub(crate) fn page(form_action: &str) -> HeaderMap {
    let mut headers = private();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // For browsers that do not know frame-ancestors (RFC 9700 §4.16).
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy(form_action));
    headers
}

/// What keeps a response between us and this browser.
pub(super) fn private() -> HeaderMap {
    HeaderMap::from_iter([
        (
            header::CACHE_CONTROL,
            const { HeaderValue::from_static("no-store") },
        ),
        (
            header::REFERRER_POLICY,
            const { HeaderValue::from_static("no-referrer") },
        ),
    ])
}

fn policy(form_action: &str) -> HeaderValue {
    let style = &*STYLE_SOURCE;
    HeaderValue::try_from(format!(
        "default-src 'none'; style-src {style}; base-uri 'none'; frame-ancestors 'none'; \
         form-action {form_action}"
    ))
    .unwrap_or(const { HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'") })
}

/// The sources a form may end at that sends people to Entra (CSP 3 §6.1.10).
///
/// Chrome and Safari hold every redirect after a form against them: Entra, then whatever identity
/// provider the user's organisation signs in with, then perhaps the client.
pub(crate) fn form_action(redirect: Option<&RedirectUri>, extra: &str) -> String {
    let mut sources = "'self' https:".to_owned();
    let client = redirect.and_then(RedirectUri::form_action);
    for source in extra.split(' ').chain(client.as_deref()) {
        if is_plain(source) && !source.starts_with("https:") {
            sources.push(' ');
            sources.push_str(source);
        }
    }
    sources
}

/// Whether `source` is one expression: the host of a URL may hold `;` and `,`, which would end
/// the directive.
fn is_plain(source: &str) -> bool {
    !source.is_empty()
        && source
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-./:_".contains(&byte))
}

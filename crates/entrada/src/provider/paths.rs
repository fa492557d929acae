//! Which paths are the authorization server's own.

use url::Url;

/// Whether the authorization server has an endpoint at `path`, below the base URL.
pub(super) fn is_own(path: &str) -> bool {
    OWN.contains(&path) || path == WELL_KNOWN || path.starts_with(&format!("{WELL_KNOWN}/"))
}

/// Whether a resource can be mounted at `resource`, where nothing but its metadata is besides: the
/// well-known paths are the host's (RFC 8615 §3), and no segment may read as a pattern.
pub(super) fn is_mountable(resource: &Url) -> bool {
    let pattern = |segment: &str| segment.starts_with([':', '*', '{']);
    let path = resource.path();
    !path.starts_with(WELL_KNOWN) && !path.split('/').any(pattern)
}

/// Whether it can be beside the authorization server: neither that nor the callback at
/// `redirect_path` is there.
pub(super) fn is_free(resource: &Url, base_url: &Url, redirect_path: &str) -> bool {
    let path = resource.path().trim_end_matches('/');
    let prefix = base_url.path().trim_end_matches('/');
    let below = path.strip_prefix(prefix).unwrap_or_default();
    is_mountable(resource) && !is_own(below) && below != redirect_path
}

const OWN: [&str; 7] = [
    "/authorize",
    "/consent",
    "/register",
    "/revoke",
    "/approved-apps",
    "/sign-in-again",
    "/token",
];

const WELL_KNOWN: &str = "/.well-known";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_takes_no_path_of_the_authorization_server() {
        for (base_url, resource, free) in [
            ("https://h/", "https://h/mcp", true),
            ("https://h/", "https://h/", true),
            ("https://h/", "https://h/auth", true),
            ("https://h/", "https://h/tokens", true),
            ("https://h/", "https://h/token", false),
            ("https://h/", "https://h/token/", false),
            ("https://h/", "https://h/auth/callback", false),
            ("https://h/", "https://h/.well-known/jwks.json", false),
            ("https://h/", "https://h/*", false),
            ("https://h/a", "https://h/a/consent", false),
            ("https://h/a", "https://h/consent", true),
            ("https://h/a", "https://h/.well-known", false),
        ] {
            let (base_url, resource) = (base_url.parse().unwrap(), resource.parse().unwrap());
            let found = is_free(&resource, &base_url, "/auth/callback");
            assert_eq!(found, free, "{resource} at {base_url}");
        }
    }
}

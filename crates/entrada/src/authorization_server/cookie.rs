//! The cookies of a login, and of those who come back.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

use crate::grant::LOGIN_LIFETIME;
use crate::platform::SecureRandom;
use crate::secret::{BrowserBinding, UpstreamState};

/// How our cookies are named on one origin.
///
/// On https the prefix `__Host-` keeps neighbouring hosts from setting them (RFC 6265bis
/// §4.1.3.2); plain http, which is for loopback, cannot have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cookies {
    secure: bool,
}

/// Holds a browser across consent pages, so that a form posted from elsewhere is told apart.
const BROWSER: &str = "entrada-browser";

/// Binds one login to the browser that approved it.
const LOGIN: &str = "entrada-login";

/// Says who used a browser last.
const USER: &str = "entrada-user";

/// Says who signed in to see their apps.
const SESSION: &str = "entrada-session";

impl Cookies {
    pub(super) fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// The browser's own cookie, if it has one.
    pub(super) fn browser(self, headers: &HeaderMap) -> Option<BrowserBinding> {
        binding(value_of(headers, &self.name(BROWSER))?)
    }

    /// The browser's own cookie, or a new one and the header that sets it.
    pub(super) fn browser_or_new(
        self,
        headers: &HeaderMap,
        random: &dyn SecureRandom,
    ) -> (BrowserBinding, HeaderValue) {
        let binding = self
            .browser(headers)
            .unwrap_or_else(|| BrowserBinding::generate(random));
        let cookie = self.set(&self.name(BROWSER), binding.expose());
        (binding, cookie)
    }

    /// The cookie of the login that `state` names.
    pub(super) fn login(
        self,
        headers: &HeaderMap,
        state: &UpstreamState,
    ) -> Option<BrowserBinding> {
        binding(value_of(headers, &self.login_name(state))?)
    }

    /// Sets the cookie of the login that `state` names.
    pub(super) fn set_login(self, state: &UpstreamState, binding: &BrowserBinding) -> HeaderValue {
        self.set(&self.login_name(state), binding.expose())
    }

    /// Removes the cookie of the login that `state` names.
    pub(super) fn clear_login(self, state: &UpstreamState) -> HeaderValue {
        self.written(&self.login_name(state), "", 0)
    }

    /// Who used the browser last, sealed.
    pub(super) fn user(self, headers: &HeaderMap) -> Option<&str> {
        value_of(headers, &self.name(USER))
    }

    /// Says who used the browser last.
    pub(super) fn set_user(self, sealed: &str, lifetime: Duration) -> HeaderValue {
        self.written(&self.name(USER), sealed, lifetime.as_secs())
    }

    /// Forgets who that was.
    pub(super) fn clear_user(self) -> HeaderValue {
        self.written(&self.name(USER), "", 0)
    }

    /// Who signed in to see their apps, sealed.
    pub(super) fn session(self, headers: &HeaderMap) -> Option<&str> {
        value_of(headers, &self.name(SESSION))
    }

    /// Says who signed in to see their apps.
    pub(super) fn set_session(self, sealed: &str) -> HeaderValue {
        self.set(&self.name(SESSION), sealed)
    }

    /// Signs them out.
    pub(super) fn clear_session(self) -> HeaderValue {
        self.written(&self.name(SESSION), "", 0)
    }

    /// One cookie for each login, so that two tabs do not fight over it.
    fn login_name(self, state: &UpstreamState) -> String {
        let digest = state.hashed();
        let short = digest.as_bytes().get(..9).unwrap_or_default();
        format!("{}-{}", self.name(LOGIN), URL_SAFE_NO_PAD.encode(short))
    }

    fn name(self, name: &str) -> String {
        let prefix = if self.secure { "__Host-" } else { "" };
        format!("{prefix}{name}")
    }

    fn set(self, name: &str, value: &str) -> HeaderValue {
        self.written(name, value, LOGIN_LIFETIME.as_secs())
    }

    fn written(self, name: &str, value: &str, max_age: u64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
        let mut cookie = HeaderValue::try_from(text).expect("names and values are base64url");
        cookie.set_sensitive(true);
        cookie
    }
}

/// The value of one cookie, if it has the form ours have (RFC 6265 §4.2.1).
fn value_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| known.trim() == name)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let value = value.trim();
    (!value.is_empty() && value.bytes().all(fits)).then_some(value)
}

/// The binding a cookie holds, if it has the length of ours.
fn binding(value: &str) -> Option<BrowserBinding> {
    (value.len() == 43).then(|| BrowserBinding::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::SystemRandom;

    #[test]
    fn cookies_come_back_and_strangers_do_not() {
        let random = SystemRandom::default();
        let state = UpstreamState::generate(&random);
        let binding = BrowserBinding::generate(&random);
        for secure in [false, true] {
            let cookies = Cookies::new(secure);
            let set = cookies.set_login(&state, &binding);
            let text = set.to_str().unwrap();
            assert_eq!(text.starts_with("__Host-"), secure);
            assert_eq!(text.contains("; Secure"), secure);
            assert!(text.contains("; HttpOnly; SameSite=Lax"));
            let mut headers = HeaderMap::new();
            let pair = text.split(';').next().unwrap();
            headers.insert(header::COOKIE, format!("a=b; {pair}").parse().unwrap());
            let found = cookies.login(&headers, &state).unwrap();
            assert_eq!(found.expose(), binding.expose());
            assert!(
                cookies
                    .login(&headers, &UpstreamState::generate(&random))
                    .is_none()
            );
            // On https the name anybody may set is not read.
            assert!(Cookies::new(!secure).login(&headers, &state).is_none());
        }
    }

    #[test]
    fn a_value_of_another_form_is_no_cookie_of_ours() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "entrada-browser=short".parse().unwrap());
        assert!(Cookies::new(false).browser(&headers).is_none());
    }
}

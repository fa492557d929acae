//! The cookies of an operator: none of them is sent to the public address, nor has its name.

use http::{HeaderMap, HeaderValue, header};

/// Who is signed in. No other site's link or form brings it along.
pub(super) const SESSION: Cookie = Cookie {
    name: "entrada-admin",
    same_site: "Strict",
    max_age: super::session::LONGEST.as_secs(),
};

/// A login under way. Entra's page is another site, and its link must bring it along.
pub(super) const LOGIN: Cookie = Cookie {
    name: "entrada-admin-login",
    same_site: "Lax",
    max_age: crate::grant::LOGIN_LIFETIME.as_secs(),
};

#[derive(Clone, Copy, Debug)]
pub(super) struct Cookie {
    name: &'static str,
    same_site: &'static str,
    max_age: u64,
}

impl Cookie {
    /// Its value, if it has one that we would have set.
    pub(super) fn value(self, headers: &HeaderMap, is_https: bool) -> Option<&str> {
        let name = self.full_name(is_https);
        let lines = headers.get_all(header::COOKIE).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let mut pairs = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(known, _)| known.trim() == name)?;
        Some(value.trim())
    }

    pub(super) fn set(self, value: &str, is_https: bool) -> HeaderValue {
        self.written(value, self.max_age, is_https)
    }

    pub(super) fn clear(self, is_https: bool) -> HeaderValue {
        self.written("", 0, is_https)
    }

    fn written(self, value: &str, max_age: u64, is_https: bool) -> HeaderValue {
        let (name, same_site) = (self.full_name(is_https), self.same_site);
        let secure = if is_https { "; Secure" } else { "" };
        let text = format!(
            "{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite={same_site}{secure}"
        );
        let mut cookie = HeaderValue::try_from(text).expect("names and values are base64url");
        cookie.set_sensitive(true);
        cookie
    }

    /// On https no neighbouring host can set one of that name (RFC 6265bis §4.1.3.2).
    fn full_name(self, is_https: bool) -> String {
        let prefix = if is_https { "__Host-" } else { "" };
        format!("{prefix}{}", self.name)
    }
}

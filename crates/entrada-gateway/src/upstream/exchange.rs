//! A token that goes to the MCP server in place of the caller's own (Microsoft, *on-behalf-of flow*).

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use entrada::VerifiedToken;
use entrada::oauth::claims_request::ClaimsRequest;
use entrada::on_behalf_of::{DownstreamRequest, OboError};
use entrada::secret::EntraAccessToken;

use crate::upstream::error::ForwardError;
use crate::upstream::headers::is_ours;

/// What the caller's token is exchanged for, and where that is put.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exchange {
    scope: String,
    header: HeaderName,
    app_only_fallback: bool,
}

impl Exchange {
    /// Exchanges the caller's token for one with `scope` of one API, and sends it as
    /// `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// What is wrong with the scope.
    pub fn new(scope: impl Into<String>) -> Result<Self, String> {
        let scope = scope.into();
        match DownstreamRequest::new(&scope).mistake() {
            Some(mistake) => Err(mistake.to_string()),
            None => Ok(Self {
                scope,
                header: AUTHORIZATION,
                app_only_fallback: false,
            }),
        }
    }

    /// Sends it in this header instead, by itself. Whatever a client sends by that name is dropped.
    #[must_use]
    pub fn header(self, header: HeaderName) -> Self {
        Self { header, ..self }
    }

    /// Where the caller is an application, sends a token that speaks for our own app registration.
    ///
    /// # Security
    ///
    /// Every application that is let in then does, at the MCP server's API, what ours may do.
    #[must_use]
    pub fn allow_app_only_fallback(self) -> Self {
        Self {
            app_only_fallback: true,
            ..self
        }
    }

    /// The scopes it asks for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Reads the name of a header that may hold the token.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn parse_header(name: &str) -> Result<HeaderName, String> {
        let header: HeaderName = name
            .parse()
            .map_err(|_| "write the name of a header, such as X-Graph-Token".to_owned())?;
        if header != AUTHORIZATION && is_ours(&header) {
            return Err("that header means something else: choose another".to_owned());
        }
        Ok(header)
    }

    /// Gets the token for `caller`, as the header holds it.
    pub(crate) async fn token(&self, caller: &VerifiedToken) -> Result<HeaderValue, OboError> {
        let token = caller.downstream_token(self.request()).await?;
        Ok(self.value(&token))
    }

    fn request(&self) -> DownstreamRequest<'_> {
        let request = DownstreamRequest::new(&self.scope);
        if self.app_only_fallback {
            request.allow_app_only_fallback()
        } else {
            request
        }
    }

    fn value(&self, token: &EntraAccessToken) -> HeaderValue {
        let scheme = if self.header == AUTHORIZATION {
            "Bearer "
        } else {
            ""
        };
        let value = HeaderValue::try_from(format!("{scheme}{}", token.expose()));
        // What is no token is not sent.
        let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// Puts the token where it belongs, in place of what a client sent by that name.
    pub(crate) fn put(&self, token: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(self.header.clone(), token);
    }

    /// What it means that the MCP server answered so. It speaks of the token we sent, and its
    /// challenge says nothing to a client, who has another.
    pub(crate) async fn judge(
        &self,
        caller: &VerifiedToken,
        (status, headers): (StatusCode, &mut HeaderMap),
    ) -> Result<(), ForwardError> {
        let claims = ClaimsRequest::of_challenge(headers);
        headers.remove(WWW_AUTHENTICATE);
        if status != StatusCode::UNAUTHORIZED {
            return Ok(());
        }
        let Some(claims) = claims else {
            return Err(ForwardError::TokenRefused);
        };
        let request = self.request().claims(&claims);
        caller.downstream_token(request).await?;
        // The body was streamed, and is gone; the next request has the new token.
        Err(ForwardError::TokenReplaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_into_a_header_of_its_own() {
        for name in ["authorization", "X-Graph-Token", "x-backend-authorization"] {
            assert!(Exchange::parse_header(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "a b",
            "host",
            "Cookie",
            "connection",
            "content-type",
            "mcp-session-id",
            "accept",
            "x-entrada-subject",
            "x-forwarded-for",
            "x_token",
            "transfer-encoding",
            "te",
            "origin",
            "last-event-id",
            "expect",
        ] {
            assert!(Exchange::parse_header(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_scope_is_of_one_api() {
        assert!(Exchange::new("https://graph.microsoft.com/User.Read").is_ok());
        for scope in ["", "User.Read", "api://a/x api://b/x", "openid"] {
            assert!(Exchange::new(scope).is_err(), "{scope}");
        }
    }

    #[test]
    fn the_token_is_seen_by_the_server_alone() {
        let exchange = Exchange::new("api://a/x").unwrap();
        let token = EntraAccessToken::new("t0k3n");
        let value = exchange.value(&token);
        assert_eq!(value, "Bearer t0k3n");
        assert_eq!(format!("{value:?}"), "Sensitive");
        let header = HeaderName::from_static("x-token");
        assert_eq!(exchange.header(header).value(&token), "t0k3n");
    }
}

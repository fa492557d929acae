//! The `WWW-Authenticate` header.

use http::HeaderValue;
use url::Url;

use super::credentials::Scheme;
use crate::dpop;
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::error::ErrorResponse;
use crate::oauth::scope::Scope;

/// What a client must do to get in (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1; Microsoft, *claims
/// challenges*).
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge<'a> {
    /// How it must present its token.
    pub(super) scheme: Scheme,
    /// What was wrong; nothing if no credentials came (RFC 6750 §3.1).
    pub(super) error: Option<ErrorResponse>,
    /// What the next token must say, where the client asks Entra itself.
    pub(super) claims: Option<&'a ClaimsRequest>,
    /// All that is required, so that one more authorization is enough.
    pub(super) scope: &'a Scope,
    /// Where the client learns who issues tokens.
    pub(super) resource_metadata: &'a Url,
}

impl Challenge<'_> {
    /// The value of the header, which holds one challenge: some clients read the first alone.
    pub(super) fn to_header_value(self) -> HeaderValue {
        let mut attributes = Vec::with_capacity(6);
        if let Some(error) = self.error {
            attributes.push(attribute("error", error.error.as_str()));
            attributes.push(attribute("error_description", error.error_description));
        }
        if let Some(claims) = self.claims {
            attributes.push(attribute("claims", &claims.encode()));
        }
        if !self.scope.is_empty() {
            attributes.push(attribute("scope", &self.scope.to_string()));
        }
        attributes.push(attribute(
            "resource_metadata",
            self.resource_metadata.as_str(),
        ));
        if self.scheme == Scheme::Dpop {
            attributes.push(attribute("algs", &dpop::algorithms().join(" ")));
        }
        let scheme = self.scheme.as_str();
        HeaderValue::try_from(format!("{scheme} {}", attributes.join(", ")))
            .expect("attributes hold visible ASCII and spaces")
    }
}

/// `name="value"`, the value a quoted-string (RFC 9110 §5.6.4).
fn attribute(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('?'),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::error::ErrorCode;

    fn challenge(error: Option<ErrorResponse>, scope: &str) -> String {
        let challenge = Challenge {
            scheme: Scheme::Bearer,
            error,
            claims: None,
            scope: &Scope::parse(scope).unwrap(),
            resource_metadata: &Url::parse("https://h/.well-known/oauth-protected-resource/mcp")
                .unwrap(),
        };
        challenge.to_header_value().to_str().unwrap().to_owned()
    }

    #[test]
    fn challenges_are_as_the_rfcs_write_them() {
        let expired = ErrorResponse::new(ErrorCode::InvalidToken, "the token expired");
        let metadata = "resource_metadata=\"https://h/.well-known/oauth-protected-resource/mcp\"";
        for (error, scope, expected) in [
            (None, "", format!("Bearer {metadata}")),
            (
                None,
                "mcp.read mcp.write",
                format!("Bearer scope=\"mcp.read mcp.write\", {metadata}"),
            ),
            (
                Some(expired),
                "mcp.read",
                format!(
                    "Bearer error=\"invalid_token\", error_description=\"the token expired\", \
                     scope=\"mcp.read\", {metadata}"
                ),
            ),
        ] {
            assert_eq!(challenge(error, scope), expected);
        }
    }

    #[test]
    fn claims_are_told_as_microsoft_documents_it() {
        let claims = ClaimsRequest::parse(r#"{"a":1}"#).unwrap();
        let challenge = Challenge {
            scheme: Scheme::Bearer,
            error: Some(ErrorResponse::new(ErrorCode::InsufficientClaims, "more")),
            claims: Some(&claims),
            scope: &Scope::default(),
            resource_metadata: &Url::parse("https://h/x").unwrap(),
        };
        assert_eq!(
            challenge.to_header_value(),
            "Bearer error=\"insufficient_claims\", error_description=\"more\", \
             claims=\"eyJhIjoxfQ==\", resource_metadata=\"https://h/x\""
        );
    }

    #[test]
    fn nothing_leaves_its_quotes() {
        for (value, expected) in [
            ("plain", r#"x="plain""#),
            (r#"a"b"#, r#"x="a\"b""#),
            (r"a\b", r#"x="a\\b""#),
            ("a\r\nb\u{e9}", r#"x="a??b?""#),
            ("", r#"x="""#),
        ] {
            assert_eq!(attribute("x", value), expected);
        }
    }
}

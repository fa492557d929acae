//! What the MCP server is told about the user: an assertion signed by us, or plain headers.
//!
//! Of the plain ones each fact is a header of its own, with its value percent-encoded (RFC 3986 §2.1) wherever it is
//! not plain visible ASCII. A list is parted by commas, a scope by spaces; both are encoded inside
//! an item. A fact that is not known is a header that is not there.

use http::{HeaderMap, HeaderName, HeaderValue};

use entrada::VerifiedToken;

/// The header that holds a [signed assertion](entrada::caller_assertion).
pub const ASSERTION: HeaderName = HeaderName::from_static("x-entrada-assertion");

/// What the MCP server is told about the user.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ForwardedIdentity {
    /// Whether it is told in [`ASSERTION`].
    pub signed: bool,
    /// What it is told in headers that nobody signed.
    pub plain: Vec<IdentityHeader>,
}

impl Default for ForwardedIdentity {
    fn default() -> Self {
        Self {
            signed: true,
            plain: Vec::new(),
        }
    }
}

impl ForwardedIdentity {
    /// Reads `none`, `all`, or names apart by commas or spaces, of which one may be `signed`.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut told = Self {
            signed: false,
            plain: Vec::new(),
        };
        match text {
            "none" => return Ok(told),
            "all" => {
                return Ok(Self {
                    signed: true,
                    plain: IdentityHeader::DEFAULT.to_vec(),
                });
            }
            _ => {}
        }
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            match word {
                "signed" => told.signed = true,
                name => told.plain.push(IdentityHeader::parse(name)?),
            }
        }
        Ok(told)
    }
}

/// One thing the MCP server may be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IdentityHeader {
    /// Whom the token speaks for, in its issuer's naming.
    Subject,
    /// The tenant the user signed in to.
    TenantId,
    /// The user within that tenant.
    ObjectId,
    /// The user's name, for display only.
    Name,
    /// The user's sign-in name, for display only.
    PreferredUsername,
    /// The user's app roles.
    Roles,
    /// The user's groups.
    Groups,
    /// What the token allows.
    Scope,
    /// The MCP client.
    ClientId,
    /// The authorization the token was issued under.
    Grant,
}

impl IdentityHeader {
    /// What `all` stands for, besides the assertion.
    pub const DEFAULT: &'static [Self] = &[
        Self::Subject,
        Self::TenantId,
        Self::ObjectId,
        Self::Name,
        Self::PreferredUsername,
        Self::Roles,
        Self::Groups,
        Self::Scope,
        Self::ClientId,
    ];

    /// The name of the header.
    pub const fn header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Subject => "x-entrada-subject",
            Self::TenantId => "x-entrada-tenant-id",
            Self::ObjectId => "x-entrada-object-id",
            Self::Name => "x-entrada-name",
            Self::PreferredUsername => "x-entrada-preferred-username",
            Self::Roles => "x-entrada-roles",
            Self::Groups => "x-entrada-groups",
            Self::Scope => "x-entrada-scope",
            Self::ClientId => "x-entrada-client-id",
            Self::Grant => "x-entrada-grant",
        })
    }

    /// The name of the variable.
    fn variable(self) -> String {
        let name = self.header();
        let name = name.as_str().trim_start_matches("x-");
        name.replace('-', "_").to_ascii_uppercase()
    }

    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "subject" => Self::Subject,
            "tenant_id" => Self::TenantId,
            "object_id" => Self::ObjectId,
            "name" => Self::Name,
            "preferred_username" => Self::PreferredUsername,
            "roles" => Self::Roles,
            "groups" => Self::Groups,
            "scope" => Self::Scope,
            "client_id" => Self::ClientId,
            "grant" => Self::Grant,
            _ => {
                return Err(
                    "write signed, all, none, or some of signed, subject, tenant_id, object_id, name, \
                            preferred_username, roles, groups, scope, client_id, grant"
                        .to_owned(),
                );
            }
        })
    }

    fn value(self, token: &VerifiedToken) -> Option<String> {
        let principal = &token.principal;
        match self {
            Self::Subject => Some(encoded(&token.subject)),
            Self::TenantId => Some(encoded(&principal.tenant_id)),
            Self::ObjectId => principal.object_id.as_deref().map(encoded),
            Self::Name => principal.name.as_deref().map(encoded),
            Self::PreferredUsername => principal.preferred_username.as_deref().map(encoded),
            Self::Roles => Some(list(&principal.roles)),
            Self::Groups => Some(list(&principal.groups)),
            Self::Scope => Some(scope(&token.scope.to_string())),
            Self::ClientId => Some(encoded(token.client_id.as_str())),
            Self::Grant => token.grant.as_deref().map(encoded),
        }
    }
}

/// Adds to `headers` what `told` names of `token`.
pub fn tell(headers: &mut HeaderMap, told: &[IdentityHeader], token: &VerifiedToken) {
    for header in told {
        let value = header.value(token).filter(|value| !value.is_empty());
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(header.header(), value);
        }
    }
}

/// What `told` names of `token`, as environment variables of a process that serves this caller alone.
///
/// What a token allows is not among it: the next token of the same caller may allow more or less.
pub fn variables(told: &[IdentityHeader], token: &VerifiedToken) -> Vec<(String, String)> {
    let lasting =
        |header: &&IdentityHeader| !matches!(header, IdentityHeader::Scope | IdentityHeader::Grant);
    let told = told.iter().filter(lasting).filter_map(|header| {
        let value = header.value(token).filter(|value| !value.is_empty())?;
        Some((header.variable(), value))
    });
    told.collect()
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| encoded(item)).collect();
    items.join(",")
}

fn scope(scope: &str) -> String {
    let tokens: Vec<String> = scope.split(' ').map(encoded).collect();
    tokens.join(" ")
}

/// Percent-encodes everything but visible ASCII, and of that `"`, `%`, `,` and `\`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%' | b',' | b'\\') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(hex_digit));
        }
    }
    out
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        for (text, expected) in [
            ("alice@contoso.com", "alice@contoso.com"),
            ("Alice Anders", "Alice%20Anders"),
            ("Jürgen", "J%C3%BCrgen"),
            ("100%", "100%25"),
            ("a,b", "a%2Cb"),
            (
                "a\r\nx-entrada-roles: admin",
                "a%0D%0Ax-entrada-roles:%20admin",
            ),
            ("", ""),
        ] {
            assert_eq!(encoded(text), expected);
        }
    }

    #[test]
    fn lists_stay_lists() {
        let roles = ["Mcp.Admin".to_owned(), "a, b".to_owned()];
        assert_eq!(list(&roles), "Mcp.Admin,a%2C%20b");
        assert_eq!(scope("mcp.read mcp.write"), "mcp.read mcp.write");
    }

    #[test]
    fn what_is_told_is_chosen_by_name() {
        use IdentityHeader::{Roles, Subject};
        let told = |signed: bool, plain: &[IdentityHeader]| {
            let plain = plain.to_vec();
            Ok(ForwardedIdentity { signed, plain })
        };
        for (text, expected) in [
            ("none", told(false, &[])),
            ("signed", told(true, &[])),
            ("subject, roles", told(false, &[Subject, Roles])),
            ("roles,signed", told(true, &[Roles])),
            ("all", told(true, IdentityHeader::DEFAULT)),
        ] {
            assert_eq!(ForwardedIdentity::parse(text), expected, "{text}");
        }
        for text in ["everything", "all,grant", "none,signed"] {
            assert!(ForwardedIdentity::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            ForwardedIdentity::parse("signed"),
            Ok(ForwardedIdentity::default())
        );
        assert!(!IdentityHeader::DEFAULT.contains(&IdentityHeader::Grant));
    }
}

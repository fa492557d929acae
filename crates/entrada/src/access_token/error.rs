//! Why a token gets nobody in, or not here.

use std::fmt;

use super::TokenFacts;
use super::principal::PrincipalKind;
use crate::jwt::verify::JwtError;
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::client::ClientId;
use crate::oauth::scope::Scope;

/// Why a token gets nobody in.
///
/// A client is told what the standard has for it; who runs the server is told what was expected
/// and what came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The token itself is wrong: `invalid_token` (RFC 6750 §3.1).
    #[error(transparent)]
    Token(#[from] JwtError),
    /// Somebody else issued it: `invalid_token`.
    #[error("the token is from another issuer: expected {expected}, got {got}")]
    Issuer {
        /// The issuer, or what all of them look like.
        expected: String,
        /// Who did.
        got: Claimed,
    },
    /// Its issuer is right, its signature was made with a key of somebody else's:
    /// `invalid_token`.
    #[error("the token's key signs for another issuer: expected {expected}, got {got}")]
    KeyIssuer {
        /// The issuer of the token.
        expected: String,
        /// Whose tokens the key may sign.
        got: Claimed,
    },
    /// It is of a tenant whose users are not let in: `invalid_token`.
    #[error("the token is of another tenant: expected {expected}, got {got}")]
    Tenant {
        /// The tenants whose users are.
        expected: String,
        /// Its tenant.
        got: Claimed,
    },
    /// It is for somebody else: `invalid_token`.
    #[error("the token is for another audience: expected {expected}, got {got}")]
    Audience {
        /// Our names.
        expected: String,
        /// Whom it is for.
        got: Claimed,
    },
    /// It is of a version we do not take, or of none: `invalid_token`.
    #[error("the token is of another version: expected {expected}, got {got}")]
    Version {
        /// The versions we take.
        expected: String,
        /// Its own.
        got: Claimed,
    },
    /// It was issued by another user flow of Azure AD B2C: `invalid_token`.
    #[error("the token is of another user flow: expected {expected}, got {got}")]
    UserFlow {
        /// The user flow, or custom policy.
        expected: String,
        /// Which it was.
        got: Claimed,
    },
    /// It says who somebody is, and allows nothing: `invalid_token`.
    #[error("this is an ID token: ask for a scope of this API, and send the access token")]
    IdToken,
    /// It is for Microsoft Graph, and nobody else can check it: `invalid_token`.
    #[error("this is a token for Microsoft Graph: ask for a scope of this API instead")]
    GraphToken,
    /// It is bound to a key, and nobody proved to have that: `invalid_token`.
    #[error("the token is bound to a key (cnf): ask for a bearer token")]
    SenderConstrained,
    /// No verifier is for its issuer and audience: `invalid_token`.
    #[error("no verifier is for the token: issuer {issuer}, audience {audience}")]
    UnknownOrigin {
        /// Who says to have issued it.
        issuer: Claimed,
        /// Whom it says it is for.
        audience: Claimed,
    },
    /// It is good, and not for this: 403.
    #[error("the token does not allow this: {1}")]
    Forbidden(Caller, Shortfall),
    /// The authorization behind it was revoked or has ended: `invalid_token`.
    #[error("the grant behind the token has ended")]
    GrantEnded,
    /// We cannot tell now; the token may well be good.
    #[error("access tokens cannot be verified now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Whose token it was, for the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Caller {
    /// The user or machine, in the issuer's own naming.
    pub subject: String,
    /// The client.
    pub client_id: ClientId,
    /// The authorization behind the token, where there is one.
    pub grant: Option<String>,
}

impl Caller {
    pub(crate) fn of(token: &TokenFacts) -> Self {
        Self {
            subject: token.subject.clone(),
            client_id: token.client_id.clone(),
            grant: token.grant.clone(),
        }
    }
}

/// What a good token lacks.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Shortfall {
    /// Scopes: with all of these the client would get in, so that one more authorization is
    /// enough (RFC 6750 §3.1, `insufficient_scope`).
    Scope(Scope),
    /// That the user signed in as they must for this, or consented: one more authorization is
    /// enough, and what it must bring is either remembered here or stands in the challenge.
    Interaction(Box<Interaction>),
    /// Something no authorization gives: a client that tried would come back for nothing.
    Other(Lack),
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(scope) => write!(f, "it needs the scopes {scope}"),
            Self::Interaction(_) => f.write_str("the user must sign in again"),
            Self::Other(lack) => lack.fmt(f),
        }
    }
}

/// What one more authorization must bring.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Interaction {
    /// What the client must ask Entra for, where clients ask Entra themselves: the challenge tells
    /// them (Microsoft, *claims challenges*). Elsewhere it is remembered, and none of the client's
    /// business.
    pub claims: Option<ClaimsRequest>,
    /// A page where a person does the same without their client.
    pub link: Option<String>,
    /// Whether this client was told before, and came back without its user having signed in. It may
    /// not know how: better show the person the link.
    pub asked_in_vain: bool,
}

/// What a caller lacks that no scope makes up for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Lack {
    /// App roles, which an administrator gives.
    #[error("the caller needs the app roles {0}")]
    Roles(String),
    /// Membership of a group.
    #[error("the caller is in none of the groups {0}")]
    Groups(String),
    /// Membership of a group, perhaps: the token lists no groups because there are too many.
    #[error("the caller's groups are too many for a token, and nothing looks them up: {0}")]
    GroupsUnknown(String),
    /// The right tenant.
    #[error("the caller is in none of the tenants {0}")]
    Tenants(String),
    /// The right client.
    #[error("the client is none of {0}")]
    Clients(String),
    /// It is an application, or a user, where the other is asked for.
    #[error("{}", other_kind(*.0))]
    Kind(PrincipalKind),
    /// A login at Entra, where another issuer vouched for the caller.
    #[error("another issuer vouched for the caller, and this takes who signed in with entra")]
    EntraLogin,
    /// An administrator's consent, or another thing that only an administrator gives: with a page on
    /// which they can, where it is consent.
    #[error("an administrator has to allow it")]
    Administrator(Option<String>),
    /// What is asked for cannot be had by anybody.
    #[error("nobody can meet the requirement: {0}")]
    Impossible(String),
}

fn other_kind(expected: PrincipalKind) -> &'static str {
    match expected {
        PrincipalKind::User => "the token is an application's own, and this takes a user's",
        PrincipalKind::Application => "the token is a user's, and this takes an application's own",
    }
}

/// What a token says of itself, for the log: on one line, and no longer than a line.
#[derive(Clone, Eq, PartialEq)]
pub struct Claimed(String);

/// The longest value that is shown whole.
const LONGEST: usize = 200;

impl Claimed {
    /// Keeps `value`, cut to a length that a log can bear.
    pub fn new(value: &str) -> Self {
        let end = value.char_indices().nth(LONGEST).map(|(at, _)| at);
        Self(
            value
                .get(..end.unwrap_or(value.len()))
                .unwrap_or_default()
                .to_owned(),
        )
    }

    /// The same for a value that may be missing.
    pub fn or_nothing(value: Option<&str>) -> Self {
        Self::new(value.unwrap_or_default())
    }
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("nothing")
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_says_stays_on_one_short_line() {
        for (value, shown) in [
            ("api://app", "\"api://app\"".to_owned()),
            ("", "nothing".to_owned()),
            (
                "a\r\nlevel=ERROR \"b\"",
                r#""a\r\nlevel=ERROR \"b\"""#.to_owned(),
            ),
            (
                &"\u{e9}".repeat(500),
                format!("\"{}\"", "\u{e9}".repeat(LONGEST)),
            ),
        ] {
            assert_eq!(Claimed::new(value).to_string(), shown);
        }
        assert_eq!(Claimed::or_nothing(None).to_string(), "nothing");
    }
}

//! Who calls Graph, and what they may see.

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::access_token::aio_tells_revocations;
use crate::authorize::claims::can_be_challenged;
use crate::builtin::GRAPH_APP_ID;
use crate::directory::user::User;
use crate::jwt::Unverified;
use crate::state::State;

/// Why Graph does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    #[error("{0}")]
    InvalidToken(&'static str),
    /// The token was ended before its time; the challenge says what a new one needs.
    #[error(
        "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp"
    )]
    Ended { challenge: String },
    #[error("Insufficient privileges to complete the operation.")]
    Privileges,
    #[error("Access is denied. Check credentials and try again.")]
    Mail,
    #[error("/me request is only valid with delegated authentication flow.")]
    MeWithoutUser,
    #[error(
        "Resource '{0}' does not exist or one of its queried reference-property objects are not present."
    )]
    NotFound(String),
    #[error("{0}")]
    BadRequest(&'static str),
}

impl Denied {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::InvalidToken(_) | Self::Ended { .. } => "InvalidAuthenticationToken",
            Self::Privileges => "Authorization_RequestDenied",
            Self::Mail => "ErrorAccessDenied",
            Self::NotFound(_) => "Request_ResourceNotFound",
            Self::MeWithoutUser | Self::BadRequest(_) => "BadRequest",
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::InvalidToken(_) | Self::Ended { .. } => StatusCode::UNAUTHORIZED,
            Self::Privileges | Self::Mail => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MeWithoutUser | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// The holder of a token for Graph.
#[derive(Debug)]
pub(crate) struct Caller {
    tenant_id: String,
    oid: String,
    sub: String,
    delegated: bool,
    /// Delegated scopes, or application roles.
    permissions: Vec<String>,
}

impl Caller {
    /// Reads the bearer token (RFC 6750 §2.1) and checks it as Graph alone can.
    pub(crate) fn of(headers: &HeaderMap, state: &State, now: u64) -> Result<Self, Denied> {
        let presented = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let text = presented.ok_or(Denied::InvalidToken("Access token is empty."))?;
        let token = Unverified::parse(text);
        let token = token.ok_or(Denied::InvalidToken("JWT is not well formed."))?;
        let audience = token.text("aud").unwrap_or_default().trim_end_matches('/');
        if audience != GRAPH_APP_ID && audience != "https://graph.microsoft.com" {
            return Err(Denied::InvalidToken(
                "Access token validation failure. Invalid audience.",
            ));
        }
        check_signature(&token, state)?;
        if token.seconds("exp").is_none_or(|expires| expires <= now) {
            return Err(Denied::InvalidToken(
                "Lifetime validation failed, the token is expired.",
            ));
        }
        check_sessions(&token, state)?;
        Ok(Self::from_claims(&token))
    }

    fn from_claims(token: &Unverified<'_>) -> Self {
        let text = |name| token.text(name).unwrap_or_default().to_owned();
        let scopes = token.text("scp");
        let roles = token.claims.get("roles").and_then(|roles| roles.as_array());
        let roles = roles.into_iter().flatten().filter_map(|role| role.as_str());
        Self {
            tenant_id: text("tid"),
            oid: text("oid"),
            sub: text("sub"),
            delegated: scopes.is_some(),
            permissions: match scopes {
                Some(scopes) => scopes.split(' ').map(str::to_owned).collect(),
                None => roles.map(str::to_owned).collect(),
            },
        }
    }

    pub(crate) fn tenant_id(&self) -> &str {
        &self.tenant_id
    }

    pub(crate) fn oid(&self) -> &str {
        &self.oid
    }

    pub(crate) fn sub(&self) -> &str {
        &self.sub
    }

    pub(crate) fn require_any(&self, wanted: &[&str]) -> Result<(), Denied> {
        let has = |name: &&str| self.permissions.iter().any(|known| known == name);
        if wanted.iter().any(has) {
            Ok(())
        } else {
            Err(Denied::Privileges)
        }
    }

    /// About oneself fewer permissions are enough than about others.
    pub(crate) fn require_about(
        &self,
        user: &User,
        own: &[&str],
        others: &[&str],
    ) -> Result<(), Denied> {
        let oneself = self.delegated && self.oid == user.oid;
        if oneself && self.require_any(own).is_ok() {
            return Ok(());
        }
        self.require_any(others)
    }

    pub(crate) fn require_memberships(&self, user: &User) -> Result<(), Denied> {
        let others = [
            "GroupMember.Read.All",
            "Directory.Read.All",
            "User.Read.All",
        ];
        self.require_about(user, &["User.Read"], &others)
    }

    /// A person reads only their own mail, an application everybody's.
    pub(crate) fn require_mail_of(&self, user: &User) -> Result<(), Denied> {
        let reaches = !self.delegated || self.oid == user.oid;
        match self.require_any(&["Mail.Read"]) {
            Ok(()) if reaches => Ok(()),
            Ok(()) | Err(_) => Err(Denied::Mail),
        }
    }
}

// Only a client that understands challenges gets one: what others hold stays good to its end.
fn check_sessions(token: &Unverified<'_>, state: &State) -> Result<(), Denied> {
    let capabilities = token.claims.get("xms_cc").and_then(Value::as_array);
    let named = capabilities.into_iter().flatten().filter_map(Value::as_str);
    let named: Vec<String> = named.map(str::to_owned).collect();
    let event = state.session_event(token.text("oid").unwrap_or_default());
    let issued_after = token.text("aio").and_then(aio_tells_revocations);
    match event {
        Some(event) if can_be_challenged(&named) && event.ended(issued_after.unwrap_or(0)) => {
            Err(Denied::Ended {
                challenge: event.challenge(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

fn check_signature(token: &Unverified<'_>, state: &State) -> Result<(), Denied> {
    let failed = Denied::InvalidToken("Access token validation failure. Invalid signature.");
    let tenant = token
        .text("tid")
        .and_then(|id| state.directory.tenant_by_id(id));
    let kid = token.header_text("kid").unwrap_or_default();
    let key = tenant.and_then(|tenant| state.keys_of(tenant).by_kid(kid));
    match key {
        Some(key) if token.is_signed_for_graph_by(key.public_key()) => Ok(()),
        Some(_) | None => Err(failed),
    }
}

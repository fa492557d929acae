//! What user flows remember.

use std::collections::HashMap;

use crate::authorize::pkce::CodeChallenge;
use crate::b2c::request::Interaction;
use crate::b2c::scope::Asked;
use crate::directory::app::Platform;
use crate::random;

/// How long a code can be redeemed.
pub(super) const CODE_LIFETIME: u64 = 600;
/// How long a refresh token can be used.
pub(super) const REFRESH_LIFETIME: u64 = 14 * 24 * 3600;

#[derive(Debug, Default)]
pub(crate) struct B2cState {
    pub(super) codes: HashMap<String, Code>,
    pub(super) refresh_tokens: HashMap<String, Grant>,
    pub(super) interactions: HashMap<String, Interaction>,
    /// Who is signed in, by the value of the session cookie and the tenant.
    pub(super) sessions: HashMap<(String, String), Session>,
}

/// A user signed in to a browser.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(super) oid: String,
    pub(super) auth_time: u64,
}

/// What a code or a refresh token stands for.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(super) tenant_id: String,
    /// The user flow as it was registered.
    pub(super) policy: String,
    pub(super) client_id: String,
    pub(super) platform: Platform,
    pub(super) session: Session,
    pub(super) asked: Asked,
    pub(super) nonce: Option<String>,
    /// How often the user's grants had been revoked when this one was made.
    pub(super) revocations: u64,
    pub(super) issued_at: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<CodeChallenge>,
    pub(super) redeemed: bool,
}

impl B2cState {
    pub(super) fn put_code(&mut self, code: Code) -> String {
        let now = code.grant.issued_at;
        self.codes
            .retain(|_, kept| kept.grant.issued_at + CODE_LIFETIME > now);
        let name = artifact();
        self.codes.insert(name.clone(), code);
        name
    }

    pub(super) fn put_refresh_token(&mut self, grant: Grant) -> String {
        let now = grant.issued_at;
        self.refresh_tokens
            .retain(|_, kept| kept.issued_at + 2 * REFRESH_LIFETIME > now);
        let name = artifact();
        self.refresh_tokens.insert(name.clone(), grant);
        name
    }
}

/// Whether `name` looks like something a user flow issues.
pub(super) fn is_artifact(name: &str) -> bool {
    name.split('.').count() == 5
}

// An encrypted token (RFC 7516) to nobody but the service itself.
fn artifact() -> String {
    let part = random::opaque;
    format!(
        "eyJraWQiOiJjcGltY29yZV8wOTI1MjAxNSIsInZlciI6IjEuMCJ9..{}.{}.{}",
        part(12),
        part(480),
        part(16)
    )
}

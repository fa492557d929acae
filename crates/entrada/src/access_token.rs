//! What the guard needs of whoever verifies access tokens, and what it learns.

use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::jwt::verify::JwtError;
use crate::oauth::client::ClientId;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;

/// Verifies access tokens.
///
/// The guard meets every kind of verifier as this trait, so it knows neither the authorization
/// server nor Entra.
///
/// # Security
///
/// [`verify`](Self::verify) decides who gets in. An implementation must check the signature with
/// a key it already trusts, the issuer, the audience, the kind of token and its times, and must
/// answer [`VerifyError::Unavailable`] for its own troubles, never for a bad token: a client told
/// `invalid_token` throws its session away.
#[async_trait]
pub trait AccessTokenVerifier: Debug + Send + Sync {
    /// The verdict on `presented`, if it is known without any work. It allocates nothing and is
    /// asked first on every request.
    fn recall(&self, presented: PresentedToken<'_>, now: Timestamp) -> Option<VerifiedToken> {
        let _ = (presented, now);
        None
    }

    /// Verifies `presented`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]: what is wrong with the token, or that we cannot tell now.
    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError>;
}

/// A bearer token as it came in, unchecked.
#[derive(Clone, Copy)]
pub struct PresentedToken<'a>(&'a str);

impl<'a> PresentedToken<'a> {
    /// Wraps what followed `Bearer`.
    pub const fn new(token: &'a str) -> Self {
        Self(token)
    }

    /// Returns the bare token, to verify it and for nothing else.
    pub const fn expose(self) -> &'a str {
        self.0
    }
}

impl Debug for PresentedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedToken(…)")
    }
}

/// Who a token speaks for, in Entra's terms.
///
/// Key users by `tenant_id` and `object_id`; every other field can change or be chosen by
/// somebody else (Microsoft, *access token claims reference*).
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Principal {
    /// `tid`: the tenant the user signed in to.
    pub tenant_id: String,
    /// `oid`: the user within that tenant.
    pub object_id: String,
    /// `name`: for display only.
    pub name: Option<String>,
    /// `preferred_username`: for display only.
    pub preferred_username: Option<String>,
    /// `roles`: app roles given to the user.
    pub roles: Vec<String>,
    /// `groups`: object ids of groups, where the app registration asks for them.
    pub groups: Vec<String>,
}

/// What a verified token says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TokenFacts {
    /// Who issued the token.
    pub issuer: String,
    /// Whom it speaks for, in the issuer's own naming.
    pub subject: String,
    /// The client that uses it.
    pub client_id: ClientId,
    /// What it allows.
    pub scope: Scope,
    /// Whom it speaks for, in Entra's terms.
    pub principal: Principal,
    /// The authorization it was issued under, where there is one.
    pub grant: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl TokenFacts {
    /// The facts no token can be without; the rest is empty.
    pub fn new(
        issuer: String,
        subject: String,
        client_id: ClientId,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            issuer,
            subject,
            client_id,
            scope: Scope::default(),
            principal: Principal::default(),
            grant: None,
            expires_at,
        }
    }
}

/// Proof that an access token was verified; cheap to clone.
///
/// It is in the extensions of every request the guard lets through, and an axum extractor.
///
/// ```compile_fail
/// fn forge(facts: entrada::access_token::TokenFacts) -> entrada::VerifiedToken {
///     entrada::VerifiedToken(std::sync::Arc::new(facts))
/// }
/// ```
///
/// ```
/// fn who(token: &entrada::VerifiedToken) -> &str {
///     &token.principal.object_id
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedToken(Arc<TokenFacts>);

impl VerifiedToken {
    /// Claims that the token behind `facts` was verified.
    ///
    /// # Security
    ///
    /// For implementations of [`AccessTokenVerifier`], and tests: whatever stands in `facts` is
    /// believed from here on.
    pub fn assertion(facts: TokenFacts) -> Self {
        Self(Arc::new(facts))
    }
}

impl std::ops::Deref for VerifiedToken {
    type Target = TokenFacts;

    fn deref(&self) -> &TokenFacts {
        &self.0
    }
}

/// Why a token gets nobody in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The token itself is wrong: `invalid_token` (RFC 6750 §3.1).
    #[error(transparent)]
    Token(#[from] JwtError),
    /// The authorization behind it was revoked or has ended: `invalid_token`.
    #[error("the grant behind the token has ended")]
    GrantEnded,
    /// We cannot tell now; the token may well be good.
    #[error("access tokens cannot be verified now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

//! What the guard needs of whoever verifies access tokens, and what it learns.

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;

use crate::jwt::thumbprint::JwkThumbprint;
use crate::jwt::unverified::UnverifiedOrigin;
use crate::oauth::client::ClientId;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;

mod claims;
mod error;
mod presented;
mod principal;
mod told;

pub use claims::TokenClaims;
pub use error::{Caller, Claimed, Interaction, Lack, Shortfall, VerifyError};
pub use presented::{PresentedToken, TokenKey};
pub(crate) use principal::PERSONAL_ACCOUNTS;
pub use principal::{Agent, Principal, PrincipalKind};
pub(crate) use told::{Assertion, Told};

/// Verifies access tokens.
///
/// The guard meets every kind of verifier as this trait, so it knows neither the authorization
/// server nor Entra.
///
/// # Security
///
/// [`verify`](Self::verify) decides who gets in. An implementation must check the signature with
/// a key it already trusts, the issuer, the audience, the kind of token and its times, and must
/// say in [`TokenFacts::bound_to`] if the token is bound to a key or refuse it, and answer
/// [`VerifyError::Unavailable`] for its own troubles, never for a bad token: a client told
/// `invalid_token` throws its session away.
#[async_trait]
pub trait AccessTokenVerifier: Debug + Send + Sync {
    /// Whether tokens that say they come from `origin` are this verifier's to judge. It is asked
    /// where there are several: see [`MultiAuth`](crate::MultiAuth).
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        let _ = origin;
        true
    }

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

#[async_trait]
impl<T: AccessTokenVerifier + ?Sized> AccessTokenVerifier for Arc<T> {
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        (**self).is_for(origin)
    }

    fn recall(&self, presented: PresentedToken<'_>, now: Timestamp) -> Option<VerifiedToken> {
        (**self).recall(presented, now)
    }

    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        (**self).verify(presented, now).await
    }
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
    /// The key it is bound to (RFC 9449 §6): the guard of an [`AzureProvider`](crate::AzureProvider)
    /// asks whoever presents it for a proof, unless it was told otherwise, and any other lets nobody in
    /// with it.
    pub bound_to: Option<JwkThumbprint>,
    /// Everything else it says, where it is a token of Entra's or of another issuer: our own say
    /// nothing else.
    pub claims: TokenClaims,
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
            bound_to: None,
            claims: TokenClaims::default(),
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
///     &token.subject
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedToken(Arc<Verified>);

#[derive(Debug)]
struct Verified {
    facts: TokenFacts,
    backing: Option<Backing>,
    told: Told,
}

/// What a verifier gives a token on its way for those who act in its name: what that is, they
/// alone know. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backing(Arc<dyn Any + Send + Sync>);

impl Backing {
    pub(crate) fn new(backing: impl Any + Send + Sync) -> Self {
        Self(Arc::new(backing))
    }
}

impl Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backing(…)")
    }
}

/// Gives tokens their backing when they are verified.
pub(crate) trait Backs: Debug + Send + Sync {
    /// What goes with `presented`.
    fn backing(&self, presented: PresentedToken<'_>) -> Backing;
}

impl VerifiedToken {
    /// Claims that the token behind `facts` was verified.
    ///
    /// # Security
    ///
    /// For implementations of [`AccessTokenVerifier`], and tests: whatever stands in `facts` is
    /// believed from here on.
    pub fn assertion(facts: TokenFacts) -> Self {
        Self::backed(facts, None)
    }

    /// The same for a token with a backing.
    pub(crate) fn backed(facts: TokenFacts, backing: Option<Backing>) -> Self {
        Self(Arc::new(Verified {
            facts,
            backing,
            told: Told::default(),
        }))
    }

    /// This token with more known about it.
    pub(crate) fn with_facts(&self, facts: TokenFacts) -> Self {
        Self::backed(facts, self.0.backing.clone())
    }

    /// Its backing, if it is a `T`.
    pub(crate) fn backing<T: Any>(&self) -> Option<&T> {
        self.0.backing.as_ref()?.0.downcast_ref()
    }

    /// What was last told of it.
    pub(crate) fn told(&self) -> &Told {
        &self.0.told
    }
}

impl std::ops::Deref for VerifiedToken {
    type Target = TokenFacts;

    fn deref(&self) -> &TokenFacts {
        &self.0.facts
    }
}

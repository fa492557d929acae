//! Our access tokens: how they are minted, and how the guard verifies them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_cache::sync::Cache;
use serde::Serialize;

use super::{AuthorizationServer, PreregisteredClients, Resource};
use crate::access_token::{
    AccessTokenVerifier, Backs, Claimed, PresentedToken, TokenFacts, TokenKey, VerifiedToken,
    VerifyError,
};
use crate::grant::{Grant, GrantId};
use crate::jwt::jwks::Algorithm;
use crate::jwt::sign::SigningKeyError;
use crate::jwt::thumbprint::JwkThumbprint;
use crate::jwt::unverified::{UnverifiedJwt, UnverifiedOrigin};
use crate::jwt::verify::{
    Claims, Confirmation, Expected, ExpectedType, JwtError, VerifiedClaims, verify,
};
use crate::keys::{KeyRing, Keys};
use crate::oauth::client::ClientId;
use crate::oauth::issuer::Issuer;
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::AccessToken;
use crate::store::{SealedStore, StoreError};

/// How long a verdict is remembered. A revocation reaches every guard within this time.
pub const GRANT_CACHE_TTL: Duration = Duration::from_secs(10);

/// How long a verdict stands in while the store is down.
pub const STORE_OUTAGE_GRACE: Duration = Duration::from_secs(60);

/// How many verdicts are remembered.
const MOST_VERDICTS: usize = 10_000;

/// How many random bytes a `jti` has.
const JTI_LEN: usize = 12;

/// What we sign with.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::EdDsa];

/// The claims of an access token (RFC 9068 §2.2). None of them tells a name, a mail or a group.
#[derive(Serialize)]
struct AccessTokenClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    scope: &'a Scope,
    sid: String,
    iat: Timestamp,
    exp: Timestamp,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

impl AuthorizationServer {
    /// Mints an access token for `resource` under `grant`, bound to `key` if there is one (RFC 9449 §6.1).
    pub(super) fn mint(
        &self,
        grant: &Grant,
        (resource, scope): (&Resource, &Scope),
        (lifetime, key): (Duration, Option<JwkThumbprint>),
        now: Timestamp,
    ) -> Result<AccessToken, SigningKeyError> {
        let mut jti = [0; JTI_LEN];
        self.0.platform.random.fill(&mut jti);
        let claims = AccessTokenClaims {
            iss: self.0.config.issuer.as_str(),
            aud: resource.indicator.as_str(),
            sub: &subject(grant),
            client_id: grant.client_id().as_str(),
            scope,
            sid: grant.id().to_string(),
            iat: now,
            exp: now + lifetime,
            jti: URL_SAFE_NO_PAD.encode(jti),
            cnf: key.map(Confirmation::new),
        };
        let ring = self.0.keys.current();
        let key = ring.signer(now).ok_or(SigningKeyError::Failed)?;
        key.sign("at+jwt", &claims).map(AccessToken::new)
    }

    /// The grant an access token was issued under that a key of `ring` signed.
    pub(super) fn grant_of_access_token(
        &self,
        token: &str,
        ring: &KeyRing,
        now: Timestamp,
    ) -> Option<GrantId> {
        let resources = self.0.config.resources.iter();
        let audiences: Vec<_> = resources
            .map(|resource| resource.indicator.as_str())
            .collect();
        let ours = (&self.0.config.issuer, audiences.as_slice());
        let claims = check(PresentedToken::new(token), ring, ours, now);
        GrantId::parse(&claims.ok()?.sid?).ok()
    }
}

/// The user as other servers may know them: stable, and telling nothing. A client that acts for itself is
/// no secret.
fn subject(grant: &Grant) -> String {
    if let Some(subject) = grant.subject() {
        return subject.to_owned();
    }
    let principal = grant.principal();
    let text = format!(
        "entrada subject\0{}\0{}",
        principal.tenant_id,
        principal.object_id.as_deref().unwrap_or_default()
    );
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// Checks everything about a token that can be told without its grant (RFC 9068 §4).
fn check(
    presented: PresentedToken<'_>,
    ring: &KeyRing,
    (issuer, audience): (&Issuer, &[&str]),
    now: Timestamp,
) -> Result<Claims, JwtError> {
    let jwt = presented.jwt()?;
    let key = jwt
        .kid()
        .and_then(|kid| ring.verification_key(kid))
        .ok_or(JwtError::UnknownKey)?;
    let typ = ExpectedType::AccessToken;
    let expected = Expected::new(issuer.as_str(), audience, &ALGORITHMS, typ);
    verify(&jwt, &key, &expected, now).map(VerifiedClaims::into_claims)
}

/// Verifies the access tokens this server issued.
///
/// A verdict is remembered for [`GRANT_CACHE_TTL`]; then its grant is read again. A signature is
/// checked once.
#[derive(Clone, Debug)]
pub(crate) struct IssuedVerifier(Arc<Verifier>);

#[derive(Debug)]
struct Verifier {
    issuer: Issuer,
    resource: ResourceIndicator,
    clients: PreregisteredClients,
    store: SealedStore,
    keys: Keys,
    backs: Arc<dyn Backs>,
    verdicts: Cache<TokenKey, Verdict>,
}

#[derive(Clone, Debug)]
struct Verdict {
    token: VerifiedToken,
    grant: GrantId,
    read_at: Timestamp,
}

/// What the signature of a token vouches for.
struct Vouched {
    grant: GrantId,
    client_id: ClientId,
    scope: Scope,
    subject: String,
    expires_at: Timestamp,
    bound_to: Option<JwkThumbprint>,
}

impl IssuedVerifier {
    pub(super) fn new(
        (issuer, resource): (Issuer, ResourceIndicator),
        clients: PreregisteredClients,
        store: SealedStore,
        keys: Keys,
        backs: Arc<dyn Backs>,
    ) -> Self {
        let verdicts = Cache::new(MOST_VERDICTS);
        Self(Arc::new(Verifier {
            issuer,
            resource,
            clients,
            store,
            keys,
            backs,
            verdicts,
        }))
    }
}

#[async_trait]
impl AccessTokenVerifier for IssuedVerifier {
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        origin.issuer == self.0.issuer.as_str()
    }

    fn recall(&self, presented: PresentedToken<'_>, now: Timestamp) -> Option<VerifiedToken> {
        let verdict = self.0.verdicts.get(&presented)?;
        // Timestamps are whole seconds: a comparison that took the last one in would make it eleven.
        let fresh = verdict.read_at.is_within(GRANT_CACHE_TTL, now);
        (fresh && now < verdict.token.expires_at).then_some(verdict.token)
    }

    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let remembered = self
            .0
            .verdicts
            .get(&presented)
            .filter(|known| now < known.token.expires_at && self.holds_key_of(presented));
        let vouched = match &remembered {
            Some(verdict) => verdict.vouched(),
            None => self.vouched(presented, now).await?,
        };
        let grant = match self.0.store.grant(&vouched.grant, now).await {
            Ok(grant) => grant.filter(|grant| *grant.client_id() == vouched.client_id),
            Err(error) => return stand_in(remembered, error, now),
        };
        // The operator may have taken from a program what it had when its token was issued.
        let Some(grant) = grant.and_then(|grant| self.0.clients.today(grant)) else {
            self.0.verdicts.remove(&presented);
            return Err(VerifyError::GrantEnded);
        };
        let id = vouched.grant;
        let facts = self.facts(vouched, &grant);
        let token = match &remembered {
            Some(verdict) if *verdict.token == facts => verdict.token.clone(),
            Some(verdict) => verdict.token.with_facts(facts),
            None => VerifiedToken::backed(facts, Some(self.0.backs.backing(presented))),
        };
        let verdict = Verdict {
            token: token.clone(),
            grant: id,
            read_at: now,
        };
        self.0.verdicts.insert(presented.key(), verdict);
        Ok(token)
    }
}

impl IssuedVerifier {
    /// Whether the key that signed a token is still one of ours: a key that is withdrawn takes
    /// with it what was believed for its sake.
    fn holds_key_of(&self, presented: PresentedToken<'_>) -> bool {
        let ring = self.0.keys.current();
        UnverifiedJwt::parse(presented.expose()).is_ok_and(|jwt| {
            jwt.kid()
                .is_some_and(|kid| ring.verification_key(kid).is_some())
        })
    }

    async fn vouched(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<Vouched, VerifyError> {
        let claims = self.claims(presented, now).await?;
        let read = |claims: Claims| {
            Some(Vouched {
                grant: GrantId::parse(&claims.sid?).ok()?,
                client_id: ClientId::parse(&claims.client_id?).ok()?,
                scope: Scope::parse(&claims.scope?).ok()?,
                subject: claims.sub?,
                expires_at: claims.exp,
                bound_to: claims.cnf.map(|cnf| cnf.jkt),
            })
        };
        read(claims).ok_or(VerifyError::Token(JwtError::Claims))
    }

    /// What a token of ours says. Its key may be one that this replica has not seen yet.
    async fn claims(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<Claims, VerifyError> {
        let audience = [self.0.resource.as_str()];
        let ours = (&self.0.issuer, audience.as_slice());
        let checked = |ring: &KeyRing| check(presented, ring, ours, now);
        let claims = checked(&self.0.keys.current());
        let claims = claims.map_err(|error| self.of_another_issuer(presented, error));
        let Err(VerifyError::Token(JwtError::UnknownKey)) = claims else {
            return claims;
        };
        let known = |ring: &KeyRing| match checked(ring) {
            Err(JwtError::UnknownKey) => None,
            checked => Some(checked),
        };
        match self.0.keys.find(known).await {
            Ok(claims) => Ok(claims.unwrap_or(Err(JwtError::UnknownKey))?),
            Err(error) => Err(VerifyError::Unavailable(Box::new(error))),
        }
    }

    /// Where a token's key is unknown, for another issued it: who that is, by its own word.
    fn of_another_issuer(&self, presented: PresentedToken<'_>, error: JwtError) -> VerifyError {
        let expected = self.0.issuer.as_str();
        let jwt = presented
            .jwt()
            .ok()
            .filter(|_| error == JwtError::UnknownKey);
        let origin = jwt.and_then(|jwt| jwt.origin());
        match origin.filter(|origin| origin.issuer != expected) {
            Some(origin) => VerifyError::Issuer {
                expected: expected.to_owned(),
                got: Claimed::new(&origin.issuer),
            },
            None => error.into(),
        }
    }

    fn facts(&self, vouched: Vouched, grant: &Grant) -> TokenFacts {
        let issuer = self.0.issuer.as_str().to_owned();
        let Vouched {
            client_id,
            subject,
            expires_at,
            scope,
            grant: id,
            bound_to,
        } = vouched;
        let mut facts = TokenFacts::new(issuer, subject, client_id, expires_at);
        // What Entra took back from the grant since, the token does not give either.
        facts.scope = scope.intersection(grant.scope());
        facts.principal = grant.principal().clone();
        facts.grant = Some(id.to_string());
        facts.bound_to = bound_to;
        facts
    }
}

impl Verdict {
    fn vouched(&self) -> Vouched {
        Vouched {
            grant: self.grant,
            client_id: self.token.client_id.clone(),
            scope: self.token.scope.clone(),
            subject: self.token.subject.clone(),
            expires_at: self.token.expires_at,
            bound_to: self.token.bound_to,
        }
    }
}

/// The last verdict, for a while; without one nobody can tell.
fn stand_in(
    remembered: Option<Verdict>,
    error: StoreError,
    now: Timestamp,
) -> Result<VerifiedToken, VerifyError> {
    match remembered {
        Some(verdict) if now.since(verdict.read_at) <= STORE_OUTAGE_GRACE => Ok(verdict.token),
        Some(_) | None => Err(VerifyError::Unavailable(Box::new(error))),
    }
}

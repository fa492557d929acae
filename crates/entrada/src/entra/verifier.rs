//! [`AzureJwtVerifier`]: Entra's own access tokens, for servers that need no authorization server
//! of ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::authority::Authority;
use super::claims::EntraClaims;
use super::groups::GroupResolver;
use super::issuer::Said;
use super::scope::ScopeNames;
use super::trust::Trust;
use crate::access_token::{
    AccessTokenVerifier, Backs, Caller, Claimed, PresentedToken, PrincipalKind, TokenClaims,
    TokenFacts, VerifiedToken, VerifyError,
};
use crate::jwt::unverified::UnverifiedOrigin;
use crate::jwt::verify::JwtError;
use crate::oauth::client::ClientId;
use crate::oauth::scope::{Scope, ScopeToken};
use crate::platform::{Platform, Timestamp};
use crate::policy::Requirement;
use crate::verdicts::Verdicts;

/// Microsoft Graph as an audience.
const GRAPH: [&str; 3] = [
    "00000003-0000-0000-c000-000000000000",
    "https://graph.microsoft.com",
    "https://graph.microsoft.com/",
];

/// Whether applications that signed in as themselves are let in (Microsoft, *client credentials
/// flow*).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AppOnlyTokens {
    /// Users alone.
    #[default]
    Refuse,
    /// Users with the required scopes, and applications with the required app roles.
    Allow,
    /// Applications alone.
    Require,
}

/// Verifies access tokens that Entra issued for one app registration (Microsoft, *access tokens*,
/// validate tokens). Cheap to clone.
///
/// Signature, issuer, tenant, audience, version and times must hold, and the token must be an
/// access token: of a user with all required scopes, or of an application with all required app
/// roles where those are let in. One that is bound to a key (`cnf`) is refused: proofs (RFC 9449) go
/// with tokens that we issue. Keys are fetched when the first token comes, and renewed in the
/// background.
#[derive(Clone, Debug)]
pub struct AzureJwtVerifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: AccessTokenRules,
    authority: Authority,
    trust: Trust,
    requirement: Requirement,
    required_scope: Scope,
    names: ScopeNames,
    groups: Option<GroupResolver>,
    /// What lets tokens be exchanged.
    backs: Option<Arc<dyn Backs>>,
    verdicts: Verdicts,
    platform: Platform,
}

/// Which tokens are taken, everything checked.
#[derive(Debug)]
pub(crate) struct VerifierSettings {
    pub(crate) authority: Authority,
    pub(crate) client_id: String,
    pub(crate) identifier_uris: Vec<String>,
    /// In short spelling.
    pub(crate) required_scope: Scope,
    pub(crate) names: ScopeNames,
    /// What a caller must have, scopes included.
    pub(crate) requirement: Requirement,
    pub(crate) leeway: Duration,
    /// Who looks up the groups a token has no room for.
    pub(crate) groups: Option<GroupResolver>,
    /// What lets tokens be exchanged.
    pub(crate) backs: Option<Arc<dyn Backs>>,
}

impl AzureJwtVerifier {
    pub(crate) fn of(settings: VerifierSettings, platform: Platform) -> Self {
        let rules = AccessTokenRules {
            audience: audience(&settings.client_id, &settings.identifier_uris),
            leeway: settings.leeway,
        };
        Self(Arc::new(Inner {
            rules,
            trust: Trust::new(&settings.authority, platform.clone()),
            authority: settings.authority,
            requirement: settings.requirement,
            required_scope: settings.required_scope,
            names: settings.names,
            groups: settings.groups,
            backs: settings.backs,
            verdicts: Verdicts::new(settings.leeway),
            platform,
        }))
    }

    /// The required scopes as a client must ask Entra for them, with the identifier URI.
    pub fn scopes_supported(&self) -> Vec<ScopeToken> {
        let scope = self.0.names.to_entra(&self.0.required_scope);
        scope.iter().cloned().collect()
    }

    /// The issuers that clients get tokens from, as metadata names them. Where Entra's own
    /// metadata must be read for that and cannot be, the URL it is read at stands in.
    pub async fn issuers(&self) -> Vec<String> {
        let now = self.0.platform.clock.now();
        let discovered = self.0.trust.issuer(now).await;
        self.0.authority.issuer_urls(discovered.as_deref())
    }

    /// What would be made of `payload`, had Entra signed it with a key of `key_issuer`. It proves
    /// nothing: for tests and fuzzing.
    ///
    /// # Errors
    ///
    /// [`VerifyError`], the first rule that is broken.
    #[cfg(feature = "test-util")]
    pub fn facts_of_unsigned(
        &self,
        payload: &[u8],
        key_issuer: &str,
        now: Timestamp,
    ) -> Result<TokenFacts, VerifyError> {
        let issuers = self.0.authority.issuers();
        let tenant = |said: Said<'_>| issuers.admit(said, Some(key_issuer), None);
        let facts = self.0.rules.judge(payload, tenant, now)?;
        let decided = self.0.requirement.decide(&facts);
        match decided {
            Ok(()) => Ok(facts),
            Err(shortfall) => Err(VerifyError::Forbidden(Caller::of(&facts), shortfall)),
        }
    }

    /// What the token says, and the groups it had no room for.
    async fn with_groups(
        &self,
        mut facts: TokenFacts,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<TokenFacts, VerifyError> {
        if let Some(groups) = &self.0.groups
            && facts.principal.groups_overage
        {
            // Boxed, for what asks Graph is large, and few have so many groups.
            let completed = Box::pin(groups.complete(&mut facts, presented, now)).await;
            completed.map_err(|error| VerifyError::Unavailable(Box::new(error)))?;
        }
        Ok(facts)
    }

    pub(crate) fn required_scope(&self) -> &Scope {
        &self.0.required_scope
    }

    pub(crate) fn scope_names(&self) -> &ScopeNames {
        &self.0.names
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.0.platform
    }
}

#[async_trait]
impl AccessTokenVerifier for AzureJwtVerifier {
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        let own = |audience: &crate::jwt::verify::Audience| {
            let mut names = self.0.rules.audience.iter();
            names.any(|name| audience.contains(name))
        };
        self.0.trust.may_issue(&origin.issuer) && origin.audience.as_ref().is_some_and(own)
    }

    fn recall(&self, presented: PresentedToken<'_>, now: Timestamp) -> Option<VerifiedToken> {
        self.0.verdicts.recall(presented, now)
    }

    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let jwt = presented.jwt().map_err(JwtError::from)?;
        // Its signature holds for Graph alone; what helps is to say so.
        if jwt.has_nonce() {
            return Err(VerifyError::GraphToken);
        }
        let evidence = self.0.trust.evidence(&jwt, now).await?;
        let payload = Trust::authentic(&jwt, &evidence)?;
        let tenant = |said: Said<'_>| self.0.trust.tenant(said, &evidence);
        let mut judged = self.0.rules.judge(payload, tenant, now)?;
        judged.claims = TokenClaims::of(jwt.into_payload());
        let facts = self.with_groups(judged, presented, now).await?;
        if let Err(shortfall) = self.0.requirement.decide(&facts) {
            return Err(VerifyError::Forbidden(Caller::of(&facts), shortfall));
        }
        let backing = self.0.backs.as_ref().map(|backs| backs.backing(presented));
        let token = VerifiedToken::backed(facts, backing);
        Ok(self.0.verdicts.reach(presented, token, now))
    }
}

/// What a token must be. Pure.
#[derive(Debug)]
struct AccessTokenRules {
    audience: Vec<String>,
    leeway: Duration,
}

impl AccessTokenRules {
    /// The facts in a payload that a signature vouches for, if all of it holds; `tenant` says whose
    /// token it is.
    fn judge(
        &self,
        payload: &[u8],
        tenant: impl FnOnce(Said<'_>) -> Result<String, VerifyError>,
        now: Timestamp,
    ) -> Result<TokenFacts, VerifyError> {
        let mut claims = EntraClaims::read(payload)?;
        let tenant_id = tenant(claims.said())?;
        self.admit_audience(&claims)?;
        claims.times().admit(self.leeway, self.leeway, now)?;
        if claims.is_sender_constrained() {
            return Err(VerifyError::SenderConstrained);
        }
        let kind = claims.kind()?;
        facts(&mut claims, kind, tenant_id)
    }

    fn admit_audience(&self, claims: &EntraClaims<'_>) -> Result<(), VerifyError> {
        if self.audience.iter().any(|name| claims.aud.contains(name)) {
            return Ok(());
        }
        let got = claims.aud.first();
        if GRAPH.contains(&got) {
            return Err(VerifyError::GraphToken);
        }
        Err(VerifyError::Audience {
            expected: self.audience.join(" or "),
            got: Claimed::new(got),
        })
    }
}

/// The names a token may call us by: the id in v2.0 tokens, and in v1.0 tokens whatever the client
/// wrote, the id or a URI, which may end in a slash.
fn audience(client_id: &str, identifier_uris: &[String]) -> Vec<String> {
    let uris = identifier_uris
        .iter()
        .flat_map(|uri| [uri.clone(), format!("{uri}/")]);
    std::iter::once(client_id.to_owned()).chain(uris).collect()
}

fn facts(
    claims: &mut EntraClaims<'_>,
    kind: PrincipalKind,
    tenant_id: String,
) -> Result<TokenFacts, VerifyError> {
    let client_id = claims.client().and_then(|id| ClientId::parse(id).ok());
    let scope = Scope::parse(claims.scp.as_deref().unwrap_or_default());
    let (Some(client_id), Ok(scope), Some(subject)) = (client_id, scope, claims.sub.take()) else {
        return Err(JwtError::Claims.into());
    };
    let (issuer, subject) = (claims.iss.to_string(), subject.into_owned());
    let mut facts = TokenFacts::new(issuer, subject, client_id, claims.exp);
    facts.scope = scope;
    facts.principal = claims.principal(kind, tenant_id);
    Ok(facts)
}

//! A verifier whose tokens come with all groups.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::Cache;

use super::GroupResolver;
use crate::access_token::{
    AccessTokenVerifier, PresentedToken, TokenFacts, TokenKey, VerifiedToken, VerifyError,
};
use crate::jwt::unverified::UnverifiedOrigin;
use crate::platform::Timestamp;

/// How long a completed verdict is remembered: no longer than the verifier remembers its own.
const VERDICT_TTL: Duration = Duration::from_secs(10);

/// How many completed verdicts are remembered.
const MOST_VERDICTS: usize = 1_000;

/// Completes what another verifier says by the groups that a token had no room for.
#[derive(Debug)]
pub(crate) struct WithGroups {
    inner: Arc<dyn AccessTokenVerifier>,
    groups: Arc<GroupResolver>,
    completed: Cache<TokenKey, (VerifiedToken, Timestamp)>,
}

impl WithGroups {
    pub(crate) fn new(inner: Arc<dyn AccessTokenVerifier>, groups: Arc<GroupResolver>) -> Self {
        Self {
            inner,
            groups,
            completed: Cache::new(MOST_VERDICTS),
        }
    }
}

#[async_trait]
impl AccessTokenVerifier for WithGroups {
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        self.inner.is_for(origin)
    }

    fn recall(&self, presented: PresentedToken<'_>, now: Timestamp) -> Option<VerifiedToken> {
        let token = self.inner.recall(presented, now)?;
        if !token.principal.groups_overage {
            return Some(token);
        }
        let (completed, at) = self.completed.get(&presented)?;
        let fresh = now.since(at) <= VERDICT_TTL && now >= at;
        // The scope can have shrunk since.
        (fresh && completed.scope == token.scope).then_some(completed)
    }

    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let token = match self.inner.recall(presented, now) {
            Some(token) => token,
            None => self.inner.verify(presented, now).await?,
        };
        if !token.principal.groups_overage {
            return Ok(token);
        }
        let mut facts = TokenFacts::clone(&token);
        let completed = self.groups.complete(&mut facts, presented, now).await;
        completed.map_err(|error| VerifyError::Unavailable(Box::new(error)))?;
        let token = token.with_facts(facts);
        self.completed.insert(presented.key(), (token.clone(), now));
        Ok(token)
    }
}

//! One exchange at Entra, and when there is none.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;

use super::{Inner, Key, OboError};
use crate::authorization_server::RenewalError;
use crate::entra::error::{EntraError, Refusal, Remedy};
use crate::entra::token::EntraTokens;
use crate::grant::{Grant, GrantId};
use crate::platform::Timestamp;
use crate::secret::{EntraAccessToken, Hashed};

/// How long a refusal is believed. Clients call many tools at once, and some call again at once:
/// Entra throttles a whole tenant for that.
const REFUSED: Duration = Duration::from_secs(5);

/// What is exchanged for a token.
#[derive(Clone)]
pub(super) enum Source {
    Grant(GrantId),
    Assertion(Assertion),
    /// Ourselves, in this tenant.
    App(String),
}

/// A user's token that may be sent as the assertion of an on-behalf-of request.
///
/// Only a grant and a verified token give one.
#[derive(Clone)]
pub(super) struct Assertion {
    pub(super) token: EntraAccessToken,
    pub(super) tenant_id: String,
}

impl Assertion {
    /// The user's token under a grant; `None` where nobody signed in at Entra for it.
    fn of(grant: &Grant) -> Option<Self> {
        Some(Self {
            token: grant.held()?.access_token.clone(),
            tenant_id: grant.principal().tenant_id.clone(),
        })
    }
}

/// Why there is no new token; nobody has been told yet.
pub(super) enum NoToken {
    /// Entra gives none, for this grant if it was for one.
    Entra(EntraError, Option<Box<Grant>>),
    /// Anything else.
    Other(OboError),
}

impl NoToken {
    pub(super) fn error(&self) -> &(dyn Error + 'static) {
        match self {
            Self::Entra(error, _) => error,
            Self::Other(error) => error,
        }
    }
}

/// Why Entra is not asked for a while.
#[derive(Clone)]
pub(super) struct Pause {
    said: Said,
    from: Timestamp,
    lasts: Duration,
}

/// What Entra said.
#[derive(Clone)]
enum Said {
    /// To wait.
    Wait(StatusCode),
    /// No, to this assertion, or to ourselves.
    No(Box<Refusal>, Option<Hashed<EntraAccessToken>>),
}

impl Pause {
    fn new(error: &EntraError, assertion: Option<&Assertion>, now: Timestamp) -> Option<Self> {
        let (said, lasts) = if let EntraError::Unavailable {
            status,
            retry_after,
        } = *error
        {
            (Said::Wait(status), retry_after)
        } else if let EntraError::Refused(refusal) = error {
            let lasts = if let Remedy::Retry(after) = error.remedy() {
                after
            } else {
                REFUSED
            };
            let to = assertion.map(|assertion| assertion.token.hashed());
            (Said::No(refusal.clone(), to), lasts)
        } else {
            return None;
        };
        let from = now;
        Some(Self { said, from, lasts })
    }

    /// What Entra would say to `assertion` now, if that is known.
    fn answer(&self, assertion: Option<&Assertion>, now: Timestamp) -> Option<EntraError> {
        if !self.from.is_within(self.lasts, now) {
            return None;
        }
        match &self.said {
            Said::Wait(status) => Some(EntraError::Unavailable {
                status: *status,
                retry_after: self.lasts.saturating_sub(now.since(self.from)),
            }),
            Said::No(refusal, to) => {
                let asked = assertion.map(|assertion| assertion.token.hashed());
                (asked == *to).then(|| EntraError::Refused(refusal.clone()))
            }
        }
    }
}

impl Inner {
    /// Asks Entra, if it has not just said what it thinks of that.
    pub(super) async fn exchange(
        &self,
        key: &Key,
        source: Source,
        now: Timestamp,
    ) -> Result<EntraTokens, NoToken> {
        let entra = |error| NoToken::Entra(error, None);
        self.paused(key, None, now)
            .map_or(Ok(()), Err)
            .map_err(entra)?;
        match source {
            Source::Grant(id) => {
                let grant = self.fresh(&id, now).await?;
                let assertion = Assertion::of(&grant);
                let assertion = assertion.ok_or(NoToken::Other(OboError::NotOfEntra))?;
                let exchanged = self.exchange_assertion(key, &assertion, now).await;
                exchanged.map_err(|error| NoToken::Entra(error, Some(Box::new(grant))))
            }
            Source::Assertion(assertion) => {
                let exchanged = self.exchange_assertion(key, &assertion, now).await;
                exchanged.map_err(entra)
            }
            Source::App(tenant_id) => {
                let (scope, claims) = (&key.scope, key.claims.as_ref());
                let given = self.app.client_credentials(&tenant_id, scope, claims).await;
                given
                    .inspect_err(|error| self.pause(key, error, None))
                    .map_err(entra)
            }
        }
    }

    /// The grant with a token that can be exchanged.
    async fn fresh(&self, id: &GrantId, now: Timestamp) -> Result<Grant, NoToken> {
        let renewal = |error| NoToken::Other(OboError::Renewal(error));
        let server = self
            .server
            .as_ref()
            .ok_or(NoToken::Other(OboError::NoCredential))?;
        match server.renewer().fresh(id, now).await {
            Ok(grant) => Ok(grant),
            Err(RenewalError::Interaction(error)) => {
                let grant = server.renewer().standing(id, now).await.map_err(renewal)?;
                Err(NoToken::Entra(error, Some(Box::new(grant))))
            }
            Err(error) => Err(renewal(error)),
        }
    }

    async fn exchange_assertion(
        &self,
        key: &Key,
        assertion: &Assertion,
        now: Timestamp,
    ) -> Result<EntraTokens, EntraError> {
        if let Some(error) = self.paused(key, Some(assertion), now) {
            return Err(error);
        }
        let Assertion { token, tenant_id } = assertion;
        let (scope, claims) = (&key.scope, key.claims.as_ref());
        let exchanged = self.app.on_behalf_of(token, tenant_id, scope, claims).await;
        exchanged.inspect_err(|error| self.pause(key, error, Some(assertion)))
    }

    fn paused(
        &self,
        key: &Key,
        assertion: Option<&Assertion>,
        now: Timestamp,
    ) -> Option<EntraError> {
        self.pauses.get(key)?.answer(assertion, now)
    }

    fn pause(&self, key: &Key, error: &EntraError, assertion: Option<&Assertion>) {
        // Entra took its time, and the pause begins at its answer.
        let now = self.platform.clock.now();
        if let Some(pause) = Pause::new(error, assertion, now) {
            self.pauses.insert(key.clone(), pause);
        }
    }
}

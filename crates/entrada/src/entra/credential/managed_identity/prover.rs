//! Tokens of a managed identity, asked for once and kept.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{ManagedIdentity, Question};
use crate::causes::Causes;
use crate::entra::credential::error::{CredentialError, RETRY_AFTER};
use crate::entra::error::retry_after;
use crate::platform::{Platform, Timestamp};
use crate::secret::ClientAssertion;
use crate::single_flight::Turns;

/// How long before its end a token is used no more.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// How often a new token is asked for behind the back of whoever uses the old one.
const RENEW_EVERY: Duration = Duration::from_secs(5 * 60);

/// How long nobody asks after a failure at most, whatever the host says: without a token nobody signs
/// in.
const LONGEST_PAUSE: Duration = Duration::from_secs(2 * 60);

/// How long IMDS takes to come back after an upgrade (Microsoft, *retry guidance*).
const UPGRADE: Duration = Duration::from_secs(70);

/// A managed identity in use.
pub(crate) struct IdentityProver {
    shared: Arc<Shared>,
    /// The question nobody waits for; it ends with us.
    background: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Shared {
    question: Question,
    known: Mutex<Known>,
    turns: Turns<()>,
}

#[derive(Debug, Default)]
struct Known {
    held: Option<Held>,
    /// When nothing came, and for how long nobody is to ask.
    failed: Option<(Timestamp, Duration)>,
    /// When the last renewal began.
    renewing: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Held {
    token: ClientAssertion,
    renew_at: Timestamp,
    ends: Timestamp,
}

/// What to do for somebody who needs a token.
#[derive(Debug)]
enum Plan {
    Use(ClientAssertion),
    UseAndRenew(ClientAssertion),
    Ask,
    GiveUp(Duration),
}

impl Known {
    fn plan(&self, now: Timestamp) -> Plan {
        let failed = self.failed.filter(|(at, pause)| at.is_within(*pause, now));
        match &self.held {
            Some(held) if now + EARLY < held.ends => {
                let token = held.token.clone();
                let renewing = |at: Timestamp| at.is_within(RENEW_EVERY, now);
                let busy = failed.is_some() || self.renewing.is_some_and(renewing);
                if now < held.renew_at || busy {
                    Plan::Use(token)
                } else {
                    Plan::UseAndRenew(token)
                }
            }
            Some(_) | None => match failed {
                Some((_, pause)) => Plan::GiveUp(pause),
                None => Plan::Ask,
            },
        }
    }
}

impl IdentityProver {
    /// Prepares to ask for tokens for the audience of `identity`, or else for `usual`.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: there is no audience, or nowhere to ask.
    pub(in crate::entra::credential) fn new(
        identity: &ManagedIdentity,
        usual: Option<&str>,
    ) -> Result<Self, CredentialError> {
        let audience = identity.audience.as_deref().or(usual);
        let audience = audience.ok_or(CredentialError::NoAudience)?;
        let question = identity.question(audience);
        let question = question.ok_or(CredentialError::ManagedIdentityEndpoint)?;
        let shared = Shared {
            question,
            known: Mutex::default(),
            turns: Turns::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            background: Mutex::default(),
        })
    }

    /// A token of the identity.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: there is none, nor one that still holds.
    pub(in crate::entra::credential) async fn assertion(
        &self,
        platform: &Platform,
        now: Timestamp,
    ) -> Result<ClientAssertion, CredentialError> {
        match self.plan(now, platform) {
            Plan::Use(token) | Plan::UseAndRenew(token) => return Ok(token),
            Plan::GiveUp(retry_after) => return Err(CredentialError::FailedBefore { retry_after }),
            Plan::Ask => {}
        }
        let _turn = self.shared.turns.wait(&()).await;
        // Whoever had the turn before may have got it, or tried for as long as we waited.
        match self.plan(platform.clock.now(), platform) {
            Plan::Use(token) | Plan::UseAndRenew(token) => Ok(token),
            Plan::GiveUp(retry_after) => Err(CredentialError::FailedBefore { retry_after }),
            Plan::Ask => self.shared.ask(platform).await,
        }
    }

    /// Plans, and begins a renewal if it is time for one.
    fn plan(&self, now: Timestamp, platform: &Platform) -> Plan {
        let mut known = self.shared.known();
        let plan = known.plan(now);
        if let Plan::UseAndRenew(_) = plan {
            known.renewing = Some(now);
            drop(known);
            self.renew(platform);
        }
        plan
    }

    /// Asks while everybody goes on with what they have.
    fn renew(&self, platform: &Platform) {
        // Outside a runtime nobody asks behind anybody's back; what is too old is waited for.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (shared, platform) = (Arc::clone(&self.shared), platform.clone());
        let task = runtime.spawn(async move {
            let _turn = shared.turns.wait(&()).await;
            if let Err(error) = shared.ask(&platform).await {
                let cause = Causes(&error);
                tracing::warn!(%cause, "the managed identity's old token stays in use");
            }
        });
        let background = self.background.lock();
        *background.unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDropHandle::new(task));
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever calls this has the turn.
    async fn ask(&self, platform: &Platform) -> Result<ClientAssertion, CredentialError> {
        let answer = platform.http.send(self.question.to_http()).await;
        let now = platform.clock.now();
        let held = answer
            .map_err(CredentialError::NoManagedIdentity)
            .and_then(|answer| read(&answer, now));
        let mut known = self.known();
        match held {
            Ok(held) => {
                let token = held.token.clone();
                known.held = Some(held);
                known.failed = None;
                Ok(token)
            }
            Err(error) => {
                let pause = error.retry_after().unwrap_or(RETRY_AFTER);
                known.failed = Some((now, pause.min(LONGEST_PAUSE)));
                Err(error)
            }
        }
    }
}

/// What both hosts answer, all in strings; other fields differ.
#[derive(Deserialize)]
struct TokenBody {
    access_token: String,
    expires_on: Option<Value>,
    expires_in: Option<Value>,
}

fn read(answer: &Response<Bytes>, now: Timestamp) -> Result<Held, CredentialError> {
    let status = answer.status();
    if !status.is_success() {
        return Err(refusal(answer));
    }
    let body: TokenBody = serde_json::from_slice(answer.body())
        .map_err(|_| CredentialError::ManagedIdentityMalformed)?;
    let on = body.expires_on.as_ref().and_then(number);
    let within = body.expires_in.as_ref().and_then(number);
    let within = within.map(|seconds| now + Duration::from_secs(seconds));
    let ends = on.map(Timestamp::from_unix).or(within);
    let ends = ends.ok_or(CredentialError::ManagedIdentityMalformed)?;
    if body.access_token.is_empty() {
        return Err(CredentialError::ManagedIdentityMalformed);
    }
    Ok(Held {
        token: ClientAssertion::new(body.access_token),
        renew_at: now + ends.since(now) / 2,
        ends,
    })
}

fn refusal(answer: &Response<Bytes>) -> CredentialError {
    let status = answer.status();
    let unavailable = |retry_after| CredentialError::ManagedIdentityUnavailable {
        status,
        retry_after,
    };
    match status {
        StatusCode::GONE => unavailable(retry_after(answer.headers()).max(UPGRADE)),
        StatusCode::NOT_FOUND | StatusCode::TOO_MANY_REQUESTS => {
            unavailable(retry_after(answer.headers()))
        }
        _ if status.is_server_error() => unavailable(retry_after(answer.headers())),
        _ => CredentialError::ManagedIdentityRefused(status),
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl fmt::Debug for IdentityProver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProver")
            .field("question", &self.shared.question)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Refreshing, the one operation behind the refresh grant and on-behalf-of alike.
//!
//! At most one flight per grant: in this process by turns, over all replicas by a lease in the store.
//! The fence is the grant's version: who loses that race reads again and decides again.

use std::sync::Arc;
use std::time::Duration;

use super::MOST_ROUNDS;
use crate::causes::Causes;
use crate::entra::EntraClient;
use crate::entra::error::{EntraError, Remedy};
use crate::grant::{
    AuthenticatedClient, Grant, GrantId, Lifetimes, NeededInteraction, PresentedRefreshToken,
    RefreshDecision, RefreshError, RefreshRequest, Renewal, ReplicaId, Vantage,
};
use crate::keys::Keys;
use crate::oauth::scope::Scope;
use crate::platform::{Clock, Platform, SecureRandom, Timestamp};
use crate::secret::{Hashed, RefreshToken};
use crate::single_flight::Turns;
use crate::store::{Flight, FlightError, Flights, SealedStore, StoreError, StoreHealth, Written};

/// How long before its end an Entra access token is replaced.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// Refreshes grants.
#[derive(Debug)]
pub(crate) struct Renewer {
    entra: Arc<EntraClient>,
    store: SealedStore,
    keys: Keys,
    lifetimes: Lifetimes,
    random: Arc<dyn SecureRandom>,
    clock: Arc<dyn Clock>,
    turns: Turns<GrantId>,
    flights: Flights,
    replica: ReplicaId,
    health: StoreHealth,
}

/// Why a grant was not refreshed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewalError {
    /// The grant was revoked, or was never there.
    #[error("the grant has ended")]
    Ended,
    /// The token was replaced long ago: it was stolen. The grant has been revoked.
    #[error("a replaced refresh token was used again: its grant is revoked")]
    Replayed,
    /// Others replaced the token twice while this request was on its way: it was the newest when it came, so
    /// that nothing was replayed. The grant stands.
    #[error("the refresh token was replaced while it was being used")]
    Overtaken,
    /// The token does not fit the request.
    #[error(transparent)]
    Refused(#[from] RefreshError),
    /// Entra said that the user must sign in again. The grant has been revoked.
    #[error("entra wants the user to sign in again")]
    SignInAgain(#[source] EntraError),
    /// The client was told a moment ago that the user must sign in again. The grant stands.
    #[error("the user was asked to sign in again a moment ago")]
    Challenged,
    /// Entra wants to see the user before it gives new tokens. The grant stands.
    #[error("entra wants to see the user")]
    Interaction(#[source] EntraError),
    /// Entra gives no new tokens now, and its old one is over. Nothing is lost.
    #[error("entra is not available, or our registration there needs mending")]
    Unavailable {
        /// What went wrong.
        #[source]
        error: EntraError,
        /// When to try again.
        retry_after: Duration,
    },
    /// Another replica is at it and does not come to an end, or others kept winning the race.
    #[error("too many refreshes of one grant at once")]
    Contended,
    /// The crypto library failed.
    #[error("the refresh token could not be made")]
    Crypto,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a refresh was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// Entra was asked, and the token replaced.
    Rotated,
    /// Entra could not be asked, but its last token still lives: the token was replaced.
    RotatedWithoutEntra,
    /// The last answer was given again.
    Repeated,
}

/// A grant after its refresh token was used.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) grant: Grant,
    pub(super) token: RefreshToken,
    pub(super) how: How,
}

impl Rotated {
    /// How long an access token issued now may live: no longer than Entra's own, where Entra
    /// could not be asked whether the user may still come in.
    pub(super) fn access_token_lifetime(&self, lifetimes: Lifetimes, now: Timestamp) -> Duration {
        let lifetime = self.grant.access_token_lifetime(lifetimes, now);
        match self.how {
            How::Rotated => lifetime,
            // The answer that is repeated may have been given without Entra.
            How::RotatedWithoutEntra | How::Repeated => {
                lifetime.min(self.grant.entra_token_expires_at().since(now))
            }
        }
    }
}

impl From<FlightError> for RenewalError {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Busy => Self::Contended,
            FlightError::Store(error) => Self::Store(error),
        }
    }
}

/// Names the refreshing of a grant.
fn flight_of(grant: &GrantId) -> Hashed<Flight> {
    Hashed::of(&format!("refresh {grant}"))
}

/// Whether the grant's Entra access token will do for a while.
fn lives(grant: &Grant, now: Timestamp) -> bool {
    now + EARLY < grant.entra_token_expires_at()
}

impl Renewer {
    pub(super) fn new(
        entra: Arc<EntraClient>,
        (store, health): (SealedStore, StoreHealth),
        keys: Keys,
        lifetimes: Lifetimes,
        platform: &Platform,
    ) -> Self {
        let (random, clock) = (Arc::clone(&platform.random), Arc::clone(&platform.clock));
        let flights = Flights::new(store.clone(), Arc::clone(&random), Arc::clone(&clock));
        Self {
            entra,
            store,
            keys,
            lifetimes,
            replica: ReplicaId::generate(&*random),
            random,
            clock,
            turns: Turns::default(),
            flights,
            health,
        }
    }

    /// The same in the place of `before`, which may be at it still: both take turns, and are one replica.
    pub(super) fn in_place_of(self, before: &Self) -> Self {
        Self {
            turns: before.turns.clone(),
            replica: before.replica,
            ..self
        }
    }

    pub(super) fn health(&self) -> StoreHealth {
        self.health.clone()
    }

    /// Uses a refresh token (RFC 6749 §6).
    pub(super) async fn rotate(
        &self,
        presented: &PresentedRefreshToken,
        client: &AuthenticatedClient,
        request: &RefreshRequest,
        now: Timestamp,
    ) -> Result<Rotated, RenewalError> {
        let id = presented.grant();
        let _turn = self.turns.wait(&id).await;
        let flight = self.flights.turn(flight_of(&id)).await?;
        let rotated = flight.during(self.rotate_alone(presented, client, request, now));
        let rotated = rotated.await;
        flight.land().await;
        rotated
    }

    /// Uses a refresh token while nobody else does.
    async fn rotate_alone(
        &self,
        presented: &PresentedRefreshToken,
        client: &AuthenticatedClient,
        request: &RefreshRequest,
        now: Timestamp,
    ) -> Result<Rotated, RenewalError> {
        let id = presented.grant();
        for round in 0..MOST_ROUNDS {
            let grant = self.standing(&id, now).await?;
            match grant.refresh(presented, client, request, &self.vantage(now))? {
                RefreshDecision::Repeat(token) => {
                    return Ok(Rotated {
                        grant,
                        token,
                        how: How::Repeated,
                    });
                }
                // A replica that stood still for longer than its lease lost the race more than once.
                RefreshDecision::Revoke if round > 0 => return Err(RenewalError::Overtaken),
                RefreshDecision::Revoke => {
                    self.store.revoke_grant(&id, now).await?;
                    return Err(RenewalError::Replayed);
                }
                RefreshDecision::Rotate => {}
            }
            if self.is_challenged(&grant, now).await? {
                return Err(RenewalError::Challenged);
            }
            let (renewal, how) = self.renewal_for_client(&grant, now).await?;
            // The turn and Entra took their time: the grace of the old token begins here.
            let now = self.clock.now();
            let grant = grant.bound_by(client);
            let (next, token) = self.succeed(&grant, presented, renewal, now)?;
            match self.store.put_grant(&next).await? {
                Written::Yes => {
                    return Ok(Rotated {
                        grant: next,
                        token,
                        how,
                    });
                }
                Written::Conflict => {}
                Written::Revoked => return Err(RenewalError::Ended),
            }
        }
        Err(RenewalError::Contended)
    }

    /// What Entra gives, and whether it was asked. What it wants of the user is remembered, for the client
    /// is told.
    async fn renewal_for_client(
        &self,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<(Option<Renewal>, How), RenewalError> {
        match self.ask_entra(grant, now).await {
            Ok(Some(renewal)) => Ok((Some(renewal), How::Rotated)),
            Ok(None) => Ok((None, How::RotatedWithoutEntra)),
            Err(RenewalError::Interaction(error)) => {
                let claims = error.claims().cloned();
                let id = grant.id();
                let needed = NeededInteraction::new(id, claims, Scope::default(), now);
                self.remember(grant, needed).await?;
                Err(RenewalError::Interaction(error))
            }
            Err(error) => Err(error),
        }
    }

    /// What one replica at a time does for a grant.
    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }

    /// The grant, if it stands.
    pub(crate) async fn standing(
        &self,
        id: &GrantId,
        now: Timestamp,
    ) -> Result<Grant, RenewalError> {
        let grant = self.store.grant(id, now).await?;
        grant.ok_or(RenewalError::Ended)
    }

    /// The grant with an Entra access token that still lives for a while.
    pub(crate) async fn fresh(&self, id: &GrantId, now: Timestamp) -> Result<Grant, RenewalError> {
        let grant = self.standing(id, now).await?;
        if lives(&grant, now) {
            return Ok(grant);
        }
        let _turn = self.turns.wait(id).await;
        let flight = self.flights.turn(flight_of(id)).await?;
        let fresh = flight.during(self.fresh_alone(id, now)).await;
        flight.land().await;
        fresh
    }

    async fn fresh_alone(&self, id: &GrantId, now: Timestamp) -> Result<Grant, RenewalError> {
        for _ in 0..MOST_ROUNDS {
            let grant = self.standing(id, now).await?;
            if lives(&grant, now) {
                return Ok(grant);
            }
            let Some(renewal) = self.ask_entra(&grant, now).await? else {
                return Ok(grant);
            };
            let next = grant.refreshed(renewal);
            match self.store.put_grant(&next).await? {
                Written::Yes => return Ok(next),
                Written::Conflict => {}
                Written::Revoked => return Err(RenewalError::Ended),
            }
        }
        Err(RenewalError::Contended)
    }

    /// Remembers what the user must bring to their next login through this client.
    pub(super) async fn remember(
        &self,
        grant: &Grant,
        needed: NeededInteraction,
    ) -> Result<NeededInteraction, StoreError> {
        let Some(key) = grant.interaction_key() else {
            return Ok(needed);
        };
        let now = self.clock.now();
        let before = self.store.interaction(&key, now).await?;
        if let Some(before) = before.as_ref().filter(|before| needed.repeats(before)) {
            return Ok(before.clone());
        }
        let needed = needed.and(before);
        self.store.put_interaction(&key, &needed).await?;
        Ok(needed)
    }

    /// Whether the client was told a moment ago that its user must sign in again.
    async fn is_challenged(&self, grant: &Grant, now: Timestamp) -> Result<bool, StoreError> {
        let Some(key) = grant.interaction_key() else {
            return Ok(false);
        };
        let needed = self.store.interaction(&key, now).await?;
        Ok(needed.is_some_and(|needed| needed.refuses_refresh(now)))
    }

    /// Asks Entra for new tokens; `None` if it cannot be asked and need not be yet. What it wants of the
    /// user is for the caller to remember, who knows whether anybody is told.
    async fn ask_entra(
        &self,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<Option<Renewal>, RenewalError> {
        let held = grant.held();
        let Some(token) = held.and_then(|held| held.refresh_token.as_ref()) else {
            return Ok(None);
        };
        let error = match self.entra.refresh(token, grant.scope(), now).await {
            Ok(renewal) if grant.is_of(&renewal) => return Ok(Some(renewal)),
            Ok(_) => EntraError::WrongLogin,
            Err(error) => error,
        };
        let retry_after = match error.remedy() {
            Remedy::SignInAgain | Remedy::AskAdmin => {
                self.store.revoke_grant(&grant.id(), now).await?;
                return Err(RenewalError::SignInAgain(error));
            }
            Remedy::StepUp | Remedy::Consent => return Err(RenewalError::Interaction(error)),
            Remedy::Retry(retry_after) => retry_after,
            Remedy::FixConfiguration => Duration::from_secs(60),
        };
        if now < grant.entra_token_expires_at() {
            let advice = error.advice();
            tracing::warn!(grant = %grant.id(), advice, scope = error.scope(), cause = %Causes(&error), "refreshing without entra");
            return Ok(None);
        }
        Err(RenewalError::Unavailable { error, retry_after })
    }

    fn vantage(&self, now: Timestamp) -> Vantage {
        Vantage {
            now,
            replica: self.replica,
            outage: self.health.last_outage(),
        }
    }

    fn succeed(
        &self,
        grant: &Grant,
        presented: &PresentedRefreshToken,
        renewal: Option<Renewal>,
        now: Timestamp,
    ) -> Result<(Grant, RefreshToken), RenewalError> {
        let ring = self.keys.current();
        let mut salt = [0; 32];
        self.random.fill(&mut salt);
        let token = RefreshToken::issue(grant.id(), ring.sealing(), &*self.random);
        let succession = presented
            .succeeded_by(&token, now + self.lifetimes.refresh_token, salt)
            .ok_or(RenewalError::Crypto)?;
        Ok((
            grant.rotated(succession, renewal, &self.vantage(now)),
            token,
        ))
    }
}

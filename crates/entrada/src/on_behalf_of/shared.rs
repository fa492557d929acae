//! A downstream token that all replicas share: one exchange, whoever asks where.

use super::exchange::{NoToken, Source};
use super::kept::Kept;
use super::{Given, Inner, Key, OboError, Subject};
use crate::authorization_server::RenewalError;
use crate::grant::GrantId;
use crate::platform::Timestamp;
use crate::secret::{EntraAccessToken, Hashed};
use crate::store::{Boarded, Boarding, Flight, FlightError, Flights};

impl Inner {
    /// Exchanges, or takes what another replica has just got.
    pub(super) async fn get(
        &self,
        key: &Key,
        source: Source,
        replaced: Option<&Kept>,
        now: Timestamp,
    ) -> Result<Given, NoToken> {
        let Some((flights, grant)) = self.shares(key) else {
            let tokens = self.exchange(key, source, now).await?;
            return Ok(self.keep(key.clone(), &tokens).given);
        };
        let name = flight_of(&grant, key, replaced.map(|kept| &kept.given.token));
        match flights.board::<Kept>(name).await {
            Ok(Boarding::First(flight)) => self.get_for_all(flight, key, source, now).await,
            Ok(Boarding::Landed(kept)) => self.take(&grant, key, kept).await,
            Err(FlightError::Busy) => Err(NoToken::Other(OboError::TimedOut)),
            Err(FlightError::Store(error)) => {
                let error = RenewalError::Store(error);
                Err(NoToken::Other(OboError::Renewal(error)))
            }
        }
    }

    /// Where who does what is written down, and the grant, if the token is one that replicas share. One that answers
    /// a challenge is not: the next challenge must bring another.
    fn shares(&self, key: &Key) -> Option<(&Flights, GrantId)> {
        let flights = self.server.as_ref()?.renewer().flights();
        match key.subject {
            Subject::Grant(grant) if key.claims.is_none() => Some((flights, grant)),
            Subject::Grant(_) | Subject::Assertion(_) | Subject::App(_) => None,
        }
    }

    async fn get_for_all(
        &self,
        flight: Boarded,
        key: &Key,
        source: Source,
        now: Timestamp,
    ) -> Result<Given, NoToken> {
        match flight.during(self.exchange(key, source, now)).await {
            Ok(tokens) => {
                let kept = self.keep(key.clone(), &tokens);
                // Until it is time for another.
                flight.land_with(&kept, kept.refresh_at).await;
                Ok(kept.given)
            }
            Err(no_token) => {
                flight.land().await;
                Err(no_token)
            }
        }
    }

    /// Takes over what another replica got, if the grant stands: it may have been revoked since.
    async fn take(&self, grant: &GrantId, key: &Key, kept: Kept) -> Result<Given, NoToken> {
        let now = self.platform.clock.now();
        let other = |error| NoToken::Other(OboError::Renewal(error));
        if let Some(server) = &self.server {
            server.renewer().standing(grant, now).await.map_err(other)?;
        }
        let kept = kept.taken_over(now);
        self.given.tokens.insert(key.clone(), kept.clone());
        Ok(kept.given)
    }
}

/// Names the getting of a token, in place of the one before it.
fn flight_of(grant: &GrantId, key: &Key, replaced: Option<&EntraAccessToken>) -> Hashed<Flight> {
    let replaced = replaced.map_or("", EntraAccessToken::expose);
    Hashed::of(&format!("downstream {grant} {} {replaced}", key.scope))
}

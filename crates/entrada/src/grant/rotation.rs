//! What stands of a family of refresh tokens, and how long the one before the newest is still answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::refresh_token::SealedSuccessor;
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::{Hashed, RefreshToken};

/// How long a rotated refresh token is still answered, for a client whose response was lost.
pub const ROTATION_GRACE: Duration = Duration::from_secs(30);

/// How far the clocks of two replicas may be apart.
pub const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// Where a family of refresh tokens stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Rotation {
    pub(super) current: Hashed<RefreshToken>,
    pub(super) previous: Option<Rotated>,
}

/// The token before the current one, and the current one for those who hold it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Rotated {
    pub(super) token: Hashed<RefreshToken>,
    pub(super) at: Timestamp,
    /// Which replica replaced it; what was written before does not say.
    #[serde(default)]
    pub(super) by: Option<ReplicaId>,
    pub(super) successor: SealedSuccessor,
}

/// One process that serves: drawn anew at each start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct ReplicaId(u64);

impl ReplicaId {
    /// Draws a new one.
    pub(crate) fn generate(random: &dyn SecureRandom) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        Self(u64::from_be_bytes(bytes))
    }
}

/// Who looks at a grant, when, and whether the store was in their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vantage {
    pub(crate) now: Timestamp,
    pub(crate) replica: ReplicaId,
    /// When this replica last saw the store away, if it ever did.
    pub(crate) outage: Option<Outage>,
}

/// A time in which the store failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) begun_at: Timestamp,
    pub(crate) last_failed_at: Timestamp,
}

impl Vantage {
    /// Whether the client may not have the answer to its last refresh: there is the grace for that, by the clock of
    /// whoever replaced the token. If the store went away within it, the client could not come before it was back.
    pub(super) fn may_have_lost_answer(&self, last: &Rotated) -> bool {
        let clocks = if last.by == Some(self.replica) {
            Duration::ZERO
        } else {
            CLOCK_DIFFERENCE
        };
        let grace = ROTATION_GRACE + clocks;
        let could_not_come = |outage: &Outage| {
            outage.begun_at.since(last.at) <= grace && outage.last_failed_at >= last.at
        };
        let could_come = match self.outage.filter(could_not_come) {
            // A request that came before it was over may be answered after it. But clocks are set back, too: what
            // lies far ahead never was.
            Some(outage) if outage.last_failed_at <= self.now + CLOCK_DIFFERENCE => {
                outage.last_failed_at
            }
            Some(_) | None => last.at,
        };
        self.now.since(could_come) <= grace
    }
}

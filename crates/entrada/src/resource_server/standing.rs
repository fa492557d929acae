//! Whether a token still lets its caller in, for what outlives the answer to a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::bearer::Guard;
use super::refusal::Refusal;
use crate::access_token::{Caller, PresentedToken, VerifyError};
use crate::platform::Timestamp;

/// Whether whoever was let in would be let in still: for what outlives the answer to a request, as a
/// WebSocket does (RFC 6455).
///
/// It is in the extensions of every request the guard lets through that asks for another protocol by
/// `Upgrade` (RFC 9110 §7.8), and holds the token; cheap to clone. A proof of possession is asked for
/// when the request comes, and never again.
#[derive(Clone)]
pub struct Standing(Arc<Admission>);

struct Admission {
    guard: Arc<Guard>,
    token: Zeroizing<String>,
    expires_at: Timestamp,
    /// When whoever it is of was let in.
    since: Timestamp,
}

impl Standing {
    /// Of whoever `token` let in at `now`; it ends at `expires_at`.
    pub(super) fn new(
        guard: &Arc<Guard>,
        token: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self(Arc::new(Admission {
            guard: Arc::clone(guard),
            token: Zeroizing::new(token.to_owned()),
            expires_at,
            since: now,
        }))
    }

    /// Ends when the token would let nobody in any more, with why: it has expired, its grant was revoked,
    /// or what it allows is no longer enough.
    ///
    /// The guard is asked every five seconds, as if a request came, and at once where the request is longer
    /// ago. So it ends within fifteen seconds of a revocation, at every replica. If the guard cannot tell, the last it said holds for a minute.
    pub async fn ended(&self) -> Refusal {
        let clock = &self.0.guard.clock;
        let mut seen_at = self.0.since;
        // Whoever was let in long ago may have waited with what is good no more.
        let mut is_long_ago = clock.now().since(seen_at) >= LOOK_EVERY;
        loop {
            if !is_long_ago {
                tokio::time::sleep(pause(self.0.expires_at, clock.now())).await;
            }
            is_long_ago = false;
            let now = clock.now();
            match self.0.look(now).await {
                Ok(()) => seen_at = now,
                Err(refusal) if is_our_trouble(&refusal) && now.since(seen_at) <= GRACE => {}
                Err(refusal) => return refusal,
            }
        }
    }
}

impl Admission {
    async fn look(&self, now: Timestamp) -> Result<(), Refusal> {
        let (verifier, presented) = (&self.guard.verifier, self.presented());
        let token = if let Some(token) = verifier.recall(presented, now) {
            token
        } else {
            let judged = verifier.verify(presented, now).await;
            judged.map_err(Refusal::of)?
        };
        let decided = self.guard.requirement.decide(&token);
        decided.map_err(|shortfall| Refusal::Forbidden(Caller::of(&token), shortfall))
    }

    fn presented(&self) -> PresentedToken<'_> {
        PresentedToken::new(&self.token)
    }
}

/// How long until the guard is asked again about a token: at its end at the latest, and then for as long as
/// clocks may differ.
fn pause(expires_at: Timestamp, now: Timestamp) -> Duration {
    match expires_at.since(now) {
        Duration::ZERO => LOOK_EVERY,
        left => left.min(LOOK_EVERY),
    }
}

/// Whether the guard could not tell, so that the token may well be good.
fn is_our_trouble(refusal: &Refusal) -> bool {
    let Refusal::Unverified(error) = refusal else {
        return false;
    };
    matches!(**error, VerifyError::Unavailable(_))
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing(…)")
    }
}

/// How often the guard is asked. It reads a grant every ten seconds at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long nobody is turned out for the guard's own troubles, after it last could tell.
const GRACE: Duration = Duration::from_secs(60);

//! Which proofs were used.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use crate::jwt::dpop::{TOLERANCE, VerifiedProof};
use crate::platform::Timestamp;

/// For how long a proof can be taken, from the first time it is: one may be made by a clock that is
/// ahead. The last second counts.
const MEMORY: Duration = Duration::from_secs(2 * TOLERANCE.as_secs() + 1);

/// How many are remembered of each period, in some five megabytes.
const MOST: usize = 200_000;

/// Half of a digest, which nobody finds a second proof for.
type Used = [u8; 16];

/// The proofs this process has taken, each of which is taken once (RFC 9449 §11.1).
///
/// They are kept for ten minutes at least. Where more come than there is room for, the oldest are
/// forgotten sooner: a proof that leaked is then as good as one at another replica, until its time is
/// over.
#[derive(Debug)]
pub(crate) struct UsedProofs {
    most: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    began: Timestamp,
    now: HashSet<Used>,
    before: HashSet<Used>,
}

impl Default for UsedProofs {
    fn default() -> Self {
        Self::remembering(MOST)
    }
}

impl UsedProofs {
    fn remembering(most: usize) -> Self {
        Self {
            most,
            seen: Mutex::default(),
        }
    }

    /// Uses up a proof; whether it was not used before.
    pub(super) fn spend(&self, proof: &VerifiedProof, now: Timestamp) -> bool {
        let used = used(proof);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let full = seen.now.len() >= self.most;
        if full || now.since(seen.began) >= MEMORY {
            seen.before = std::mem::take(&mut seen.now);
            seen.began = now;
        }
        !seen.before.contains(&used) && seen.now.insert(used)
    }
}

/// What stands for a proof: its name, of those its key gave.
fn used(proof: &VerifiedProof) -> Used {
    let mut context = Context::new(&SHA256);
    context.update(proof.key.as_bytes());
    context.update(proof.id.as_bytes());
    let mut used = [0; 16];
    for (to, from) in used.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::thumbprint::JwkThumbprint;

    fn spend(used: &UsedProofs, (key, id): (&str, &str), now: u64) -> bool {
        let key = JwkThumbprint::parse(&key.repeat(43)).unwrap();
        let proof = VerifiedProof {
            key,
            id: id.to_owned(),
            nonce: None,
        };
        used.spend(&proof, Timestamp::from_unix(now))
    }

    #[test]
    fn a_proof_is_taken_once_while_its_time_is_not_over() {
        for first in [1_000, 1_300, 1_600, 1_601, 1_602] {
            let used = UsedProofs::default();
            assert!(spend(&used, ("A", "x"), 1_000));
            assert!(spend(&used, ("A", "1"), first));
            for later in [0, 1, 300, 600] {
                assert!(!spend(&used, ("A", "1"), first + later), "{first} {later}");
            }
            assert!(spend(&used, ("E", "1"), first), "of another key");
            assert!(spend(&used, ("A", "2"), first), "another");
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let used = UsedProofs::remembering(10);
        for round in 0..100 {
            assert!(spend(&used, ("A", &round.to_string()), 1_000));
            assert!(!spend(&used, ("A", &round.to_string()), 1_000));
        }
        assert!(!spend(&used, ("A", "90"), 1_000), "the last ten are there");
        assert!(spend(&used, ("A", "1"), 1_000), "the first are not");
        let seen = used.seen.lock().unwrap();
        assert!(seen.now.len() + seen.before.len() <= 20);
    }
}

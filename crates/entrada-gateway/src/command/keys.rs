//! `entrada keys`: what signs tokens and seals records, seen and replaced.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{HONOUR_AFTER, KeyFacts, KeyFile, KeyFileError, KeyRing};
use entrada::platform::{Clock as _, SystemClock, SystemRandom, Timestamp};

use crate::command::CommandError;
use crate::config::signing_algorithm;

/// Which keys, and what to do with them.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Options {
    #[command(subcommand)]
    action: Action,
    /// Where the keys are kept
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "ENTRADA_DATA_DIR",
        default_value = "entrada-data"
    )]
    data_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Tell which keys there are, and from when each is used; no secret is shown
    List,
    /// Make new keys: used in ten minutes, and the old ones honoured for as long as they are needed
    Rotate(New),
    /// Make new keys and stop honouring the old ones at once: somebody else may have them
    Revoke(New),
}

#[derive(Clone, Copy, Debug, Args)]
struct New {
    /// What the new key signs with: ES256 or EdDSA [default: as the newest does]
    #[arg(long, value_name = "ALGORITHM", value_parser = signing_algorithm)]
    signing_algorithm: Option<Algorithm>,
}

impl Options {
    /// Does what was asked, and says what came of it to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if the key file cannot be used.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        let file = KeyFile::new(self.data_dir.join("keys.json"));
        let (now, random) = (SystemClock::default().now(), SystemRandom::default());
        let before = file.load(now)?;
        let changed = match self.action {
            Action::List => None,
            Action::Rotate(new) => Some(before.rotated(new.algorithm(&before), &random, now)),
            Action::Revoke(new) => Some(before.revoked(new.algorithm(&before), &random, now)),
        };
        let ring = match changed {
            Some(changed) => {
                let changed = changed.map_err(KeyFileError::from)?;
                file.save(&changed)?;
                changed
            }
            None => before,
        };
        tell(&ring, now, out).map_err(CommandError::Output)
    }
}

impl New {
    fn algorithm(self, ring: &KeyRing) -> Algorithm {
        let newest = ring.facts().filter_map(|key| key.algorithm).last();
        self.signing_algorithm
            .or(newest)
            .unwrap_or(Algorithm::Es256)
    }
}

/// A line for each key.
fn tell(ring: &KeyRing, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let (signing, sealing): (Vec<_>, Vec<_>) =
        ring.facts().partition(|key| key.algorithm.is_some());
    for keys in [signing, sealing] {
        for (at, key) in keys.iter().enumerate() {
            let kind = key.algorithm.map_or("seals", Algorithm::as_str);
            let state = state(key, keys.get(at + 1), now);
            writeln!(out, "{kind:<6} {:<43}  {state}", key.id)?;
        }
    }
    Ok(())
}

/// What a key is good for, which `next` replaces.
fn state(key: &KeyFacts, next: Option<&KeyFacts>, now: Timestamp) -> String {
    if key.from > now {
        return format!("used in {}", span(key.from.since(now)));
    }
    let replaced = next.filter(|next| next.from <= now);
    match (replaced, key.algorithm) {
        (None, _) => format!("in use for {}", span(now.since(key.from))),
        (Some(next), None) => format!(
            "replaced {} ago, opens what it sealed",
            span(now.since(next.from))
        ),
        (Some(next), Some(_)) => {
            let ago = now.since(next.from);
            let left = HONOUR_AFTER.saturating_sub(ago);
            if left.is_zero() {
                format!("replaced {} ago, over", span(ago))
            } else {
                format!("replaced {} ago, honoured for {}", span(ago), span(left))
            }
        }
    }
}

/// A time, in its largest unit.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let largest = units.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = largest.unwrap_or((1, "second"));
    let number = seconds / unit;
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told after the ids.
    fn told(ring: &KeyRing, now: u64) -> Vec<String> {
        let mut out = Vec::new();
        tell(ring, Timestamp::from_unix(now), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines = text.lines().map(|line| {
            let (kind, rest) = line.split_once(' ').unwrap();
            let state = rest.trim_start().split_once("  ").unwrap().1.trim();
            format!("{kind}: {state}")
        });
        lines.collect()
    }

    #[test]
    fn it_is_told_what_each_key_is_good_for() {
        let (random, at) = (SystemRandom::default(), Timestamp::from_unix);
        let first = KeyRing::generate(Algorithm::Es256, &random, at(1000)).unwrap();
        assert_eq!(
            told(&first, 1000 + 86_400),
            ["ES256: in use for 1 day", "seals: in use for 1 day"]
        );
        let second = first.rotated(Algorithm::EdDsa, &random, at(4600)).unwrap();
        assert_eq!(
            told(&second, 4600),
            [
                "ES256: in use for 1 hour",
                "EdDSA: used in 10 minutes",
                "seals: in use for 1 hour",
                "seals: used in 10 minutes",
            ]
        );
        assert_eq!(
            told(&second, 5200 + 59),
            [
                "ES256: replaced 59 seconds ago, honoured for 1 day",
                "EdDSA: in use for 59 seconds",
                "seals: replaced 59 seconds ago, opens what it sealed",
                "seals: in use for 59 seconds",
            ]
        );
        assert!(told(&second, 5200 + 200_000)[0].ends_with("over"));
    }

    #[test]
    fn a_change_is_kept_and_keeps_the_algorithm() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.json"));
        let options = |action| Options {
            action,
            data_dir: folder.path().to_owned(),
        };
        let new = New {
            signing_algorithm: None,
        };
        // There must be keys: a wrong directory is to be noticed.
        assert!(options(Action::Rotate(new)).run(&mut Vec::new()).is_err());
        let now = SystemClock::default().now();
        file.load_or_create(Algorithm::EdDsa, &SystemRandom::default(), now)
            .unwrap();
        let signing = || {
            let ring = file.load(now).unwrap();
            ring.facts()
                .filter_map(|key| key.algorithm)
                .collect::<Vec<_>>()
        };
        options(Action::Rotate(new)).run(&mut Vec::new()).unwrap();
        assert_eq!(signing(), [Algorithm::EdDsa, Algorithm::EdDsa]);
        let mut listed = Vec::new();
        options(Action::List).run(&mut listed).unwrap();
        assert_eq!(String::from_utf8(listed).unwrap().lines().count(), 4);
        let es256 = New {
            signing_algorithm: Some(Algorithm::Es256),
        };
        options(Action::Revoke(es256)).run(&mut Vec::new()).unwrap();
        assert_eq!(signing(), [Algorithm::Es256]);
    }
}

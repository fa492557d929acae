//! `entrada keys`: what signs tokens and seals records, seen and replaced.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{HONOUR_AFTER, KeyFacts, KeyFile, KeyFileError, KeyRing};
use entrada::platform::{Clock as _, SystemClock, SystemRandom, Timestamp};

use crate::command::CommandError;
use crate::config::{ConfigError, Environment, data_dir, signing_algorithm};

/// Which keys, and what to do with them.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Options {
    #[command(subcommand)]
    action: Action,
    #[arg(long, global = true, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<String>,
    #[arg(long, global = true, value_name = "DIR", help = DATA_DIR_HELP)]
    data_dir: Option<PathBuf>,
}

const CONFIG_HELP: &str = "A TOML file that says where the keys are kept [env: ENTRADA_CONFIG]";
const DATA_DIR_HELP: &str =
    "Where the keys are kept [default: entrada-data] [env: ENTRADA_DATA_DIR]";

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Tell which keys there are, and from when each is used; no secret is shown
    List,
    /// Make new keys: used in ten minutes, and the old ones honoured for as long as they are needed
    Rotate(New),
    /// Make new keys and stop honouring the old ones at once: somebody else may have them. Old ones
    /// still open what is stored, so nobody signs in again, but through clients that hold their registration
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
    /// [`CommandError`] if the key file cannot be used, or it is not clear which it is.
    pub fn run(&self, environment: &Environment, out: &mut dyn Write) -> Result<(), CommandError> {
        let directory = self.directory(environment)?;
        let file = KeyFile::new(directory.join("keys.json"));
        let (now, random) = (SystemClock::default().now(), SystemRandom::default());
        let ring = match self.action {
            Action::List => file.load(now),
            Action::Rotate(new) => file.update(now, |ring| {
                ring.rotated(new.algorithm(ring), &random, now).map(Some)
            }),
            Action::Revoke(new) => file.update(now, |ring| {
                ring.revoked(new.algorithm(ring), &random, now).map(Some)
            }),
        };
        let ring = ring.map_err(|error| {
            if is_of_no_file(&error) {
                let source = error;
                CommandError::NoKeys { directory, source }
            } else {
                error.into()
            }
        });
        tell(&ring?, now, out).map_err(CommandError::Output)
    }

    /// Where the keys are. Where it is said, nothing else need be right: keys must be revocable
    /// whatever the configuration is like.
    fn directory(&self, environment: &Environment) -> Result<PathBuf, ConfigError> {
        match &self.data_dir {
            Some(directory) => Ok(directory.clone()),
            None => data_dir(self.config.as_deref(), environment),
        }
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

fn is_of_no_file(error: &KeyFileError) -> bool {
    matches!(error, KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
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
    let is_known = |key: &KeyFacts| key.from > Timestamp::default();
    let replaced = next.filter(|next| next.from <= now);
    match (replaced, key.algorithm) {
        _ if key.is_revoked => "revoked, opens stored records alone".to_owned(),
        (None, _) if !is_known(key) => "in use".to_owned(),
        (None, _) => format!("in use for {}", span(now.since(key.from))),
        (Some(next), None) if !is_known(next) => "replaced, opens what it sealed".to_owned(),
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
        let revoked = second.revoked(Algorithm::Es256, &random, at(5300)).unwrap();
        assert_eq!(
            told(&revoked, 5303),
            [
                "ES256: in use for 3 seconds",
                "seals: revoked, opens stored records alone",
                "seals: revoked, opens stored records alone",
                "seals: in use for 3 seconds",
            ]
        );
    }

    #[test]
    fn a_change_is_kept_and_keeps_the_algorithm() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.json"));
        let run = |action, out: &mut Vec<u8>| {
            let options = Options {
                action,
                config: None,
                data_dir: Some(folder.path().to_owned()),
            };
            options.run(&Environment::default(), out)
        };
        let new = New {
            signing_algorithm: None,
        };
        // There must be keys: a wrong directory is to be noticed.
        for action in [Action::List, Action::Rotate(new), Action::Revoke(new)] {
            let error = run(action, &mut Vec::new()).unwrap_err();
            let told = error.to_string();
            let folder = folder.path().display();
            let expected =
                format!("there are no keys in {folder}: say where they are with --data-dir");
            assert!(told.starts_with(&expected), "{told}");
        }
        let now = SystemClock::default().now();
        file.load_or_create(Algorithm::EdDsa, &SystemRandom::default(), now)
            .unwrap();
        let signing = || {
            let ring = file.load(now).unwrap();
            ring.facts()
                .filter_map(|key| key.algorithm)
                .collect::<Vec<_>>()
        };
        run(Action::Rotate(new), &mut Vec::new()).unwrap();
        assert_eq!(signing(), [Algorithm::EdDsa, Algorithm::EdDsa]);
        let mut listed = Vec::new();
        run(Action::List, &mut listed).unwrap();
        assert_eq!(String::from_utf8(listed).unwrap().lines().count(), 4);
        let es256 = New {
            signing_algorithm: Some(Algorithm::Es256),
        };
        run(Action::Revoke(es256), &mut Vec::new()).unwrap();
        assert_eq!(signing(), [Algorithm::Es256]);
    }

    #[test]
    fn the_file_says_where_the_keys_are_unless_the_flag_does() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let (config, broken) = (place("entrada.toml"), place("broken.toml"));
        let text = format!("data_dir = {:?}\n", place("kept"));
        std::fs::write(&config, &text).unwrap();
        std::fs::write(&broken, format!("{text}data_dri = 1\n")).unwrap();
        let directory = |config: Option<&PathBuf>, data_dir: Option<&str>| {
            let options = Options {
                action: Action::List,
                config: config.map(|path| path.display().to_string()),
                data_dir: data_dir.map(PathBuf::from),
            };
            options.directory(&Environment::default())
        };
        for (config, data_dir, expected) in [
            (None, None, Some(PathBuf::from("entrada-data"))),
            (Some(&config), None, Some(place("kept"))),
            (Some(&config), Some("other"), Some(PathBuf::from("other"))),
            // In doubt no keys are changed; whoever names them can change them all the same.
            (Some(&broken), None, None),
            (Some(&place("none.toml")), None, None),
            (Some(&broken), Some("other"), Some(PathBuf::from("other"))),
        ] {
            assert_eq!(directory(config, data_dir).ok(), expected, "{config:?}");
        }
    }
}

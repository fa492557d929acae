//! `entrada keys`: what signs tokens and seals records, seen and replaced.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKeyError;
use entrada::keys::{HONOUR_AFTER, KeyEncryptionKeys, KeyFacts, KeyFile, KeyRing};
use entrada::platform::{Clock as _, SystemClock, SystemRandom, Timestamp};
use entrada::store::{StoredKeyRing, StoredRing};

use super::grants::json_line;
use super::terminal::{WARNING, styled};
use crate::command::CommandError;
use crate::config::{ConfigError, Environment, KeyPlace, key_place, signing_algorithm};

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
    /// Write JSON
    #[arg(long, global = true)]
    json: bool,
}

const CONFIG_HELP: &str = "A TOML file that says where the keys are kept: in the store, where there is a key-encryption key, \
     or in the data_dir. The gateway's variables say so, too: ENTRADA_STORE, ENTRADA_BASE_URL, … \
     [env: ENTRADA_CONFIG]";
const DATA_DIR_HELP: &str = "The directory they are kept in, whatever is said elsewhere [default: \
                             entrada-data] [env: ENTRADA_DATA_DIR]";

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Tell which keys there are, and from when each is used; no secret is shown
    List,
    /// Make new keys: used in ten minutes, and the old ones honoured for as long as they are needed
    Rotate(New),
    /// Make new keys and stop honouring the old ones at once: somebody else may have them. Old ones
    /// still open what is stored, so nobody signs in again, but through clients that hold their registration
    Revoke(New),
    /// Draw a key-encryption key, with which replicas seal the keys they share in their store
    NewEncryptionKey,
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
    /// [`CommandError`] if the keys cannot be read or changed, or it is not clear where they are.
    pub async fn run(
        &self,
        environment: &Environment,
        out: &mut (dyn Write + Send),
    ) -> Result<(), CommandError> {
        let now = SystemClock::default().now();
        if matches!(self.action, Action::NewEncryptionKey) {
            let key = KeyEncryptionKeys::generate(&SystemRandom::default());
            return writeln!(out, "{}", *key).map_err(CommandError::Output);
        }
        let told = match self.place(environment)? {
            KeyPlace::Directory(directory) => {
                let ring = self.in_file(directory, now)?;
                self.action.note(&ring, now);
                if self.json {
                    json_line(&as_json(&ring, None, now), out)
                } else {
                    tell(&ring, now, out)
                }
            }
            KeyPlace::Store(place) => {
                let stored = self.in_store(&place.open()?, now).await?;
                self.action.note(&stored.ring, now);
                if self.json {
                    let sealed_by_first = Some(stored.is_by_first);
                    json_line(&as_json(&stored.ring, sealed_by_first, now), out)
                } else {
                    tell(&stored.ring, now, out).and_then(|()| tell_seal(&stored, out))
                }
            }
        };
        told.map_err(CommandError::Output)
    }

    fn in_file(&self, directory: PathBuf, now: Timestamp) -> Result<KeyRing, CommandError> {
        let file = KeyFile::new(directory.join("keys.json"));
        let ring = match self.action {
            // Whoever may only read can see them all the same.
            Action::List | Action::NewEncryptionKey => file.load(now),
            Action::Rotate(_) | Action::Revoke(_) => {
                file.update(now, |ring| self.action.change(ring, now))
            }
        };
        ring.map_err(|error| CommandError::of_key_file(error, directory))
    }

    async fn in_store(
        &self,
        ring: &StoredKeyRing,
        now: Timestamp,
    ) -> Result<StoredRing, CommandError> {
        let changed = ring.update(now, |ring| self.action.change(ring, now));
        changed.await?.ok_or(CommandError::NoSharedKeys)
    }

    /// Where the keys are. Where it is said, nothing else need be right: keys must be revocable
    /// whatever the configuration is like.
    fn place(&self, environment: &Environment) -> Result<KeyPlace, ConfigError> {
        match &self.data_dir {
            Some(directory) => Ok(KeyPlace::Directory(directory.clone())),
            None => key_place(self.config.as_deref(), environment),
        }
    }
}

impl Action {
    /// What is to become of `ring`.
    fn change(self, ring: &KeyRing, now: Timestamp) -> Result<Option<KeyRing>, SigningKeyError> {
        let random = SystemRandom::default();
        match self {
            Self::List | Self::NewEncryptionKey => Ok(None),
            Self::Rotate(new) => ring.rotated(new.algorithm(ring), &random, now).map(Some),
            Self::Revoke(new) => ring.revoked(new.algorithm(ring), &random, now).map(Some),
        }
    }
}

impl Action {
    /// Says on standard error what became of a key that waited to be used, if one did.
    fn note(self, ring: &KeyRing, now: Timestamp) {
        if let (Self::Rotate(_), Some(note)) = (self, waiting(ring, now)) {
            // When standard error is gone there is nobody left to tell.
            let _ = writeln!(anstream::stderr(), "{} {note}", styled("note:", WARNING));
        }
    }
}

/// What becomes of the keys before the newest that are not in use yet, if there are any.
fn waiting(ring: &KeyRing, now: Timestamp) -> Option<String> {
    let signing = ring.facts().filter(|key| key.algorithm.is_some());
    let mut waiting = signing.filter(|key| key.from > now).map(|key| key.from);
    let (first, next) = (waiting.next()?, waiting.next()?);
    let replaced = match next.since(first) {
        Duration::ZERO => "at once".to_owned(),
        later => format!("{} later", span(later)),
    };
    Some(format!(
        "a new key waited already: it is used in {} as before, and replaced {replaced}. One rotation is enough; \
         each is honoured for 25 hours after it was replaced",
        span(first.since(now)),
    ))
}

impl New {
    fn algorithm(self, ring: &KeyRing) -> Algorithm {
        let newest = ring.facts().filter_map(|key| key.algorithm).last();
        self.signing_algorithm
            .or(newest)
            .unwrap_or(Algorithm::Es256)
    }
}

/// What is told of each key, for programs.
fn as_json(ring: &KeyRing, sealed_by_first: Option<bool>, now: Timestamp) -> serde_json::Value {
    let facts: Vec<_> = ring.facts().collect();
    serde_json::json!({
        "keys": json_of(&facts, now),
        "sealed_with_first_key_encryption_key": sealed_by_first,
    })
}

/// The keys of a ring, for programs, each with what it is good for.
pub(crate) fn json_of(keys: &[KeyFacts], now: Timestamp) -> Vec<serde_json::Value> {
    let told = |(at, key): (usize, &KeyFacts)| {
        let is_of_kind = |next: &&KeyFacts| next.algorithm.is_some() == key.algorithm.is_some();
        let next = keys.get(at + 1).filter(is_of_kind);
        serde_json::json!({
            "id": key.id,
            "signs_with": key.algorithm.map(Algorithm::as_str),
            "used_from": (key.from > Timestamp::default()).then(|| key.from.as_unix()),
            "is_revoked": key.is_revoked,
            "state": state(key, next, now),
        })
    };
    keys.iter().enumerate().map(told).collect()
}

/// Whether all key-encryption keys but the first may go.
fn tell_seal(stored: &StoredRing, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(if stored.is_by_first {
        b"sealed with the first key-encryption key: it needs no other\n"
    } else {
        b"sealed with an older key-encryption key: a gateway that has the first seals it anew\n"
    })
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
pub(super) fn span(time: Duration) -> String {
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
    use std::sync::Arc;

    use entrada::platform::Platform;
    use entrada::store::EmbeddedStore;
    use entrada::{AzureConfig, AzureProvider};

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
    fn whoever_rotates_twice_is_told_what_becomes_of_the_key_before() {
        let (random, at) = (SystemRandom::default(), Timestamp::from_unix);
        let rotated =
            |ring: &KeyRing, now| ring.rotated(Algorithm::Es256, &random, at(now)).unwrap();
        let ring = KeyRing::generate(Algorithm::Es256, &random, at(1000)).unwrap();
        let once = rotated(&ring, 90_000);
        assert_eq!(waiting(&once, at(90_000)), None);
        let twice = rotated(&once, 90_060);
        let told = waiting(&twice, at(90_060)).unwrap();
        let expected = "a new key waited already: it is used in 9 minutes as before, and replaced 1 minute later";
        assert!(told.starts_with(expected), "{told}");
        // The one before is in use by then.
        let later = rotated(&once, 90_000 + 3600);
        assert_eq!(waiting(&later, at(90_000 + 3600)), None);
    }

    #[tokio::test]
    async fn a_change_is_kept_and_keeps_the_algorithm() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("keys.json"));
        let run = async |action, out: &mut Vec<u8>| {
            let options = Options {
                action,
                config: None,
                data_dir: Some(folder.path().to_owned()),
                json: false,
            };
            options.run(&Environment::default(), out).await
        };
        // There must be keys: a wrong directory is to be noticed.
        for action in [Action::List, Action::Rotate(SAME), Action::Revoke(SAME)] {
            let error = run(action, &mut Vec::new()).await.unwrap_err();
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
        run(Action::Rotate(SAME), &mut Vec::new()).await.unwrap();
        assert_eq!(signing(), [Algorithm::EdDsa, Algorithm::EdDsa]);
        let mut listed = Vec::new();
        run(Action::List, &mut listed).await.unwrap();
        assert_eq!(String::from_utf8(listed).unwrap().lines().count(), 4);
        let es256 = New {
            signing_algorithm: Some(Algorithm::Es256),
        };
        run(Action::Revoke(es256), &mut Vec::new()).await.unwrap();
        assert_eq!(signing(), [Algorithm::Es256]);
    }

    const SAME: New = New {
        signing_algorithm: None,
    };

    #[tokio::test]
    async fn keys_in_the_store_are_seen_and_replaced_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store.redb");
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let run = async |action, keys: &[&[u8]], out: &mut Vec<u8>| {
            let (store, keys) = (format!("file:{}", store.display()), keys.concat());
            let variables = [
                ("ENTRADA_STORE", store.as_str()),
                ("ENTRADA_KEY_ENCRYPTION_KEY", str::from_utf8(&keys).unwrap()),
                ("ENTRADA_BASE_URL", "https://mcp.example.com"),
            ];
            let options = Options {
                action,
                config: None,
                data_dir: None,
                json: false,
            };
            let environment = Environment::from_pairs(&variables);
            options.run(&environment, out).await
        };
        run(Action::NewEncryptionKey, &[], &mut old).await.unwrap();
        run(Action::NewEncryptionKey, &[], &mut new).await.unwrap();
        assert_ne!(old, new);
        let listed = run(Action::List, &[&old], &mut Vec::new()).await;
        assert!(matches!(listed, Err(CommandError::NoSharedKeys)));
        // A gateway makes them.
        let config = AzureConfig::new(
            "11111111-1111-1111-1111-111111111111",
            "22222222-2222-2222-2222-222222222222",
            "https://mcp.example.com",
        );
        let config = config
            .client_secret("secret")
            .required_scopes(["mcp.access"])
            .data_dir(folder.path())
            .store(Arc::new(EmbeddedStore::open(&store).unwrap()))
            .shared_keys(KeyEncryptionKeys::parse(str::from_utf8(&old).unwrap()).unwrap());
        let gateway = AzureProvider::new(config, Platform::system().unwrap()).unwrap();
        gateway.tend_keys(None).await.unwrap();
        drop(gateway);
        for (action, keys, lines, sealed) in [
            (Action::List, &[&*old][..], 3, "the first"),
            (Action::Rotate(SAME), &[&*old], 5, "the first"),
            (Action::List, &[&*new, &*old], 5, "an older"),
            (Action::Revoke(SAME), &[&*new, &*old], 5, "the first"),
            (Action::List, &[&*new], 5, "the first"),
        ] {
            let mut out = Vec::new();
            run(action, keys, &mut out).await.unwrap();
            let told = String::from_utf8(out).unwrap();
            assert_eq!(told.lines().count(), lines, "{told}");
            let seal = format!("sealed with {sealed} key-encryption key");
            assert!(told.lines().last().unwrap().starts_with(&seal), "{told}");
        }
        let lost = run(Action::List, &[&old], &mut Vec::new()).await;
        let lost = lost.unwrap_err().to_string();
        assert!(
            lost.contains("the key-encryption key it was sealed with"),
            "{lost}"
        );
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
                json: false,
                action: Action::List,
                config: config.map(|path| path.display().to_string()),
                data_dir: data_dir.map(PathBuf::from),
            };
            match options.place(&Environment::default()) {
                Ok(KeyPlace::Directory(directory)) => Some(directory),
                Ok(KeyPlace::Store(_)) | Err(_) => None,
            }
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
            assert_eq!(directory(config, data_dir), expected, "{config:?}");
        }
    }
}

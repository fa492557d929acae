//! `entrada store`: what is kept, moved elsewhere.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use entrada::platform::{Clock as _, SystemClock};
use entrada::store::{Moved, Moving, OpenStoreError, OpenUrlError, Store, StoreUrl};

use super::terminal::Progress;
use crate::command::CommandError;
use crate::config::{ConfigError, Environment, Problem, StoreSettings, ends_of_move, store_named};

/// What to do with a store.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Move all that is kept to another store, while replicas that know of the move serve
    Migrate(Migrate),
}

#[derive(Debug, Args)]
struct Migrate {
    #[arg(long, value_name = "URL", help = FROM_HELP)]
    from: Option<String>,
    /// The store to fill [default: store]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A file that holds the password of the one to empty, and nothing else
    #[arg(long, value_name = "FILE", requires = "from")]
    from_password_file: Option<PathBuf>,
    /// A file that holds the password of the one to fill, and nothing else
    #[arg(long, value_name = "FILE", requires = "to")]
    to_password_file: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<String>,
    /// Say what came of it as JSON
    #[arg(long)]
    json: bool,
}

const FROM_HELP: &str =
    "The store to empty [default: store_before, from the environment or the file]";
const CONFIG_HELP: &str = "A TOML file that names the stores [env: ENTRADA_CONFIG]";

impl Options {
    /// Does what was asked, and says what came of it to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if a store cannot be used, or it is not clear which are meant.
    pub async fn run(
        &self,
        environment: &Environment,
        out: &mut (dyn Write + Send),
    ) -> Result<(), CommandError> {
        let Action::Migrate(migrate) = &self.action;
        migrate.run(environment, out).await
    }
}

impl Migrate {
    async fn run(
        &self,
        environment: &Environment,
        out: &mut (dyn Write + Send),
    ) -> Result<(), CommandError> {
        let (from, to) = self.stores(environment)?;
        if let Some(path) = from.path().filter(|path| !path.exists()) {
            return Err(CommandError::NoStore(path.to_owned()));
        }
        let moving = Moving::under_way(open("--from", &from)?, open("--to", &to)?);
        let progress = Progress::on_terminal();
        let told = |so_far: Moved| progress.tell(sentence(so_far));
        let moved = moving.move_all(SystemClock::default().now(), told).await;
        drop(progress);
        let moved = moved.map_err(CommandError::Move)?;
        let said = if self.json {
            writeln!(out, "{}", json(moved))
        } else {
            writeln!(out, "{}", sentence(moved))
        };
        said.map_err(CommandError::Output)
    }

    /// The stores that the flags name, or else the settings.
    fn stores(&self, environment: &Environment) -> Result<(StoreUrl, StoreUrl), ConfigError> {
        let named = |flag: &str, url: &Option<String>, file: &Option<PathBuf>| {
            let named = url.as_deref().map(|url| store_named(url, file.as_deref()));
            named
                .transpose()
                .map_err(|what| problem(format!("{flag}: {what}")))
        };
        let from = named("--from", &self.from, &self.from_password_file)?;
        let to = named("--to", &self.to, &self.to_password_file)?;
        if let (Some(from), Some(to)) = (&from, &to) {
            return Ok((from.clone(), to.clone()));
        }
        let StoreSettings { url, before, .. } = ends_of_move(self.config.as_deref(), environment)?;
        let from = from
            .or(before)
            .ok_or_else(|| missing("--from", "store_before"));
        Ok((from?, to.or(url).ok_or_else(|| missing("--to", "store"))?))
    }
}

fn problem(what: String) -> ConfigError {
    ConfigError::new(vec![Problem::new(what)])
}

fn missing(flag: &str, setting: &str) -> ConfigError {
    problem(format!(
        "say which store with {flag}, or with the setting {setting}"
    ))
}

fn open(flag: &'static str, url: &StoreUrl) -> Result<Arc<dyn Store>, CommandError> {
    url.open().map_err(|source| {
        if let OpenUrlError::File(OpenStoreError::InUse(path)) = &source {
            CommandError::StoreInUse(path.clone())
        } else {
            CommandError::OpenStore { flag, source }
        }
    })
}

fn sentence(moved: Moved) -> String {
    let Moved {
        moved,
        already_there,
        expired,
        ..
    } = moved;
    format!("{moved} moved, {already_there} moved before, {expired} expired and left behind")
}

fn json(moved: Moved) -> serde_json::Value {
    serde_json::json!({
        "moved": moved.moved,
        "already_there": moved.already_there,
        "expired": moved.expired,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Command, FromArgMatches as _};
    use entrada::grant::GrantId;
    use entrada::platform::{SystemRandom, Timestamp};
    use entrada::store::{Entry, RecordKey, Sealed};

    use super::*;

    async fn run(line: &[&str], variables: &[(&str, &str)]) -> Result<String, CommandError> {
        let command = Options::augment_args(Command::new("store").no_binary_name(true));
        let options = Options::from_arg_matches(&command.try_get_matches_from(line).unwrap());
        let mut out = Vec::new();
        let environment = Environment::from_pairs(variables);
        options.unwrap().run(&environment, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn url(path: &Path) -> String {
        format!("file:{}", path.display())
    }

    async fn put(store: &dyn Store, expires_at: Timestamp) -> RecordKey {
        let key = RecordKey::grant(&GrantId::generate(&SystemRandom::default()));
        let entry = Entry::new(Sealed::from_stored("record"), expires_at);
        store.put(&key, entry).await.unwrap();
        key
    }

    #[tokio::test]
    async fn all_that_is_of_use_moves_and_it_is_told_how_much() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (
            folder.path().join("from.redb"),
            folder.path().join("to.redb"),
        );
        let (from_url, to_url) = (url(&from), url(&to));
        let open = |url: &str| url.parse::<StoreUrl>().unwrap().open().unwrap();
        let store = open(&from_url);
        let mut keys = Vec::new();
        for _ in 0..1200 {
            keys.push(put(&*store, Timestamp::from_unix(u64::MAX)).await);
        }
        put(&*store, Timestamp::from_unix(1)).await;
        let line = ["migrate", "--from", &from_url, "--to", &to_url];
        let told = run(&line, &[]).await.unwrap_err().to_string();
        assert!(
            told.contains("is in use") && told.contains("store_before"),
            "{told}"
        );
        drop(store);

        let told = run(&line, &[]).await.unwrap();
        assert_eq!(
            told,
            "1200 moved, 0 moved before, 1 expired and left behind\n"
        );
        let variables = [
            ("ENTRADA_STORE", &*to_url),
            ("ENTRADA_STORE_BEFORE", &from_url),
        ];
        let told = run(&["migrate", "--json"], &variables).await.unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let expected = serde_json::json!({"moved": 0, "already_there": 1200, "expired": 1});
        assert_eq!(told, expected);
        let store = open(&to_url);
        for key in keys {
            assert!(store.read(&key).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_stores_is_told_with_what_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let none = url(&folder.path().join("none.redb"));
        for (line, variables, is_configuration, expected) in [
            (
                vec![],
                vec![],
                true,
                "with --from, or with the setting store_before",
            ),
            (
                vec!["--from", "memory:"],
                vec![],
                true,
                "with --to, or with the setting store",
            ),
            (
                vec!["--from", "hush"],
                vec![],
                true,
                "--from: the URL of a store begins with",
            ),
            (
                vec!["--from", "redis://:hush@host", "--to", "memory:"],
                vec![],
                true,
                "seen by others",
            ),
            (
                vec!["--to", "memory:"],
                vec![("ENTRADA_STORE_BEFORE", "hush")],
                true,
                "ENTRADA_STORE_BEFORE: ",
            ),
            (
                vec!["--from", &none, "--to", "memory:"],
                vec![],
                false,
                "there is no store at",
            ),
        ] {
            let line = [&["migrate"], &*line].concat();
            let error = run(&line, &variables).await.unwrap_err();
            assert_eq!(error.is_configuration(), is_configuration, "{error}");
            let told = error.to_string();
            assert!(told.contains(expected) && !told.contains("hush"), "{told}");
        }
        assert!(!folder.path().join("none.redb").exists());
    }
}

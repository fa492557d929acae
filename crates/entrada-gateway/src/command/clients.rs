//! `entrada clients`: which clients are known, and how one is removed.

use std::collections::HashSet;
use std::io::{self, Write};

use clap::{Args, Subcommand};
use entrada::administration::{ClientFacts, ClientOrigin};
use entrada::oauth::client::ClientId;
use entrada::platform::{Clock as _, SystemClock, Timestamp};

use super::grants::{client_id, confirm, json_line, sentence, tell_ended, tell_none};
use super::kept::Kept;
use super::keys::span;
use super::terminal::{Progress, STRONG, printable, styled};
use crate::command::CommandError;
use crate::config::Environment;

/// Which gateway's clients, and what to do with them.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Options {
    #[command(subcommand)]
    action: Action,
    #[arg(long, global = true, value_name = "FILE", help = super::CONFIG_HELP)]
    config: Option<String>,
    /// Write JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Tell which clients are known: those of the configuration, and those that registered
    List,
    /// Remove a client that registered, and end its grants. It may register again
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Remove {
    /// The client's id
    #[arg(value_name = "ID", value_parser = client_id, allow_hyphen_values = true)]
    id: ClientId,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Options {
    /// Does what was asked, and says what came of it to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if what is kept cannot be opened or read, or the client cannot be removed.
    pub async fn run(
        &self,
        environment: &Environment,
        out: &mut (dyn Write + Send),
    ) -> Result<(), CommandError> {
        let kept = Kept::of(self.config.as_deref(), environment).await?;
        match &self.action {
            Action::List => {
                let now = SystemClock::default().now();
                let (mut seen, mut after) = (HashSet::new(), None);
                loop {
                    let page = kept.clients(after.take()).await?;
                    for client in &page.items {
                        if !seen.insert(client.id.clone()) {
                            continue;
                        }
                        let told = if self.json {
                            json_line(client, out)
                        } else {
                            tell(client, now, out)
                        };
                        told.map_err(CommandError::Output)?;
                    }
                    match page.next {
                        Some(next) => after = Some(next),
                        None => return tell_none(seen.is_empty() && !self.json, &kept, out),
                    }
                }
            }
            Action::Remove(remove) => {
                if !remove.yes {
                    confirm("Remove the client and end its grants?")?;
                }
                let progress = Progress::on_terminal();
                let removed = kept.remove_client(&remove.id, |so_far| {
                    progress.tell(format_args!(
                        "{} looked at, {}",
                        so_far.seen,
                        sentence(so_far)
                    ));
                });
                let removed = removed.await;
                drop(progress);
                let ended = removed?;
                if !self.json {
                    writeln!(out, "the client is removed").map_err(CommandError::Output)?;
                }
                tell_ended(ended, self.json, out)
            }
        }
    }
}

/// Two lines for a client.
fn tell(client: &ClientFacts, now: Timestamp, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let name = client.name.as_deref().unwrap_or_default();
    let id = styled(client.id.as_str(), STRONG);
    writeln!(out, "{id}  {:?}", printable(name))?;
    let ago = |at: Timestamp| format!("{} ago", span(now.since(at)));
    let registered = client.registered_at.map(ago).unwrap_or_default();
    let origin = match client.origin {
        ClientOrigin::Configured => "stands in the configuration".to_owned(),
        ClientOrigin::Document => format!("described by its document, seen {registered}"),
        ClientOrigin::Registered | _ => format!("registered {registered}"),
    };
    let used = client
        .used_at
        .map_or_else(String::new, |at| format!(", used {}", ago(at)));
    let uris: Vec<_> = client
        .redirect_uris
        .iter()
        .map(|uri| printable(uri))
        .collect();
    writeln!(out, "  {origin}{used}; sends users to {}", uris.join(" "))
}

//! `entrada grants`: who is signed in, and through which client; and how that ends.

use std::collections::HashSet;
use std::convert::Infallible;
use std::io::{self, Write};

use clap::{Args, Subcommand};
use entrada::administration::{Ended, GrantFacts, GrantFilter, GrantHolder, Selection, User};
use entrada::grant::GrantId;
use entrada::oauth::client::ClientId;
use entrada::platform::{Clock as _, SystemClock, Timestamp};

use super::kept::Kept;
use super::keys::span;
use super::terminal::{self, Answer, Progress, STRONG, printable, styled};
use crate::command::CommandError;
use crate::config::Environment;

/// Which gateway's grants, and what to do with them.
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
    /// Tell which grants stand: who signed in, through which client, and for what; no token is shown
    List(List),
    /// End grants: their tokens are good nowhere within ten seconds
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct List {
    /// Of this user: object-id@tenant-id, or the name they sign in as
    #[arg(long)]
    user: Option<User>,
    /// Of this client, by its id
    #[arg(long, value_name = "ID", value_parser = client_id, allow_hyphen_values = true)]
    client: Option<ClientId>,
    /// Of the users of this tenant, by its id
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
struct Revoke {
    #[command(flatten)]
    which: Which,
    #[arg(hide = true, value_name = "ID", value_parser = unnamed, allow_hyphen_values = true)]
    unnamed: Option<Infallible>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// This one
    #[arg(long, value_name = "ID", value_parser = grant_id, allow_hyphen_values = true)]
    grant: Option<GrantId>,
    /// All of this user: object-id@tenant-id, or the name they sign in as
    #[arg(long)]
    user: Option<User>,
    /// All of this client, by its id
    #[arg(long, value_name = "ID", value_parser = client_id, allow_hyphen_values = true)]
    client: Option<ClientId>,
    /// All of the users of this tenant, by its id
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// All
    #[arg(long)]
    all: bool,
}

impl Options {
    /// Does what was asked, and says what came of it to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if what is kept cannot be opened or read, or nobody said yes.
    pub async fn run(
        &self,
        environment: &Environment,
        out: &mut (dyn Write + Send),
    ) -> Result<(), CommandError> {
        let kept = Kept::of(self.config.as_deref(), environment).await?;
        match &self.action {
            Action::List(list) => {
                let now = SystemClock::default().now();
                let tell = |grant: &GrantFacts, out: &mut (dyn Write + Send)| {
                    if self.json {
                        json_line(grant, out)
                    } else {
                        tell(grant, now, out)
                    }
                };
                let mut none = true;
                let filter = list.filter();
                let told = each_grant(&kept, &filter, |grant| {
                    none = false;
                    tell(grant, out)
                });
                told.await?;
                tell_none(none && !self.json, &kept, out)
            }
            Action::Revoke(revoke) => {
                let selection = revoke.which.selection()?;
                if !revoke.yes {
                    revoke.which.confirm(&kept).await?;
                }
                let progress = Progress::on_terminal();
                let ended = kept.revoke(selection, |so_far| {
                    progress.tell(format_args!(
                        "{} looked at, {}",
                        so_far.seen,
                        sentence(so_far)
                    ));
                });
                let ended = ended.await?;
                drop(progress);
                tell_ended(ended, self.json, out)
            }
        }
    }
}

/// Refuses an id without what says whose it is: of a wrong guess others would be signed out.
fn unnamed(_: &str) -> Result<Infallible, &'static str> {
    Err(
        "say what that is: --grant ID for this one grant, --user, --client or --tenant for all of one",
    )
}

impl List {
    fn filter(&self) -> GrantFilter {
        let mut filter = GrantFilter::default();
        filter.user.clone_from(&self.user);
        filter.client.clone_from(&self.client);
        filter.tenant.clone_from(&self.tenant);
        filter
    }
}

impl Which {
    fn selection(&self) -> Result<Selection, CommandError> {
        let one = self.grant.map(Selection::Grant);
        one.or_else(|| self.user.clone().map(Selection::User))
            .or_else(|| self.client.clone().map(Selection::Client))
            .or_else(|| self.tenant.clone().map(Selection::Tenant))
            .or_else(|| self.all.then_some(Selection::All))
            .ok_or(CommandError::NotConfirmed)
    }

    /// Asks before more than one grant ends.
    async fn confirm(&self, kept: &Kept) -> Result<(), CommandError> {
        if self.grant.is_some() {
            return Ok(());
        }
        let mut filter = GrantFilter::default();
        filter.user.clone_from(&self.user);
        filter.client.clone_from(&self.client);
        filter.tenant.clone_from(&self.tenant);
        let mut count = 0_u64;
        let counted = each_grant(kept, &filter, |_| {
            count += 1;
            Ok(())
        });
        counted.await?;
        if count <= 1 {
            return Ok(());
        }
        confirm(&format!(
            "End {count} grants? Their users must sign in anew."
        ))
    }
}

/// Goes on if whoever sits at the terminal says so.
pub(super) fn confirm(question: &str) -> Result<(), CommandError> {
    match terminal::ask(question).map_err(CommandError::Output)? {
        Answer::Yes => Ok(()),
        Answer::No => Err(CommandError::SaidNo),
        Answer::Nobody => Err(CommandError::NotConfirmed),
    }
}

/// Every grant once, page by page.
async fn each_grant(
    kept: &Kept,
    filter: &GrantFilter,
    mut tell: impl FnMut(&GrantFacts) -> io::Result<()>,
) -> Result<(), CommandError> {
    let (mut seen, mut after) = (HashSet::new(), None);
    loop {
        let page = kept.grants(filter, after.take()).await?;
        for grant in &page.items {
            if seen.insert(grant.id) {
                tell(grant).map_err(CommandError::Output)?;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Says that nothing was told, if it was `none`, and where was looked: silence could be a wrong filter or a wrong
/// store, too.
pub(super) fn tell_none(
    none: bool,
    kept: &Kept,
    out: &mut (dyn Write + Send),
) -> Result<(), CommandError> {
    if none {
        writeln!(out, "There are none in {}.", kept.place).map_err(CommandError::Output)?;
    }
    Ok(())
}

pub(super) fn json_line(
    facts: &impl serde::Serialize,
    out: &mut (dyn Write + Send),
) -> io::Result<()> {
    let line = serde_json::to_string(facts).map_err(io::Error::other)?;
    writeln!(out, "{line}")
}

/// Two lines for a grant.
fn tell(grant: &GrantFacts, now: Timestamp, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let holder = styled(printable(&who(&grant.holder)), STRONG);
    writeln!(out, "{}  {holder}", grant.id)?;
    let name = grant
        .client_name
        .as_deref()
        .map_or_else(String::new, |name| format!("{:?} ", printable(name)));
    let used = grant.refreshed_at.unwrap_or(grant.issued_at);
    let used = span(now.since(used));
    let (client, scope) = (grant.client_id.as_str(), &grant.scope);
    writeln!(
        out,
        "  through {name}{client}, for {scope} at {}",
        printable(&grant.resource)
    )?;
    let left = span(grant.expires_at.since(now));
    writeln!(out, "  used {used} ago, ends in {left} if it is not used")
}

/// Whom a grant speaks for, as people and `--user` say it.
fn who(holder: &GrantHolder) -> String {
    let id = match (&holder.object_id, &holder.tenant_id) {
        (Some(object_id), Some(tenant_id)) => Some(format!("{object_id}@{tenant_id}")),
        (None | Some(_), _) => holder.subject.clone(),
    };
    let known = [holder.username.clone(), id].into_iter().flatten();
    let known = known.collect::<Vec<_>>().join("  ");
    if known.is_empty() {
        "somebody".to_owned()
    } else {
        known
    }
}

pub(super) fn sentence(ended: Ended) -> String {
    let Ended { grants, codes, .. } = ended;
    let some = |number: u64, what: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {what}{plural}")
    };
    let (grants, codes) = (some(grants, "grant"), some(codes, "login"));
    format!("{grants} ended, {codes} under way stopped")
}

/// Says what came of ending grants.
pub(super) fn tell_ended(
    ended: Ended,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), CommandError> {
    let told = if json {
        json_line(&ended, out)
    } else {
        writeln!(out, "{}", sentence(ended)).and_then(|()| match ended.unopened {
            0 => Ok(()),
            many => writeln!(
                out,
                "{many} more open under no key, and are of no use to anybody"
            ),
        })
    };
    told.map_err(CommandError::Output)
}

pub(super) fn client_id(text: &str) -> Result<ClientId, String> {
    ClientId::parse(text).map_err(|error| error.to_string())
}

fn grant_id(text: &str) -> Result<GrantId, String> {
    GrantId::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn an_id_alone_is_refused_with_the_flag_that_it_needs() {
        let command = Options::augment_args(Command::new("grants").no_binary_name(true));
        for line in [
            &["revoke", "0Rc0Yw6cTTyOjN0mTX6bVA"][..],
            &["revoke", "--yes", "-Rc0Yw6cTTyOjN0mTX6bVA"],
            &["revoke", "--all", "alice@contoso.com"],
        ] {
            let error = command.clone().try_get_matches_from(line).unwrap_err();
            let told = error.to_string();
            assert!(told.contains("say what that is: --grant ID "), "{told}");
        }
        let help = command.try_get_matches_from(["revoke", "--help"]);
        assert!(!help.unwrap_err().to_string().contains("[ID]"));
    }
}

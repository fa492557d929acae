//! `entrada policy`: a policy held against example callers.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::command::CommandError;
use crate::config::{Environment, policies};
use crate::policy::cases::{Cases, Report};

/// What to do with a policy.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hold the rules of a configuration against example callers
    #[command(after_help = FORMAT)]
    Test(Test),
}

#[derive(Debug, Args)]
struct Test {
    /// A TOML file with example callers, and what is expected
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[arg(long, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<String>,
    /// Write every case as a line of JSON
    #[arg(long)]
    json: bool,
}

const CONFIG_HELP: &str = "The TOML file with the rules; nothing else in it need be right, and no secret be there [env: ENTRADA_CONFIG]";

const FORMAT: &str = "\
Example:
  [caller.reader]
  scopes = [\"orders.read\"]
  # kind = \"application\", roles, groups, groups_overage, tenant, object_id, client, subject, guest

  [[case]]
  caller = \"reader\"                   # or a table: { roles = [\"Orders.Admin\"] }
  call = \"tools/call delete_order\"    # or a list: a batch
  expect = \"step-up\"                  # allow, step-up, or deny: for whatever reason
  scopes = [\"orders.write\"]           # which it is to be told to ask for
  # route = \"/mcp/orders\"             # where there are several servers

Exit codes:
  0  all is as expected
  1  something is not
  2  the command line, the configuration or the cases are wrong";

impl Options {
    /// Does what was asked, and says what came of it to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if something is not as expected, or cannot be read.
    pub fn run(&self, environment: &Environment, out: &mut dyn Write) -> Result<(), CommandError> {
        let Action::Test(test) = &self.action;
        test.run(environment, out)
    }
}

impl Test {
    fn run(&self, environment: &Environment, out: &mut dyn Write) -> Result<(), CommandError> {
        let policies = policies(self.config.as_deref(), environment)?;
        let name = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| format!("{name}: the file cannot be read: {error}"));
        let text = text.map_err(|what| CommandError::UnusableCases(vec![what]))?;
        let cases = Cases::parse(&name, &text).map_err(CommandError::UnusableCases)?;
        let reports = cases.run(&policies).map_err(CommandError::UnusableCases)?;
        self.tell(&reports, out).map_err(CommandError::Output)?;
        let failed = reports.iter().filter(|report| !report.passed).count();
        if failed > 0 {
            return Err(CommandError::Cases {
                failed,
                of: reports.len(),
            });
        }
        Ok(())
    }

    fn tell(&self, reports: &[Report], out: &mut dyn Write) -> std::io::Result<()> {
        if self.json {
            for report in reports {
                writeln!(out, "{}", serde_json::to_string(report)?)?;
            }
            return Ok(());
        }
        for report in reports.iter().filter(|report| !report.passed) {
            writeln!(out, "{report}")?;
        }
        let passed = reports.iter().filter(|report| report.passed).count();
        writeln!(out, "{passed} of {} cases are as expected", reports.len())
    }
}

#[cfg(test)]
mod tests;

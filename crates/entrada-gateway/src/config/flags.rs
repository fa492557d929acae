//! The settings as command line flags.

use std::collections::BTreeMap;

use clap::builder::UnknownArgumentValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::table::{Place, Setting, settings};

/// The settings given as flags.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// None, but for the one that names the file `config`.
    pub(crate) fn naming(config: Option<&str>) -> Self {
        Self(
            config
                .map(|file| ("config", file.to_owned()))
                .into_iter()
                .collect(),
        )
    }

    /// The value of the flag for the setting called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = settings().filter(|setting| has_flag(setting));
        let given = given.filter_map(|setting| {
            let value = matches.get_one::<String>(setting.name)?;
            Some((setting.name, value.clone()))
        });
        let line = matches.get_many::<String>(COMMAND_LINE);
        let line = line.and_then(|words| serde_json::to_string(&words.collect::<Vec<_>>()).ok());
        Ok(Self(
            given.chain(line.map(|line| ("command", line))).collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = command.args(settings().filter(|setting| has_flag(setting)).map(arg));
        command.arg(command_line()).next_line_help(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The same command line, on which whoever passes a secret as a flag is told what to do instead. What writes
/// completions and manuals does not know of those flags: nobody is to be offered them.
#[must_use]
pub fn refusing_secrets(command: Command) -> Command {
    let is_of_settings = |arg: &Arg| arg.get_id() == COMMAND_LINE;
    let command = if command.get_arguments().any(is_of_settings) {
        let secrets = settings().filter(|setting| !has_flag(setting));
        command.args(secrets.map(secret_flag))
    } else {
        command
    };
    command.mut_subcommands(refusing_secrets)
}

fn has_flag(setting: &Setting) -> bool {
    setting.place != Place::OnlyInEnvironment
}

/// What whoever passes a secret as a flag is told.
pub(super) fn secret_tip(setting: &Setting) -> String {
    let (variable, flag) = (setting.variable(), setting.flag());
    format!("set {variable}, or give --{flag}-file")
}

/// Refuses a secret, such as `--client-secret`, and says what to do instead.
fn secret_flag(setting: &'static Setting) -> Arg {
    Arg::new(setting.name)
        .long(setting.flag())
        .num_args(0..=1)
        .default_missing_value("")
        .value_parser(UnknownArgumentValueParser::suggest(secret_tip(setting)))
        .hide(true)
}

/// What stands after `--`.
fn command_line() -> Arg {
    Arg::new(COMMAND_LINE)
        .last(true)
        .num_args(1..)
        .value_name("COMMAND")
        .conflicts_with("command")
        .help("The program of an MCP server that speaks stdio, and its arguments: as --command")
}

const COMMAND_LINE: &str = "command_line";

fn arg(setting: &'static Setting) -> Arg {
    let default = setting
        .default
        .map(|default| format!(" [default: {default}]"));
    let help = format!(
        "{}{} [env: {}]",
        setting.help,
        default.unwrap_or_default(),
        setting.variable()
    );
    let arg = Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.value)
        .action(ArgAction::Set)
        .help_heading(setting.heading)
        .help(help);
    if setting.value == "BOOL" {
        return arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true");
    }
    arg
}

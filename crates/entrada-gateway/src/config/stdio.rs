//! An MCP server that is a child process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::environment::Environment;
use crate::config::source::Sources;
use crate::config::value;
use crate::config::{Transport, UpstreamSettings};
use crate::upstream::stdio::child::ChildCommand;
use crate::upstream::stdio::{ChildMode, StdioSettings};

/// What means nothing without a command, of what a route says for itself.
const OF_COMMAND: [&str; 2] = ["working_directory", "environment"];

/// What means nothing where no server is a child, of what holds for all routes.
const OF_CHILDREN: [&str; 5] = [
    "child_mode",
    "child_idle_timeout",
    "max_children",
    "max_sessions_per_user",
    "message_limit",
];

/// Variables that a child gets without being told so: it would hardly run without.
const ALWAYS: [&str; 10] = [
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER",
];

/// Whether the server is a child process, rather than somewhere.
pub(super) fn is_meant(sources: &mut Sources<'_>) -> bool {
    let is_given = sources.is_given("command");
    if is_given && sources.is_given("upstream") {
        sources.refuse("command", "upstream names a server, too: take one away");
    }
    if !is_given {
        needs_command(sources);
    }
    is_given
}

/// A problem where only the particulars of a child are set.
pub(super) fn needs_command(sources: &mut Sources<'_>) {
    for name in OF_COMMAND {
        sources.needs(name, &["command"]);
    }
}

/// Warns of what is said of children, where no server is one.
pub(super) fn look(sources: &mut Sources<'_>, upstreams: &[Option<UpstreamSettings>]) {
    let is_http = |upstream: &Option<UpstreamSettings>| {
        let transport = upstream.as_ref().map(|upstream| &upstream.transport);
        matches!(transport, Some(Transport::Http(_)))
    };
    if !upstreams.iter().all(is_http) {
        return;
    }
    for name in OF_CHILDREN {
        if sources.is_set(name) {
            sources.warn(name, "means nothing without command");
        }
    }
}

/// Reads what the child is.
pub(super) fn read(sources: &mut Sources<'_>) -> Option<StdioSettings> {
    if sources.is_given("upstream_scope") {
        sources.refuse("upstream_scope", NO_TOKEN);
    }
    let directory = sources.parsed("working_directory", directory);
    let environment = sources.variables();
    let search = environment.get("PATH");
    let command = sources.parsed("command", |text| {
        command(text, directory.as_deref(), search)
    });
    let given = sources.parsed("environment", |text| variables(text, environment));
    let mode = sources.parsed("child_mode", mode);
    let idle_timeout = sources.parsed("child_idle_timeout", value::duration);
    let max_children = sources.parsed("max_children", number);
    let max_sessions = sources.parsed("max_sessions_per_user", number);
    let message_limit = sources.parsed("message_limit", value::size);
    let mut command = command?;
    command.directory = directory;
    let always = ALWAYS.iter().filter_map(|name| {
        let value = environment.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    command.environment = always.chain(given.unwrap_or_default()).collect();
    let mut settings = StdioSettings::new(command);
    settings.mode = mode?;
    settings.idle_timeout = idle_timeout?;
    settings.max_children = max_children?;
    settings.max_sessions = max_sessions?;
    settings.message_limit = usize::try_from(message_limit?).unwrap_or(usize::MAX);
    Some(settings)
}

/// Why a child gets no token.
const NO_TOKEN: &str = "a process that speaks stdio cannot be sent a token with each request, and one it \
                        is started with would soon be over: take it out, or serve it over HTTP";

type Variables = std::collections::BTreeMap<String, OsString>;

/// A program and its arguments.
fn command(
    text: &str,
    directory: Option<&Path>,
    search: Option<&OsString>,
) -> Result<ChildCommand, String> {
    let mut words = words(text, &[])?.into_iter();
    let program = words.next().filter(|program| !program.is_empty());
    let program = program.ok_or("write a program and its arguments, such as npx -y my-server")?;
    if !can_be_run(&program, directory, search) {
        return Err(format!("there is no program {program:?} that can be run"));
    }
    let mut command = ChildCommand::new(program);
    command.arguments = words.collect();
    Ok(command)
}

/// A JSON list of strings, or words apart by white space or `others`.
fn words(text: &str, others: &[char]) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|_| "not a list of strings: write [\"one\", \"two\"]".to_owned());
    }
    let is_between = |letter: char| letter.is_whitespace() || others.contains(&letter);
    let words = text.split(is_between).filter(|word| !word.is_empty());
    Ok(words.map(str::to_owned).collect())
}

/// Whether the system would find the program.
fn can_be_run(program: &str, directory: Option<&Path>, search: Option<&OsString>) -> bool {
    if program.contains(std::path::MAIN_SEPARATOR) {
        let found = directory.map(|directory| directory.join(program));
        return found.unwrap_or_else(|| PathBuf::from(program)).is_file();
    }
    let Some(search) = search else {
        return false;
    };
    std::env::split_paths(search).any(|folder| {
        let found = folder.join(program);
        found.is_file() || (cfg!(windows) && found.with_extension("exe").is_file())
    })
}

fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_there = path.is_dir();
    is_there
        .then_some(path)
        .ok_or_else(|| "there is no such directory".to_owned())
}

/// The variables that are named, from `all` or with the value that is given.
fn variables(text: &str, all: &Variables) -> Result<Vec<(String, OsString)>, String> {
    let mut found = Vec::new();
    for word in words(text, &[','])? {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (&*word, all.get(&word).cloned()),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            let what = "write names of letters, digits and _, or NAME=value";
            return Err(what.to_owned());
        }
        // What the gateway is told, its secrets among it, and what it tells of users.
        if Environment::is_ours(name) {
            return Err(format!(
                "{name} is the gateway's own: a child must not have it"
            ));
        }
        if let Some(value) = value {
            found.push((name.to_owned(), value));
        }
    }
    Ok(found)
}

fn mode(text: &str) -> Result<ChildMode, String> {
    match text {
        "per_session" => Ok(ChildMode::PerSession),
        "shared" => Ok(ChildMode::Shared),
        _ => Err("write per_session or shared".to_owned()),
    }
}

/// A number of things of which there is at least one.
fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {MOST}"))
}

const MOST: usize = 10_000;

//! `entrada doctor`: what keeps people from signing in, looked for where it may be.

use std::io::{self, Write};

use clap::Args;
use entrada::AzureProvider;
use entrada::entra::examination::{Examined, Finding, Verdict};
use serde::Serialize;

use super::config::{Told, provider_of};
use super::grants::json_line;
use super::terminal::{GOOD, STRONG, WARNING, WRONG, printable, styled};
use crate::command::CommandError;
use crate::config::{AdminListener, Environment, Flags, Settings};
use crate::telemetry::WithCauses;
use crate::upstream::greeting::{Greeting, NoGreeting, greeted};

mod site;

/// What to look at.
#[derive(Debug, Args)]
#[non_exhaustive]
pub struct Options {
    #[command(flatten)]
    flags: Flags,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// What was looked at, and what was seen of it.
#[derive(Debug, Serialize)]
struct Seen {
    /// Where it is looked for.
    at: Place,
    /// What was looked at.
    what: String,
    #[serde(flatten)]
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Entra,
    McpServer,
    Gateway,
}

/// What was seen.
#[derive(Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    /// It is as it must be.
    Good,
    /// It is not.
    Wrong {
        /// What was seen.
        why: String,
        /// What helps.
        advice: String,
    },
    /// It cannot be told.
    Unclear {
        /// Why.
        why: String,
    },
}

#[derive(Debug, Serialize)]
struct Outcome {
    ok: bool,
    warnings: Vec<Told>,
    seen: Vec<Seen>,
}

impl Options {
    /// Looks, and says what it saw to `out`.
    ///
    /// # Errors
    ///
    /// [`CommandError::Config`] if the settings cannot be used; [`CommandError::Unwell`] if something is wrong.
    pub async fn run(
        &self,
        environment: &Environment,
        out: &mut (dyn Write + Send),
    ) -> Result<(), CommandError> {
        let settings = Settings::read(&self.flags, environment)?;
        let provider = provider_of(&settings)?;
        let seen = look(&settings, &provider).await?;
        let ok = !seen
            .iter()
            .any(|seen| matches!(seen.state, State::Wrong { .. }));
        let warnings = settings.warnings.iter();
        let told = if self.json {
            let warnings = warnings.map(Told::of).collect();
            json_line(&Outcome { ok, warnings, seen }, out)
        } else {
            let warnings: Vec<_> = warnings.map(ToString::to_string).collect();
            tell(&warnings, &seen, out)
        };
        told.map_err(CommandError::Output)?;
        ok.then_some(()).ok_or(CommandError::Unwell)
    }
}

/// Everything that is looked at.
async fn look(settings: &Settings, provider: &AzureProvider) -> Result<Vec<Seen>, CommandError> {
    let http = settings.provider.http()?;
    let operators = settings.admin.as_ref().map(AdminListener::settings);
    let issuer = settings
        .provider
        .issues()
        .then(|| settings.provider.issuer());
    let callback = settings.provider.callback();
    let (entra, site) = tokio::join!(
        provider.examine(operators.as_ref()),
        site::look((issuer.as_deref(), &callback), provider, &*http),
    );
    let mut seen: Vec<_> = entra.into_iter().map(of_entra).collect();
    for (resource, server) in provider.resources().zip(&settings.upstreams) {
        let Ok(uri) = resource.parse() else { continue };
        let answers = greeted(server, &uri).await?;
        let answers = answers.into_iter();
        seen.extend(answers.map(|answer| of_server(resource, answer, server.websocket)));
    }
    seen.extend(site);
    Ok(seen)
}

impl State {
    fn wrong(why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Wrong {
            why: why.into(),
            advice: advice.into(),
        }
    }

    fn unclear(why: impl Into<String>) -> Self {
        Self::Unclear { why: why.into() }
    }
}

fn of_entra(finding: Finding) -> Seen {
    let what = match finding.of {
        Examined::Tenant => "tenant".to_owned(),
        Examined::Clock => "clock".to_owned(),
        Examined::Credential => "credential".to_owned(),
        Examined::Login { redirect_uri } => format!("login, back to {redirect_uri}"),
        _ => "something else".to_owned(),
    };
    let state = match finding.verdict {
        Verdict::Good => State::Good,
        Verdict::Wrong { what, advice } => State::wrong(what, advice),
        Verdict::Unclear(why) => State::unclear(why),
        _ => State::unclear(""),
    };
    let at = Place::Entra;
    Seen { at, what, state }
}

fn of_server(
    resource: &str,
    (place, answer): (String, Result<Greeting, NoGreeting>),
    websocket: bool,
) -> Seen {
    let said = answer.as_ref().ok().and_then(|greeting| {
        let name = greeting.name().map(|name| ("is", name));
        name.or_else(|| Some(("refuses a session:", greeting.refusal()?)))
    });
    let what = format!("{resource} leads to {place}");
    let what = match said {
        Some((how, said)) => format!("{what}, which {how} {:?}", shortened(&printable(said))),
        None => what,
    };
    let state = match answer {
        Ok(greeting) => of_greeting(&greeting, websocket),
        Err(error) => State::wrong(WithCauses::of(&error).to_string(), NO_SERVER),
    };
    let at = Place::McpServer;
    Seen { at, what, state }
}

fn of_greeting(greeting: &Greeting, websocket: bool) -> State {
    if greeting.is_mcp() {
        return State::Good;
    }
    let status = greeting.status;
    let why = format!("it answers with status {status}, and no message of MCP");
    match status.as_u16() {
        401 => State::unclear(format!("{why}: without a caller it tells no more")),
        403 => State::unclear(format!("{why}: it wants a caller, or {OTHER_NAME}")),
        421 => State::wrong(why, OTHER_NAME),
        // Servers of before 2025-03-26 are told nothing there.
        405 => State::unclear(why),
        404 | 426 if websocket => {
            State::unclear(format!("{why}: it may speak nothing but WebSocket there"))
        }
        404 => State::wrong(
            why,
            "let upstream end in the path that the MCP server has, such as /mcp or /sse",
        ),
        _ => State::wrong(why, NO_SERVER),
    }
}

const NO_SERVER: &str =
    "look whether the server runs, and whether upstream or command is what it is reached by";

const OTHER_NAME: &str =
    "it does not know the host name it is asked by: list that there, or see host_header";

/// As much of what others chose as fits a line.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

fn tell(warnings: &[String], seen: &[Seen], out: &mut (dyn Write + Send)) -> io::Result<()> {
    for warning in warnings {
        writeln!(out, "{} {warning}", styled("warning:", WARNING))?;
    }
    let mut before = None;
    for Seen { at, what, state } in seen {
        if before.replace(*at) != Some(*at) {
            writeln!(out, "{}", styled(at.title(), STRONG))?;
        }
        match state {
            State::Good => writeln!(out, "  {}     {what}", styled("good", GOOD))?,
            State::Wrong { why, advice } => {
                writeln!(out, "  {}    {what}", styled("wrong", WRONG))?;
                writeln!(out, "           {why}")?;
                writeln!(out, "           {advice}")?;
            }
            State::Unclear { why } => {
                writeln!(out, "  {}  {what}", styled("unclear", WARNING))?;
                writeln!(out, "           {why}")?;
            }
        }
    }
    let count = |wanted: fn(&State) -> bool| seen.iter().filter(|it| wanted(&it.state)).count();
    let wrong = count(|state| matches!(state, State::Wrong { .. }));
    let unclear = count(|state| matches!(state, State::Unclear { .. }));
    let good = count(|state| matches!(state, State::Good));
    writeln!(out, "{wrong} wrong, {unclear} unclear, {good} good")
}

impl Place {
    const fn title(self) -> &'static str {
        match self {
            Self::Entra => "Entra",
            Self::McpServer => "the MCP servers",
            Self::Gateway => "the gateway, as clients see it",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn what_a_server_answers_is_told_from_what_stands_in_its_way() {
        let greeting = |status: u16, message: &str| Greeting {
            status: StatusCode::from_u16(status).unwrap(),
            message: serde_json::from_str(message).ok(),
        };
        let no = r#"{"jsonrpc":"2.0","error":{}}"#;
        for (status, message, expected) in [
            (200, r#"{"jsonrpc":"2.0","result":{}}"#, "good"),
            (400, no, "good"),
            (401, "", "unclear"),
            (403, "", "unclear"),
            (405, "", "unclear"),
            (404, "", "wrong"),
            (421, "", "wrong"),
            (200, "<html>", "wrong"),
            (302, "", "wrong"),
            (500, "", "wrong"),
        ] {
            let state = of_greeting(&greeting(status, message), false);
            let state = serde_json::to_value(state).unwrap();
            assert_eq!(state["state"], expected, "{status} {message}");
        }
        for status in [404, 426] {
            let state = of_greeting(&greeting(status, ""), true);
            assert!(matches!(state, State::Unclear { .. }), "{status}");
        }
    }

    #[test]
    fn a_server_does_not_write_to_the_terminal() {
        let name = format!("\u{1b}[2J{}", "x".repeat(100));
        let message = serde_json::json!({
            "jsonrpc": "2.0", "result": {"serverInfo": {"name": name}}
        });
        let greeting = Greeting {
            status: StatusCode::OK,
            message: Some(message),
        };
        let Seen { what, .. } = of_server(
            "http://h",
            ("http://server".to_owned(), Ok(greeting)),
            false,
        );
        assert!(!what.contains('\u{1b}') && what.len() < 180, "{what}");
    }
}

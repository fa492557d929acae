//! Structured logs, on standard error.

use std::error::Error;
use std::fmt;
use std::io::{IsTerminal as _, stderr};
use std::str::FromStr;

use entrada::causes::OnOneLine;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::telemetry::json_lines::JsonLines;
use crate::traces::Collector;

mod json_lines;
mod text_lines;

/// What is logged, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogSettings {
    /// How a line is written; by what standard error is, where nobody said.
    pub format: Option<LogFormat>,
    /// From which level on.
    pub level: LogLevel,
}

/// From which level on there are lines: one level, or levels by part.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLevel(String);

/// The level in use, in the place of which another can be put while the process logs. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct LiveLevel(reload::Handle<EnvFilter, Registry>);

/// How a log line is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the configuration names every variant"
)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// Words, for people.
    Text,
}

impl LogSettings {
    /// Logs from `level` on, as `format`.
    pub const fn new(format: Option<LogFormat>, level: LogLevel) -> Self {
        Self { format, level }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("write json or text".to_owned()),
        }
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The filter takes a bare word that is no level for the name of a part, and is silent.
        let words = text.split(',').filter(|part| !part.contains(['=', '[']));
        let known = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
        let mut words = words.map(str::trim);
        if words.all(known) && EnvFilter::try_new(text).is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "write error, warn, info, debug, trace or off, or by part: info,entrada=debug"
                    .to_owned(),
            )
        }
    }
}

/// An error with all that led to it, on one line, whatever a peer wrote in it.
#[derive(Debug)]
pub struct WithCauses<'a>(&'a dyn Error);

impl<'a> WithCauses<'a> {
    /// Shows `error`, then its sources.
    pub const fn of(error: &'a dyn Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OnOneLine(self.0))?;
        let mut said = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors say their source themselves.
            if !said.ends_with(&text) {
                write!(f, ": {}", OnOneLine(&text))?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

impl LiveLevel {
    /// A filter from `level` on, and what another level is put in its place with.
    fn begin(level: &LogLevel) -> (reload::Layer<EnvFilter, Registry>, Self) {
        let (filter, handle) = reload::Layer::new(EnvFilter::new(&level.0));
        (filter, Self(handle))
    }

    /// From now on there are lines from `level` on.
    pub(crate) fn set(&self, level: &LogLevel) {
        // It fails where nothing logs any more.
        let _ = self.0.reload(EnvFilter::new(&level.0));
    }
}

/// Begins to log. A second call changes nothing.
pub fn init(settings: &LogSettings) {
    init_with(settings, None);
}

/// The same, where spans are collected, too.
pub(crate) fn init_with(settings: &LogSettings, collector: Option<Collector>) -> LiveLevel {
    let (filter, level) = LiveLevel::begin(&settings.level);
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    // On a terminal lines are coloured, unless NO_COLOR says otherwise: that is read where `with_ansi` is
    // not called.
    let lines = if terminal {
        lines
    } else {
        lines.with_ansi(false)
    };
    let format = settings.format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .map_event_format(JsonLines::instead_of)
            .boxed(),
        LogFormat::Text => lines.fmt_fields(text_lines::fields()).boxed(),
    };
    let spans = collector.map(|collector| {
        let wanted = filter_fn(Collector::wants).with_max_level_hint(LevelFilter::DEBUG);
        collector.with_filter(wanted)
    });
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    // Whoever embeds these parts may log already.
    let _ = subscriber.with(spans).try_init();
    level
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;
    use tracing_subscriber::layer::Context;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Layer {
        #[error("outer")]
        Outer(#[source] Box<Self>),
        #[error("middle: {0}")]
        Middle(#[source] Box<Self>),
        #[error("inner")]
        Inner,
    }

    #[test]
    fn every_cause_is_said_once() {
        let error = Layer::Outer(Box::new(Layer::Middle(Box::new(Layer::Inner))));
        assert_eq!(WithCauses::of(&error).to_string(), "outer: middle: inner");
    }

    #[test]
    fn a_peers_text_is_part_of_the_line_it_stands_in() {
        #[derive(Debug, thiserror::Error)]
        #[error("a peer says {0}")]
        struct Peer(&'static str);
        let forged = Peer("no\n2026-12-01T00:00:00Z  INFO an operator signed in\u{1b}[2J");
        let error = std::io::Error::other(forged);
        let told = WithCauses::of(&error).to_string();
        assert!(
            told.contains(r"no\n2026") && told.ends_with(r"\u{1b}[2J"),
            "{told}"
        );
        assert!(!told.contains(char::is_control), "{told:?}");
    }

    /// What is logged at each level.
    #[derive(Clone, Debug, Default)]
    struct Seen(Arc<Mutex<Vec<Level>>>);

    impl tracing_subscriber::Layer<Registry> for Seen {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    #[test]
    fn another_level_holds_from_the_next_line_on() {
        let seen = Seen::default();
        let (filter, live) = LiveLevel::begin(&LogLevel::default());
        let subscriber = tracing_subscriber::registry().with(seen.clone().with_filter(filter));
        let say = || {
            tracing::error!("e");
            tracing::info!("i");
            tracing::debug!("d");
        };
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("open meanwhile");
            span.in_scope(say);
            for level in ["debug", "error", "off", "info"] {
                live.set(&level.parse().unwrap());
                span.in_scope(say);
            }
        });
        let (e, i, d) = (Level::ERROR, Level::INFO, Level::DEBUG);
        assert_eq!(*seen.0.lock().unwrap(), [e, i, e, i, d, e, e, i]);
        // Nothing logs any more.
        live.set(&LogLevel::default());
    }

    #[test]
    fn a_bare_word_is_a_level() {
        for text in [
            "info",
            "OFF",
            "warn,entrada=debug",
            "entrada=trace, error",
            "info,[request]=debug",
        ] {
            assert!(text.parse::<LogLevel>().is_ok(), "{text}");
        }
        for text in ["loud", "info,entrada", "entrada=loud", "a=b=c", ",", ""] {
            assert!(text.parse::<LogLevel>().is_err(), "{text}");
        }
    }
}

//! What people at a terminal see, and are asked.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use entrada::causes::is_plain;

/// What is to be looked at first.
pub const STRONG: Style = Style::new().bold();
/// What went wrong.
pub const WRONG: Style = AnsiColor::Red.on_default().bold();
/// What may be meant.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What is as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();

/// A text in a style. Where it is written to no terminal, or `NO_COLOR` is set, the stream takes the style out.
pub fn styled(text: impl fmt::Display, style: Style) -> impl fmt::Display {
    format!("{style}{text}{style:#}")
}

/// What others chose, for a terminal: nothing in it moves the cursor, colours the line, or turns the
/// direction of what follows.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|it| if is_plain(it) { it } else { '\u{fffd}' })
        .collect()
}

/// How far something that takes long has come: one line on standard error, where that is a terminal.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Shows it where standard error is a terminal.
    pub fn on_terminal() -> Self {
        let shown = io::stderr().is_terminal();
        Self { shown }
    }

    /// Says how far it has come.
    pub fn tell(&self, so_far: impl fmt::Display) {
        if self.shown {
            // Nobody is left to tell if standard error is gone.
            let _ = write!(io::stderr(), "\r{so_far}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = writeln!(io::stderr());
        }
    }
}

/// What somebody answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// They want it.
    Yes,
    /// They do not.
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Asks whoever sits at the terminal.
///
/// # Errors
///
/// [`io::Error`] if the terminal cannot be read.
pub fn ask(question: &str) -> io::Result<Answer> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(Answer::Nobody);
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(answer(&line))
}

fn answer(line: &str) -> Answer {
    match line.trim() {
        "y" | "Y" | "yes" | "Yes" => Answer::Yes,
        _ => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_chose_stays_text_on_a_terminal() {
        assert_eq!(printable("Caf\u{e9} \u{1f600}"), "Caf\u{e9} \u{1f600}");
        for text in [
            "\x1b[2J",
            "a\nb",
            "\u{9b}31m",
            "\u{202e}evil",
            "\u{2028}",
            "\u{7f}",
        ] {
            let told = printable(text);
            assert!(told.contains('\u{fffd}'), "{text:?}");
            assert!(told.chars().all(is_plain), "{text:?}");
        }
    }

    #[test]
    fn yes_alone_is_yes() {
        for (line, expected) in [
            ("y\n", Answer::Yes),
            ("yes\r\n", Answer::Yes),
            ("\n", Answer::No),
            ("", Answer::No),
            ("no\n", Answer::No),
            ("yesterday\n", Answer::No),
        ] {
            assert_eq!(answer(line), expected, "{line:?}");
        }
    }
}

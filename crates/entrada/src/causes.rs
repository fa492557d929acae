//! Why something failed, down to the first cause.

use std::error::Error;
use std::fmt::{self, Write as _};

/// An error with all of its sources on one line, for the log.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is no more than what it shows"
)]
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OnOneLine(self.0))?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {}", OnOneLine(cause))?;
            source = cause.source();
        }
        Ok(())
    }
}

/// What may be a stranger's words, as a part of one line: what ends a line, moves the cursor, colours, or turns the
/// direction of what follows is escaped.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is no more than what it shows"
)]
pub struct OnOneLine<T>(pub T);

impl<T: fmt::Display> fmt::Display for OnOneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

impl<T: fmt::Debug> OnOneLine<T> {
    /// Writes what `Debug` makes of it.
    ///
    /// # Errors
    ///
    /// [`fmt::Error`] if it cannot be written.
    pub fn write_debug(&self, writer: &mut dyn fmt::Write) -> fmt::Result {
        write!(Escaping(writer), "{:?}", self.0)
    }
}

/// Escapes what goes through.
struct Escaping<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, letter) in text.char_indices().filter(|(_, letter)| !is_plain(*letter)) {
            self.0.write_str(text.get(plain..at).unwrap_or_default())?;
            write!(self.0, "{}", letter.escape_debug())?;
            plain = at + letter.len_utf8();
        }
        self.0.write_str(text.get(plain..).unwrap_or_default())
    }
}

/// Whether a letter changes nothing about the letters beside it, nor about where they stand.
pub fn is_plain(letter: char) -> bool {
    let turns = matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !letter.is_control() && !turns && !matches!(letter, '\u{2028}' | '\u{2029}')
}

/// The error of type `E` that is `error` or among its causes.
pub(crate) fn among_causes<'e, E: Error + 'static>(
    error: &'e (dyn Error + 'static),
) -> Option<&'e E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::TransportError;

    #[test]
    fn every_cause_is_told_in_order() {
        let error = TransportError::new("h", TransportError::new("i", "refused"));
        let told = Causes(&error).to_string();
        assert_eq!(
            told,
            "no complete response from h: no complete response from i: refused"
        );
    }
    #[test]
    fn a_peers_words_end_no_line_and_move_no_cursor() {
        let said =
            "no\r\n2026-12-01T00:00:00Z  INFO signed in\u{1b}[2J\u{202e}\u{61c}\u{2028}\u{9b}";
        let error = TransportError::new("h", TransportError::new("i\n", said));
        let told = Causes(&error).to_string();
        assert!(told.chars().all(is_plain), "{told:?}");
        assert!(told.contains(r"no\r\n2026-12-01T00:00:00Z"), "{told}");
        assert!(
            told.ends_with(r"\u{1b}[2J\u{202e}\u{61c}\u{2028}\u{9b}"),
            "{told}"
        );
        let words = "Café 😀 \"quoted\" C:\\path";
        assert_eq!(OnOneLine(words).to_string(), words);
    }
}

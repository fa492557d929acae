//! Log lines as words: one event is one line, whatever a stranger wrote in what is told of it.

use std::fmt::{self, Debug};

use anstyle::Style;
use entrada::causes::OnOneLine;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// How the message and the fields of an event or a span are written.
pub(super) fn fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    debug_fn(field).delimited(" ")
}

fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    match field.name() {
        "message" => {}
        // Where a line of the crate `log` comes from is told as its target.
        name if name.starts_with("log.") => return Ok(()),
        name if writer.has_ansi_escapes() => {
            write!(writer, "{ITALIC}{name}{ITALIC:#}{DIMMED}={DIMMED:#}")?;
        }
        name => write!(writer, "{name}=")?,
    }
    OnOneLine(value).write_debug(writer)
}

const ITALIC: Style = Style::new().italic();
const DIMMED: Style = Style::new().dimmed();

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What is written of what `tell` logs.
    fn written(ansi: bool, tell: impl FnOnce()) -> String {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .with_ansi(ansi)
            .without_time()
            .with_target(false)
            .fmt_fields(fields())
            .finish();
        tracing::subscriber::with_default(subscriber, tell);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_a_peer_says_writes_no_line_of_its_own() {
        let said = "gone\r\n INFO an operator signed in\u{1b}[2J\u{202e}";
        let tell = || {
            let span = tracing::info_span!("request", id = %said);
            span.in_scope(|| tracing::warn!(cause = %said, named = said, "it says {said}"));
        };
        for ansi in [false, true] {
            let text = written(ansi, tell);
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(!text.contains(['\r', '\u{202e}']), "{text:?}");
            assert!(!text.contains("\u{1b}[2J"), "{text:?}");
            assert_eq!(text.matches(r"gone\r\n INFO").count(), 4, "{text}");
        }
    }

    #[test]
    fn a_line_reads_as_before() {
        let tell = || tracing::info!(status = 200, path = "/mcp", kind = %"plain", "request");
        let text = written(false, tell);
        assert_eq!(text, " INFO request status=200 path=\"/mcp\" kind=plain\n");
    }
}

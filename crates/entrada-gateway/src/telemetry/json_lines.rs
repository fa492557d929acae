//! Log lines as JSON, written straight.
//!
//! There is one for each request, and what `tracing-subscriber` does for it costs a tenth of the whole
//! request: every value goes through three writers, and each checks again that it is UTF-8.

use std::fmt::{self, Debug, Write as _};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes what `stock` would, byte for byte, and leaves to it what is rare.
#[derive(Debug)]
pub(super) struct JsonLines {
    stock: Format<Json>,
}

impl JsonLines {
    /// In place of `stock`, which must put fields beside the rest and tell of no more than time, level
    /// and target.
    pub(super) const fn instead_of(stock: Format<Json>) -> Self {
        Self { stock }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let is_in_span = event.parent().is_some() || context.lookup_current().is_some();
        // What comes from the crate `log` has its target in a field.
        if is_in_span || metadata.target() == "log" {
            return self.stock.format_event(context, writer, event);
        }
        let mut line = Line {
            json: Vec::with_capacity(LONG),
            value: String::new(),
        };
        SystemTime.format_time(&mut Writer::new(&mut line.value))?;
        line.json.extend_from_slice(b"{\"timestamp\":\"");
        line.json.extend_from_slice(line.value.as_bytes());
        line.json.push(b'"');
        line.entry("level", metadata.level().as_str());
        event.record(&mut line);
        line.entry("target", metadata.target());
        line.json.extend_from_slice(b"}\n");
        writer.write_str(str::from_utf8(&line.json).map_err(|_| fmt::Error)?)
    }
}

/// Longer than most lines.
const LONG: usize = 768;

/// A line under way.
struct Line {
    json: Vec<u8>,
    /// A value, before it is quoted.
    value: String,
}

impl Line {
    fn entry<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.json.push(b',');
        self.put(name);
        self.json.push(b':');
        self.put(value);
    }

    fn put<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Strings and numbers can always be written to memory.
        let _ = serde_json::to_writer(&mut self.json, value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = std::mem::take(&mut self.value);
        text.clear();
        // Neither does writing to a string fail.
        let _ = write!(text, "{value:?}");
        self.entry(field.name(), &*text);
        self.value = text;
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.entry(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.entry(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.entry(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.entry(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.entry(field.name(), &value);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt::format::JsonFields;
    use tracing_subscriber::fmt::{Layer, layer};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        /// The lines, with a time in the place of theirs.
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(without_time).collect()
        }
    }

    fn without_time(line: &str) -> String {
        let Value::Object(members) = serde_json::from_str(line).unwrap() else {
            panic!("{line}");
        };
        let time = members["timestamp"].as_str().unwrap();
        line.replacen(time, &"0".repeat(time.len()), 1)
    }

    fn json<S>() -> Layer<S, JsonFields, Format<Json>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let json = layer().json().flatten_event(true);
        json.with_current_span(true).with_span_list(false)
    }

    #[test]
    fn lines_are_what_they_would_be_otherwise() {
        let (stock, ours) = (Written::default(), Written::default());
        let (to_stock, to_ours) = (stock.clone(), ours.clone());
        let subscriber = tracing_subscriber::registry()
            .with(json().with_writer(move || to_stock.clone()))
            .with(
                json()
                    .map_event_format(JsonLines::instead_of)
                    .with_writer(move || to_ours.clone()),
            );
        let said = 4;
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("words");
            tracing::warn!(
                text = "\"quoted\"\n\u{1}\u{7f}é\u{2028}",
                shown = %"a \"b\" \\ c",
                told = ?Some("x\ty"),
                absent = Option::<u64>::None,
                natural = u64::MAX,
                whole = i64::MIN,
                wide = u128::MAX,
                real = 0.1,
                endless = f64::INFINITY,
                yes = true,
                "with \"all\" there is"
            );
            let span = tracing::info_span!("request", correlation_id = "c");
            tracing::error!(parent: &span, "in a span that is named");
            span.in_scope(|| tracing::error!(number = 1, "in one that is entered"));
        });
        assert_eq!(ours.lines(), stock.lines());
        assert_eq!(ours.lines().len(), said);
    }
}

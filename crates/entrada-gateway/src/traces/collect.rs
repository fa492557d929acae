//! Spans of `tracing` as they come and go, made spans of a trace.

use std::fmt;

use entrada::platform::SystemRandom;
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id as SpanName, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::clock::SpanClock;
use super::context::Id;
use crate::metrics;

/// A span that has ended (OTLP, `Span`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finished {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    status: Status,
}

#[derive(Clone, Debug, Serialize)]
struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Clone, Debug, Serialize)]
enum Value {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "intValue")]
    Number(String),
    #[serde(rename = "boolValue")]
    Bool(bool),
}

#[derive(Clone, Debug, Default, Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

/// Collects the spans of this program that are below a request that has a trace.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    spans: mpsc::Sender<Finished>,
    clock: SpanClock,
    random: SystemRandom,
}

impl Collector {
    pub(super) fn new(spans: mpsc::Sender<Finished>, clock: SpanClock) -> Self {
        Self {
            spans,
            clock,
            random: SystemRandom::default(),
        }
    }

    /// Whether spans like this one are collected: events are the log's.
    pub(crate) fn wants(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("entrada")
    }
}

/// A span that goes on.
#[derive(Debug)]
struct Open {
    trace_id: Id<16>,
    span_id: Id<8>,
    parent: Option<Id<8>>,
    began: u64,
    said: Said,
}

/// What a span says.
#[derive(Debug, Default)]
struct Said {
    trace_id: Option<Id<16>>,
    span_id: Option<Id<8>>,
    parent: Option<Id<8>>,
    name: Option<String>,
    kind: u8,
    failed: bool,
    attributes: Vec<Attribute>,
}

impl Said {
    fn text(&mut self, key: &'static str, value: String) {
        match key {
            "trace_id" => self.trace_id = Id::parse(&value),
            "span_id" => self.span_id = Id::parse(&value),
            "parent_span_id" => self.parent = Id::parse(&value),
            "otel.name" => self.name = Some(value),
            "otel.kind" => self.kind = if value == "server" { SERVER } else { CLIENT },
            "otel.status_code" => self.failed = value == "ERROR",
            key => self.attributes.push(Attribute {
                key,
                value: Value::Text(value),
            }),
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attributes.push(Attribute {
            key: field.name(),
            value: Value::Number(value.to_string()),
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.push(Attribute {
            key: field.name(),
            value: Value::Bool(value),
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &SpanName, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut said = Said::default();
        attributes.record(&mut said);
        let above = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            let open: &Open = extensions.get()?;
            Some((open.trace_id, open.span_id))
        });
        let of_request = said.trace_id.zip(said.span_id);
        let (trace_id, span_id, parent) = match (of_request, above) {
            (Some((trace_id, span_id)), _) => (trace_id, span_id, said.parent),
            (None, Some((trace_id, above))) => (trace_id, Id::draw(&self.random), Some(above)),
            (None, None) => return,
        };
        span.extensions_mut().insert(Open {
            trace_id,
            span_id,
            parent,
            began: self.clock.now(),
            said,
        });
    }

    fn on_record(&self, id: &SpanName, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.said);
        }
    }

    fn on_close(&self, id: SpanName, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let finished = open.finished(span.name(), self.clock.now());
        if self.spans.try_send(finished).is_err() {
            metrics::traced("lost", 1);
        }
    }
}

impl Open {
    fn finished(self, name: &str, now: u64) -> Finished {
        let Said {
            name: told,
            kind,
            failed,
            attributes,
            trace_id: _,
            span_id: _,
            parent: _,
        } = self.said;
        Finished {
            trace_id: self.trace_id.to_string(),
            span_id: self.span_id.to_string(),
            parent_span_id: self.parent.map(|parent| parent.to_string()),
            name: told.unwrap_or_else(|| name.to_owned()),
            kind: if kind == 0 { INTERNAL } else { kind },
            start_time_unix_nano: self.began.to_string(),
            end_time_unix_nano: now.to_string(),
            attributes,
            status: Status {
                code: failed.then_some(ERROR),
            },
        }
    }
}

/// The kinds of spans (OTLP, `SpanKind`).
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// OTLP, `StatusCode`.
const ERROR: u8 = 2;

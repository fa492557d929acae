//! Traces: spans that are collected as requests go by, and sent to a collector (OTLP over HTTP, JSON).
//!
//! Nobody waits for it: what finds no room is left out, and counted.

use std::sync::Arc;
use std::time::Duration;

use entrada::platform::SystemRandom;
use http::{HeaderMap, Uri};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod clock;
mod collect;
mod context;
mod export;

pub(crate) use collect::Collector;
pub use context::TraceContext;

use crate::traces::clock::SpanClock;

/// Where traces go, and which requests have one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TraceSettings {
    /// The collector's address for traces.
    pub endpoint: Uri,
    /// Of how many requests, between none (0) and all (1).
    pub sample: f64,
    /// Whether the traces of clients are gone on with, where they say so.
    pub trust_traceparent: bool,
}

impl TraceSettings {
    /// All requests, to the collector at `endpoint`.
    pub const fn new(endpoint: Uri) -> Self {
        Self {
            endpoint,
            sample: 1.0,
            trust_traceparent: false,
        }
    }
}

/// What collects spans, and what sends them.
#[derive(Debug)]
#[must_use]
pub struct Traces {
    pub(crate) collector: Collector,
    spans: mpsc::Receiver<collect::Finished>,
    endpoint: Uri,
    tracer: Tracer,
}

/// What begins traces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    settings: Arc<TraceSettings>,
    random: SystemRandom,
}

/// The task that sends spans, until it is told to end.
#[derive(Debug)]
#[must_use]
pub struct TraceExport {
    sending: JoinSet<()>,
    stop: CancellationToken,
}

impl Traces {
    /// Prepares to collect.
    pub fn new(settings: TraceSettings) -> Self {
        let (sender, spans) = mpsc::channel(QUEUE);
        Self {
            collector: Collector::new(sender, SpanClock::begin()),
            spans,
            endpoint: settings.endpoint.clone(),
            tracer: Tracer {
                settings: Arc::new(settings),
                random: SystemRandom::default(),
            },
        }
    }

    /// What begins traces.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }
}

impl Tracer {
    /// The trace of a request with these headers.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> TraceContext {
        let trusts = self.settings.trust_traceparent;
        let theirs = TraceContext::of_headers(headers).filter(|_| trusts);
        match theirs {
            Some(theirs) => theirs.child(&self.random),
            None => TraceContext::root(&self.random, self.settings.sample),
        }
    }
}

/// How many spans wait to be sent.
const QUEUE: usize = 4_096;

/// How long the last spans may take to be sent.
const FLUSH: Duration = Duration::from_secs(5);

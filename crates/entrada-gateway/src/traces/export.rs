//! Spans on their way to a collector (OTLP/HTTP, *JSON Protobuf Encoding*).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use entrada::platform::HttpTransport;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Uri};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::collect::Finished;
use super::{FLUSH, TraceExport, Traces};
use crate::metrics;
use crate::telemetry::WithCauses;

/// Sends what is collected.
#[derive(Debug)]
pub(super) struct Exporter {
    spans: mpsc::Receiver<Finished>,
    endpoint: Uri,
    http: Arc<dyn HttpTransport>,
    failing: bool,
}

impl Traces {
    /// Begins to send, by `http`.
    pub fn export(self, http: Arc<dyn HttpTransport>) -> TraceExport {
        let exporter = Exporter {
            spans: self.spans,
            endpoint: self.endpoint,
            http,
            failing: false,
        };
        let stop = CancellationToken::new();
        let mut sending = JoinSet::new();
        sending.spawn(exporter.run(stop.clone()));
        TraceExport { sending, stop }
    }
}

impl TraceExport {
    /// Ends once what was collected is sent, or its time is over.
    pub async fn end(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(FLUSH, self.sending.join_next())
            .await
            .is_err()
        {
            tracing::warn!("the last spans could not be sent in time");
        }
    }
}

impl Exporter {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let batch = self.batch(&stop).await;
            if !batch.is_empty() {
                self.send(&batch).await;
            } else if stop.is_cancelled() {
                return;
            }
        }
    }

    /// What there is to send: a full batch at once, what there is of one after a while.
    async fn batch(&mut self, stop: &CancellationToken) -> Vec<Finished> {
        let mut batch = Vec::new();
        let until = Instant::now() + PATIENCE;
        while batch.len() < MOST_AT_ONCE {
            let more = self.spans.recv_many(&mut batch, MOST_AT_ONCE);
            tokio::select! {
                biased;
                received = timeout_at(until, more) => match received {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                () = stop.cancelled() => break,
            }
        }
        batch
    }

    async fn send(&mut self, batch: &[Finished]) {
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [
                attribute("service.name", "entrada"),
                attribute("service.version", VERSION),
            ]},
            "scopeSpans": [{"scope": {"name": "entrada", "version": VERSION}, "spans": batch}],
        }]});
        let mut request = Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.endpoint);
        let kind = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        let failed = match self.http.send(request).await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered {}", answer.status())),
            Err(error) => Some(WithCauses::of(&error).to_string()),
        };
        let count = batch.len() as u64;
        metrics::traced(failed.as_ref().map_or("sent", |_| "lost"), count);
        match failed {
            Some(cause) if !self.failing => {
                tracing::warn!(cause, "spans cannot be sent, and are lost");
                self.failing = true;
            }
            None if self.failing => {
                tracing::info!("spans are sent again");
                self.failing = false;
            }
            Some(_) | None => {}
        }
    }
}

fn attribute(key: &str, value: &str) -> serde_json::Value {
    json!({"key": key, "value": {"stringValue": value}})
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How many spans are sent at once.
const MOST_AT_ONCE: usize = 512;

/// How long a span waits for others to go with.
const PATIENCE: Duration = Duration::from_secs(2);

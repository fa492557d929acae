//! What tells of the gateway while it serves: its log, what it counts, its audit log, its traces.

use std::sync::Arc;

use axum::Router;
use entrada::platform::HttpTransport;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listen;
use crate::audit::{Audit, AuditWriter};
use crate::command::CommandError;
use crate::config::Settings;
use crate::metrics::{self, Numbers};
use crate::signals::on_hangup;
use crate::telemetry::{self, LiveLevel};
use crate::traces::{TraceExport, Tracer, Traces};

/// The log, and the traces that are collected with it.
pub(super) struct Logging {
    pub(super) level: LiveLevel,
    traces: Option<Traces>,
}

impl Logging {
    /// Begins to log, with what is odd about the settings.
    pub(super) fn begin(settings: &mut Settings) -> Self {
        let traces = settings.traces.take().map(Traces::new);
        let collector = traces.as_ref().map(|traces| traces.collector.clone());
        let level = telemetry::init_with(&settings.log, collector);
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        Self { level, traces }
    }

    /// What begins traces, if any are collected.
    pub(super) fn tracer(&self) -> Option<Tracer> {
        self.traces.as_ref().map(Traces::tracer)
    }
}

/// What is counted, and written to the audit log.
pub(super) struct Books {
    listener: Option<TcpListener>,
    counted: Option<PrometheusHandle>,
    writer: Option<AuditWriter>,
}

impl Books {
    /// Opens those that are to be kept; the library has them from `settings`, and so do operators.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if one cannot be opened.
    pub(super) async fn open(settings: &mut Settings) -> Result<Self, CommandError> {
        let (listener, counted) = counting(settings).await?;
        let writer = settings.audit.as_ref().map(Audit::begin).transpose();
        let writer = writer.map_err(CommandError::Audit)?;
        let audit = writer.as_ref().map(AuditWriter::audit);
        settings.provider.numbers = counted.clone().map(Numbers::of);
        settings.provider.audit = audit.map(|audit| Arc::new(audit) as _);
        Ok(Self {
            listener,
            counted,
            writer,
        })
    }

    /// What is told who did what, if anything is.
    pub(super) fn audit(&self) -> Option<Audit> {
        self.writer.as_ref().map(AuditWriter::audit)
    }

    /// Keeps them until `stop`, beside whatever else is `tending`, and answers `probes` where metrics are told.
    pub(super) fn keep(
        self,
        (logging, http): (Logging, Arc<dyn HttpTransport>),
        (probes, stop): (Router, CancellationToken),
        tending: &mut JoinSet<()>,
    ) -> Last {
        if let Some(audit) = self.audit() {
            tending.spawn(on_hangup(move || audit.reopen()));
        }
        tending.spawn(tell_metrics((self.listener, self.counted), probes, stop));
        Last {
            export: logging.traces.map(|traces| traces.export(http)),
            writer: self.writer,
        }
    }
}

/// What is still to be told once nothing is served any more.
pub(super) struct Last {
    export: Option<TraceExport>,
    writer: Option<AuditWriter>,
}

impl Last {
    /// Tells it.
    pub(super) async fn told(self) {
        if let Some(export) = self.export {
            export.end().await;
        }
        if let Some(writer) = self.writer {
            writer.end().await;
        }
    }
}

/// Begins to count, if anybody is told; and where `GET /metrics` is answered, if it is.
async fn counting(
    settings: &Settings,
) -> Result<(Option<TcpListener>, Option<PrometheusHandle>), CommandError> {
    let address = settings.server.metrics_listen;
    if address.is_none() && settings.admin.is_none() {
        return Ok((None, None));
    }
    let listener = match address {
        Some(address) => Some(listen("metrics-listen", address).await?),
        None => None,
    };
    Ok((listener, Some(metrics::install()?)))
}

/// Keeps what is counted in order until `stop`, if anything is, and answers `GET /metrics` and `probes` on the
/// listener.
async fn tell_metrics(
    (listener, counted): (Option<TcpListener>, Option<PrometheusHandle>),
    probes: Router,
    stop: CancellationToken,
) {
    match (listener, counted) {
        (Some(listener), Some(counted)) => metrics::serve(listener, probes, counted, stop).await,
        (None, Some(counted)) => metrics::keep(counted, stop).await,
        (_, None) => {}
    }
}

//! What is counted, in the form Prometheus reads, on a listener of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use entrada::meters::{Metric, MetricKind};
use entrada::platform::Timestamp;
use http::{Method, StatusCode};
use metrics::{Gauge, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod numbers;

pub(crate) use numbers::Numbers;

use crate::server::Server;
use crate::tls::Validity;

const REQUESTS: &str = "entrada_http_requests_total";
const FIRST_BYTE: &str = "entrada_http_request_first_byte_seconds";
const DURATION: &str = "entrada_http_request_duration_seconds";
const BYTES: &str = "entrada_http_response_bytes_total";
const UNDER_WAY: &str = "entrada_http_requests_under_way";
const STREAMS: &str = "entrada_http_open_streams";
const CONNECTIONS_REFUSED: &str = "entrada_http_connections_refused_total";
const CONNECTIONS: &str = "entrada_http_connections";
const UPSTREAM_ERRORS: &str = "entrada_upstream_errors_total";
const CALLS_LIMITED: &str = "entrada_calls_limited_total";
const AUDIT_LINES: &str = "entrada_audit_lines_total";
const AUDIT_FAILING: &str = "entrada_audit_failing";
const TRACE_SPANS: &str = "entrada_trace_spans_total";
const CONFIG_RELOADS: &str = "entrada_config_reloads_total";
const CONFIG_REFUSED: &str = "entrada_config_refused";
const CONFIG_TAKEN_AT: &str = "entrada_config_last_taken_timestamp_seconds";
const CERTIFICATE_FROM: &str = "entrada_tls_certificate_not_before_timestamp_seconds";
const CERTIFICATE_UNTIL: &str = "entrada_tls_certificate_not_after_timestamp_seconds";
const ACME_ORDERS: &str = "entrada_acme_orders_total";
const BUILD_INFO: &str = "entrada_build_info";
const MEMORY: &str = "process_resident_memory_bytes";

/// The metrics of the gateway, besides those of the library.
pub const METRICS: &[Metric] = {
    use MetricKind::{Counter, Gauge, Histogram};
    &[
        Metric::new(
            REQUESTS,
            Counter,
            &["route", "method", "status", "outcome"],
            "Requests whose answer has ended",
        ),
        Metric::new(
            FIRST_BYTE,
            Histogram,
            &["route"],
            "How long it took until an answer began",
        ),
        Metric::new(
            DURATION,
            Histogram,
            &["route"],
            "How long it took until an answer that is no stream of events or WebSocket ended",
        ),
        Metric::new(
            BYTES,
            Counter,
            &["route"],
            "Bytes of answers, and of WebSockets to clients",
        ),
        Metric::new(
            UNDER_WAY,
            Gauge,
            &[],
            "Requests that came and whose answer has not ended, streams of events and WebSockets among them",
        ),
        Metric::new(
            STREAMS,
            Gauge,
            &[],
            "Streams of events and WebSockets that are open",
        ),
        Metric::new(CONNECTIONS, Gauge, &[], "Connections that are open"),
        Metric::new(
            CONNECTIONS_REFUSED,
            Counter,
            &["by"],
            "Connections that were closed at once, for there were too many",
        ),
        Metric::new(
            UPSTREAM_ERRORS,
            Counter,
            &["kind"],
            "Requests that an MCP server did not answer, or never saw",
        ),
        Metric::new(
            CALLS_LIMITED,
            Counter,
            &["route", "by"],
            "Requests over a limit of their user, client or tool",
        ),
        Metric::new(
            AUDIT_LINES,
            Counter,
            &["outcome"],
            "Lines of the audit log that were written, or lost",
        ),
        Metric::new(
            AUDIT_FAILING,
            Gauge,
            &[],
            "Whether the audit log cannot be written",
        ),
        Metric::new(
            TRACE_SPANS,
            Counter,
            &["outcome"],
            "Spans that were sent to the collector, or lost",
        ),
        Metric::new(
            CONFIG_RELOADS,
            Counter,
            &["outcome"],
            "Configurations that were read while serving, and taken over or refused",
        ),
        Metric::new(
            CONFIG_REFUSED,
            Gauge,
            &[],
            "Whether the configuration that is there is not the one in use",
        ),
        Metric::new(
            CONFIG_TAKEN_AT,
            Gauge,
            &[],
            "When the configuration in use was read, in seconds since 1970",
        ),
        Metric::new(
            CERTIFICATE_FROM,
            Gauge,
            &[],
            "From when the certificate that clients are shown is good, in seconds since 1970",
        ),
        Metric::new(
            CERTIFICATE_UNTIL,
            Gauge,
            &[],
            "When the certificate that clients are shown ends, in seconds since 1970",
        ),
        Metric::new(
            ACME_ORDERS,
            Counter,
            &["outcome"],
            "Certificates that were ordered from an authority, and issued or not",
        ),
        Metric::new(BUILD_INFO, Gauge, &["version"], "Always 1"),
        Metric::new(MEMORY, Gauge, &[], "Memory in use"),
    ]
};

/// Begins to count, for this process.
///
/// # Errors
///
/// [`BuildError`] if something else counts already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets(BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

/// Tells the recorder that is installed what there is.
fn describe() {
    entrada::meters::describe();
    METRICS.iter().for_each(Metric::describe);
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Answers `GET /metrics` on `listener` until `stop`, and what `probes` answer.
pub async fn serve(
    listener: TcpListener,
    probes: Router,
    handle: PrometheusHandle,
    stop: CancellationToken,
) {
    let address = listener.local_addr().ok().map(tracing::field::display);
    tracing::info!(listen = address, "metrics");
    let (answer, kept) = (handle.clone(), stop.clone());
    let scraped = move || {
        let handle = answer.clone();
        async move {
            if let Some(bytes) = resident_memory() {
                gauge!(MEMORY).set(bytes);
            }
            ([(CONTENT_TYPE, TEXT)], handle.render())
        }
    };
    let router = probes.route("/metrics", get(scraped));
    let server = Server::uncounted(listener, router, Duration::ZERO);
    tokio::select! {
        () = server.run(stop) => {}
        () = keep(handle, kept) => {}
    }
}

/// Keeps what is counted in order until `stop`: what was timed since the last scrape is kept one by one until
/// it is summed up.
pub async fn keep(handle: PrometheusHandle, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(UPKEEP) => handle.run_upkeep(),
        }
    }
}

/// What became of a request, for its metrics.
#[derive(Clone, Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) route: &'a Arc<str>,
    pub(crate) method: &'a Method,
    pub(crate) status: Option<StatusCode>,
    pub(crate) outcome: &'static str,
    pub(crate) bytes: u64,
    /// How long it took; not known of a stream of events, which lasts as long as it is wanted.
    pub(crate) took: Option<Duration>,
}

impl Answered<'_> {
    pub(crate) fn count(&self) {
        let route = || Arc::clone(self.route);
        counter!(
            REQUESTS,
            "route" => route(),
            "method" => method(self.method),
            "status" => self.status.map_or("none", class),
            "outcome" => self.outcome,
        )
        .increment(1);
        counter!(BYTES, "route" => route()).increment(self.bytes);
        if let Some(took) = self.took {
            histogram!(DURATION, "route" => route()).record(took);
        }
    }
}

/// Counts how long it took until an answer began.
pub(crate) fn began(route: &Arc<str>, after: Duration) {
    histogram!(FIRST_BYTE, "route" => Arc::clone(route)).record(after);
}

/// Counts a request that got no answer of an MCP server.
pub(crate) fn upstream_failed(kind: &'static str) {
    counter!(UPSTREAM_ERRORS, "kind" => kind).increment(1);
}

/// Counts a request over a limit.
pub(crate) fn limited(route: &Arc<str>, by: &'static str) {
    counter!(CALLS_LIMITED, "route" => Arc::clone(route), "by" => by).increment(1);
}

/// Counts a connection that was closed at once.
pub(crate) fn connection_refused(by: &'static str) {
    counter!(CONNECTIONS_REFUSED, "by" => by).increment(1);
}

/// Counts lines of the audit log.
pub(crate) fn audited(outcome: &'static str, lines: u64) {
    counter!(AUDIT_LINES, "outcome" => outcome).increment(lines);
}

/// Counts spans.
pub(crate) fn traced(outcome: &'static str, spans: u64) {
    counter!(TRACE_SPANS, "outcome" => outcome).increment(spans);
}

/// Counts a configuration that was read while serving.
pub(crate) fn reloaded(outcome: &'static str) {
    counter!(CONFIG_RELOADS, "outcome" => outcome).increment(1);
}

/// Says whether the configuration that is there is not the one in use.
pub(crate) fn configuration_refused(refused: bool) {
    gauge!(CONFIG_REFUSED).set(if refused { 1.0 } else { 0.0 });
}

/// Says when the configuration in use was read.
pub(crate) fn configuration_taken(at: Timestamp) {
    let seconds = Duration::from_secs(at.as_unix());
    gauge!(CONFIG_TAKEN_AT).set(seconds.as_secs_f64());
    configuration_refused(false);
}

/// Says from when until when the certificate that clients are shown is good.
pub(crate) fn certificate(validity: Validity) {
    for (name, at) in [
        (CERTIFICATE_FROM, validity.not_before),
        (CERTIFICATE_UNTIL, validity.not_after),
    ] {
        gauge!(name).set(Duration::from_secs(at.as_unix()).as_secs_f64());
    }
}

/// Counts a certificate that was ordered.
#[cfg(feature = "acme")]
pub(crate) fn ordered(outcome: &'static str) {
    counter!(ACME_ORDERS, "outcome" => outcome).increment(1);
}

/// Says whether the audit log cannot be written.
pub(crate) fn audit_fails(failing: bool) {
    gauge!(AUDIT_FAILING).set(if failing { 1.0 } else { 0.0 });
}

/// Something that is open, for as long as this is kept.
pub(crate) struct Open(Gauge);

impl Open {
    pub(crate) fn request() -> Self {
        Self::of(gauge!(UNDER_WAY))
    }

    pub(crate) fn stream() -> Self {
        Self::of(gauge!(STREAMS))
    }

    pub(crate) fn connection() -> Self {
        Self::of(gauge!(CONNECTIONS))
    }

    fn of(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

/// A method as a label: anybody can make one up.
pub(crate) fn method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH"];
    let known = known.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or("other")
}

const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// How much memory this process has in use, where the system says.
fn resident_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0)
}

/// The exposition format that is answered with.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often what was timed is summed up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where histograms are cut, in seconds.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");

    #[test]
    fn every_metric_is_documented_and_nothing_else_is() {
        let (_, section) = DOCUMENT.split_once("\n## The gateway").unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<_> = rows
            .map(|row| {
                let mut cells = row.split(" | ");
                let name = cells.next().unwrap().trim_end_matches('`');
                let labels = cells.nth(1).unwrap();
                let labels = labels.split('`').skip(1).step_by(2);
                (name, labels.collect::<Vec<_>>())
            })
            .collect();
        let there = METRICS
            .iter()
            .map(|metric| (metric.name, metric.labels.to_vec()));
        assert_eq!(documented, there.collect());
    }

    #[test]
    fn what_a_client_makes_up_is_no_label() {
        for (made_up, expected) in [("GET", "GET"), ("get", "other"), ("X1", "other")] {
            assert_eq!(method(&made_up.parse().unwrap()), expected);
        }
    }
}

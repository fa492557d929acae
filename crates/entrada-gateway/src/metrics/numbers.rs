//! What is counted, in a few numbers, for people.

use std::sync::Arc;

use entrada::admin_site::LiveNumbers;
use metrics_exporter_prometheus::PrometheusHandle;

use super::{CONNECTIONS, MEMORY, REQUESTS, STREAMS, UNDER_WAY, resident_memory};

/// The numbers of this process.
pub(crate) struct Numbers(PrometheusHandle);

impl Numbers {
    /// Those that `handle` tells.
    pub(crate) fn of(handle: PrometheusHandle) -> Arc<dyn LiveNumbers> {
        Arc::new(Self(handle))
    }
}

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers")
    }
}

impl LiveNumbers for Numbers {
    fn now(&self) -> Vec<(String, String)> {
        if let Some(bytes) = resident_memory() {
            metrics::gauge!(MEMORY).set(bytes);
        }
        numbers(&self.0.render())
    }
}

/// The numbers in what Prometheus is told.
fn numbers(rendered: &str) -> Vec<(String, String)> {
    let sum = |name: &str, with: &str| total(rendered, name, with);
    let number = |value: f64| format!("{value:.0}");
    let memory = sum(MEMORY, "") / (1024.0 * 1024.0);
    let all = [
        ("Requests under way", number(sum(UNDER_WAY, ""))),
        ("Streams of events", number(sum(STREAMS, ""))),
        ("Connections", number(sum(CONNECTIONS, ""))),
        ("Answered since the start", number(sum(REQUESTS, ""))),
        ("Refused (4xx)", number(sum(REQUESTS, "status=\"4xx\""))),
        ("Failed (5xx)", number(sum(REQUESTS, "status=\"5xx\""))),
        ("Signed in", number(sum(LOGINS, "outcome=\"ok\""))),
        ("Memory", format!("{memory:.0} MiB")),
    ];
    let all = all.into_iter();
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The sum of the series called `name` that have the label `with`.
fn total(rendered: &str, name: &str, with: &str) -> f64 {
    let of_name = rendered.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        let value: f64 = value.strip_prefix(' ')?.parse().ok()?;
        labels.contains(with).then_some(value)
    });
    // A sum of nothing is -0.
    of_name.fold(0.0, |all, value| all + value)
}

/// Of the library.
const LOGINS: &str = "entrada_logins_total";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_summed_up() {
        let rendered = "# HELP entrada_http_requests_total x\n\
            entrada_http_requests_total{route=\"/mcp\",status=\"2xx\"} 40\n\
            entrada_http_requests_total{route=\"/a\",status=\"4xx\",outcome=\"}\"} 2\n\
            entrada_http_requests_total{route=\"/b\",status=\"5xx\"} 1\n\
            entrada_http_requests_under_way 4\n\
            entrada_http_open_streams 2\n\
            entrada_logins_total{outcome=\"ok\",aadsts=\"none\"} 5\n\
            entrada_logins_total{outcome=\"access_denied\",aadsts=\"65004\"} 1\n\
            process_resident_memory_bytes 15728640\n";
        let numbers = numbers(rendered);
        let told: Vec<_> = numbers.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(told, ["4", "2", "0", "43", "2", "1", "5", "15 MiB"]);
    }
}

//! What is counted and written of requests, and how many there may be.

use std::net::SocketAddr;

use http::Uri;
use url::Url;

use crate::audit::AuditSettings;
use crate::config::problem::Problem;
use crate::config::source::Sources;
use crate::config::value;
use crate::rate::{Rate, Rates};
use crate::telemetry::LogSettings;
use crate::traces::TraceSettings;

/// Where to say what is counted; never where strangers ask.
pub(super) fn metrics_listen(
    sources: &mut Sources<'_>,
    public: Option<SocketAddr>,
) -> Option<SocketAddr> {
    sources.parsed("metrics_listen", |text| {
        let address = value::address(text)?;
        let same = |public: SocketAddr| {
            let everywhere = public.ip().is_unspecified() || address.ip().is_unspecified();
            public.port() == address.port() && (everywhere || public.ip() == address.ip())
        };
        if address.port() != 0 && public.is_some_and(same) {
            return Err("it must not be where everybody asks: choose another port".to_owned());
        }
        Ok(address)
    })
}

/// The audit log, if there is one; a problem where only its particulars are set.
pub(super) fn audit(sources: &mut Sources<'_>) -> Option<AuditSettings> {
    let place = sources.parsed("audit_log", str::parse);
    let required = sources.parsed("audit_required", value::switch);
    let arguments = sources.parsed("audit_arguments", value::switch);
    sources.needs("audit_required", &["audit_log"]);
    sources.needs("audit_arguments", &["audit_log"]);
    let mut settings = AuditSettings::new(place?);
    settings.required = required == Some(true);
    settings.arguments = arguments == Some(true);
    Some(settings)
}

/// The traces, if there are any; a problem where only their particulars are set.
pub(super) fn traces(sources: &mut Sources<'_>) -> Option<TraceSettings> {
    let named = sources.parsed("otlp_endpoint", collector);
    let usual = sources.azure("OTEL_EXPORTER_OTLP_ENDPOINT");
    let usual = usual.filter(|usual| named.is_none() && !usual.is_empty());
    let usual = usual.and_then(|text| match collector(&text) {
        Ok(endpoint) => Some(endpoint),
        Err(what) => {
            let what = format!("OTEL_EXPORTER_OTLP_ENDPOINT: {what}");
            sources.note(Some(Problem::new(what)));
            None
        }
    });
    let sample = sources.parsed("trace_sample", share);
    let trust = sources.parsed("trust_traceparent", value::switch);
    if usual.is_none() {
        sources.needs("trace_sample", &["otlp_endpoint"]);
        sources.needs("trust_traceparent", &["otlp_endpoint"]);
    }
    let mut settings = TraceSettings::new(named.or(usual)?);
    settings.sample = sample.unwrap_or(settings.sample);
    settings.trust_traceparent = trust == Some(true);
    Some(settings)
}

/// Where a collector takes traces, by its own URL (OTLP/HTTP, *OTLP/HTTP Request*).
fn collector(text: &str) -> Result<Uri, String> {
    let form = || "write the URL of a collector, such as http://127.0.0.1:4318".to_owned();
    let mut url = Url::parse(text).map_err(|_| form())?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain || url.query().is_some() {
        return Err(form());
    }
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    url.as_str().parse().map_err(|_| form())
}

/// A share, between 0 and 1.
fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number between 0 and 1, such as 0.1".to_owned())
}

/// The limits of a server.
pub(super) fn rates(sources: &mut Sources<'_>) -> Rates {
    let mut read = |name| sources.parsed(name, rate).flatten();
    Rates {
        user: read("rate_limit_user"),
        client: read("rate_limit_client"),
        tool: read("rate_limit_tool"),
    }
}

/// What is logged, and how.
pub(super) fn log(sources: &mut Sources<'_>) -> LogSettings {
    let format = sources.parsed("log_format", str::parse);
    let level = sources.parsed("log_level", str::parse);
    LogSettings::new(format, level.unwrap_or_default())
}

/// So many in so long, `100/1m`, or `none`.
fn rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "none" {
        return Ok(None);
    }
    let form = || "write how many in how long, such as 100/1m, or none".to_owned();
    let (most, per) = text.split_once('/').ok_or_else(form)?;
    let most = most.parse().ok().filter(|most| *most > 0);
    let per = value::duration(per).map_err(|_| form())?;
    Ok(Some(Rate::new(most.ok_or_else(form)?, per)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_collector_is_named_by_its_url() {
        for (text, expected) in [
            (
                "http://127.0.0.1:4318",
                Ok("http://127.0.0.1:4318/v1/traces"),
            ),
            (
                "https://c.example/otlp/",
                Ok("https://c.example/otlp/v1/traces"),
            ),
            ("127.0.0.1:4318", Err(())),
            ("grpc://h:4317", Err(())),
            ("https://user:secret@h", Err(())),
            ("https://h/?key=secret", Err(())),
        ] {
            let found = collector(text).map(|uri| uri.to_string()).map_err(drop);
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        }
        for (text, expected) in [
            ("0", Some(0.0)),
            ("0.25", Some(0.25)),
            ("1.1", None),
            ("NaN", None),
        ] {
            assert_eq!(share(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn rates_are_written_so() {
        let second = Duration::from_secs(1);
        for (text, expected) in [
            ("100/1m", Some(Rate::new(100, second * 60))),
            ("1/30s", Some(Rate::new(1, second * 30))),
            ("5/1", Some(Rate::new(5, second))),
            ("none", None),
        ] {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "100",
            "0/1m",
            "-1/1m",
            "1/0s",
            "1/m",
            "1/1m/1m",
            "4294967296/1m",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}

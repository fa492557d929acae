//! What is counted and written of requests, and how many there may be.

use std::net::SocketAddr;

use crate::audit::AuditSettings;
use crate::config::source::Sources;
use crate::config::value;
use crate::rate::{Rate, Rates};

/// Where to say what is counted; never where strangers ask.
pub(super) fn metrics_listen(sources: &mut Sources<'_>) -> Option<SocketAddr> {
    let public = sources.parsed("listen", value::address);
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

/// The limits of a server.
pub(super) fn rates(sources: &mut Sources<'_>) -> Rates {
    let mut rates = Rates::default();
    rates.user = sources.parsed("rate_limit_user", rate).flatten();
    rates.client = sources.parsed("rate_limit_client", rate).flatten();
    rates.tool = sources.parsed("rate_limit_tool", rate).flatten();
    rates
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

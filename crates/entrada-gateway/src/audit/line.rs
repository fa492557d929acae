//! A line of the audit log.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use entrada::access_token::{Caller, Principal, PrincipalKind};
use entrada::audit::{AuditEvent, Decision};
use entrada::platform::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Asked;
use crate::called::{Called, CalledFrom};

/// A line. What is not known is not in it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Line<'a> {
    time: String,
    event: &'a str,
    decision: &'static str,
    /// `oid@tid`, which names somebody for good; of a program, its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    /// What an operator's act is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// Where method and name were read: of the message, or of a header that it may contradict.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Cow<'a, Value>>,
    /// Whether that is their beginning alone, as text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    arguments_cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
}

impl<'a> Line<'a> {
    /// What an event of the library comes to.
    pub(super) fn of_event(event: &AuditEvent) -> Self {
        let line = Self {
            time: rfc3339(event.at),
            event: event.act.as_str(),
            client_id: event.client_id.as_ref().map(|id| id.as_str().to_owned()),
            client_name: event.unverified_client_name.clone(),
            grant: event.grant.clone(),
            object: event.object.clone(),
            correlation_id: Some(event.correlation_id.clone()).filter(|id| !id.is_empty()),
            address: event.address,
            ..Self::default()
        };
        let line = match &event.who {
            Some(who) => Self {
                who: named(who.object_id.as_deref(), &who.tenant_id),
                upn: who.username.clone(),
                ..line
            },
            None => line,
        };
        match &event.decision {
            Decision::Denied { code, reason } => line.denied(code.as_str(), reason),
            Decision::Allowed | _ => line.allowed(),
        }
    }

    /// What a call comes to, with its `arguments` or without.
    pub(super) fn of_call(asked: Asked<'a>, arguments: bool, at: Timestamp) -> Self {
        let Asked {
            caller,
            called,
            route,
            correlation_id,
            address,
        } = asked;
        let opening = called.is_some_and(|called| called.from == CalledFrom::Handshake);
        let message = called.filter(|_| !opening);
        let line = Self {
            time: rfc3339(at),
            event: match message.and_then(Called::tool) {
                Some(_) => "tool",
                None if opening => "websocket",
                None => "request",
            },
            route,
            method: message.map(|called| called.method.as_str()),
            name: message.and_then(|called| called.name.as_deref()),
            from: message.map(|called| match called.from {
                CalledFrom::Body => "body",
                CalledFrom::Header => "header",
                CalledFrom::Handshake => "handshake",
            }),
            arguments: message
                .filter(|_| arguments)
                .and_then(|called| called.arguments.as_ref())
                .map(Cow::Borrowed),
            correlation_id: correlation_id.map(str::to_owned),
            address,
            ..Self::default()
        };
        let Some(caller) = caller else { return line };
        Self {
            who: who(&caller.principal).or_else(|| Some(caller.subject.clone())),
            upn: caller.principal.preferred_username.clone(),
            kind: Some(match caller.principal.kind {
                PrincipalKind::Application => "application",
                PrincipalKind::User | _ => "user",
            }),
            client_id: Some(caller.client_id.as_str().to_owned()),
            grant: caller.grant.clone(),
            ..line
        }
    }

    /// The same of a caller whom the guard knew and turned away.
    pub(super) fn of_caller(self, caller: Option<&Caller>) -> Self {
        let Some(caller) = caller else { return self };
        Self {
            who: Some(caller.subject.clone()),
            client_id: Some(caller.client_id.as_str().to_owned()),
            grant: caller.grant.clone(),
            ..self
        }
    }

    pub(super) fn allowed(self) -> Self {
        let decision = "allowed";
        Self { decision, ..self }
    }

    pub(super) fn denied(self, code: &str, reason: &str) -> Self {
        Self {
            decision: "denied",
            code: Some(code.to_owned()),
            reason: Some(reason.to_owned()),
            ..self
        }
    }

    /// The line, with its end; with the beginning of its arguments alone, where it is longer than `longest`.
    pub(super) fn text_within(&self, longest: usize) -> String {
        let text = self.text();
        let arguments = self.arguments.as_ref().filter(|_| text.len() > longest);
        let Some(arguments) = arguments else {
            return text;
        };
        let whole = arguments.to_string();
        let mut end = LONGEST_BEGINNING.min(whole.len());
        while !whole.is_char_boundary(end) {
            end -= 1;
        }
        let beginning = whole.get(..end).unwrap_or_default();
        let cut = Self {
            arguments: Some(Cow::Owned(beginning.into())),
            arguments_cut: true,
            ..self.clone()
        };
        cut.text()
    }

    /// The line, with its end.
    pub(super) fn text(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut text = String::with_capacity(json.len() + 1);
        for letter in json.chars() {
            if matches!(letter, ' '..='~') {
                text.push(letter);
                continue;
            }
            // What is no plain letter stands in a string, where every reader of JSON takes this: so no
            // name turns a line around on a terminal, or ends it.
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text.push('\n');
        text
    }
}

/// How much of arguments is told of a line that is too long: with names as long as names may be it fits.
const LONGEST_BEGINNING: usize = 4096;

/// That lines are missing.
pub(super) fn gap(lost: u64, at: Timestamp) -> String {
    let line = Line {
        time: rfc3339(at),
        event: "audit",
        ..Line::default()
    };
    let reason = format!("the log could not be written, and {lost} lines were lost");
    line.denied("lost", &reason).text()
}

fn who(principal: &Principal) -> Option<String> {
    named(principal.object_id.as_deref(), &principal.tenant_id)
}

fn named(object_id: Option<&str>, tenant_id: &str) -> Option<String> {
    object_id.map(|object_id| format!("{object_id}@{tenant_id}"))
}

/// `at` in UTC (RFC 3339 §5.6).
pub(super) fn rfc3339(at: Timestamp) -> String {
    let (days, seconds) = (at.as_unix() / 86_400, at.as_unix() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date so many days after the first of January 1970, by years that begin in March, so that the day
/// that may be missing is a year's last.
const fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_unix(unix)), expected);
        }
    }

    #[test]
    fn a_websocket_is_told_as_one_and_not_as_what_its_client_says() {
        let opening = Called::opening();
        let asked = Asked {
            caller: None,
            called: Some(&opening),
            route: Some("/live"),
            correlation_id: None,
            address: None,
        };
        let line = Line::of_call(asked, true, Timestamp::from_unix(0));
        let read: Value = serde_json::from_str(&line.allowed().text()).unwrap();
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00Z",
            "event": "websocket",
            "decision": "allowed",
            "route": "/live",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn a_name_stays_within_its_string() {
        let name = "a\n{\"event\":\"login\"}\r\u{1b}[2J\u{202e}\u{85}\u{2028}é😀\u{7f}\"\\";
        let line = Line {
            client_name: Some(name.to_owned()),
            ..Line::default()
        };
        let text = line.text();
        assert!(
            text.trim_end_matches('\n')
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~')),
            "{text}"
        );
        assert_eq!(text.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["client_name"], name);
    }
}

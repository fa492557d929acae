//! Which trace a request is of (W3C Trace Context).

use std::fmt::{self, Write as _};

use entrada::platform::SecureRandom;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A place in a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TraceContext {
    pub(crate) trace_id: Id<16>,
    pub(crate) span_id: Id<8>,
    /// The span it is below; none at the root.
    pub(crate) parent: Option<Id<8>>,
    pub(crate) is_sampled: bool,
    /// Whether it goes on with a trace of the client's.
    pub(crate) is_theirs: bool,
}

/// The name of a trace, or of a span: never all zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Id<const N: usize>([u8; N]);

impl<const N: usize> Id<N> {
    pub(crate) fn draw(random: &dyn SecureRandom) -> Self {
        let mut bytes = [0; N];
        random.fill(&mut bytes);
        if let (true, Some(last)) = (bytes == [0; N], bytes.last_mut()) {
            *last = 1;
        }
        Self(bytes)
    }

    /// Reads lower-case hexadecimal digits (§3.2.2).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut digits = text.bytes().map(digit);
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = digits.next()?? << 4 | digits.next()??;
        }
        (digits.next().is_none() && bytes != [0; N]).then_some(Self(bytes))
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TraceContext {
    /// A trace of its own, of `sample` of which something is kept.
    pub(super) fn root(random: &dyn SecureRandom, sample: f64) -> Self {
        let mut dice = [0; 4];
        random.fill(&mut dice);
        Self {
            trace_id: Id::draw(random),
            span_id: Id::draw(random),
            parent: None,
            is_sampled: f64::from(u32::from_be_bytes(dice)) < sample * (f64::from(u32::MAX) + 1.0),
            is_theirs: false,
        }
    }

    /// What `headers` say, if they say it once and well (§3.2).
    pub(super) fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (given, None) = (given.next()?, given.next()) else {
            return None;
        };
        let text = given.to_str().ok()?;
        let mut parts = text.split('-');
        let version = Id::<1>::parse(parts.next()?);
        let (trace_id, span_id) = (parts.next()?, parts.next()?);
        let flags = parts.next()?;
        // §4.3: a later version may say more, ours may not; 255 is none.
        let is_ours = text.starts_with("00-");
        let is_later = version.is_some_and(|version| version.0 != [0xff]);
        if !(is_ours && parts.next().is_none() || is_later) || flags.len() != 2 {
            return None;
        }
        // With a sign it would be a number all the same.
        if !flags.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self {
            trace_id: Id::parse(trace_id)?,
            span_id: Id::parse(span_id)?,
            parent: None,
            is_sampled: flags & 1 == 1,
            is_theirs: true,
        })
    }

    /// A span below this one.
    pub(super) fn child(self, random: &dyn SecureRandom) -> Self {
        Self {
            span_id: Id::draw(random),
            parent: Some(self.span_id),
            ..self
        }
    }

    /// Says in `headers` that what follows is below this (§2.2). What vendors said of another trace is
    /// dropped.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let mut text = String::with_capacity(55);
        let flags = u8::from(self.is_sampled);
        // Writing to a string does not fail.
        let _ = write!(text, "00-{}-{}-{flags:02x}", self.trace_id, self.span_id);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(TRACEPARENT, value);
        }
        if !self.is_theirs {
            headers.remove(TRACESTATE);
        }
    }
}

#[cfg(test)]
mod tests {
    use entrada::platform::SystemRandom;

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(value: &str) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        TraceContext::of_headers(&headers)
    }

    #[test]
    fn a_trace_is_gone_on_with_if_it_is_well_said() {
        let read_back = |context: TraceContext| {
            let mut headers = HeaderMap::new();
            context.tell(&mut headers);
            headers[TRACEPARENT].to_str().unwrap().to_owned()
        };
        assert_eq!(read(GIVEN).map(read_back).as_deref(), Some(GIVEN));
        let unsampled = GIVEN.replace("-01", "-00");
        assert!(!read(&unsampled).unwrap().is_sampled);
        assert!(read(&GIVEN.replace("00-", "cc-")).is_some());
        assert!(read(&format!("{}-more", GIVEN.replace("00-0", "01-0"))).is_some());
        for bad in [
            "",
            "00",
            "00--b7ad6b7169203331-01",
            &GIVEN.to_uppercase(),
            &GIVEN.replace("00-0", "ff-0"),
            &format!("{GIVEN}-more"),
            &format!("{GIVEN}0"),
            &GIVEN.replace("-01", ""),
            &GIVEN.replace("-01", "-1"),
            &GIVEN.replace("-01", "-zz"),
            &GIVEN.replace("-01", "-+1"),
            &GIVEN.replace("b7ad6b7169203331", "0000000000000000"),
            &GIVEN.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GIVEN.replace("0af7", "0af"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(TRACEPARENT, HeaderValue::from_static(GIVEN));
        }
        assert_eq!(TraceContext::of_headers(&twice), None);
    }

    #[test]
    fn of_all_requests_so_many_are_kept() {
        let random = SystemRandom::default();
        let sampled = |sample| {
            let roots = (0..1000).map(|_| TraceContext::root(&random, sample));
            roots.filter(|root| root.is_sampled).count()
        };
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 1000));
        assert!((300..700).contains(&sampled(0.5)));
    }
}

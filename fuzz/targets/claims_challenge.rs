//! Whatever an API answers that turned a token away, what it wants is read or is not, and stays what
//! it is.
#![no_main]

use entrada::oauth::claims_request::ClaimsRequest;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn told(claims: &ClaimsRequest) -> Option<ClaimsRequest> {
    let challenge = format!("Bearer realm=\"\", claims=\"{}\"", claims.encode());
    let mut headers = HeaderMap::new();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(&challenge).ok()?);
    ClaimsRequest::of_challenge(&headers)
}

/// Whether there is a number that is not whole: such lose their last digit on the way.
fn has_fraction(claims: &ClaimsRequest) -> bool {
    fn within(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(values) => values.iter().any(within),
            Value::Object(members) => members.values().any(within),
            Value::Null | Value::Bool(_) | Value::String(_) => false,
        }
    }
    serde_json::from_str(claims.as_str()).is_ok_and(|value| within(&value))
}

fuzz_target!(|input: (&[u8], &str)| {
    let (challenge, json) = input;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(challenge) {
        headers.append(WWW_AUTHENTICATE, value);
    }
    let read = ClaimsRequest::of_challenge(&headers);
    let parsed = ClaimsRequest::parse(json).ok();
    for claims in [&read, &parsed].into_iter().flatten() {
        let told = told(claims).expect("what was read is told");
        assert!(told == *claims || has_fraction(claims), "{told:?}");
    }
    if let (Some(read), Some(parsed)) = (read, parsed) {
        let both = read.and(&parsed);
        let again = both.and(&parsed);
        assert!(again == both || has_fraction(&both), "{again:?}");
    }
});

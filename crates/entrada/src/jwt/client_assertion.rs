//! What a client signs to prove itself (RFC 7523 §3, RFC 7521 §4.2).

use std::time::Duration;

use serde::Deserialize;

use super::assertion::{ALGORITHMS, LEEWAY, is_name, remembered_until};
use super::jwks::VerificationKey;
use super::unverified::{MalformedJwt, UnverifiedJwt};
use super::verify::{Audience, ExpectedType, JwtError, Times, authentic_payload};
use crate::oauth::client::ClientId;
use crate::platform::Timestamp;

/// What `client_assertion_type` says (RFC 7523 §2.2).
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long one may live: it is made for one request, and remembered for as long.
const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);

/// Why an assertion proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientAssertionError {
    /// It is no JWT, or its signature, type, audience or time does not hold.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// It speaks of somebody else than the client itself.
    #[error("iss and sub are not the client")]
    OtherClient,
    /// It lives too long.
    #[error("it lives longer than five minutes")]
    TooLong,
    /// It has no identifier, and so could be used again.
    #[error("jti is missing or too long")]
    NoId,
    /// No key of the client's has its name.
    #[error("no key of the client's has the name it gives")]
    UnknownKey,
    /// It was used before.
    #[error("it was used before")]
    Replayed,
}

impl From<MalformedJwt> for ClientAssertionError {
    fn from(error: MalformedJwt) -> Self {
        Self::Jwt(error.into())
    }
}

/// An assertion that was verified, to be used once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct VerifiedAssertion {
    /// What the client calls it.
    pub(crate) id: String,
    /// Until when it must not be taken again.
    pub(crate) until: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Timestamp,
    nbf: Option<Timestamp>,
    iat: Option<Timestamp>,
    jti: Option<String>,
}

/// The client an assertion speaks of, as long as nothing of it is verified.
pub(crate) fn unverified_subject(jwt: &UnverifiedJwt<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let subject: Subject = serde_json::from_slice(&jwt.payload).ok()?;
    Some(subject.sub)
}

/// Checks an assertion of `client` against the key it names. It must be for us alone, by one of the
/// names in `audience`: a client that made it for several servers gave each of them a way to pose as
/// it at the others.
///
/// # Errors
///
/// [`ClientAssertionError`], the first rule that is broken.
pub(crate) fn verify(
    jwt: &UnverifiedJwt<'_>,
    key: &VerificationKey,
    (client, audience): (&ClientId, &[&str]),
    now: Timestamp,
) -> Result<VerifiedAssertion, ClientAssertionError> {
    use ClientAssertionError as E;
    let payload = authentic_payload(jwt, key, &ALGORITHMS, ExpectedType::ClientAssertion)?;
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| JwtError::Claims)?;
    if claims.iss != client.as_str() || claims.sub != client.as_str() {
        return Err(E::OtherClient);
    }
    if !claims
        .aud
        .only()
        .is_some_and(|only| audience.contains(&only))
    {
        return Err(JwtError::Audience.into());
    }
    let times = Times {
        exp: claims.exp,
        nbf: claims.nbf,
        iat: claims.iat,
    };
    times.admit(LEEWAY, LEEWAY, now)?;
    let begins = claims.iat.unwrap_or(now);
    if claims.exp > begins + LONGEST_LIFE {
        return Err(E::TooLong);
    }
    Ok(VerifiedAssertion {
        id: claims.jti.filter(is_name).ok_or(E::NoId)?,
        until: remembered_until(claims.exp),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::jwt::jwks::Algorithm;
    use crate::jwt::sign::SigningKey;

    const CLIENT: &str = "https://app.example/client.json";
    const NOW: u64 = 1_000_000;

    fn judged(key: &SigningKey, token: &str) -> Result<VerifiedAssertion, ClientAssertionError> {
        let client = ClientId::parse(CLIENT).unwrap();
        let jwt = UnverifiedJwt::parse(token)?;
        let ours = ["https://as", "https://as/token"];
        verify(
            &jwt,
            &key.verification_key(),
            (&client, &ours),
            Timestamp::from_unix(NOW),
        )
    }

    #[test]
    fn an_assertion_is_of_the_client_for_us_and_for_now() {
        use ClientAssertionError as E;
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let good = json!({
            "iss": CLIENT, "sub": CLIENT, "aud": "https://as", "jti": "1",
            "iat": NOW, "exp": NOW + 60,
        });
        for (changes, expected) in [
            (json!({}), Ok(NOW + 180)),
            (json!({ "aud": "https://as/token" }), Ok(NOW + 180)),
            (json!({ "aud": ["https://as"] }), Ok(NOW + 180)),
            (json!({ "exp": NOW + 300 }), Ok(NOW + 420)),
            (json!({ "iat": null, "exp": NOW + 300 }), Ok(NOW + 420)),
            (json!({ "iat": NOW + 60, "exp": NOW + 360 }), Ok(NOW + 480)),
            (json!({ "iat": NOW - 100, "exp": NOW - 59 }), Ok(NOW + 61)),
            (json!({ "iss": "x" }), Err(E::OtherClient)),
            (json!({ "sub": "x" }), Err(E::OtherClient)),
            (
                json!({ "aud": "https://other" }),
                Err(JwtError::Audience.into()),
            ),
            (
                json!({ "aud": ["https://as", "https://other"] }),
                Err(JwtError::Audience.into()),
            ),
            (
                json!({ "aud": ["https://as", "https://as/token"] }),
                Err(JwtError::Audience.into()),
            ),
            (json!({ "aud": [] }), Err(JwtError::Audience.into())),
            (json!({ "aud": null }), Err(JwtError::Claims.into())),
            (json!({ "exp": null }), Err(JwtError::Claims.into())),
            (
                json!({ "iat": NOW - 200, "exp": NOW - 60 }),
                Err(JwtError::Expired.into()),
            ),
            (
                json!({ "iat": NOW + 61 }),
                Err(JwtError::NotYetValid.into()),
            ),
            (
                json!({ "nbf": NOW + 61 }),
                Err(JwtError::NotYetValid.into()),
            ),
            (json!({ "exp": NOW + 301 }), Err(E::TooLong)),
            (json!({ "iat": null, "exp": NOW + 361 }), Err(E::TooLong)),
            (json!({ "jti": null }), Err(E::NoId)),
            (json!({ "jti": "" }), Err(E::NoId)),
            (json!({ "jti": "x".repeat(257) }), Err(E::NoId)),
        ] {
            let mut claims = good.clone();
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let claims: serde_json::Map<_, _> = claims
                .as_object()
                .unwrap()
                .clone()
                .into_iter()
                .filter(|(_, value)| *value != Value::Null)
                .collect();
            let token = key.sign("JWT", &claims).unwrap();
            let judged = judged(&key, &token);
            let until = judged.map(|assertion| assertion.until.as_unix());
            assert_eq!(until, expected, "{changes}");
        }
        let token = key.sign("at+jwt", &good).unwrap();
        assert_eq!(judged(&key, &token), Err(JwtError::Type.into()));
        let token = key.sign("client-authentication+jwt", &good).unwrap();
        assert!(judged(&key, &token).is_ok());
        let other = SigningKey::generate(Algorithm::Es256).unwrap();
        assert_eq!(judged(&other, &token), Err(JwtError::Signature.into()));
    }
}

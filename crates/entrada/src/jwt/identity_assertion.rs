//! What another issuer vouches for: an Identity Assertion JWT Authorization Grant, or ID-JAG
//! (draft-ietf-oauth-identity-assertion-authz-grant; MCP, *Enterprise-Managed Authorization*).

use std::time::Duration;

use serde::Deserialize;

use super::assertion::{ALGORITHMS, LEEWAY, is_name, remembered_until};
use super::jwks::VerificationKey;
use super::thumbprint::JwkThumbprint;
use super::unverified::{MalformedJwt, UnverifiedJwt};
use super::verify::{Audience, ExpectedType, JwtError, Times, authentic_payload};
use crate::oauth::client::ClientId;
use crate::oauth::resource::{AskedResources, ResourceIndicator};
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;

/// How long one may live: its identifier is remembered for as long.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 60);

/// Why an assertion gives nothing: `invalid_grant` (RFC 7523 §3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityAssertionError {
    /// It is no JWT, or its signature, type, audience or time does not hold.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Nobody trusts its issuer.
    #[error("its issuer is not trusted")]
    Issuer,
    /// It was given to another client.
    #[error("it was given to another client")]
    OtherClient,
    /// It is for another resource.
    #[error("it is for another resource")]
    OtherResource,
    /// It lives too long.
    #[error("it lives longer than ten minutes")]
    TooLong,
    /// It has no identifier, and so could be used again.
    #[error("jti is missing or too long")]
    NoId,
    /// It is bound to a key that its client did not prove to have.
    #[error("it is bound to a key, and nobody proved to have it")]
    SenderConstrained,
    /// It was used before.
    #[error("it was used before")]
    Replayed,
}

impl From<MalformedJwt> for IdentityAssertionError {
    fn from(error: MalformedJwt) -> Self {
        Self::Jwt(error.into())
    }
}

/// What an issuer vouches for, verified, to be used once.
#[derive(Clone, Debug)]
pub(crate) struct IdentityAssertion {
    pub(crate) issuer: String,
    /// The issuer's tenant, where it has some.
    pub(crate) tenant: Option<String>,
    /// Who it is, at the issuer.
    pub(crate) subject: String,
    /// For display alone.
    pub(crate) email: Option<String>,
    /// The server it is for.
    pub(crate) resource: ResourceIndicator,
    /// What the issuer lets the client do.
    pub(crate) scope: Option<Scope>,
    /// What the issuer calls it.
    pub(crate) id: String,
    /// Until when it must not be taken again.
    pub(crate) until: Timestamp,
}

/// What an assertion is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectedAssertion<'a> {
    /// The issuer that is trusted, whose key it is.
    pub(crate) issuer: &'a str,
    /// Our own name.
    pub(crate) audience: &'a str,
    /// The client that presents it, which proved itself.
    pub(crate) client: &'a ClientId,
    /// What we issue tokens for, and the client asks for.
    pub(crate) resources: &'a AskedResources,
    /// The key that the client proved to have.
    pub(crate) key: Option<JwkThumbprint>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Timestamp,
    nbf: Option<Timestamp>,
    iat: Timestamp,
    jti: Option<String>,
    client_id: String,
    resource: Named,
    scope: Option<String>,
    tenant: Option<String>,
    email: Option<String>,
    cnf: Option<Bound>,
}

/// What it is bound to: a key, or something we do not know.
#[derive(Deserialize)]
struct Bound {
    jkt: Option<String>,
}

/// One resource, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    One(String),
    Many(Vec<String>),
}

impl Named {
    /// The only one; `None` if there are several, or none.
    fn only(&self) -> Option<&str> {
        match self {
            Self::One(one) => Some(one),
            Self::Many(many) => match many.as_slice() {
                [only] => Some(only),
                _ => None,
            },
        }
    }
}

/// Checks an assertion against the key of the issuer it is `expected` of.
///
/// # Errors
///
/// [`IdentityAssertionError`], the first rule that is broken.
pub(crate) fn verify(
    jwt: &UnverifiedJwt<'_>,
    key: &VerificationKey,
    expected: &ExpectedAssertion<'_>,
    now: Timestamp,
) -> Result<IdentityAssertion, IdentityAssertionError> {
    use IdentityAssertionError as E;
    let payload = authentic_payload(jwt, key, &ALGORITHMS, ExpectedType::IdentityAssertion)?;
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| JwtError::Claims)?;
    if claims.iss != expected.issuer {
        return Err(E::Issuer);
    }
    // For us alone: whoever else it were for could use it here.
    let audience = claims.aud.only().map(|only| only.trim_end_matches('/'));
    if audience != Some(expected.audience.trim_end_matches('/')) {
        return Err(JwtError::Audience.into());
    }
    let times = Times {
        exp: claims.exp,
        nbf: claims.nbf,
        iat: Some(claims.iat),
    };
    times.admit(LEEWAY, LEEWAY, now)?;
    if claims.exp > claims.iat + LONGEST_LIFE {
        return Err(E::TooLong);
    }
    if claims.client_id != expected.client.as_str() {
        return Err(E::OtherClient);
    }
    let resource = claims.resource.only();
    let resource = resource.and_then(|resource| ResourceIndicator::parse(resource).ok());
    let resource = resource
        .filter(|resource| expected.resources.admit(resource))
        .ok_or(E::OtherResource)?;
    if let Some(Bound { jkt }) = claims.cnf {
        let bound_to = jkt.and_then(|jkt| JwkThumbprint::parse(&jkt).ok());
        if bound_to.is_none() || bound_to != expected.key {
            return Err(E::SenderConstrained);
        }
    }
    if !is_name(&claims.sub) || !claims.tenant.as_ref().is_none_or(is_name) {
        return Err(JwtError::Claims.into());
    }
    let scope = claims.scope.as_deref().map(Scope::parse).transpose();
    Ok(IdentityAssertion {
        issuer: claims.iss,
        tenant: claims.tenant,
        subject: claims.sub,
        email: claims.email.filter(is_name),
        resource,
        scope: scope.map_err(|_| JwtError::Claims)?,
        id: claims.jti.filter(is_name).ok_or(E::NoId)?,
        until: remembered_until(claims.exp),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::jwt::jwks::Algorithm;
    use crate::jwt::sign::SigningKey;

    const TYPE: &str = "oauth-id-jag+jwt";
    const NOW: u64 = 1_000_000;

    fn judged(key: &SigningKey, token: &str) -> Result<IdentityAssertion, IdentityAssertionError> {
        let client = ClientId::parse("agents").unwrap();
        let resource = ResourceIndicator::parse("https://mcp.example/mcp").unwrap();
        let resources = AskedResources::new(Vec::new(), vec![resource]);
        let expected = ExpectedAssertion {
            issuer: "https://idp.example",
            audience: "https://mcp.example",
            client: &client,
            resources: &resources,
            key: JwkThumbprint::parse(&"A".repeat(43)).ok(),
        };
        let jwt = UnverifiedJwt::parse(token)?;
        let now = Timestamp::from_unix(NOW);
        verify(&jwt, &key.verification_key(), &expected, now)
    }

    fn good() -> Value {
        json!({
            "iss": "https://idp.example", "sub": "u", "aud": "https://mcp.example",
            "client_id": "agents", "resource": "https://mcp.example/mcp", "jti": "1",
            "iat": NOW, "exp": NOW + 300, "scope": "read write", "email": "u@example.com",
        })
    }

    /// A good one with these claims in place of its own; `null` takes one away.
    fn good_but(changes: &Value) -> Map<String, Value> {
        let mut claims = good().as_object().unwrap().clone();
        claims.extend(changes.as_object().unwrap().clone());
        claims.retain(|_, value| !value.is_null());
        claims
    }

    #[test]
    fn all_of_it_is_read() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let read = judged(&key, &key.sign(TYPE, &good()).unwrap()).unwrap();
        let expected = IdentityAssertion {
            issuer: "https://idp.example".to_owned(),
            tenant: None,
            subject: "u".to_owned(),
            email: Some("u@example.com".to_owned()),
            scope: Some(Scope::parse("read write").unwrap()),
            resource: ResourceIndicator::parse("https://mcp.example/mcp").unwrap(),
            id: "1".to_owned(),
            until: Timestamp::from_unix(NOW + 420),
        };
        assert_eq!(format!("{read:?}"), format!("{expected:?}"));
    }

    #[test]
    fn it_is_of_the_issuer_for_us_for_the_client_and_for_now() {
        use IdentityAssertionError as E;
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let long = "x".repeat(257);
        for (changes, expected) in [
            (json!({}), Ok(())),
            (json!({ "aud": ["https://mcp.example"] }), Ok(())),
            (json!({ "aud": "https://mcp.example/" }), Ok(())),
            (json!({ "resource": ["https://mcp.example/mcp"] }), Ok(())),
            (json!({ "scope": null, "email": null }), Ok(())),
            (json!({ "tenant": "t", "nbf": NOW + 60 }), Ok(())),
            (json!({ "iat": NOW + 60, "exp": NOW + 660 }), Ok(())),
            (json!({ "iat": NOW - 300, "exp": NOW - 59 }), Ok(())),
            (json!({ "iss": "https://other.example" }), Err(E::Issuer)),
            (
                json!({ "aud": "https://other.example" }),
                Err(JwtError::Audience.into()),
            ),
            (
                json!({ "aud": ["https://mcp.example", "https://other.example"] }),
                Err(JwtError::Audience.into()),
            ),
            (json!({ "aud": [] }), Err(JwtError::Audience.into())),
            (
                json!({ "iat": NOW - 300, "exp": NOW - 60 }),
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
            (json!({ "exp": NOW + 601 }), Err(E::TooLong)),
            (json!({ "exp": "soon" }), Err(JwtError::Claims.into())),
            (json!({ "iat": null }), Err(JwtError::Claims.into())),
            (json!({ "client_id": "other" }), Err(E::OtherClient)),
            (json!({ "client_id": null }), Err(JwtError::Claims.into())),
            (
                json!({ "resource": "https://other.example/mcp" }),
                Err(E::OtherResource),
            ),
            (
                json!({ "resource": ["https://mcp.example/mcp", "https://b.example"] }),
                Err(E::OtherResource),
            ),
            (json!({ "resource": null }), Err(JwtError::Claims.into())),
            (json!({ "cnf": { "jkt": "A".repeat(43) } }), Ok(())),
            (
                json!({ "cnf": { "jkt": format!("E{}", "A".repeat(42)) } }),
                Err(E::SenderConstrained),
            ),
            (json!({ "cnf": { "jkt": "x" } }), Err(E::SenderConstrained)),
            (
                json!({ "cnf": { "x5t#S256": "x" } }),
                Err(E::SenderConstrained),
            ),
            (json!({ "cnf": {} }), Err(E::SenderConstrained)),
            (json!({ "sub": "" }), Err(JwtError::Claims.into())),
            (json!({ "sub": null }), Err(JwtError::Claims.into())),
            (json!({ "sub": long }), Err(JwtError::Claims.into())),
            (json!({ "scope": "a\"b" }), Err(JwtError::Claims.into())),
            (json!({ "jti": null }), Err(E::NoId)),
            (json!({ "jti": "" }), Err(E::NoId)),
            (json!({ "jti": 7 }), Err(JwtError::Claims.into())),
        ] {
            let token = key.sign(TYPE, &good_but(&changes)).unwrap();
            assert_eq!(judged(&key, &token).map(drop), expected, "{changes}");
        }
    }

    #[test]
    fn nothing_else_passes_for_one() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        for typ in ["JWT", "at+jwt", "client-authentication+jwt", "dpop+jwt"] {
            let token = key.sign(typ, &good()).unwrap();
            let refused = judged(&key, &token).map(drop);
            assert_eq!(refused, Err(JwtError::Type.into()), "{typ}");
        }
        let other = SigningKey::generate(Algorithm::Es256).unwrap();
        let token = other.sign(TYPE, &good()).unwrap();
        let refused = judged(&key, &token).map(drop);
        assert_eq!(refused, Err(JwtError::Signature.into()));
    }
}

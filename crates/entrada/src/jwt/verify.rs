//! From an unverified token to claims one may act upon.

use std::fmt;
use std::time::Duration;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::jwks::{Algorithm, VerificationKey};
use super::thumbprint::JwkThumbprint;
use super::unverified::{MalformedJwt, UnverifiedJwt};
use crate::platform::Timestamp;

/// What a token must be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Expected<'a> {
    /// Who issued it, byte for byte.
    pub issuer: &'a str,
    /// Whom it is for: one of these.
    pub audience: &'a [&'a str],
    /// The algorithms allowed (RFC 8725 §3.1).
    pub algorithms: &'a [Algorithm],
    /// The kind of token (RFC 8725 §3.11).
    pub typ: ExpectedType,
    /// How far in the future it may begin: clocks of replicas differ, and step back.
    pub early: Duration,
}

/// By how much two clocks of our own may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

impl<'a> Expected<'a> {
    /// Expects a token of `typ` from `issuer` for one of `audience`.
    pub const fn new(
        issuer: &'a str,
        audience: &'a [&'a str],
        algorithms: &'a [Algorithm],
        typ: ExpectedType,
    ) -> Self {
        Self {
            issuer,
            audience,
            algorithms,
            typ,
            early: CLOCK_SKEW,
        }
    }
}

/// What kind of token it must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ExpectedType {
    /// `at+jwt`: an access token of ours (RFC 9068 §2.1).
    AccessToken,
    /// `JWT` or none: what Entra writes on all of its tokens.
    Jwt,
    /// `JWT`, `client-authentication+jwt` or none: what clients write on what they prove themselves
    /// with (RFC 7523, and its revision).
    ClientAssertion,
    /// `oauth-id-jag+jwt`: what an issuer vouches for.
    IdentityAssertion,
    /// `dpop+jwt`: a proof that a client holds a key (RFC 9449 §4.2).
    Proof,
    /// Either: what issuers write that follow RFC 9068, or do not.
    Any,
}

/// Claims of a token whose signature, issuer, audience, type and times all hold.
///
/// Only [`verify`] makes one.
///
/// ```compile_fail
/// let claims = entrada::jwt::verify::VerifiedClaims { ..Default::default() };
/// ```
///
/// ```
/// fn subject(claims: &entrada::jwt::verify::VerifiedClaims) -> Option<&str> {
///     claims.claims().sub.as_deref()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedClaims(Claims);

impl VerifiedClaims {
    /// The claims.
    pub fn claims(&self) -> &Claims {
        &self.0
    }

    /// The claims, to take apart.
    pub fn into_claims(self) -> Claims {
        self.0
    }
}

/// The claims of our own access tokens (RFC 7519 §4.1, RFC 9068 §2.2).
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "each field is the claim of its name")]
#[non_exhaustive]
pub struct Claims {
    pub iss: String,
    pub aud: Audience,
    pub exp: Timestamp,
    pub nbf: Option<Timestamp>,
    pub iat: Option<Timestamp>,
    pub sub: Option<String>,
    pub jti: Option<String>,
    pub client_id: Option<String>,
    pub scope: Option<String>,
    pub sid: Option<String>,
    pub cnf: Option<Confirmation>,
}

/// What a token is bound to (RFC 7800 §3.1): a key, and nothing else that we would know.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Confirmation {
    /// The thumbprint of the key (RFC 9449 §6.1).
    pub jkt: JwkThumbprint,
}

impl Confirmation {
    /// Binds a token to `key`.
    pub(crate) const fn new(key: JwkThumbprint) -> Self {
        Self { jkt: key }
    }
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Audience {
    /// A single one.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Audience {
    /// The first of them, for the log.
    pub(crate) fn first(&self) -> &str {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many.first().map(String::as_str).unwrap_or_default(),
        }
    }

    /// The only one; `None` if there are several, or none.
    pub(crate) fn only(&self) -> Option<&str> {
        match self {
            Self::One(name) => Some(name),
            Self::Many(names) => match &**names {
                [name] => Some(name),
                _ => None,
            },
        }
    }

    /// Whether `name` is among them.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(many) => many.iter().any(|one| one == name),
        }
    }
}

// By hand: every token has one, and the derived code would read it twice.
impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, name: &str) -> Result<Audience, E> {
                Ok(Audience::One(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Audience, A::Error> {
                let mut many = Vec::new();
                while let Some(name) = names.next_element()? {
                    many.push(name);
                }
                Ok(Audience::Many(many))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

/// Why a token is not accepted: `invalid_token` (RFC 6750 §3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtError {
    /// It is no token at all.
    #[error(transparent)]
    Malformed(#[from] MalformedJwt),
    /// It names an algorithm that is not allowed, or not the key's.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// It is a token of another kind.
    #[error("the token is of another kind")]
    Type,
    /// No key has the name it gives.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// Its signature does not hold.
    #[error("the token's signature does not hold")]
    Signature,
    /// A claim is missing or of the wrong kind.
    #[error("the token's claims are not understood")]
    Claims,
    /// Somebody else issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Checks a token against the key it was said to be signed with (RFC 7519 §7.2, RFC 8725 §3).
///
/// # Errors
///
/// [`JwtError`], the first rule that is broken.
pub fn verify(
    jwt: &UnverifiedJwt<'_>,
    key: &VerificationKey,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<VerifiedClaims, JwtError> {
    let payload = authentic_payload(jwt, key, expected.algorithms, expected.typ)?;
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| JwtError::Claims)?;
    if claims.iss != expected.issuer {
        return Err(JwtError::Issuer);
    }
    if !expected
        .audience
        .iter()
        .any(|name| claims.aud.contains(name))
    {
        return Err(JwtError::Audience);
    }
    let times = Times {
        exp: claims.exp,
        nbf: claims.nbf,
        iat: claims.iat,
    };
    times.admit(Duration::ZERO, expected.early, now)?;
    Ok(VerifiedClaims(claims))
}

/// The payload of a token that `key` signed: nothing in it is checked yet, all of it is the
/// signer's word.
pub(crate) fn authentic_payload<'t>(
    jwt: &'t UnverifiedJwt<'_>,
    key: &VerificationKey,
    algorithms: &[Algorithm],
    typ: ExpectedType,
) -> Result<&'t [u8], JwtError> {
    if jwt.alg() != key.algorithm().as_str() || !algorithms.contains(&key.algorithm()) {
        return Err(JwtError::Algorithm);
    }
    if !typ.admits(jwt.typ()) {
        return Err(JwtError::Type);
    }
    if !key.signed(jwt) {
        return Err(JwtError::Signature);
    }
    Ok(&jwt.payload)
}

/// When a token is good (RFC 7519 §4.1.4 to §4.1.6). Its end must be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) exp: Timestamp,
    pub(crate) nbf: Option<Timestamp>,
    pub(crate) iat: Option<Timestamp>,
}

impl Times {
    /// Takes a token until `leeway` after its end, and from `early` before its beginning.
    pub(crate) fn admit(
        self,
        leeway: Duration,
        early: Duration,
        now: Timestamp,
    ) -> Result<(), JwtError> {
        if now >= self.exp + leeway {
            return Err(JwtError::Expired);
        }
        let begins = self.nbf.max(self.iat);
        if begins.is_some_and(|begins| begins > now + early) {
            return Err(JwtError::NotYetValid);
        }
        Ok(())
    }
}

impl ExpectedType {
    fn admits(self, typ: Option<&str>) -> bool {
        match self {
            // RFC 7515 §4.1.9: a media type, compared without case, `application/` left out.
            Self::AccessToken => typ.is_some_and(|typ| {
                typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
            }),
            Self::Proof => typ.is_some_and(|typ| {
                typ.eq_ignore_ascii_case("dpop+jwt")
                    || typ.eq_ignore_ascii_case("application/dpop+jwt")
            }),
            Self::Jwt => typ.is_none_or(|typ| typ.eq_ignore_ascii_case("jwt")),
            Self::ClientAssertion => {
                let typ = typ.filter(|typ| !typ.eq_ignore_ascii_case("client-authentication+jwt"));
                Self::Jwt.admits(typ)
            }
            Self::IdentityAssertion => {
                typ.is_some_and(|typ| typ.eq_ignore_ascii_case("oauth-id-jag+jwt"))
            }
            Self::Any => Self::AccessToken.admits(typ) || Self::Jwt.admits(typ),
        }
    }
}

/// Whether `text` is a GUID as Entra writes tenants.
pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::jwt::sign::SigningKey;

    fn key() -> SigningKey {
        SigningKey::generate(Algorithm::Es256).unwrap()
    }

    fn claims(iss: &str) -> serde_json::Value {
        serde_json::json!({
            "iss": iss, "aud": "https://mcp", "exp": 2000, "iat": 1000,
        })
    }

    fn check(key: &SigningKey, token: &str, now: u64) -> Result<VerifiedClaims, JwtError> {
        let expected = Expected::new(
            "https://as",
            &["https://mcp"],
            &[Algorithm::Es256],
            ExpectedType::AccessToken,
        );
        let jwt = UnverifiedJwt::parse(token)?;
        verify(
            &jwt,
            &key.verification_key(),
            &expected,
            Timestamp::from_unix(now),
        )
    }

    #[test]
    fn every_claim_is_held_against_what_is_expected() {
        let key = key();
        let verdict = |name: &str, value: serde_json::Value, now| {
            let mut claims = claims("https://as");
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value;
            }
            check(&key, &key.sign("at+jwt", &claims).unwrap(), now).map(|_| ())
        };
        for (name, value, now, expected) in [
            ("iss", "https://as".into(), 1000, Ok(())),
            ("iss", "https://as".into(), 1999, Ok(())),
            ("iss", "https://as".into(), 2000, Err(JwtError::Expired)),
            ("iss", "https://as".into(), 940, Ok(())),
            ("iss", "https://as".into(), 939, Err(JwtError::NotYetValid)),
            ("iss", "https://as/".into(), 1000, Err(JwtError::Issuer)),
            ("iss", ().into(), 1000, Err(JwtError::Claims)),
            ("aud", serde_json::json!(["x", "https://mcp"]), 1000, Ok(())),
            ("aud", "https://mcp/".into(), 1000, Err(JwtError::Audience)),
            ("aud", ().into(), 1000, Err(JwtError::Claims)),
            ("exp", ().into(), 1000, Err(JwtError::Claims)),
            ("exp", "2000".into(), 1000, Err(JwtError::Claims)),
            ("exp", (-1).into(), 1000, Err(JwtError::Claims)),
            ("nbf", 1500.into(), 1439, Err(JwtError::NotYetValid)),
            ("nbf", 1500.into(), 1440, Ok(())),
        ] {
            assert_eq!(
                verdict(name, value.clone(), now),
                expected,
                "{name} {value} {now}"
            );
        }
    }

    #[test]
    fn the_token_does_not_choose_how_it_is_checked() {
        let (ours, theirs) = (key(), key());
        let claims = claims("https://as");
        let good = ours.sign("at+jwt", &claims).unwrap();
        assert!(check(&ours, &good, 1000).is_ok());
        let error = |token: &str| check(&ours, token, 1000).map(|_| ()).unwrap_err();
        assert_eq!(
            error(&theirs.sign("at+jwt", &claims).unwrap()),
            JwtError::Signature
        );
        assert_eq!(error(&ours.sign("JWT", &claims).unwrap()), JwtError::Type);
        let eddsa = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert_eq!(
            error(&eddsa.sign("at+jwt", &claims).unwrap()),
            JwtError::Algorithm
        );
        assert_eq!(
            check(&eddsa, &eddsa.sign("at+jwt", &claims).unwrap(), 1000).map(|_| ()),
            Err(JwtError::Algorithm)
        );
    }

    proptest! {
        #[test]
        fn no_mutation_of_a_valid_token_is_accepted(at: Index, to in "[A-Za-z0-9_.=-]?") {
            let key = key();
            let good = key.sign("at+jwt", &claims("https://as")).unwrap();
            let at = at.index(good.len());
            let mut changed = good.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != good);
            prop_assert!(check(&key, &changed, 1000).is_err());
        }
    }
}

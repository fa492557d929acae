//! What a request presents.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::refusal::Refusal;
use crate::access_token::{PresentedToken, TokenFacts};
use crate::platform::Timestamp;

/// How a token is presented (RFC 9110 §11.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scheme {
    /// By itself (RFC 6750 §2.1).
    Bearer,
    /// With a proof that whoever presents it has its key (RFC 9449 §7.1).
    Dpop,
}

impl Scheme {
    /// How a token that was let in was presented.
    pub(super) fn of(token: &TokenFacts) -> Self {
        match token.bound_to {
            None => Self::Bearer,
            Some(_) => Self::Dpop,
        }
    }

    /// Its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

/// How a token was presented, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presentation {
    pub(super) scheme: Scheme,
    pub(super) at: Timestamp,
}

/// The token in the one `Authorization` header (RFC 6750 §2.1, RFC 9449 §7.1).
pub(super) fn credentials(headers: &HeaderMap) -> Result<(Scheme, PresentedToken<'_>), Refusal> {
    let (scheme, token) = presented(headers)?;
    Ok((scheme, PresentedToken::new(token)))
}

/// The same token, as it is written.
pub(super) fn presented(headers: &HeaderMap) -> Result<(Scheme, &str), Refusal> {
    let mut presented = headers.get_all(AUTHORIZATION).iter();
    let credentials = match (presented.next(), presented.next()) {
        (None, _) => return Err(Refusal::NoCredentials),
        (Some(credentials), None) => credentials,
        // RFC 6750 §3.1: what repeats a parameter is invalid_request. Nothing less is: clients
        // of two revisions take a 400 for a server that does not know theirs.
        (Some(_), Some(_)) => return Err(Refusal::SeveralCredentials),
    };
    let credentials = std::str::from_utf8(credentials.as_bytes()).ok();
    let (scheme, token) = credentials
        .and_then(|credentials| credentials.split_once(' '))
        .ok_or(Refusal::NotBearer)?;
    let token = token.trim_start_matches(' ');
    // RFC 9110 §11.1: schemes fold case.
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok((Scheme::Bearer, token))
    } else if scheme.eq_ignore_ascii_case("dpop") && !token.is_empty() {
        Ok((Scheme::Dpop, token))
    } else {
        Err(Refusal::NotBearer)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_token_is_taken_from_one_header() {
        for (presented, expected) in [
            (vec![], Err("there are no credentials")),
            (vec!["Bearer abc"], Ok((Scheme::Bearer, "abc"))),
            (vec!["bearer abc"], Ok((Scheme::Bearer, "abc"))),
            (vec!["BEARER  abc"], Ok((Scheme::Bearer, "abc"))),
            (vec!["Bearer a b"], Ok((Scheme::Bearer, "a b"))),
            (vec!["Bearer"], Err("the credentials are no bearer token")),
            (vec!["Bearer "], Err("the credentials are no bearer token")),
            (
                vec!["Bearerabc"],
                Err("the credentials are no bearer token"),
            ),
            (
                vec!["Basic YTpi"],
                Err("the credentials are no bearer token"),
            ),
            (vec!["DPoP abc"], Ok((Scheme::Dpop, "abc"))),
            (vec!["dpop  abc"], Ok((Scheme::Dpop, "abc"))),
            (vec!["DPoP"], Err("the credentials are no bearer token")),
            (vec!["DPoP "], Err("the credentials are no bearer token")),
            (vec![""], Err("the credentials are no bearer token")),
            (
                vec!["Bearer abc", "Bearer abc"],
                Err("there is more than one Authorization header"),
            ),
            (
                vec!["Bearer abc", "DPoP abc"],
                Err("there is more than one Authorization header"),
            ),
            (
                vec!["Basic YTpi", "Bearer abc"],
                Err("there is more than one Authorization header"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in &presented {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            let found = credentials(&headers).map(|(scheme, token)| (scheme, token.expose()));
            let found = found.map_err(|refusal| refusal.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{presented:?}");
        }
    }
}

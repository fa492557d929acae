//! What Entra says of our app registration before anybody signs in.
//!
//! Two requests tell most of it. One is for a token that speaks for the app registration itself, which takes its
//! credential. The other is a login at which nothing may be shown (`prompt=none`, OpenID Connect Core §3.1.2.1):
//! as nobody is signed in, Entra sends it straight back to the redirect URI, if it would have begun it.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use url::Url;

use super::app::EntraApp;
use super::error::{EntraError, aadsts_in, advice_on};
use super::{EntraClient, scope};
use crate::causes::Causes;
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::scope::Scope;
use crate::platform::{Platform, SecureRandom, Timestamp};
use crate::secret::CodeVerifier;

/// Something that was looked at, and what was seen of it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at.
    pub of: Examined,
    /// What was seen.
    pub verdict: Verdict,
}

/// What is looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Examined {
    /// Whether Entra is where the configuration says, and knows the tenant.
    Tenant,
    /// Whether this machine's clock goes as Entra's does: tokens that are new or old by it are refused.
    Clock,
    /// Whether the app registration is there, and takes our credential, where we have one.
    Credential,
    /// Whether a login with the scopes that every login asks for would begin.
    Login {
        /// Where it would come back to.
        redirect_uri: String,
    },
}

/// What was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is as it must be.
    Good,
    /// It is not, and logins fail by it.
    Wrong {
        /// What was seen; of what Entra said, the error and its numbers.
        what: String,
        /// What helps.
        advice: &'static str,
    },
    /// It cannot be told; why.
    Unclear(String),
}

/// How far clocks may be apart, in which everybody's leeway for tokens is.
const CLOCKS_APART: Duration = Duration::from_secs(60);

impl EntraApp {
    /// Asks Entra whether it knows the tenant and the app registration, and takes the credential.
    pub(crate) async fn examine(&self, now: Timestamp) -> Vec<Finding> {
        let metadata = match self.configuration().await {
            Ok(metadata) => metadata,
            Err(error) => return vec![Examined::Tenant.seen(of_error(&error))],
        };
        let mut findings = vec![Examined::Tenant.seen(Verdict::Good)];
        let clock = clock_by(metadata.headers(), now);
        findings.extend(clock.map(|verdict| Examined::Clock.seen(verdict)));
        if self.has_credential() {
            findings.push(Examined::Credential.seen(self.examine_credential().await));
        }
        findings
    }

    async fn examine_credential(&self) -> Verdict {
        if !self.authority().is_of_one_tenant() {
            return Verdict::Unclear(
                "tenant_id stands for many tenants, and an application signs in to one".to_owned(),
            );
        }
        // By its id: by a URI an app registration gets no token for itself (AADSTS90009).
        let scope = format!("{}/.default", self.client_id());
        match self.client_credentials("", &scope, None).await {
            Ok(_) => Verdict::Good,
            Err(error) => of_error(&error),
        }
    }
}

impl EntraClient {
    /// Asks Entra whether it would begin a login that asks for `required`.
    pub(crate) async fn examine_login(&self, required: &Scope, platform: &Platform) -> Finding {
        let login = self.silent_login(required, &*platform.random);
        let mut request = http::Request::new(Bytes::new());
        let verdict = match login.as_str().parse() {
            Ok(uri) => {
                *request.uri_mut() = uri;
                let answer = platform.http.send(request).await;
                answer.map_or_else(
                    |error| of_error(&EntraError::from(error)),
                    |answer| of_login(&answer, self.redirect_uri()),
                )
            }
            Err(_) => Verdict::Unclear("the login is too long to be asked for".to_owned()),
        };
        let redirect_uri = self.redirect_uri().to_owned();
        Examined::Login { redirect_uri }.seen(verdict)
    }

    /// A login at which nothing may be shown. Nobody redeems what comes of it.
    fn silent_login(&self, required: &Scope, random: &dyn SecureRandom) -> Url {
        let mut url = self.app.authority().authorization_endpoint().clone();
        let asked = self.names.to_entra(required).union(&self.additional);
        let asked = asked.union(&scope::openid_connect()).to_string();
        let challenge = String::from(CodeChallenge::of(&CodeVerifier::generate(random)));
        url.query_pairs_mut()
            .append_pair("client_id", self.app.client_id())
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("response_mode", "query")
            .append_pair("scope", &asked)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("prompt", "none");
        url
    }
}

impl Finding {
    /// Whether it is as it must be.
    pub fn is_good(&self) -> bool {
        self.verdict == Verdict::Good
    }
}

impl Examined {
    fn seen(self, verdict: Verdict) -> Finding {
        Finding { of: self, verdict }
    }
}

fn of_error(error: &EntraError) -> Verdict {
    Verdict::Wrong {
        what: Causes(error).to_string(),
        advice: error.advice(),
    }
}

/// What an answer's `Date` says of the clock, if it has one.
fn clock_by(headers: &HeaderMap, now: Timestamp) -> Option<Verdict> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(date).ok()?;
    let theirs = date.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let apart = now.as_unix().abs_diff(theirs);
    if apart <= CLOCKS_APART.as_secs() {
        return Some(Verdict::Good);
    }
    let how = if now.as_unix() < theirs {
        "behind"
    } else {
        "ahead of"
    };
    Some(Verdict::Wrong {
        what: format!("this machine's clock is {apart} s {how} entra's"),
        advice: "set the clock: tokens that are new are refused by one that is behind, and old ones are let in",
    })
}

/// What the answer to a silent login says of it.
fn of_login(answer: &Response<Bytes>, redirect_uri: &str) -> Verdict {
    if answer.status().is_redirection() {
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        return match location.and_then(|location| sent_back(location, redirect_uri)) {
            Some(answer) => of_answer(&answer),
            None => Verdict::Unclear("entra leads to another page first".to_owned()),
        };
    }
    if answer.status() == StatusCode::TOO_MANY_REQUESTS || answer.status().is_server_error() {
        return of_error(&EntraError::from_http(answer));
    }
    match aadsts_in(&String::from_utf8_lossy(answer.body())) {
        Some(aadsts) => Verdict::Wrong {
            what: format!("entra refused: AADSTS{aadsts}"),
            advice: advice_on(aadsts),
        },
        None => Verdict::Unclear(format!(
            "entra shows a page that gives no reason (http status {})",
            answer.status()
        )),
    }
}

/// What Entra sends to `redirect_uri`, if that is where `location` leads.
fn sent_back(location: &str, redirect_uri: &str) -> Option<Url> {
    let (location, own) = (Url::parse(location).ok()?, Url::parse(redirect_uri).ok()?);
    let is_there = (location.origin(), location.path()) == (own.origin(), own.path());
    is_there.then_some(location)
}

fn of_answer(answer: &Url) -> Verdict {
    let value = |name: &str| {
        let mut pairs = answer.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let Some(error) = value("error") else {
        return Verdict::Good;
    };
    // Which is what was to be seen: all that lacks is a user.
    if ["login_required", "interaction_required", "consent_required"].contains(&&*error) {
        return Verdict::Good;
    }
    let aadsts = value("error_description").and_then(|text| aadsts_in(&text));
    match aadsts {
        Some(aadsts) => Verdict::Wrong {
            what: format!("entra refused: {error:?}, AADSTS{aadsts}"),
            advice: advice_on(aadsts),
        },
        None => Verdict::Wrong {
            what: format!("entra refused: {error:?}"),
            advice: "the app registration does not fit the request",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIRECT_URI: &str = "https://mcp.example.com/auth/callback";

    fn wrong(verdict: Verdict) -> String {
        let Verdict::Wrong { what, .. } = verdict else {
            panic!("{verdict:?}");
        };
        what
    }

    #[test]
    fn clocks_may_be_a_minute_apart() {
        let now = Timestamp::from_unix(1_000_000_000);
        let by = |date: &'static str| {
            let headers = HeaderMap::from_iter([(header::DATE, date.parse().unwrap())]);
            clock_by(&headers, now)
        };
        assert_eq!(by("Sun, 09 Sep 2001 01:46:40 GMT"), Some(Verdict::Good));
        assert_eq!(by("Sun, 09 Sep 2001 01:47:40 GMT"), Some(Verdict::Good));
        for (date, expected) in [
            ("Sun, 09 Sep 2001 01:47:41 GMT", "61 s behind entra's"),
            ("Sun, 09 Sep 2001 01:45:39 GMT", "61 s ahead of entra's"),
        ] {
            let what = wrong(by(date).unwrap());
            assert_eq!(what, format!("this machine's clock is {expected}"));
        }
        assert_eq!(by("yesterday"), None);
        assert_eq!(clock_by(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_login_would_begin_if_only_a_user_lacks() {
        let back = |query: &str| {
            let location = format!("{REDIRECT_URI}?{query}");
            let answer = Response::builder()
                .status(302)
                .header(header::LOCATION, location);
            of_login(&answer.body(Bytes::new()).unwrap(), REDIRECT_URI)
        };
        for lacks in ["login_required", "interaction_required", "consent_required"] {
            assert_eq!(back(&format!("error={lacks}")), Verdict::Good);
        }
        assert_eq!(back("code=x"), Verdict::Good);
        for (query, expected) in [
            (
                "error=invalid_client&error_description=AADSTS650053%3A+no+such+scope",
                "\"invalid_client\", AADSTS650053",
            ),
            ("error=a%0Ab", "\"a\\nb\""),
        ] {
            assert_eq!(wrong(back(query)), format!("entra refused: {expected}"));
        }
    }

    #[test]
    fn what_is_not_sent_back_is_a_page_of_entras() {
        let of = |status: u16, location: Option<&str>, page: &'static str| {
            let answer = Response::builder().status(status);
            let answer = match location {
                Some(location) => answer.header(header::LOCATION, location),
                None => answer,
            };
            of_login(&answer.body(Bytes::from(page)).unwrap(), REDIRECT_URI)
        };
        let page = "<p>AADSTS50011: The redirect URI";
        for status in [200, 400] {
            let verdict = of(status, None, page);
            let told = advice_on(50011);
            assert!(matches!(&verdict, Verdict::Wrong { advice, .. } if *advice == told));
            assert_eq!(wrong(verdict), "entra refused: AADSTS50011");
        }
        assert!(wrong(of(503, None, page)).contains("not available"));
        for (status, location) in [
            (200, None),
            (302, None),
            (302, Some("https://adfs.example.com/?error=login_required")),
            (
                302,
                Some("https://mcp.example.com.evil.example/auth/callback"),
            ),
        ] {
            let verdict = of(status, location, "<html>");
            assert!(matches!(verdict, Verdict::Unclear(_)), "{location:?}");
        }
    }
}

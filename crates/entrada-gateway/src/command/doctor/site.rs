//! The gateway, as clients come to see it: by its public URLs, through whatever stands before it.

use std::error::Error;
use std::io;

use bytes::Bytes;
use entrada::AzureProvider;
use entrada::platform::HttpTransport;
use entrada::resource_server::resource_metadata_url;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::{Place, Seen, State, shortened};
use crate::access_log::CORRELATION_ID;
use crate::telemetry::WithCauses;

/// Looks where clients look: at the metadata of `issuer`, if there is one, at its endpoints and at `callback`, at the
/// metadata of each resource, and at the challenge of that. Where nothing answers, that is told once.
pub(super) async fn look(
    (issuer, callback): (Option<&str>, &str),
    provider: &AzureProvider,
    http: &dyn HttpTransport,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    if let Some((issuer, url)) = issuer.and_then(|issuer| Some((issuer, metadata_url(issuer)?))) {
        let answer = ask(http, Method::GET, &url).await;
        let is_there = answer.is_ok();
        let endpoints = answer.as_ref().ok().map(endpoints_in);
        let state = of_document(answer, "issuer", issuer);
        seen.push(gateway(format!("metadata of the issuer, {url}"), state));
        if !is_there {
            return seen;
        }
        for endpoint in endpoints.into_iter().flatten().chain(callback.parse().ok()) {
            let state = of_endpoint(ask(http, Method::GET, &endpoint).await);
            seen.push(gateway(format!("endpoint {endpoint}"), state));
        }
    }
    for resource in provider.resources() {
        let Ok(at) = Url::parse(resource) else {
            continue;
        };
        let url = resource_metadata_url(&at);
        let answer = ask(http, Method::GET, &url).await;
        let is_there = answer.is_ok();
        let state = of_document(answer, "resource", resource);
        seen.push(gateway(format!("metadata of the server, {url}"), state));
        if is_there {
            let state = of_challenge(ask(http, Method::POST, &at).await, url.as_str());
            seen.push(gateway(format!("challenge of {resource}"), state));
        }
    }
    seen
}

fn gateway(what: String, state: State) -> Seen {
    let at = Place::Gateway;
    Seen { at, what, state }
}

/// Where an issuer describes itself (RFC 8414 §3.1).
fn metadata_url(issuer: &str) -> Option<Url> {
    let mut url = Url::parse(issuer).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Some(url)
}

/// What came, or why nothing did.
type Answer = Result<Response<Bytes>, Silence>;

/// Why nothing came.
#[derive(Clone, Debug)]
enum Silence {
    /// Nothing listens there.
    Refused(String),
    /// Something is in the way.
    Other(String),
}

impl Silence {
    fn of(error: &(dyn Error + 'static)) -> Self {
        let told = WithCauses::of(error).to_string();
        let mut causes = std::iter::successors(Some(error), |error| (**error).source());
        let is_refused = causes.any(|cause| {
            let io = cause.downcast_ref::<io::Error>();
            io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused)
        });
        if is_refused {
            Self::Refused(told)
        } else {
            Self::Other(told)
        }
    }
}

async fn ask(http: &dyn HttpTransport, method: Method, url: &Url) -> Answer {
    let mut request = Request::new(Bytes::new());
    if method == Method::POST {
        *request.body_mut() = Bytes::from_static(PING);
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let accepted = HeaderValue::from_static("application/json, text/event-stream");
        request.headers_mut().insert(ACCEPT, accepted);
    }
    *request.method_mut() = method;
    let uri = url.as_str().parse();
    *request.uri_mut() = uri.map_err(|error: http::uri::InvalidUri| Silence::of(&error))?;
    let answer = http.send(request).await;
    answer.map_err(|error| Silence::of(&error))
}

const PING: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// Whether a document says of itself what it must: what its `member` is to be.
fn of_document(answer: Answer, member: &str, expected: &str) -> State {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return of_silence(&why),
    };
    if !answer.status().is_success() {
        return of_another(&answer);
    }
    let document: Option<Value> = serde_json::from_slice(answer.body()).ok();
    match document.as_ref().and_then(|it| it[member].as_str()) {
        Some(said) if said == expected => State::Good,
        Some(said) => State::wrong(
            format!("it says {:?} of itself", shortened(said)),
            ANOTHER_URL,
        ),
        None => State::wrong("something else answers there", NOT_PASSED_ON),
    }
}

/// The endpoints that metadata names (RFC 8414 §2).
fn endpoints_in(answer: &Response<Bytes>) -> Vec<Url> {
    let document: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let named = [
        "authorization_endpoint",
        "token_endpoint",
        "registration_endpoint",
    ];
    let named = named.iter().filter_map(|name| document.get(name)?.as_str());
    named.filter_map(|url| url.parse().ok()).collect()
}

/// Whether it is the gateway that answers, whatever it says to who asks for nothing.
fn of_endpoint(answer: Answer) -> State {
    match answer {
        Err(silence) => of_silence(&silence),
        Ok(answer) if answer.headers().contains_key(CORRELATION_ID) => State::Good,
        Ok(answer) => of_another(&answer),
    }
}

/// Whether whoever has no token is told where to get one (RFC 9728 §5.1).
fn of_challenge(answer: Answer, metadata: &str) -> State {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return of_silence(&why),
    };
    match answer.status() {
        StatusCode::UNAUTHORIZED if names(answer.headers(), metadata) => State::Good,
        StatusCode::UNAUTHORIZED => State::wrong(
            "it asks for a token, and not as the gateway does",
            "a proxy before the gateway must pass WWW-Authenticate on, and ask for nothing itself",
        ),
        status if status.is_success() => State::wrong(
            "it answers whoever has no token",
            "the URL leads past the gateway: let nothing but the gateway reach the MCP server",
        ),
        _ => of_another(&answer),
    }
}

fn names(headers: &HeaderMap, metadata: &str) -> bool {
    let named = format!("resource_metadata=\"{metadata}\"");
    let mut challenges = headers.get_all(WWW_AUTHENTICATE).iter();
    challenges.any(|challenge| challenge.to_str().is_ok_and(|text| text.contains(&named)))
}

fn of_silence(silence: &Silence) -> State {
    match silence {
        Silence::Refused(why) => State::unclear(format!(
            "nothing answers ({why}): look again once the gateway runs"
        )),
        Silence::Other(why) => State::wrong(why, NOT_LED_THERE),
    }
}

/// What it means that something else than the gateway seems to answer.
fn of_another(answer: &Response<Bytes>) -> State {
    let status = answer.status();
    let why = format!("it answers with status {status}");
    if let Some(location) = answer.headers().get(LOCATION) {
        let location = String::from_utf8_lossy(location.as_bytes());
        let location = shortened(&location);
        return State::wrong(format!("{why}, and leads to {location:?}"), MOVED);
    }
    match status.as_u16() {
        429 => State::unclear(why),
        502..=504 => State::wrong(why, NOT_REACHED),
        _ => State::wrong(why, NOT_PASSED_ON),
    }
}

const NOT_LED_THERE: &str = "the name must lead to the gateway from here, by http or https as base_url says, and with a \
                             certificate that is trusted, its chain whole";

const ANOTHER_URL: &str =
    "base_url and issuer_url must be those of the gateway that answers there, letter for letter";

const MOVED: &str = "clients must find it where they ask: let base_url be where that leads";

const NOT_REACHED: &str =
    "a proxy before the gateway does not reach it: let it go to where listen says";

const NOT_PASSED_ON: &str =
    "a proxy before the gateway must pass all paths on to it as they are, /.well-known/ among them";

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Response<Bytes> {
        let answer = Response::builder().status(status);
        answer.body(Bytes::from(body)).unwrap()
    }

    fn with(status: u16, name: &str, value: &str) -> Response<Bytes> {
        let answer = Response::builder().status(status).header(name, value);
        answer.body(Bytes::new()).unwrap()
    }

    fn told(state: &State) -> (&'static str, &str) {
        match state {
            State::Good => ("good", ""),
            State::Wrong { why, .. } => ("wrong", why),
            State::Unclear { why } => ("unclear", why),
        }
    }

    #[test]
    fn an_issuer_with_a_path_has_it_after_the_well_known_one() {
        for (issuer, expected) in [
            (
                "https://h",
                "https://h/.well-known/oauth-authorization-server",
            ),
            (
                "https://h/",
                "https://h/.well-known/oauth-authorization-server",
            ),
            (
                "https://h:8/a",
                "https://h:8/.well-known/oauth-authorization-server/a",
            ),
        ] {
            assert_eq!(metadata_url(issuer).unwrap().as_str(), expected);
        }
        assert_eq!(metadata_url("h"), None);
    }

    #[test]
    fn a_document_is_the_gateways_if_it_says_so() {
        let of = |answer| of_document(Ok(answer), "issuer", "https://h");
        assert_eq!(of(answer(200, r#"{"issuer":"https://h"}"#)), State::Good);
        for (came, expected, why) in [
            (
                answer(200, r#"{"issuer":"https://h/"}"#),
                "wrong",
                "https://h/",
            ),
            (answer(200, "<html>"), "wrong", "something else"),
            (answer(404, ""), "wrong", "404"),
            (answer(502, ""), "wrong", "502"),
            (answer(429, ""), "unclear", "429"),
            (with(301, "location", "https://www.h/"), "wrong", "www.h"),
        ] {
            let state = of(came);
            let (told, text) = told(&state);
            assert!(told == expected && text.contains(why), "{state:?}");
        }
    }

    #[test]
    fn an_endpoint_is_the_gateways_if_the_answer_says_so() {
        let of = |answer| of_endpoint(Ok(answer));
        assert_eq!(of(with(400, "x-correlation-id", "1")), State::Good);
        for (came, why) in [(answer(404, ""), "404"), (answer(200, "<html>"), "200")] {
            let state = of(came);
            let (told, text) = told(&state);
            assert!(told == "wrong" && text.contains(why), "{state:?}");
        }
        let document =
            r#"{"issuer":"https://h","token_endpoint":"https://h/token","jwks_uri":"https://h/j"}"#;
        let endpoints = endpoints_in(&answer(200, document));
        assert_eq!(endpoints, ["https://h/token".parse().unwrap()]);
        assert_eq!(endpoints_in(&answer(200, "<html>")), []);
    }

    #[test]
    fn a_challenge_names_the_metadata() {
        let of = |answer| of_challenge(Ok(answer), "https://h/m");
        let ours = r#"Bearer error="x", resource_metadata="https://h/m""#;
        assert_eq!(of(with(401, "www-authenticate", ours)), State::Good);
        let anothers = r#"Bearer resource_metadata="https://g/m""#;
        for (came, expected) in [
            (with(401, "www-authenticate", "Basic realm=\"x\""), "wrong"),
            (with(401, "www-authenticate", anothers), "wrong"),
            (answer(401, ""), "wrong"),
            (answer(200, ""), "wrong"),
            (answer(404, ""), "wrong"),
        ] {
            let state = of(came);
            assert_eq!(told(&state).0, expected, "{state:?}");
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("not sent")]
    struct Unsent(#[source] io::Error);

    #[test]
    fn what_does_not_answer_may_not_have_been_started() {
        let silent = || Err(Silence::Refused("connection refused".to_owned()));
        for state in [
            of_document(silent(), "issuer", "https://h"),
            of_challenge(silent(), ""),
        ] {
            let (told, text) = told(&state);
            assert!(
                told == "unclear" && text.contains("connection refused"),
                "{state:?}"
            );
        }
        let untrusted = Err(Silence::Other("UnknownIssuer".to_owned()));
        let state = of_challenge(untrusted, "");
        assert_eq!(told(&state), ("wrong", "UnknownIssuer"));
        // What stands in the way is told from what was not started by the system's own word.
        for (kind, is_refused) in [
            (io::ErrorKind::ConnectionRefused, true),
            (io::ErrorKind::TimedOut, false),
        ] {
            let silence = Silence::of(&Unsent(io::Error::from(kind)));
            assert_eq!(
                matches!(silence, Silence::Refused(_)),
                is_refused,
                "{silence:?}"
            );
        }
    }
}

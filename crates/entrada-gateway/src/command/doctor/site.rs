//! The gateway, as clients come to see it: by its public URLs, through whatever stands before it.

use bytes::Bytes;
use entrada::AzureProvider;
use entrada::platform::HttpTransport;
use entrada::resource_server::resource_metadata_url;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::{Place, Seen, State};
use crate::telemetry::WithCauses;

/// Looks where clients look: at the metadata of `issuer`, if there is one, and of each resource, and at the
/// challenge of that. Where nothing answers, that is told once.
pub(super) async fn look(
    issuer: Option<&str>,
    provider: &AzureProvider,
    http: &dyn HttpTransport,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    if let Some((issuer, url)) = issuer.and_then(|issuer| Some((issuer, metadata_url(issuer)?))) {
        let answer = ask(http, Method::GET, &url).await;
        let is_there = answer.is_ok();
        let state = of_document(answer, "issuer", issuer);
        seen.push(gateway(format!("metadata of the issuer, {url}"), state));
        if !is_there {
            return seen;
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
type Answer = Result<Response<Bytes>, String>;

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
    *request.uri_mut() = uri.map_err(|_| "it is no URL to ask".to_owned())?;
    let answer = http.send(request).await;
    answer.map_err(|error| WithCauses::of(&error).to_string())
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
        Some(said) => State::wrong(format!("it says {said:?} of itself"), ANOTHER_URL),
        None => State::wrong("something else answers there", NOT_PASSED_ON),
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

fn of_silence(why: &str) -> State {
    State::unclear(format!(
        "nothing answers ({why}): look again once the gateway runs, from where its name leads to it"
    ))
}

/// What it means that something else than the gateway seems to answer.
fn of_another(answer: &Response<Bytes>) -> State {
    let status = answer.status();
    let why = format!("it answers with status {status}");
    if let Some(location) = answer.headers().get(LOCATION) {
        return State::wrong(format!("{why}, and leads to {location:?}"), MOVED);
    }
    match status.as_u16() {
        429 => State::unclear(why),
        502..=504 => State::wrong(why, NOT_REACHED),
        _ => State::wrong(why, NOT_PASSED_ON),
    }
}

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

    #[test]
    fn what_does_not_answer_may_not_have_been_started() {
        let silent = || Err("connection refused".to_owned());
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
    }
}

//! The way to an authority: bounded in time and size, in no other direction, and never in clear.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use entrada::platform::{HttpTransport, Timestamp};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use url::Url;

use crate::acme::is_local;
use crate::acme::schedule::LONGEST_PAUSE;

/// Sends what ACME says by the transport everything else is sent by, which follows no redirect.
#[derive(Clone)]
pub(super) struct Transport {
    http: Arc<dyn HttpTransport>,
    /// Whether the authority is on this machine, and may be asked in clear.
    is_local: bool,
    paused: Arc<Mutex<Option<Pause>>>,
}

/// How long an authority wants not to be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pause {
    For(Duration),
    Until(Timestamp),
}

impl Pause {
    /// From `now` on.
    pub(super) fn after(self, now: Timestamp) -> Duration {
        match self {
            Self::For(pause) => pause,
            Self::Until(end) => end.since(now),
        }
    }

    /// What an answer says (RFC 9110 §10.2.3).
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Self::For(Duration::from_secs(seconds)));
        }
        let date = httpdate::parse_http_date(text).ok()?;
        let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self::Until(Timestamp::from_unix(since.as_secs())))
    }
}

/// Why an authority is not asked.
#[derive(Debug, thiserror::Error)]
#[error("the authority names a URL that is not https")]
struct InClear;

impl Transport {
    /// To the authority of `directory`.
    pub(super) fn new(http: Arc<dyn HttpTransport>, directory: &Url) -> Self {
        Self {
            http,
            is_local: directory.scheme() == "http" && is_local(directory),
            paused: Arc::default(),
        }
    }

    /// What the last answer that was an error said about when to come again.
    pub(super) fn take_pause(&self) -> Option<Pause> {
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.take()
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let target = Url::parse(&request.uri().to_string()).ok();
        let may = target.is_some_and(|target| {
            target.scheme() == "https"
                || (target.scheme() == "http" && self.is_local && is_local(&target))
        });
        if !may {
            return Err(Error::Other(Box::new(InClear)));
        }
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let answer = self.http.send(Request::from_parts(parts, body)).await;
        let mut answer = answer.map_err(|error| Error::Other(Box::new(error)))?;
        self.note(&answer);
        shorten_pause(answer.headers_mut());
        Ok(BytesResponse::from(answer.map(Full::new)))
    }

    /// What an order is waiting for says so, too, and is no error.
    fn note(&self, answer: &Response<Bytes>) {
        let is_error = |status: StatusCode| status.is_client_error() || status.is_server_error();
        let pause = Pause::of(answer.headers()).filter(|_| is_error(answer.status()));
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }
}

/// Has an authority be heard for as long as any is: whoever adds what it says to a clock is stopped by what no
/// clock holds.
fn shorten_pause(headers: &mut HeaderMap) {
    if Pause::of(headers)
        .is_some_and(|pause| matches!(pause, Pause::For(long) if long > LONGEST_PAUSE))
    {
        let longest = HeaderValue::from(LONGEST_PAUSE.as_secs());
        headers.insert(RETRY_AFTER, longest);
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use entrada::platform::Platform;
    use http::header::LOCATION;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    fn transport(directory: &str) -> Transport {
        let http = Platform::system().unwrap().http;
        Transport::new(http, &Url::parse(directory).unwrap())
    }

    async fn ask(transport: &Transport, url: &str) -> Result<(StatusCode, Bytes), Error> {
        let request = Request::get(url).body(BodyWrapper::default()).unwrap();
        let mut answer = transport.request(request).await?;
        let body = answer.body.into_bytes().await.map_err(Error::Other)?;
        Ok((answer.parts.status, body))
    }

    /// An authority on this machine, in clear.
    async fn authority(router: Router) -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, serving)
    }

    #[tokio::test]
    async fn an_authority_leads_nowhere_in_clear() {
        let (url, _serving) = authority(Router::new().route("/", get(|| async { "here" }))).await;
        // On this machine it may be asked so if its directory is there.
        let (_, body) = ask(&transport(&format!("{url}/dir")), &url).await.unwrap();
        assert_eq!(body, "here");
        for (directory, asked) in [
            ("https://ca.example.com/dir", url.as_str()),
            ("http://127.0.0.1:9/dir", "http://192.0.2.1/nonce"),
            ("http://127.0.0.1:9/dir", "http://localhost.example.com/"),
            ("https://ca.example.com/dir", "ftp://ca.example.com/"),
        ] {
            let refused = ask(&transport(directory), asked).await.unwrap_err();
            let told = "the authority names a URL that is not https";
            assert_eq!(refused.to_string(), told, "{directory} {asked}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_neither_followed_elsewhere_nor_read_at_any_length() {
        let elsewhere = || async { (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/there")]) };
        let router = Router::new()
            .route("/", get(elsewhere))
            .route("/there", get(|| async { "followed" }))
            .route("/large", get(|| async { vec![b' '; (1 << 20) + 1] }));
        let (url, _serving) = authority(router).await;
        let transport = transport(&url);
        let (status, body) = ask(&transport, &url).await.unwrap();
        assert_eq!((status, &*body), (StatusCode::TEMPORARY_REDIRECT, &b""[..]));
        assert!(ask(&transport, &format!("{url}/large")).await.is_err());
    }

    #[tokio::test]
    async fn when_to_come_again_is_heard_from_errors_alone() {
        let limited = |after: &'static str, status: StatusCode| {
            get(move || async move { (status, [(RETRY_AFTER, after)]) })
        };
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        let router = Router::new()
            .route("/seconds", limited("120", StatusCode::TOO_MANY_REQUESTS))
            .route("/date", limited(date, StatusCode::SERVICE_UNAVAILABLE))
            .route("/nonsense", limited("soon", StatusCode::TOO_MANY_REQUESTS))
            .route("/order", limited("3", StatusCode::OK));
        let (url, _serving) = authority(router).await;
        let transport = transport(&url);
        for (path, heard) in [
            ("/seconds", Some(Pause::For(Duration::from_secs(120)))),
            ("/order", None),
            (
                "/date",
                Some(Pause::Until(Timestamp::from_unix(946_684_799))),
            ),
            ("/nonsense", None),
        ] {
            ask(&transport, &format!("{url}{path}")).await.unwrap();
            assert_eq!(transport.take_pause(), heard, "{path}");
            assert_eq!(transport.take_pause(), None, "{path}");
        }
        let until = Pause::Until(Timestamp::from_unix(100));
        assert_eq!(
            until.after(Timestamp::from_unix(40)),
            Duration::from_secs(60)
        );
        assert_eq!(until.after(Timestamp::from_unix(200)), Duration::ZERO);
    }
}

//! Documents that describe clients, fetched when a client is named and kept as long as they say.
//!
//! Anybody can name a URL here. So what is fetched is bounded: in size and time by the transport, and
//! by number, from each host and at a time, here.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::jwt::jwks::{Jwks, VerificationKey};
use crate::oauth::client::{Client, ClientId, ClientKeys};
use crate::oauth::client_document::{
    ClientDocumentError, ClientDocumentUrl, ClientDocumentUrlError, DocumentHosts,
    UnverifiedClientDocument,
};
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::platform::{Platform, Timestamp, TransportError};
use crate::published::{PublishedError, PublishedKeys};
use crate::quota::Quota;
use crate::single_flight::Turns;

mod freshness;

use freshness::freshness;

/// How many documents are kept.
const MOST_DOCUMENTS: usize = 1000;

/// How many hosts' fetches are counted.
const MOST_HOSTS: usize = 10_000;

/// How many sets of keys are kept.
const MOST_KEY_SETS: usize = 100;

/// How many are fetched at a time.
const MOST_AT_A_TIME: usize = 16;

/// How many are fetched in a minute, and how many from one host.
const MOST_PER_MINUTE: u32 = 240;
const MOST_PER_MINUTE_AND_HOST: u32 = 20;

/// How long a document is used while its host gives no new one.
pub(crate) const LONGEST_OUTAGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How soon a document is asked for again that could not be had, or was refused.
const RETRY: Duration = Duration::from_secs(10);

/// Why a client's document is not believed, or not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientFetchError {
    /// The identifier is no URL we would fetch.
    #[error(transparent)]
    Url(#[from] ClientDocumentUrlError),
    /// The operator does not trust its host.
    #[error("documents of its host are not believed here")]
    Host,
    /// There was no answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The answer is no success.
    #[error("http status {0}")]
    Status(StatusCode),
    /// The document breaks a rule.
    #[error(transparent)]
    Document(#[from] ClientDocumentError),
    /// Too many documents are asked for.
    #[error("too many documents are asked for")]
    Busy,
}

impl ClientFetchError {
    /// What a client is told where it may not pass. It has nothing in it of what was answered: a
    /// stranger must not learn by us what is where.
    pub(crate) fn description(&self) -> &'static str {
        match self {
            Self::Url(_) => "client_id is no https URL with a path, in its one spelling",
            Self::Host => "clients of that host are not taken here",
            Self::Transport(_) | Self::Status(_) | Self::Busy => {
                "the client's document cannot be had"
            }
            Self::Document(error) => error.description(),
        }
    }

    /// Whether it may pass: then nothing is said against the client.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Transport(error) => !error.leads_nowhere_public(),
            Self::Status(status) => {
                let slow_down = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || slow_down.contains(status)
            }
            Self::Busy => true,
            Self::Url(_) | Self::Host | Self::Document(_) => false,
        }
    }
}

/// Why a client's keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientKeysError {
    /// They are at no URL we would fetch.
    #[error("they are at no url")]
    Url,
    /// Too many are asked for.
    #[error("too many are asked for")]
    Busy,
    /// There was no answer, or none that helps.
    #[error(transparent)]
    Fetch(#[from] PublishedError),
}

/// The documents that are known. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ClientDocuments(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hosts: DocumentHosts,
    allowed_redirects: AllowedRedirects,
    platform: Platform,
    known: Cache<ClientId, Arc<Known>>,
    turns: Turns<ClientId>,
    at_a_time: Semaphore,
    fetches: Quota,
    of_host: Cache<String, Arc<Quota>>,
    keys: Cache<String, Arc<PublishedKeys>>,
}

/// What is known of one document.
#[derive(Clone, Debug)]
struct Known {
    document: Option<Fetched>,
    /// How the last fetch failed, if it did, and when.
    failure: Option<(Arc<ClientFetchError>, Timestamp)>,
}

/// A document that was good.
#[derive(Clone, Debug)]
struct Fetched {
    client: Client,
    at: Timestamp,
    fresh_for: Duration,
    validators: HeaderMap,
    /// Whether the client was seen to use it.
    used: Arc<AtomicBool>,
}

/// What to do for somebody who names a client.
enum Plan {
    Use(Client),
    Refuse(Arc<ClientFetchError>),
    Fetch,
}

impl Known {
    fn plan(&self, now: Timestamp) -> Plan {
        if let Some(document) = &self.document
            && document.at.is_within(document.fresh_for, now)
        {
            return Plan::Use(document.client.clone());
        }
        match &self.failure {
            Some((error, at)) if at.is_within(RETRY, now) => self.despite(error, now),
            Some(_) | None => Plan::Fetch,
        }
    }

    /// What to do where there is no newer document: trouble that may pass is not the client's.
    fn despite(&self, error: &Arc<ClientFetchError>, now: Timestamp) -> Plan {
        match &self.document {
            Some(document) if error.may_pass() && document.at.is_within(LONGEST_OUTAGE, now) => {
                Plan::Use(document.client.clone())
            }
            Some(_) | None => Plan::Refuse(Arc::clone(error)),
        }
    }
}

impl ClientDocuments {
    /// Believes the documents of `hosts`, and in them the redirect URIs that are allowed.
    pub(crate) fn new(
        hosts: DocumentHosts,
        allowed_redirects: AllowedRedirects,
        platform: &Platform,
    ) -> Self {
        Self(Arc::new(Inner {
            hosts,
            allowed_redirects,
            platform: platform.among_strangers(),
            known: Cache::new(MOST_DOCUMENTS),
            turns: Turns::default(),
            at_a_time: Semaphore::new(MOST_AT_A_TIME),
            fetches: Quota::new(MOST_PER_MINUTE),
            of_host: Cache::new(MOST_HOSTS),
            keys: Cache::new(MOST_KEY_SETS),
        }))
    }

    /// Whether anybody's documents are believed.
    pub(crate) fn are_believed(&self) -> bool {
        self.0.hosts != DocumentHosts::None
    }

    /// Whether `client`, as a document describes it, is in use for the first time.
    pub(crate) fn is_first_use(&self, client: &Client) -> bool {
        let known = self.0.known.get(client.id());
        let document = known.as_ref().and_then(|known| known.document.as_ref());
        document.is_some_and(|document| !document.used.swap(true, Ordering::Relaxed))
    }

    /// The key of a client that is called `kid`, or its only one; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ClientKeysError`] if nobody can tell.
    pub(crate) async fn key(
        &self,
        keys: &ClientKeys,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Arc<VerificationKey>>, ClientKeysError> {
        match keys {
            ClientKeys::Inline(json) => {
                let Ok(keys) = Jwks::parse(json.as_bytes()) else {
                    return Ok(None);
                };
                let mut all = keys.iter();
                let key = match kid {
                    Some(kid) => keys.key(kid),
                    None => all.next().filter(|_| all.next().is_none()),
                };
                Ok(key.cloned().map(Arc::new))
            }
            ClientKeys::At(uri) => {
                let Some(kid) = kid else { return Ok(None) };
                let uri: Uri = uri.parse().map_err(|_| ClientKeysError::Url)?;
                self.0.published_key(uri, kid, now).await
            }
        }
    }

    /// The client that the document at the URL `id` describes.
    ///
    /// # Errors
    ///
    /// [`ClientFetchError`]: there is no document that may be believed.
    pub(crate) async fn client(&self, id: &ClientId) -> Result<Client, Arc<ClientFetchError>> {
        let url = ClientDocumentUrl::parse(id).map_err(|error| Arc::new(error.into()))?;
        if !self.0.hosts.admit(url.host()) {
            return Err(Arc::new(ClientFetchError::Host));
        }
        if let Some(ended) = self.0.at_hand(id) {
            return ended;
        }
        let turn = self.0.turns.wait(id).await;
        // Whoever had the turn before may have fetched it.
        if let Some(ended) = self.0.at_hand(id) {
            return ended;
        }
        // To its end, even if whoever waits hangs up: else strangers who do so could have us ask
        // again and again.
        let inner = Arc::clone(&self.0);
        let fetch = async move {
            let _turn = turn;
            inner.fetch(&url).await
        };
        match Handle::try_current() {
            Ok(runtime) => runtime
                .spawn(fetch)
                .await
                .unwrap_or_else(|_| Err(Arc::new(ClientFetchError::Busy))),
            Err(_) => fetch.await,
        }
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.platform.clock.now()
    }

    fn at_hand(&self, id: &ClientId) -> Option<Result<Client, Arc<ClientFetchError>>> {
        match self.known.get(id)?.plan(self.now()) {
            Plan::Use(client) => Some(Ok(client)),
            Plan::Refuse(error) => Some(Err(error)),
            Plan::Fetch => None,
        }
    }

    async fn published_key(
        &self,
        uri: Uri,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<VerificationKey>>, ClientKeysError> {
        let host = uri.host().unwrap_or_default().to_owned();
        let published = self.keys.get_or_insert_with(&uri.to_string(), || {
            Ok::<_, Infallible>(Arc::new(PublishedKeys::new(uri, self.platform.clone())))
        });
        let published = published.unwrap_or_else(|never| match never {});
        if let Some(key) = published.at_hand(kid, now) {
            return Ok(Some(key));
        }
        let _place = self.place(&host).map_err(|_| ClientKeysError::Busy)?;
        Ok(published.key(kid, now).await?)
    }

    /// Fetches a document and keeps it; whoever calls this has the turn.
    async fn fetch(&self, url: &ClientDocumentUrl) -> Result<Client, Arc<ClientFetchError>> {
        let before = self.known.get(url.id());
        let before = before.and_then(|known| known.document.clone());
        let fetched = self.document(url, before.as_ref()).await;
        let now = self.now();
        match fetched {
            Ok(document) => {
                let client = document.client.clone();
                let known = Known {
                    document: Some(document),
                    failure: None,
                };
                self.known.insert(url.id().clone(), Arc::new(known));
                Ok(client)
            }
            Err(error) => {
                let error = Arc::new(error);
                let known = Known {
                    document: before,
                    failure: Some((Arc::clone(&error), now)),
                };
                let plan = known.despite(&error, now);
                self.known.insert(url.id().clone(), Arc::new(known));
                match plan {
                    Plan::Use(client) => Ok(client),
                    Plan::Refuse(_) | Plan::Fetch => Err(error),
                }
            }
        }
    }

    async fn document(
        &self,
        url: &ClientDocumentUrl,
        before: Option<&Fetched>,
    ) -> Result<Fetched, ClientFetchError> {
        let _place = self.place(url.host())?;
        let response = self.platform.http.send(request(url, before)).await?;
        let now = self.now();
        let fresh_for = freshness(response.headers());
        match (response.status(), before) {
            (StatusCode::OK, _) => self.read(url, &response, (fresh_for, now)),
            (StatusCode::NOT_MODIFIED, Some(before)) => Ok(Fetched {
                client: before.client.described_at(now),
                at: now,
                fresh_for: fresh_for.unwrap_or(before.fresh_for),
                validators: before.validators.clone(),
                used: Arc::default(),
            }),
            (status, _) => Err(ClientFetchError::Status(status)),
        }
    }

    fn read(
        &self,
        url: &ClientDocumentUrl,
        response: &Response<Bytes>,
        (fresh_for, now): (Option<Duration>, Timestamp),
    ) -> Result<Fetched, ClientFetchError> {
        let document = UnverifiedClientDocument::read(response.body())?;
        let metadata = document.check(url, &self.allowed_redirects)?;
        let validators = [header::ETAG, header::LAST_MODIFIED].into_iter();
        let validators = validators.filter_map(|name| {
            let value = response.headers().get(&name)?.clone();
            Some((name, value))
        });
        Ok(Fetched {
            client: Client::register(url.id().clone(), metadata, now),
            at: now,
            fresh_for: fresh_for.unwrap_or(freshness::USUAL),
            validators: validators.collect(),
            used: Arc::default(),
        })
    }

    /// A place among those who fetch, if there is one.
    fn place(&self, host: &str) -> Result<SemaphorePermit<'_>, ClientFetchError> {
        let busy = |_| ClientFetchError::Busy;
        let place = self.at_a_time.try_acquire();
        let place = place.map_err(|_| ClientFetchError::Busy)?;
        let now = self.now();
        // The host first, so that a flood from one leaves something to the others.
        let of_host = self.of_host.get_or_insert_with(host, || {
            Ok::<_, Infallible>(Arc::new(Quota::new(MOST_PER_MINUTE_AND_HOST)))
        });
        let of_host = of_host.unwrap_or_else(|never| match never {});
        of_host.spend(now).map_err(busy)?;
        self.fetches.spend(now).map_err(busy)?;
        Ok(place)
    }
}

fn request(url: &ClientDocumentUrl, before: Option<&Fetched>) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    // An identifier that was parsed as a URL is one.
    *request.uri_mut() = url.id().as_str().parse().unwrap_or_default();
    let headers = request.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::ACCEPT, json);
    let before = before.into_iter().flat_map(|before| &before.validators);
    for (name, value) in before {
        let condition = if name == header::ETAG {
            header::IF_NONE_MATCH
        } else {
            header::IF_MODIFIED_SINCE
        };
        headers.insert(condition, value.clone());
    }
    request
}

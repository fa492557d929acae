//! Documents that describe clients, fetched when a client is named and kept as long as they say.
//!
//! Anybody can name a URL here. So what is fetched is bounded: in size and time by the transport, and
//! by number, from each host and at a time, here.

use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};

use crate::jwt::jwks::{Jwks, VerificationKey};
use crate::oauth::client::{Client, ClientId, ClientKeys};
use crate::oauth::client_document::{
    ClientDocumentError, ClientDocumentUrl, ClientDocumentUrlError, DocumentHosts,
    UnverifiedClientDocument,
};
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::platform::{Platform, Timestamp, TransportError};

mod freshness;
mod ration;
mod shelf;

use ration::Rations;
use shelf::{Fetched, Shelf, Terms};

/// How long a document is used while its host gives no new one.
const LONGEST_OUTAGE: Duration = Duration::from_secs(3 * DAY);

const DOCUMENTS: Terms = Terms {
    most: 1000,
    longest_fresh: Duration::from_secs(DAY),
    longest_outage: LONGEST_OUTAGE,
};

/// A client that replaced a key, for it leaked, must not have to wait until the old one proves nothing.
const KEYS: Terms = Terms {
    most: 1000,
    longest_fresh: Duration::from_secs(HOUR),
    longest_outage: Duration::from_secs(DAY),
};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

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
    /// It is no set of keys.
    #[error("it is no set of keys")]
    Keys,
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
            Self::Transport(_) | Self::Status(_) | Self::Keys | Self::Busy => {
                "the client's document cannot be had"
            }
            Self::Document(error) => error.description(),
        }
    }

    /// Whether it may pass: then nothing is said against the client.
    ///
    /// A host that is not public is told by nothing from one that does not answer: names that only our
    /// resolver knows are nobody's business.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Transport(_) | Self::Busy => true,
            Self::Status(status) => {
                let slow_down = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || slow_down.contains(status)
            }
            Self::Url(_) | Self::Host | Self::Document(_) | Self::Keys => false,
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
    /// There was no answer, or none that helps.
    #[error(transparent)]
    Fetch(#[from] Arc<ClientFetchError>),
}

/// The documents that are known. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ClientDocuments {
    hosts: DocumentHosts,
    allowed_redirects: AllowedRedirects,
    clients: Shelf<Client>,
    keys: Shelf<Arc<Jwks>>,
}

impl ClientDocuments {
    /// Believes the documents of `hosts`, and in them the redirect URIs that are allowed.
    pub(crate) fn new(
        hosts: DocumentHosts,
        allowed_redirects: AllowedRedirects,
        platform: &Platform,
    ) -> Self {
        let rations = Arc::new(Rations::new());
        let platform = platform.among_strangers();
        Self {
            hosts,
            allowed_redirects,
            clients: Shelf::new(DOCUMENTS, Arc::clone(&rations), platform.clone()),
            keys: Shelf::new(KEYS, rations, platform),
        }
    }

    /// Keeps what `before` has fetched, as far as it would be believed now: in a document stand redirect
    /// URIs, which were held against those that were allowed.
    pub(crate) fn keeping(self, before: &Self) -> Self {
        let clients = if self.allowed_redirects == before.allowed_redirects {
            before.clients.clone()
        } else {
            self.clients
        };
        Self {
            clients,
            keys: before.keys.clone(),
            ..self
        }
    }

    /// Whether anybody's documents are believed.
    pub(crate) fn are_believed(&self) -> bool {
        self.hosts != DocumentHosts::None
    }

    /// Whether `client`, as a document describes it, is in use for the first time.
    pub(crate) fn is_first_use(&self, client: &Client) -> bool {
        let known = self.clients.last_seen(client.id().as_str());
        known.is_some_and(|known| known.is_first_use())
    }

    /// The client that the document at the URL `id` describes, if that can be told without asking
    /// anybody.
    pub(crate) fn at_hand(&self, id: &ClientId) -> Option<Result<Client, Arc<ClientFetchError>>> {
        if let Err(error) = self.url(id) {
            return Some(Err(error));
        }
        let ended = self.clients.at_hand(id.as_str())?;
        Some(ended.map(|fetched| client(&fetched)))
    }

    /// The client that the document at the URL `id` describes; `before` is what it said when its
    /// client was last in use.
    ///
    /// # Errors
    ///
    /// [`ClientFetchError`]: there is no document that may be believed.
    pub(crate) async fn client(
        &self,
        id: &ClientId,
        before: Option<&Client>,
    ) -> Result<Client, Arc<ClientFetchError>> {
        let url = self.url(id)?;
        let before = before.map(|client| Fetched::before(client.clone(), client.issued_at()));
        let host = url.host().to_owned();
        let allowed_redirects = self.allowed_redirects.clone();
        let read = move |body: &[u8]| {
            let document = UnverifiedClientDocument::read(body)?;
            let metadata = document.check(&url, &allowed_redirects)?;
            // When it was fetched is not the document's to say, and stands beside it.
            let unknown = Timestamp::default();
            Ok(Client::register(url.id().clone(), metadata, unknown))
        };
        let place = (id.as_str(), &*host);
        let fetched = self.clients.get(place, before, |_| true, read).await?;
        Ok(client(&fetched))
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
    ) -> Result<Option<VerificationKey>, ClientKeysError> {
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
                Ok(key.cloned())
            }
            ClientKeys::At(url) => {
                let Some(kid) = kid else { return Ok(None) };
                let parsed: Uri = url.parse().map_err(|_| ClientKeysError::Url)?;
                let host = parsed.host().ok_or(ClientKeysError::Url)?;
                let has = |keys: &Arc<Jwks>| keys.key(kid).is_some();
                let published = self.keys.get((url, host), None, has, read_keys).await?;
                Ok(published.value.key(kid).cloned())
            }
        }
    }

    fn url(&self, id: &ClientId) -> Result<ClientDocumentUrl, Arc<ClientFetchError>> {
        let url = ClientDocumentUrl::parse(id).map_err(|error| Arc::new(error.into()))?;
        if self.hosts.admit(url.host()) {
            Ok(url)
        } else {
            Err(Arc::new(ClientFetchError::Host))
        }
    }
}

/// A client as its document described it, and when.
fn client(fetched: &Fetched<Client>) -> Client {
    fetched.value.described_at(fetched.at)
}

fn read_keys(body: &[u8]) -> Result<Arc<Jwks>, ClientFetchError> {
    let keys = Jwks::parse(body).map_err(|_| ClientFetchError::Keys)?;
    Ok(Arc::new(keys))
}

//! Requests to where strangers say: to the public internet, and nowhere else.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Uri;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::public_address::is_public;
use super::system::{SystemHttp, SystemHttpError};
use super::{HttpTransport, TransportError};

/// How long an exchange may take, from the name's resolution to the last byte: the peer may be slow
/// on purpose, and a person waits.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How large a response may be.
const RESPONSE_LIMIT: usize = 64 * 1024;

/// Finds the addresses of a host.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync {
    /// All addresses of `host`.
    ///
    /// # Errors
    ///
    /// Why there are none.
    async fn addresses(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn addresses(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Where a stranger's URL may lead.
#[derive(Clone)]
#[non_exhaustive]
pub struct PublicWebSettings {
    /// What finds addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Certificate authorities (PEM) to trust besides the system's.
    pub certificate_authorities: Vec<u8>,
    /// The proxy that all requests go through, where there is one: it finds the addresses then, and
    /// it must know which of them are public. The environment's proxies are not used.
    pub egress_proxy: Option<String>,
    /// Addresses that are taken for public.
    ///
    /// # Security
    ///
    /// Strangers can have us ask whatever listens there. For tests alone.
    pub insecure_addresses: Vec<IpAddr>,
}

impl fmt::Debug for PublicWebSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL of a proxy may hold a password.
        f.debug_struct("PublicWebSettings")
            .field("resolver", &self.resolver)
            .field("insecure_addresses", &self.insecure_addresses)
            .finish_non_exhaustive()
    }
}

impl Default for PublicWebSettings {
    fn default() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            certificate_authorities: Vec::new(),
            egress_proxy: None,
            insecure_addresses: Vec::new(),
        }
    }
}

/// Sends requests to public addresses alone, over TLS.
///
/// Every address a host has must be public, and the connection goes to one of those that were
/// looked at: a name that changes its mind meanwhile is not asked again. The certificate is that of
/// the name.
#[derive(Clone, Debug)]
pub struct PublicWeb {
    http: SystemHttp,
    guard: Guard,
    through_proxy: bool,
}

/// Why a host is not asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPublic {
    /// It would be spoken to in plain text.
    #[error("only https is spoken to strangers' hosts")]
    Scheme,
    /// It is an address that is not public, or has one.
    #[error("the host is not at public addresses alone")]
    Address,
}

impl PublicWeb {
    /// Sets it up.
    ///
    /// # Errors
    ///
    /// [`SystemHttpError`] if there is no PEM certificate among the authorities and they are not empty, the
    /// proxy is no URL, or the system's roots cannot be loaded.
    pub fn new(settings: PublicWebSettings) -> Result<Self, SystemHttpError> {
        let guard = Guard {
            resolver: settings.resolver,
            insecure_addresses: settings.insecure_addresses.into(),
        };
        let builder = SystemHttp::builder(&settings.certificate_authorities)?
            .https_only(true)
            .timeout(EXCHANGE_TIMEOUT)
            // Each request looks at the addresses anew.
            .pool_max_idle_per_host(0)
            .no_proxy();
        let through_proxy = settings.egress_proxy.is_some();
        let builder = match settings.egress_proxy {
            Some(proxy) => {
                builder.proxy(reqwest::Proxy::all(proxy).map_err(SystemHttpError::from)?)
            }
            None => builder.dns_resolver(Arc::new(guard.clone())),
        };
        Ok(Self {
            http: SystemHttp::built(builder, RESPONSE_LIMIT)?,
            guard,
            through_proxy,
        })
    }

    /// What can be said before any name is resolved.
    fn admit(&self, uri: &Uri) -> Result<(), NotPublic> {
        if uri.scheme_str() != Some("https") {
            return Err(NotPublic::Scheme);
        }
        // As the client reads it, which knows more spellings of an address than one.
        let url = Url::parse(&uri.to_string()).map_err(|_| NotPublic::Address)?;
        let admitted = match url.host() {
            // No resolver is asked about these.
            Some(Host::Ipv4(address)) => self.guard.admits(address.into()),
            Some(Host::Ipv6(address)) => self.guard.admits(address.into()),
            // A proxy would resolve it, and may know no better.
            Some(Host::Domain(name)) => !(self.through_proxy && is_local(name)),
            None => false,
        };
        admitted.then_some(()).ok_or(NotPublic::Address)
    }
}

/// Whether a name means the machine itself, or its network (RFC 6761 §6.3, RFC 6762 §3, RFC 8375).
fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !host.contains('.')
        || [".localhost", ".local", ".internal", ".home.arpa"]
            .iter()
            .any(|suffix| host.ends_with(suffix))
}

#[async_trait]
impl HttpTransport for PublicWeb {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        if let Err(refused) = self.admit(request.uri()) {
            let host = request.uri().host().unwrap_or_default();
            return Err(TransportError::new(host, refused));
        }
        self.http.send(request).await
    }
}

/// Resolves names, to public addresses alone.
#[derive(Clone, Debug)]
struct Guard {
    resolver: Arc<dyn Resolver>,
    insecure_addresses: Arc<[IpAddr]>,
}

impl Guard {
    fn admits(&self, address: IpAddr) -> bool {
        is_public(address) || self.insecure_addresses.contains(&address)
    }

    async fn addresses(
        &self,
        host: &str,
    ) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.resolver.addresses(host).await?;
        if found.is_empty() {
            return Err(std::io::Error::from(std::io::ErrorKind::NotFound).into());
        }
        // One that is not is the sign of a trick, whatever the others are.
        if !found.iter().all(|address| self.admits(*address)) {
            return Err(NotPublic::Address.into());
        }
        Ok(found)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.addresses(name.as_str()).await?;
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

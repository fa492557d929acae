//! Managed identities as federated credentials: what Azure gives to the machine we run on is the
//! assertion (Microsoft, *configure an application to trust a managed identity*).

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use url::Url;

use crate::secret::IdentityHeader;

mod prover;

pub(crate) use prover::IdentityProver;

/// Where IMDS is on every virtual machine in Azure.
const IMDS: &str = "http://169.254.169.254";

/// A managed identity of what we run on, whose tokens the app registration trusts.
///
/// Only a user-assigned identity can be trusted, in a federated credential of the app
/// registration: issuer `https://login.microsoftonline.com/{tenant id}/v2.0`, subject its object
/// (principal) id, audience that of the cloud, `api://AzureADTokenExchange` in the public one.
///
/// Tokens are kept for half their life, and for the rest of it while there are no others.
///
/// # Security
///
/// IMDS is spoken to in plain HTTP, by a link-local address: let no proxy between
/// (`NO_PROXY=169.254.169.254`), for what comes back is who we are.
#[derive(Clone, Debug)]
pub struct ManagedIdentity {
    host: IdentityHost,
    identity: Option<Identity>,
    audience: Option<String>,
}

#[derive(Clone, Debug)]
enum IdentityHost {
    Imds {
        authority: String,
    },
    AppService {
        endpoint: String,
        header: IdentityHeader,
    },
}

#[derive(Clone, Debug)]
enum Identity {
    Client(String),
    Object(String),
    Resource(String),
}

impl ManagedIdentity {
    /// On virtual machines, scale sets and AKS nodes: the Instance Metadata Service.
    pub fn imds() -> Self {
        Self::imds_at(IMDS)
    }

    /// The same elsewhere, such as an emulator: what `AZURE_POD_IDENTITY_AUTHORITY_HOST` holds.
    pub fn imds_at(authority: impl Into<String>) -> Self {
        let authority = authority.into();
        Self::of(IdentityHost::Imds { authority })
    }

    /// On App Service, Functions and Container Apps: what `IDENTITY_ENDPOINT` and
    /// `IDENTITY_HEADER` hold.
    pub fn app_service(endpoint: impl Into<String>, header: impl Into<String>) -> Self {
        Self::of(IdentityHost::AppService {
            endpoint: endpoint.into(),
            header: IdentityHeader::new(header),
        })
    }

    const fn of(host: IdentityHost) -> Self {
        Self {
            host,
            identity: None,
            audience: None,
        }
    }

    /// The identity with this client id. Without a name it is the machine's only one.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.identity = Some(Identity::Client(client_id.into()));
        self
    }

    /// The identity with this object (principal) id.
    #[must_use]
    pub fn object_id(mut self, object_id: impl Into<String>) -> Self {
        self.identity = Some(Identity::Object(object_id.into()));
        self
    }

    /// The identity with this Azure resource id.
    #[must_use]
    pub fn resource_id(mut self, resource_id: impl Into<String>) -> Self {
        self.identity = Some(Identity::Resource(resource_id.into()));
        self
    }

    /// The audience of the federated credential, where it is not the cloud's.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// The one request that asks for a token for `audience`.
    fn question(&self, audience: &str) -> Option<Question> {
        let (base, version, header) = match &self.host {
            IdentityHost::Imds { authority } => {
                let authority = authority.trim_end_matches('/');
                let base = format!("{authority}/metadata/identity/oauth2/token");
                let metadata = HeaderValue::from_static("true");
                let header = (HeaderName::from_static("metadata"), metadata);
                (base, "2018-02-01", header)
            }
            IdentityHost::AppService { endpoint, header } => {
                let mut value = HeaderValue::from_str(header.expose()).ok()?;
                value.set_sensitive(true);
                let header = (HeaderName::from_static("x-identity-header"), value);
                (endpoint.clone(), "2019-08-01", header)
            }
        };
        let mut url = Url::parse(&base).ok()?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return None;
        }
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .append_pair("resource", audience)
            .extend_pairs(self.name());
        let uri = url.as_str().parse().ok()?;
        Some(Question { uri, header })
    }

    /// The identity, as its host calls it.
    fn name(&self) -> Option<(&'static str, &str)> {
        let imds = matches!(self.host, IdentityHost::Imds { .. });
        Some(match self.identity.as_ref()? {
            Identity::Client(id) => ("client_id", id),
            Identity::Object(id) if imds => ("object_id", id),
            Identity::Object(id) => ("principal_id", id),
            Identity::Resource(id) if imds => ("msi_res_id", id),
            Identity::Resource(id) => ("mi_res_id", id),
        })
    }
}

/// What is asked of the host, again and again.
#[derive(Clone, Debug)]
struct Question {
    uri: Uri,
    header: (HeaderName, HeaderValue),
}

impl Question {
    fn to_http(&self) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        request.uri_mut().clone_from(&self.uri);
        let (name, value) = self.header.clone();
        request.headers_mut().insert(name, value);
        request
    }
}

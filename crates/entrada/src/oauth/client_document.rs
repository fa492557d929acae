//! Clients whose identifier is the URL of a document that describes them (Client ID Metadata
//! Documents, draft-ietf-oauth-client-id-metadata-document; MCP authorization, *Client ID Metadata
//! Documents*).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use url::Url;

use super::client::{
    ClientAuthentication, ClientId, ClientKeys, ClientMetadata, ClientMetadataError,
    UnverifiedClientMetadata,
};
use super::error::ErrorResponse;
use super::redirect_uri::AllowedRedirects;

/// How large a document may be: five times what one usually takes.
pub(crate) const LONGEST_DOCUMENT: usize = 10 * 1024;

/// The identifier of a client that is described by the document at this URL.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ClientDocumentUrl(ClientId);

/// The identifier is no URL of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientDocumentUrlError {
    /// It is no `https` URL, or not spelled as browsers would: with dot segments, a default port,
    /// capital letters in its host.
    #[error("it is no https url in its one spelling")]
    Spelling,
    /// It names no document on its host.
    #[error("it has no path")]
    Path,
    /// It has a fragment, a user name or a password.
    #[error("it has a fragment or credentials")]
    Parts,
}

impl ClientDocumentUrl {
    /// Parses an identifier.
    ///
    /// # Errors
    ///
    /// [`ClientDocumentUrlError`]: it must not be fetched.
    pub fn parse(id: &ClientId) -> Result<Self, ClientDocumentUrlError> {
        use ClientDocumentUrlError as E;
        let url = Url::parse(id.as_str()).map_err(|_| E::Spelling)?;
        if url.scheme() != "https" || url.as_str() != id.as_str() {
            return Err(E::Spelling);
        }
        if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(E::Parts);
        }
        if url.path() == "/" {
            return Err(E::Path);
        }
        Ok(Self(id.clone()))
    }

    /// The URL, which is the client's identifier.
    pub fn id(&self) -> &ClientId {
        &self.0
    }

    /// The host that vouches for the client; names are in ASCII, so that look-alike letters show.
    pub fn host(&self) -> &str {
        let authority = self.0.as_str().split('/').nth(2).unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }
}

/// Whose documents are believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DocumentHosts {
    /// Those of any host.
    #[default]
    Any,
    /// Those of these hosts.
    Only(Vec<DocumentHost>),
    /// Nobody's: clients must register.
    None,
}

/// A host, or with `*.` before it all hosts below it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentHost(String);

/// The text names no host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("write a host such as claude.ai, or *.example.com for all below it")]
#[non_exhaustive]
pub struct DocumentHostError;

impl DocumentHost {
    /// Parses a host or a pattern.
    ///
    /// # Errors
    ///
    /// [`DocumentHostError`] if it is none, or not in its one spelling.
    pub fn parse(text: &str) -> Result<Self, DocumentHostError> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let url = Url::parse(&format!("https://{name}/")).map_err(|_| DocumentHostError)?;
        // The URL parser lets more stand in a host than a name holds.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.[:]".contains(&byte);
        let spelled = url.host_str() == Some(name) && name.bytes().all(plain);
        let several = text.len() == name.len() || name.contains('.');
        (spelled && several)
            .then(|| Self(text.to_owned()))
            .ok_or(DocumentHostError)
    }

    fn admits(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => host == self.0,
        }
    }
}

impl DocumentHosts {
    /// Whether the documents of `host` are believed.
    pub fn admit(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(hosts) => hosts.iter().any(|known| known.admits(host)),
            Self::None => false,
        }
    }
}

/// A document as it comes over the wire: nothing in it is checked.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct UnverifiedClientDocument<'a> {
    client_id: Option<String>,
    client_name: Option<String>,
    redirect_uris: Option<Vec<String>>,
    application_type: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    client_secret: Option<IgnoredAny>,
    dpop_bound_access_tokens: Option<bool>,
    #[serde(borrow)]
    jwks: Option<&'a RawValue>,
    jwks_uri: Option<String>,
}

/// Why a document was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientDocumentError {
    /// It is not a JSON object of client metadata.
    #[error("the document is not client metadata in json")]
    Malformed,
    /// It is larger than it may be.
    #[error("the document is too large")]
    TooLarge,
    /// It describes somebody else.
    #[error("client_id in the document is not its own url")]
    OtherClient,
    /// It does not say what the client is called.
    #[error("client_name is missing")]
    NoName,
    /// It holds a secret that everybody can read.
    #[error("the document holds a client_secret")]
    Secret,
    /// The client would prove itself by a secret, or in a way we do not know.
    #[error("token_endpoint_auth_method is neither none nor private_key_jwt")]
    AuthMethod,
    /// The keys are missing, said twice, or none.
    #[error("private_key_jwt takes either jwks or an https jwks_uri")]
    Keys,
    /// The rest breaks a rule of registration.
    #[error(transparent)]
    Metadata(#[from] ClientMetadataError),
}

impl ClientDocumentError {
    /// What whoever wrote the document is told.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Malformed => "the client's document is not client metadata in JSON",
            Self::TooLarge => "the client's document is larger than 10 KiB",
            Self::OtherClient => "client_id in the client's document is not its URL",
            Self::NoName => "client_name is missing in the client's document",
            Self::Secret => "the client's document must hold no client_secret",
            Self::AuthMethod => {
                "token_endpoint_auth_method in the client's document must be none or \
                 private_key_jwt"
            }
            Self::Keys => "private_key_jwt takes either jwks or an https jwks_uri",
            Self::Metadata(error) => ErrorResponse::from(error).error_description,
        }
    }
}

impl<'a> UnverifiedClientDocument<'a> {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`ClientDocumentError`] if it is too large, or no JSON object of client metadata.
    pub fn read(document: &'a [u8]) -> Result<Self, ClientDocumentError> {
        if document.len() > LONGEST_DOCUMENT {
            return Err(ClientDocumentError::TooLarge);
        }
        serde_json::from_slice(document).map_err(|_| ClientDocumentError::Malformed)
    }

    /// Checks what the document at `url` says.
    ///
    /// # Errors
    ///
    /// [`ClientDocumentError`], the first rule that is broken.
    pub fn check(
        self,
        url: &ClientDocumentUrl,
        allowed: &AllowedRedirects,
    ) -> Result<ClientMetadata, ClientDocumentError> {
        use ClientDocumentError as E;
        if self.client_id.as_deref() != Some(url.id().as_str()) {
            return Err(E::OtherClient);
        }
        if self.client_secret.is_some() {
            return Err(E::Secret);
        }
        let authentication = match self.token_endpoint_auth_method.as_deref() {
            None | Some("none") => ClientAuthentication::None,
            Some("private_key_jwt") => {
                let keys = keys(self.jwks, self.jwks_uri.as_deref());
                ClientAuthentication::PrivateKeyJwt(keys.ok_or(E::Keys)?)
            }
            Some(_) => return Err(E::AuthMethod),
        };
        let metadata = UnverifiedClientMetadata {
            redirect_uris: self.redirect_uris,
            client_name: self.client_name,
            application_type: self.application_type,
            grant_types: self.grant_types,
            response_types: self.response_types,
            token_endpoint_auth_method: None,
            dpop_bound_access_tokens: self.dpop_bound_access_tokens,
        };
        let metadata = metadata.check(allowed)?;
        if metadata.unverified_name().is_none() {
            return Err(E::NoName);
        }
        Ok(metadata.authenticated_by(authentication))
    }
}

/// The keys, said in one of two ways (RFC 7591 §2).
fn keys(jwks: Option<&RawValue>, jwks_uri: Option<&str>) -> Option<ClientKeys> {
    match (jwks, jwks_uri) {
        (Some(jwks), None) => Some(ClientKeys::Inline(jwks.get().to_owned())),
        (None, Some(uri)) => {
            let url = Url::parse(uri).ok()?;
            let bare = url.username().is_empty() && url.password().is_none();
            let fits = url.scheme() == "https" && bare && url.fragment().is_none();
            fits.then(|| ClientKeys::At(url.into()))
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://app.example/client.json";

    fn url(text: &str) -> Result<ClientDocumentUrl, ClientDocumentUrlError> {
        ClientDocumentUrl::parse(&ClientId::parse(text).unwrap())
    }

    #[test]
    fn a_document_has_one_url() {
        use ClientDocumentUrlError as E;
        for (text, expected) in [
            (URL, Ok("app.example")),
            ("https://app.example:8443/a/b?c", Ok("app.example")),
            ("https://xn--pple-43d.com/c", Ok("xn--pple-43d.com")),
            ("https://[2606:4700::1]/c", Ok("[2606:4700::1]")),
            ("https://[2606:4700::1]:8443/c", Ok("[2606:4700::1]")),
            ("https://1.1.1.1/c", Ok("1.1.1.1")),
            ("https://app.example", Err(E::Spelling)),
            ("https://app.example/", Err(E::Path)),
            ("https://app.example/?c", Err(E::Path)),
            ("http://app.example/c", Err(E::Spelling)),
            ("HTTPS://app.example/c", Err(E::Spelling)),
            ("https://App.example/c", Err(E::Spelling)),
            ("https://app.example:443/c", Err(E::Spelling)),
            ("https://app.example/../c", Err(E::Spelling)),
            ("https://app.example/a/./c", Err(E::Spelling)),
            ("https://app.example/a/%2e%2e/c", Err(E::Spelling)),
            ("https://app.example\\c", Err(E::Spelling)),
            ("https:app.example/c", Err(E::Spelling)),
            ("https://0x7f.1/c", Err(E::Spelling)),
            ("https://2130706433/c", Err(E::Spelling)),
            ("https://app.example/c#d", Err(E::Parts)),
            ("https://u@app.example/c", Err(E::Parts)),
            ("https://u:p@app.example/c", Err(E::Parts)),
            ("https://", Err(E::Spelling)),
        ] {
            let parsed = url(text);
            let host = parsed.as_ref().map(ClientDocumentUrl::host);
            assert_eq!(host.map_err(|error| *error), expected, "{text}");
        }
    }

    #[test]
    fn hosts_are_believed_by_name() {
        let only = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| DocumentHost::parse(host).unwrap());
            DocumentHosts::Only(hosts.collect())
        };
        for (hosts, host, expected) in [
            (DocumentHosts::Any, "any.example", true),
            (DocumentHosts::None, "any.example", false),
            (only(&["claude.ai"]), "claude.ai", true),
            (only(&["claude.ai"]), "www.claude.ai", false),
            (only(&["claude.ai"]), "claude.ai.evil.example", false),
            (only(&["*.example.com"]), "a.example.com", true),
            (only(&["*.example.com"]), "a.b.example.com", true),
            (only(&["*.example.com"]), "example.com", false),
            (only(&["*.example.com"]), ".example.com", false),
            (only(&["*.example.com"]), "evilexample.com", false),
            (only(&["a.example", "claude.ai"]), "claude.ai", true),
        ] {
            assert_eq!(hosts.admit(host), expected, "{hosts:?} {host}");
        }
        for wrong in [
            "",
            "*",
            "*.",
            "*.com",
            "a*.example",
            "https://a.example",
            "a.example/b",
            "a.example:443",
            "A.example",
            "a.*.example",
            "u@a.example",
        ] {
            assert!(DocumentHost::parse(wrong).is_err(), "{wrong}");
        }
    }

    fn checked(document: &str) -> Result<ClientMetadata, ClientDocumentError> {
        let url = url(URL).unwrap();
        UnverifiedClientDocument::read(document.as_bytes())?
            .check(&url, &AllowedRedirects::Registered)
    }

    /// A good document, with this member in place of the one of its name.
    fn document(member: &str) -> String {
        let name = member.split(':').next().unwrap();
        let good = [
            r#""client_id":"https://app.example/client.json""#,
            r#""client_name":"App""#,
            r#""redirect_uris":["http://localhost/cb","https://app.example/cb"]"#,
        ];
        let others = good.into_iter().filter(|other| !other.starts_with(name));
        let members: Vec<_> = others
            .chain([member])
            .filter(|member| !member.ends_with(':'))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    #[test]
    fn a_document_says_who_the_client_is() {
        use ClientDocumentError as E;
        use ClientMetadataError as M;
        for (member, expected) in [
            (r#""client_uri":"https://app.example""#, Ok(())),
            (r#""token_endpoint_auth_method":"none""#, Ok(())),
            (r#""grant_types":["authorization_code"]"#, Ok(())),
            (r#""scope":"a b""#, Ok(())),
            (r#""client_id":"#, Err(E::OtherClient)),
            (
                r#""client_id":"https://app.example/other""#,
                Err(E::OtherClient),
            ),
            (
                r#""client_id":"https://app.example/client.json/""#,
                Err(E::OtherClient),
            ),
            (r#""client_id":7"#, Err(E::Malformed)),
            (r#""client_name":"#, Err(E::NoName)),
            (r#""client_name":" \u200b""#, Err(E::NoName)),
            (r#""redirect_uris":"#, Err(E::Metadata(M::NoRedirectUri))),
            (
                r#""redirect_uris":["javascript:x"]"#,
                Err(E::Metadata(M::RedirectUris)),
            ),
            (r#""client_secret":"s""#, Err(E::Secret)),
            (
                r#""token_endpoint_auth_method":"client_secret_basic""#,
                Err(E::AuthMethod),
            ),
            (
                r#""token_endpoint_auth_method":"private_key_jwt""#,
                Err(E::Keys),
            ),
            (
                r#""response_types":["token"]"#,
                Err(E::Metadata(M::ResponseTypes)),
            ),
        ] {
            let document = document(member);
            assert_eq!(checked(&document).map(|_| ()), expected, "{document}");
        }
        for broken in ["", "[]", "null", "{", "\"x\""] {
            assert_eq!(checked(broken).map(|_| ()), Err(E::Malformed), "{broken}");
        }
        let twice = r#"{"client_id":"https://app.example/client.json","client_id":"x"}"#;
        assert_eq!(checked(twice).map(|_| ()), Err(E::Malformed));
        let large = document(&format!(
            "\"contacts\":\"{}\"",
            "x".repeat(LONGEST_DOCUMENT)
        ));
        assert_eq!(checked(&large).map(|_| ()), Err(E::TooLarge));
    }

    #[test]
    fn keys_are_said_in_one_way() {
        let of = |members: &str| {
            let method = r#""token_endpoint_auth_method":"private_key_jwt""#;
            let metadata = checked(&document(&format!("{method}{members}")));
            metadata.map(|metadata| metadata.authentication().clone())
        };
        let jwks = r#","jwks":{"keys": []}"#;
        let inline = ClientKeys::Inline(r#"{"keys": []}"#.to_owned());
        assert_eq!(of(jwks), Ok(ClientAuthentication::PrivateKeyJwt(inline)));
        let at = ClientKeys::At("https://app.example/keys".to_owned());
        let uri = r#","jwks_uri":"https://app.example/keys""#;
        assert_eq!(of(uri), Ok(ClientAuthentication::PrivateKeyJwt(at)));
        for wrong in [
            format!("{jwks}{uri}"),
            r#","jwks_uri":"http://app.example/keys""#.to_owned(),
            r#","jwks_uri":"https://u:p@app.example/keys""#.to_owned(),
            r#","jwks_uri":"keys""#.to_owned(),
        ] {
            assert_eq!(of(&wrong), Err(ClientDocumentError::Keys), "{wrong}");
        }
    }
}

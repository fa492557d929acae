//! Who the client is (RFC 6749 §2.3, RFC 7523 §2.2).

mod federated;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::form_urlencoded;

use crate::access_token::ClientProof;
use crate::authorize::request::Parameters;
use crate::calendar::round_trip;
use crate::directory::Directory;
use crate::directory::app::App;
use crate::error::Aadsts;
use crate::jwt::{Unverified, decode_thumbprint};
use crate::keys::{Certificate, hex};
use crate::state::State;
use crate::token::Exchange;

/// How far clocks may differ.
const SKEW: u64 = 300;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client showed.
pub(super) enum Credential {
    None,
    Secret(String),
    Assertion(String),
}

impl Credential {
    /// The client's id and credential, from the form or from `Authorization: Basic`.
    pub(super) fn presented(
        parameters: &Parameters,
        headers: &HeaderMap,
    ) -> Result<(String, Self), Aadsts> {
        if let Some((client_id, secret)) = basic_credentials(headers) {
            return Ok((client_id, Self::Secret(secret)));
        }
        let client_id = parameters.require("client_id")?.to_owned();
        let assertion = parameters
            .get("client_assertion")
            .filter(|_| parameters.get("client_assertion_type") == Some(ASSERTION_TYPE));
        let secret = parameters.get("client_secret");
        Ok(match (assertion, secret) {
            (Some(assertion), _) => (client_id, Self::Assertion(assertion.to_owned())),
            (None, Some(secret)) => (client_id, Self::Secret(secret.to_owned())),
            (None, None) => (client_id, Self::None),
        })
    }
}

/// What stands in `Authorization: Basic`, both halves of it form-encoded (RFC 6749 §2.3.1).
pub(crate) fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = text.split_once(':')?;
    let decoded = |half: &str| -> Option<String> {
        let pair = format!("x={half}");
        let (_, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
        Some(value.into_owned())
    };
    Some((decoded(client_id)?, decoded(secret)?))
}

impl Exchange<'_> {
    /// Checks what the client showed; showing nothing is decided by the grant.
    pub(super) fn authenticate(
        &self,
        client: &App,
        credential: &Credential,
        state: &State,
    ) -> Result<ClientProof, Aadsts> {
        match credential {
            Credential::None => Ok(ClientProof::None),
            Credential::Secret(_) | Credential::Assertion(_) if !client.has_credentials() => {
                Err(Aadsts::PublicClientCredential)
            }
            Credential::Secret(secret) => self.check_secret(client, secret),
            Credential::Assertion(assertion) => {
                self.check_assertion(client, assertion, state)?;
                Ok(ClientProof::Certificate)
            }
        }
    }

    fn check_secret(&self, client: &App, presented: &str) -> Result<ClientProof, Aadsts> {
        let known = client.secrets.iter().find(|known| known.value == presented);
        let Some(known) = known else {
            return Err(Aadsts::WrongSecret(client.client_id.clone()));
        };
        if known.expires.is_some_and(|expires| expires <= self.now()) {
            return Err(Aadsts::ExpiredSecret(client.client_id.clone()));
        }
        Ok(ClientProof::Secret)
    }

    fn check_assertion(&self, client: &App, assertion: &str, state: &State) -> Result<(), Aadsts> {
        let parsed = Unverified::parse(assertion).ok_or(Aadsts::ClientAssertionSignature)?;
        let certificate = named_certificate(client, &parsed);
        // What the client did not issue, nor sign, is a token of somebody else's.
        let own = parsed.text("iss") == Some(client.client_id.as_str());
        if !own && certificate.is_err() {
            return self.check_federated(client, &parsed, state);
        }
        let certificate = certificate?;
        if !parsed.is_signed_by(&certificate.public_key) {
            return Err(Aadsts::ClientAssertionSignature);
        }
        for name in ["iss", "sub"] {
            if parsed.text(name) != Some(client.client_id.as_str()) {
                return Err(Aadsts::ClientAssertionClaim(name));
            }
        }
        let audience = parsed.text("aud").unwrap_or_default();
        if !self
            .audiences(&state.directory)
            .iter()
            .any(|known| known == audience)
        {
            return Err(Aadsts::ClientAssertionAudience);
        }
        self.check_assertion_time(&parsed)
    }

    fn check_assertion_time(&self, parsed: &Unverified<'_>) -> Result<(), Aadsts> {
        let now = self.now();
        let from = parsed.seconds("nbf").unwrap_or_default();
        let to = parsed.seconds("exp").unwrap_or_default();
        if now.saturating_add(SKEW) < from || to.saturating_add(SKEW) <= now {
            return Err(Aadsts::ClientAssertionTime {
                now: round_trip(now),
                from: round_trip(from),
                to: round_trip(to),
            });
        }
        Ok(())
    }

    // The token endpoint however the tenant was named, or the issuer.
    fn audiences(&self, directory: &Directory) -> Vec<String> {
        let place = &self.call.place;
        let base = &place.base;
        let tenant = self.specifier.tenant(directory);
        let id = tenant.map(|tenant| tenant.id.as_str());
        let domain = tenant.map(|tenant| tenant.domain.as_str());
        let segments = [Some(self.segment), id, domain].into_iter().flatten();
        segments
            .flat_map(|segment| {
                [
                    format!("{base}/{segment}/oauth2/v2.0/token"),
                    format!("{base}/{segment}/oauth2/token"),
                    place.v2_issuer(segment),
                ]
            })
            .chain(tenant.map(|tenant| place.issuer_of(tenant)))
            .collect()
    }
}

// By SHA-256 or SHA-1 thumbprint, in whichever base64 it comes.
fn named_certificate(client: &App, parsed: &Unverified<'_>) -> Result<Certificate, Aadsts> {
    let thumbprint = |name| parsed.header_text(name).and_then(decode_thumbprint);
    let (sha256, sha1) = (thumbprint("x5t#S256"), thumbprint("x5t"));
    let certificates = client.certificates.iter();
    let mut registered = certificates.filter_map(|pem| Certificate::from_pem(pem));
    let found = registered.find(|known| {
        sha256.as_ref().is_some_and(|print| *print == known.sha256)
            || sha1.as_ref().is_some_and(|print| *print == known.sha1)
    });
    found.ok_or_else(|| {
        let shown = sha256.or(sha1).unwrap_or_default();
        Aadsts::CertificateUnknown {
            thumbprint: hex(&shown),
            client_id: client.client_id.clone(),
        }
    })
}

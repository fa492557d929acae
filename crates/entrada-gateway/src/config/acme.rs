//! The certificate that an authority issues to the gateway itself.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entrada::store::{StoreKind, StoreUrl};
use url::{Host, Url};

use crate::acme::{self, AcmeError, AcmeSettings, ExternalAccount};
use crate::config::provider::ProviderSettings;
use crate::config::source::Sources;
use crate::config::value;
use crate::tls::{CERTIFICATE, KEY};

const DOMAINS: &str = "acme_domains";
const TERMS: &str = "acme_accept_terms";
const CONTACT: &str = "acme_contact";
const DIRECTORY: &str = "acme_directory";
const EAB_ID: &str = "acme_eab_key_id";
const EAB_KEY: [&str; 2] = ["acme_eab_hmac_key", "acme_eab_hmac_key_file"];

/// Why terms are not agreed to by us.
const AGREE: &str = "a certificate is issued to whoever agrees to the authority's terms of service: read them, and \
                     write acme_accept_terms = true";

/// Why a certificate is not got where others have the same store.
const REPLICAS: &str = "the store is one that replicas share, and an authority that asks whether a name leads here \
                        may be led to another: let what distributes requests speak TLS, or cert-manager fetch a \
                        certificate for all of them (tls_certificate)";

/// What another port means.
const OTHER_PORT: &str = "base_url has another port than 443, and that is the one where the authority looks whether \
                          a name leads here: see that it does";

/// What it means to listen where no authority comes.
const LOOPBACK: &str = "this address is reached from this machine alone, and the authority that is to see that a name \
                        leads here comes from elsewhere: write one that it reaches, such as \"[::]:443\", unless \
                        something before the gateway passes TLS on to it as it comes";

/// What certificate is wanted, if one is; a problem where it cannot be had.
pub(super) fn read(sources: &mut Sources<'_>, provider: &ProviderSettings) -> Option<AcmeSettings> {
    for name in [
        TERMS,
        CONTACT,
        "acme_ca_file",
        EAB_ID,
        EAB_KEY[0],
        EAB_KEY[1],
    ] {
        sources.needs(name, &[DOMAINS]);
    }
    let external_account = external_account(sources);
    let contact = sources.parsed(CONTACT, contact);
    let directory = sources.parsed(DIRECTORY, directory);
    let authorities = sources.parsed("acme_ca_file", value::authorities);
    let accepted = sources.parsed(TERMS, value::switch);
    if !sources.is_given(DOMAINS) {
        if sources.is_set(DIRECTORY) {
            sources.needs(DIRECTORY, &[DOMAINS]);
        }
        return None;
    }
    if !acme::IS_BUILT {
        sources.refuse(DOMAINS, &AcmeError::NotBuilt.to_string());
    }
    for other in [CERTIFICATE, KEY] {
        sources.refuse(other, "there is acme_domains, too: take one away");
    }
    if accepted != Some(true) {
        sources.refuse(if accepted.is_some() { TERMS } else { DOMAINS }, AGREE);
    }
    let stores = [&provider.store.url, &provider.store.next];
    let mut kinds = stores.into_iter().flatten().map(StoreUrl::kind);
    if kinds.any(|kind| matches!(kind, StoreKind::Redis | StoreKind::Postgres)) {
        sources.refuse(DOMAINS, REPLICAS);
    }
    let port = Url::parse(&provider.base_url).ok();
    let port = port.and_then(|url| url.port_or_known_default());
    if port.is_some_and(|port| port != 443) {
        sources.warn(DOMAINS, OTHER_PORT);
    }
    let address = sources
        .text("listen")
        .and_then(|text| value::address(&text).ok());
    if address.is_some_and(|address| address.ip().is_loopback()) {
        sources.warn("listen", LOOPBACK);
    }
    let domains = domains(sources, provider);
    Some(AcmeSettings {
        contact,
        authorities: authorities.unwrap_or_default(),
        external_account,
        ..AcmeSettings::new(
            domains?,
            directory?,
            Path::new(&provider.data_dir).join("acme"),
        )
    })
}

/// The names, all that are served among them.
fn domains(sources: &mut Sources<'_>, provider: &ProviderSettings) -> Option<Vec<String>> {
    let named = sources.only(DOMAINS);
    let mut domains = Vec::new();
    for name in &named {
        match domain(name) {
            Ok(name) if domains.contains(&name) => {}
            Ok(name) => domains.push(name),
            Err(what) => sources.refuse(DOMAINS, &format!("{name:?}: {what}")),
        }
    }
    if domains.len() < named.len() && domains.is_empty() {
        return None;
    }
    for host in served(provider) {
        if !domains.contains(&host) {
            let what = format!(
                "{host} is served too, and is not among them: clients would be shown a certificate for others"
            );
            sources.refuse(DOMAINS, &what);
        }
    }
    Some(domains)
}

/// The hosts that clients come to.
fn served(provider: &ProviderSettings) -> BTreeSet<String> {
    let routes = provider.resources.iter();
    let routes = routes.filter_map(|resource| resource.host.as_ref());
    let routes = routes.map(|host| format!("https://{host}/"));
    let urls = routes.chain([provider.base_url.clone()]);
    let hosts = urls.filter_map(|url| Some(Url::parse(&url).ok()?.host_str()?.to_owned()));
    hosts.collect()
}

/// A name that an authority can be shown to lead here: neither an address nor all names below one (RFC 8737 §3).
fn domain(text: &str) -> Result<String, String> {
    if text.starts_with("*.") {
        return Err("an authority issues nothing for * by this way of showing that a name leads here: write each name"
            .to_owned());
    }
    let written = text.to_ascii_lowercase();
    let plain = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty()
            && label.len() <= 63
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match Host::parse(&written) {
        Ok(Host::Domain(name)) if name == written && name.len() <= 253 && name.split('.').all(plain) => {
            Ok(name)
        }
        Ok(_) | Err(_) => Err(
            "write names such as mcp.example.com, without a port; others than of letters, digits and - in the form \
             xn--"
                .to_owned(),
        ),
    }
}

/// An address of mail, and one alone (RFC 8555 §7.3).
fn contact(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",?%<>\"()\\:;[]".contains(&byte);
    match text.split_once('@') {
        Some((user, host))
            if text.bytes().all(plain)
                && !user.is_empty()
                && !host.is_empty()
                && !host.contains('@') =>
        {
            Ok(text.to_owned())
        }
        Some(_) | None => Err("write one address, such as operations@example.com".to_owned()),
    }
}

/// The URL of a directory, never in clear but on this machine.
fn directory(text: &str) -> Result<Url, String> {
    let url = value::upstream(text).map_err(|_| {
        "write the URL of the authority's directory, such as https://ca.internal/acme/acme/directory"
            .to_owned()
    })?;
    if url.scheme() == "https" || acme::is_local(&url) {
        return Ok(url);
    }
    Err("an authority is asked over https://, unless it is on this machine".to_owned())
}

/// The account there is already, if one is named.
fn external_account(sources: &mut Sources<'_>) -> Option<ExternalAccount> {
    sources.needs(EAB_ID, &EAB_KEY);
    for key in EAB_KEY {
        sources.needs(key, &[EAB_ID]);
    }
    let key = sources.secret(EAB_KEY[0], EAB_KEY[1])?;
    let decoded = URL_SAFE_NO_PAD.decode(key.expose().trim_end_matches('='));
    if !decoded.is_ok_and(|key| !key.is_empty()) {
        let name = if sources.is_given(EAB_KEY[0]) {
            EAB_KEY[0]
        } else {
            EAB_KEY[1]
        };
        sources.refuse(name, "is not base64url, as authorities write such a key");
        return None;
    }
    Some(ExternalAccount::new(sources.text(EAB_ID)?, key))
}

//! How the values of settings are written.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use entrada::authorization_server::{ClientRegistrations, ConsentMode, RateLimits};
use entrada::dpop::Dpop;
use entrada::entra::cloud::Cloud;
use entrada::grant::Remember;
use entrada::jwt::jwks::Algorithm;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use crate::health::is_probe;

/// The URL of an MCP server: `http` or `https`, without credentials or fragment.
pub(super) fn upstream(text: &str) -> Result<Url, String> {
    let form = "write a URL such as http://127.0.0.1:3000/mcp";
    let url = Url::parse(text).map_err(|error| format!("not a URL ({error}): {form}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("neither http:// nor https://: {form}"));
    }
    without_credentials(&url)?;
    if url.fragment().is_some() {
        return Err("take the # and what follows out of the URL".to_owned());
    }
    Ok(url)
}

/// Settings are seen by others and stand in files that are shared.
fn without_credentials(url: &Url) -> Result<(), String> {
    if url.username().is_empty() && url.password().is_none() {
        Ok(())
    } else {
        Err("take the user name and password out of the URL".to_owned())
    }
}

/// An IP address and a port. `localhost` is loopback, whatever a resolver would say
/// (RFC 6761 §6.3).
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let named = text
        .rsplit_once(':')
        .filter(|(host, _)| host.eq_ignore_ascii_case("localhost"));
    let found = match named.map(|(_, port)| port.parse()) {
        Some(port) => port
            .ok()
            .map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().ok(),
    };
    found.ok_or_else(|| "write an IP address and a port, such as 127.0.0.1:8000".to_owned())
}

/// Whether `text` is an id as Entra writes them.
pub(super) fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    lengths == [8, 4, 4, 4, 12] && parts.into_iter().all(is_hex)
}

/// A time: `90s`, `15m`, `8h`, `30d`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];
    let (number, unit) = split(text);
    let unit = if unit.is_empty() { "s" } else { unit };
    let seconds = units.iter().find(|(name, _)| *name == unit);
    let seconds =
        seconds.and_then(|(_, seconds)| number.parse::<u64>().ok()?.checked_mul(*seconds));
    match seconds {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err("write a time such as 90s, 15m, 8h or 30d".to_owned()),
    }
}

/// A [`duration`], or `none` for no limit.
pub(super) fn timeout(text: &str) -> Result<Option<Duration>, String> {
    if text == "none" {
        return Ok(None);
    }
    duration(text)
        .map(Some)
        .map_err(|what| format!("{what}, or none"))
}

/// How old a key becomes, a day at least, or `none`: each that is replaced is kept for years.
pub(super) fn rotation(text: &str) -> Result<Option<Duration>, String> {
    match timeout(text)? {
        Some(every) if every < Duration::from_secs(86_400) => {
            Err("write a day at least, such as 90d, or none".to_owned())
        }
        every => Ok(every),
    }
}

/// How many there may be, or `none`, for as many as come.
pub(super) fn most(text: &str) -> Result<Option<u32>, String> {
    if text == "none" {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|number| *number > 0);
    let number = number.ok_or("write how many, such as 1000, or none")?;
    Ok(Some(number))
}

/// A number of bytes: `65536`, `512KiB`, `4MiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = [
        ("", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let (number, unit) = split(text);
    let bytes = units.iter().find(|(name, _)| *name == unit);
    let bytes = bytes.and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes));
    match bytes {
        Some(0) => Err("lets no request in: write a size such as 512KiB or 4MiB".to_owned()),
        Some(bytes) => Ok(bytes),
        None => Err("write a size such as 512KiB or 4MiB".to_owned()),
    }
}

/// A path on this gateway.
pub(super) fn path(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let segments = text.strip_prefix('/').unwrap_or_default();
    let empty = segments.split('/').any(str::is_empty);
    if (text != "/" && empty) || !segments.bytes().all(|byte| byte == b'/' || plain(byte)) {
        return Err("write a path such as /mcp, of letters, digits, and - . _ ~".to_owned());
    }
    if is_probe(text) {
        return Err("that path is a probe: choose another".to_owned());
    }
    Ok(text.to_owned())
}

/// A host that a server has to itself, with its port where that is not the usual one.
pub(super) fn host(text: &str) -> Result<String, String> {
    let url = Url::parse(&format!("https://{text}/")).ok();
    let written = url.as_ref().and_then(|url| {
        let port = url.port().map(|port| format!(":{port}"));
        Some(format!("{}{}", url.host_str()?, port.unwrap_or_default()))
    });
    match written {
        Some(written) if written == text.to_ascii_lowercase() => Ok(written),
        Some(_) | None => Err(
            "write a host such as orders.example.com, with a port where it is not the usual one"
                .to_owned(),
        ),
    }
}

/// The client id of an identity.
pub(super) fn client_id(text: &str) -> Result<String, String> {
    let groups = text.split('-').map(str::len);
    let plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if groups.eq([8, 4, 4, 4, 12]) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("write the identity's client id, a GUID".to_owned())
    }
}

/// The hosts whose documents are believed; none for `none`.
pub(super) fn document_hosts(hosts: Vec<String>) -> Result<Vec<String>, String> {
    match &*hosts {
        [none] if none == "none" => Ok(Vec::new()),
        _ if hosts.iter().any(|host| host == "none") => {
            Err("none stands alone: take it out, or the hosts".to_owned())
        }
        _ => Ok(hosts),
    }
}

/// The URL of a proxy.
pub(super) fn proxy(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| "write a URL such as http://proxy.internal:3128".to_owned())?;
    without_credentials(&url)?;
    Ok(url)
}

/// Where what clients register is kept.
pub(super) fn client_registrations(text: &str) -> Result<ClientRegistrations, String> {
    match text {
        "stored" => Ok(ClientRegistrations::Stored),
        "held" => Ok(ClientRegistrations::Held),
        _ => Err("write stored or held".to_owned()),
    }
}

/// When users are asked.
pub(super) fn consent(text: &str) -> Result<ConsentMode, String> {
    match text {
        "always" => Ok(ConsentMode::Always),
        "remember" => Ok(ConsentMode::Remember(Remember::default())),
        "external" => Ok(ConsentMode::External),
        _ => Err("write always, remember or external".to_owned()),
    }
}

/// Whether clients bind their tokens to a key.
pub(super) fn dpop(text: &str) -> Result<Dpop, String> {
    match text {
        "off" => Ok(Dpop::Off),
        "optional" => Ok(Dpop::Optional),
        "required" => Ok(Dpop::Required),
        _ => Err("write off, optional or required".to_owned()),
    }
}

/// Whether requests are counted.
pub(super) fn rate_limits(text: &str) -> Result<RateLimits, String> {
    match text {
        "default" => Ok(RateLimits::default()),
        "none" => Ok(RateLimits::NONE),
        _ => Err("write default or none".to_owned()),
    }
}

/// IP addresses, apart by spaces or commas.
pub(super) fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse()
                .map_err(|_| format!("{word:?} is no IP address"))
        })
        .collect()
}

/// The content of the file called so, which has a certificate in PEM at least.
pub(crate) fn authorities(text: &str) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(text).map_err(|error| unreadable(text, &error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("the file has no certificate in PEM".to_owned()),
        Ok(_) => Ok(pem),
        Err(error) => Err(format!("the file is no PEM with certificates: {error}")),
    }
}

/// Why the file called so cannot be read, in words that do not hold its name.
pub(super) fn unreadable(name: &str, error: &std::io::Error) -> String {
    let begins = if error.kind() == ErrorKind::NotFound && Path::new(name).is_relative() {
        "; a path that is not absolute begins in the directory this is started in"
    } else {
        ""
    };
    format!("the file cannot be read: {error}{begins}")
}

/// One of the algorithms we sign with.
pub(crate) fn signing_algorithm(text: &str) -> Result<Algorithm, String> {
    match text {
        "ES256" => Ok(Algorithm::Es256),
        "EdDSA" => Ok(Algorithm::EdDsa),
        _ => Err("write ES256 or EdDSA".to_owned()),
    }
}

/// One of the clouds there are.
pub(super) fn cloud(text: &str) -> Result<Cloud, String> {
    Cloud::named(text).ok_or_else(|| {
        let names = Cloud::ALL.map(Cloud::name).join(", ");
        format!("write one of {names}")
    })
}

/// `true` or `false`.
pub(in crate::config) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "write true or false".to_owned())
}

/// The number at the start of `text`, and the rest.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

//! A certificate that is fetched.

use super::*;

const DOMAINS: (&str, &str) = ("ENTRADA_ACME_DOMAINS", "mcp.example.com");
const TERMS: (&str, &str) = ("ENTRADA_ACME_ACCEPT_TERMS", "true");
/// The key of RFC 8555 §7.3.4 is any; this is one.
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

#[test]
fn what_is_wanted_of_whom_is_read_and_nobody_is_asked_who_was_not_named() {
    assert!(read(&[], &least_and(&[])).unwrap().acme.is_none());
    let settings = read(&[], &least_and(&[DOMAINS, TERMS])).unwrap();
    assert!(settings.tls.is_none());
    let acme = settings.acme.unwrap();
    assert_eq!(acme.domains, ["mcp.example.com"]);
    assert_eq!(acme.directory.as_str(), crate::acme::LETS_ENCRYPT);
    assert_eq!(acme.folder, PathBuf::from("entrada-data/acme"));
    assert!(acme.external_account.is_none() && acme.contact.is_none());

    let key = file(&format!("{KEY}\n"));
    let key = key.path().to_str().unwrap();
    let more = [
        (
            "ENTRADA_ACME_DOMAINS",
            "MCP.example.com, b.example.com mcp.example.com",
        ),
        TERMS,
        ("ENTRADA_ACME_CONTACT", "ops+mcp@example.com"),
        (
            "ENTRADA_ACME_DIRECTORY",
            "https://ca.internal/acme/directory",
        ),
        ("ENTRADA_ACME_EAB_KEY_ID", "kid-1"),
        ("ENTRADA_ACME_EAB_HMAC_KEY_FILE", key),
    ];
    let acme = read(&[], &least_and(&more)).unwrap().acme.unwrap();
    assert_eq!(acme.domains, ["mcp.example.com", "b.example.com"]);
    let account = acme.external_account.as_ref().unwrap();
    assert_eq!((account.key_id.as_str(), account.key()), ("kid-1", KEY));
    assert!(!format!("{acme:?}").contains(KEY));
}

/// What is set beside the least, the setting that is wrong then, and what is told of it.
type Case = (
    Vec<(&'static str, &'static str)>,
    &'static str,
    &'static str,
);

/// Each has one problem, with this setting, that says so.
fn each_is_refused(cases: &[Case]) {
    for (more, named, told) in cases {
        let found = problems(&[], &least_and(more));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(named), "{found:?}");
        assert!(found[0].contains(told), "{found:?}");
        assert!(!found[0].contains(KEY) && !found[0].contains("no key!"));
    }
}

#[test]
fn names_and_authorities_that_cannot_be_had_are_told() {
    let at = |directory| ("ENTRADA_ACME_DIRECTORY", directory);
    let domains = |names| ("ENTRADA_ACME_DOMAINS", names);
    each_is_refused(&[
        (
            vec![DOMAINS],
            "ENTRADA_ACME_DOMAINS",
            "acme_accept_terms = true",
        ),
        (
            vec![DOMAINS, ("ENTRADA_ACME_ACCEPT_TERMS", "false")],
            "ENTRADA_ACME_ACCEPT_TERMS",
            "acme_accept_terms = true",
        ),
        (
            vec![TERMS],
            "ENTRADA_ACME_ACCEPT_TERMS",
            "without acme_domains",
        ),
        (
            vec![at("https://ca.internal/")],
            "ENTRADA_ACME_DIRECTORY",
            "without acme_domains",
        ),
        (
            vec![domains("a.example.com"), TERMS],
            "ENTRADA_ACME_DOMAINS",
            "mcp.example.com is served too",
        ),
        (
            vec![domains("mcp.example.com *.example.com"), TERMS],
            "ENTRADA_ACME_DOMAINS",
            "\"*.example.com\": an authority issues nothing for *",
        ),
        (
            vec![domains("mcp.example.com 192.0.2.1"), TERMS],
            "ENTRADA_ACME_DOMAINS",
            "write names",
        ),
        (
            vec![domains("mcp.example.com a:443"), TERMS],
            "ENTRADA_ACME_DOMAINS",
            "\"a:443\": write names",
        ),
        (
            vec![domains("mcp.example.com bücher.de"), TERMS],
            "ENTRADA_ACME_DOMAINS",
            "xn--",
        ),
        (
            vec![domains("mcp.example.com a_b.de"), TERMS],
            "ENTRADA_ACME_DOMAINS",
            "write names",
        ),
        (
            vec![DOMAINS, TERMS, at("http://ca.internal/dir")],
            "ENTRADA_ACME_DIRECTORY",
            "https://",
        ),
        (
            vec![DOMAINS, TERMS, at("ca.internal")],
            "ENTRADA_ACME_DIRECTORY",
            "the URL",
        ),
    ]);
    // On this machine there may be an authority in clear.
    let local = [DOMAINS, TERMS, at("http://127.0.0.1:14000/dir")];
    assert!(read(&[], &least_and(&local)).is_ok());
}

#[test]
fn what_is_wrong_with_an_account_is_told_and_not_its_key() {
    let (contact, id) = ("ENTRADA_ACME_CONTACT", "ENTRADA_ACME_EAB_KEY_ID");
    let key = "ENTRADA_ACME_EAB_HMAC_KEY";
    each_is_refused(&[
        (
            vec![DOMAINS, TERMS, (contact, "mailto:ops@example.com")],
            contact,
            "one address",
        ),
        (
            vec![DOMAINS, TERMS, (contact, "a@b.de,c@d.de")],
            contact,
            "one address",
        ),
        (
            vec![DOMAINS, TERMS, (id, "kid-1")],
            id,
            "without acme_eab_hmac_key",
        ),
        (
            vec![DOMAINS, TERMS, (key, KEY)],
            key,
            "without acme_eab_key_id",
        ),
        (
            vec![DOMAINS, TERMS, (id, "kid-1"), (key, "no key!")],
            key,
            "base64url",
        ),
        (
            vec![DOMAINS, TERMS, ("ENTRADA_ACME_CA_FILE", "/nowhere")],
            "ENTRADA_ACME_CA_FILE",
            "cannot be read",
        ),
    ]);
}

#[test]
fn a_host_of_a_route_needs_the_certificate_too() {
    let text =
        "[[route]]\nhost = \"orders.example.com\"\nupstream = \"http://127.0.0.1:3000/mcp\"\n";
    let file = file(text);
    let config = ("ENTRADA_CONFIG", file.path().to_str().unwrap());
    let least: Vec<_> = LEAST
        .into_iter()
        .filter(|(name, _)| *name != "ENTRADA_UPSTREAM")
        .collect();
    let variables = |names| {
        [
            &[config, TERMS, ("ENTRADA_ACME_DOMAINS", names)],
            &least[..],
        ]
        .concat()
    };
    let found = problems(&[], &variables("mcp.example.com"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("orders.example.com is served too"),
        "{found:?}"
    );
    let both = "mcp.example.com orders.example.com";
    assert!(read(&[], &variables(both)).unwrap().acme.is_some());
}

#[test]
fn replicas_and_files_exclude_it() {
    for store in [
        "redis://127.0.0.1",
        "postgres://e@127.0.0.1/e?sslmode=disable",
    ] {
        let found = problems(&[], &least_and(&[DOMAINS, TERMS, ("ENTRADA_STORE", store)]));
        let told = found.iter().any(|problem| problem.contains("cert-manager"));
        assert!(told, "{found:?}");
    }
    for store in ["memory:", "file:/tmp/grants.redb"] {
        let settings = read(&[], &least_and(&[DOMAINS, TERMS, ("ENTRADA_STORE", store)]));
        assert!(settings.unwrap().acme.is_some(), "{store}");
    }
    let line = ["--tls-certificate", "/nowhere", "--tls-key", "/nowhere"];
    let found = problems(&line, &least_and(&[DOMAINS, TERMS]));
    let both = found
        .iter()
        .filter(|it| it.contains("there is acme_domains, too"));
    assert_eq!(both.count(), 2, "{found:?}");
}

#[test]
fn another_port_than_443_is_warned_of() {
    for (base_url, warned) in [
        ("https://mcp.example.com", 0),
        ("https://mcp.example.com:443/mcp-gateway", 0),
        ("https://mcp.example.com:8443", 1),
    ] {
        let variables = [
            &[("ENTRADA_BASE_URL", base_url), DOMAINS, TERMS],
            &LEAST[..5],
        ]
        .concat();
        let settings = read(&[], &variables).unwrap();
        let warnings = settings.warnings.iter().map(Problem::to_string);
        let of_port = warnings.filter(|it| it.contains("another port than 443"));
        assert_eq!(of_port.count(), warned, "{base_url}");
    }
}

#[test]
fn an_address_that_no_authority_reaches_is_warned_of_and_not_refused() {
    let of = |listen| {
        let more = [DOMAINS, TERMS, ("ENTRADA_LISTEN", listen)];
        let settings = read(&[], &least_and(&more)).unwrap();
        let told = settings.warnings.iter().map(ToString::to_string);
        told.filter(|told| told.contains("passes TLS on"))
            .collect::<Vec<_>>()
    };
    for listen in ["127.0.0.1:8443", "[::1]:443"] {
        let told = of(listen);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("ENTRADA_LISTEN: this address"),
            "{told:?}"
        );
    }
    for listen in ["0.0.0.0:443", "[::]:443", "192.0.2.7:443"] {
        assert_eq!(of(listen), [""; 0], "{listen}");
    }
    let settings = read(&[], &least_and(&[DOMAINS, TERMS])).unwrap();
    let told = settings.warnings[0].to_string();
    assert!(told.starts_with("listen: this address"), "{told}");
}

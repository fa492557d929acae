//! A certificate that is fetched.

use crate::acme::LETS_ENCRYPT;
use crate::config::table::{Place, Setting, setting};

const ACME: &str = "A certificate by ACME (RFC 8555)";

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        ACME,
        "acme_domains",
        "NAMES",
        "Speak TLS with a certificate for these names, which an authority issues and renews by itself: those in \
         base_url and of the routes; it comes to port 443 of each to see that they lead here [default: none]",
    ),
    setting(
        ACME,
        "acme_accept_terms",
        "BOOL",
        "That you agree to the authority's terms of service, as it must be told",
    ),
    setting(
        ACME,
        "acme_contact",
        "EMAIL",
        "Where the authority may write to [default: nowhere]",
    ),
    setting(
        ACME,
        "acme_directory",
        "URL",
        "The authority, by the URL of its directory",
    )
    .or(LETS_ENCRYPT),
    setting(
        ACME,
        "acme_ca_file",
        "FILE",
        "Certificate authorities (PEM) to trust besides the system's when it is asked, for one of your own",
    ),
    setting(
        ACME,
        "acme_eab_key_id",
        "ID",
        "The id of the key that ties this gateway to an account there is already, where the authority wants that",
    ),
    setting(
        ACME,
        "acme_eab_hmac_key",
        "SECRET",
        "That key, in base64url as the authority gave it",
    )
    .only(Place::OnlyInEnvironment),
    setting(ACME, "acme_eab_hmac_key_file", "FILE", "A file with it"),
];

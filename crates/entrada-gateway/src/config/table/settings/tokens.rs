//! Tokens and clients.

use crate::config::table::{OfRoute, Place, Setting, setting};

const TOKENS: &str = "Tokens and clients";

pub(super) const SETTINGS: &[Setting] = &[
    setting(TOKENS, "data_dir", "DIR", "Where keys and grants are kept").or("entrada-data"),
    setting(
        TOKENS,
        "store",
        "URL",
        "Where grants are kept instead: redis://HOST, rediss://HOST (with TLS), \
         rediss+sentinel://HOST,HOST/NAME, rediss+cluster://HOST,HOST, postgres://USER@HOST/DATABASE, \
         file:/PATH or memory: [default: grants.redb in the data_dir]",
    ),
    setting(
        TOKENS,
        "store_password_file",
        "FILE",
        "A file that holds the password of the store, and nothing else; in ENTRADA_STORE it may also \
         stand in the URL",
    ),
    setting(
        TOKENS,
        "store_next",
        "URL",
        "The store that grants will move to: the first step of a move, while replicas run that know \
         nothing of it",
    ),
    setting(
        TOKENS,
        "store_next_password_file",
        "FILE",
        "A file that holds its password, and nothing else",
    ),
    setting(
        TOKENS,
        "store_before",
        "URL",
        "The store that grants move from, to store: the second step, once all replicas have taken the \
         first. Out of a file this process moves them by itself",
    ),
    setting(
        TOKENS,
        "store_before_password_file",
        "FILE",
        "A file that holds its password, and nothing else",
    ),
    setting(
        TOKENS,
        "key_encryption_key",
        "KEY",
        "Keep the keys in the store, where all replicas find them, sealed with this one; older ones may \
         follow, which still open them (`entrada keys new-encryption-key` makes one)",
    )
    .only(Place::OnlyInEnvironment),
    setting(
        TOKENS,
        "key_encryption_key_file",
        "FILE",
        "A file that holds what key_encryption_key would: a key a line, the newest first [default: the \
         keys are in keys.json in the data_dir]",
    ),
    setting(
        TOKENS,
        "issuer_url",
        "URL",
        "The issuer of our tokens [default: the base URL]",
    ),
    setting(
        TOKENS,
        "access_token_lifetime",
        "TIME",
        "How long an access token lives [default: 1h]",
    ),
    setting(
        TOKENS,
        "refresh_token_lifetime",
        "TIME",
        "How long a refresh token may lie unused [default: 90d]",
    ),
    setting(
        TOKENS,
        "signing_algorithm",
        "ALGORITHM",
        "What signs access tokens: ES256 or EdDSA [default: ES256]",
    ),
    setting(
        TOKENS,
        "dpop",
        "MODE",
        "optional: clients may bind their tokens to a key (DPoP), which makes them useless to whoever \
         steals them; required: all must; off: none can",
    )
    .or("optional"),
    setting(
        TOKENS,
        "dpop_nonce",
        "BOOL",
        "Want in each proof of a key what this gateway gave the client within the last five minutes, \
         so that none can be made ahead",
    ),
    setting(
        TOKENS,
        "key_rotation",
        "TIME",
        "How old the newest key becomes before a new one replaces it, or none; old ones are honoured \
         for as long as they are needed",
    )
    .or("90d"),
    setting(
        TOKENS,
        "client_registrations",
        "MODE",
        "stored: what clients register is kept here; held: it is their id, sealed, so that registering \
         costs no room",
    )
    .or("stored"),
    setting(
        TOKENS,
        "consent",
        "MODE",
        "always: users are asked at every login; remember: once for each app, and again when it wants \
         more; external: something before this gateway asks them",
    )
    .or("always"),
    setting(
        TOKENS,
        "consent_lifetime",
        "TIME",
        "How long their answer is remembered [default: 90d]",
    ),
    setting(
        TOKENS,
        "ask_for_apps_on_device",
        "BOOL",
        "Whether they are asked at every login all the same where the app runs on their own device",
    ),
    setting(
        TOKENS,
        "pre_approved_clients",
        "IDS",
        "Clients whose users are not asked, by id or by the URL of their document [default: none]",
    ),
    setting(
        TOKENS,
        "allowed_client_redirect_uris",
        "URIS",
        "The only redirect URIs clients may use, such as http://localhost/** or \
         https://*.example.com/callback [default: those they register]",
    ),
    setting(
        TOKENS,
        "client_document_hosts",
        "HOSTS",
        "The only hosts whose documents describe clients, such as claude.ai or *.example.com, or \
         none: clients must then register [default: any host]",
    ),
    setting(
        TOKENS,
        "egress_proxy",
        "URL",
        "The proxy that clients' documents are fetched through; it must know which addresses are \
         public [default: no proxy, and public addresses alone]",
    ),
    setting(
        TOKENS,
        "insecure_document_addresses",
        "ADDRESSES",
        "IP addresses that clients' documents may be fetched from though they are not public: for \
         tests, for strangers can have us ask whatever listens there",
    ),
    setting(
        TOKENS,
        "rate_limits",
        "MODE",
        "default: how often one address may register, sign in and ask for tokens is limited; none: \
         something before this gateway limits it",
    )
    .or("default"),
    setting(
        TOKENS,
        "trusted_proxies",
        "ADDRESSES",
        "The proxies before this gateway, by address or network such as 10.0.0.0/8, whose \
         X-Forwarded-For says where a request comes from [default: none]",
    ),
    setting(
        TOKENS,
        "allowed_origins",
        "ORIGINS",
        "Origins whose web pages may call the server [default: none]",
    )
    .of_route(OfRoute::Inherited),
];

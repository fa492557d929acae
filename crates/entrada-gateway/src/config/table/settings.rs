//! The settings themselves, under their headings.

use super::{OfRoute, Place, Setting, setting};

const PROTECT: &str = "What to protect";
const ENTRA: &str = "Microsoft Entra ID";
const TOKENS: &str = "Tokens and clients";
const FORWARD: &str = "What the MCP server sees";
const STDIO: &str = "An MCP server that speaks stdio";
const POLICY: &str = "Who may call what";
const LIMITS: &str = "How many may call";
const OPERATORS: &str = "Operators";
const PROCESS: &str = "The process";

/// All settings, in the order the help shows them.
pub(in crate::config) const SETTINGS: &[Setting] = &[
    setting(
        PROTECT,
        "upstream",
        "URLS",
        "The MCP server to protect, such as http://127.0.0.1:3000/mcp or unix:/run/mcp.sock:/mcp; several \
         URLs are replicas of one server, several servers are routes of the configuration file",
    )
    .of_route(OfRoute::Own),
    setting(
        PROTECT,
        "command",
        "COMMAND",
        "In place of upstream: the program of an MCP server that speaks stdio, and its arguments, apart \
         by spaces or as a JSON list; on the command line they may also stand at the end, after --",
    )
    .of_route(OfRoute::Own),
    setting(
        PROTECT,
        "base_url",
        "URL",
        "The public URL of this gateway, such as https://mcp.example.com",
    ),
    setting(
        PROTECT,
        "resource_path",
        "PATH",
        "The path of the protected server, below the base URL",
    )
    .or("/mcp"),
    setting(
        PROTECT,
        "resource_name",
        "TEXT",
        "What people are told the protected server is called",
    )
    .of_route(OfRoute::Own),
    setting(
        PROTECT,
        "listen",
        "ADDRESS:PORT",
        "The address to listen on",
    )
    .or("127.0.0.1:8000"),
    setting(
        PROTECT,
        "tls_certificate",
        "FILE",
        "Speak TLS there, with this certificate and those that lead to its authority (PEM); a new one is \
         taken over while it runs [default: no TLS]",
    ),
    setting(PROTECT, "tls_key", "FILE", "The key of that certificate (PEM)"),
    setting(
        ENTRA,
        "tenant_id",
        "TENANT",
        "The tenant: its id, a domain such as contoso.onmicrosoft.com, or organizations, \
         common, consumers",
    ),
    setting(
        ENTRA,
        "allowed_tenants",
        "IDS",
        "The only tenants whose users may sign in, by id, where the tenant is organizations \
         or common [default: all of them]",
    ),
    setting(
        ENTRA,
        "client_id",
        "ID",
        "The Application (client) ID of the app registration",
    ),
    setting(
        ENTRA,
        "client_secret",
        "SECRET",
        "The client secret of the app registration",
    )
    .only(Place::OnlyInEnvironment),
    setting(
        ENTRA,
        "client_secret_file",
        "FILE",
        "A file that holds the client secret, and nothing else",
    ),
    setting(
        ENTRA,
        "client_certificate",
        "FILE",
        "In place of a client secret: a certificate and its private key, PEM or PFX; a new file \
         there is used at once",
    ),
    setting(
        ENTRA,
        "client_certificate_password",
        "SECRET",
        "The password of the certificate file",
    )
    .only(Place::OnlyInEnvironment),
    setting(
        ENTRA,
        "client_certificate_password_file",
        "FILE",
        "A file that holds the password of the certificate file, and nothing else",
    ),
    setting(
        ENTRA,
        "federated_token_file",
        "FILE",
        "In place of a client secret: a file with a token that a federated credential trusts, read \
         at each use [default: AZURE_FEDERATED_TOKEN_FILE, which AKS sets]",
    ),
    setting(
        ENTRA,
        "managed_identity",
        "ID",
        "In place of a client secret: the client id of a user-assigned managed identity that a \
         federated credential trusts",
    ),
    setting(
        ENTRA,
        "required_scopes",
        "SCOPES",
        "Scopes every token must have, such as mcp.access",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "optional_scopes",
        "SCOPES",
        "Further scopes a client gets if it asks for them, such as mcp.write",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "required_app_roles",
        "ROLES",
        "Let applications call as themselves that have these app roles, with tokens they get from \
         Entra (client credentials) [default: users alone may call]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "allowed_applications",
        "IDS",
        "Let applications call as themselves, but these alone, by Application (client) ID",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "additional_scopes",
        "SCOPES",
        "Further scopes to ask the user for, such as \
         https://graph.microsoft.com/User.Read",
    ),
    setting(
        ENTRA,
        "incremental_scopes",
        "SCOPES",
        "Further scopes to ask the user for once something needs them, such as \
         https://graph.microsoft.com/Mail.Read",
    ),
    setting(
        ENTRA,
        "continuous_access_evaluation",
        "BOOL",
        "Tell Entra that a token may be challenged before its end, so that an account that is \
         disabled or moves is out within minutes: for a server that hands on the challenges of the \
         APIs it calls",
    ),
    setting(
        ENTRA,
        "identifier_uri",
        "URI",
        "The Application ID URI [default: api://CLIENT_ID]",
    ),
    setting(
        ENTRA,
        "redirect_path",
        "PATH",
        "The path Entra sends people back to, below the base URL",
    )
    .or("/auth/callback"),
    setting(
        ENTRA,
        "groups_from_graph",
        "BOOL",
        "Look up the groups of users who are in more than a token lists, in Microsoft Graph; \
         needs its scope User.Read among the additional scopes",
    ),
    setting(
        ENTRA,
        "cloud",
        "CLOUD",
        "public, us-government, us-government-dod, china, bleu, delos or gov-sg \
         [default: public]",
    ),
    setting(
        ENTRA,
        "authority_host",
        "HOST[:PORT]",
        "Entra's host, where it is not the cloud's",
    ),
    setting(
        ENTRA,
        "insecure_http_authority",
        "BOOL",
        "Speak to Entra's host without TLS: to an emulator on this machine, for whoever \
         listens on the way reads every secret",
    ),
    setting(
        ENTRA,
        "ca_file",
        "FILE",
        "Certificate authorities (PEM) to trust besides the system's",
    ),
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
    setting(
        FORWARD,
        "host_header",
        "MODE",
        "rewrite: its own Host, and no Origin; \
         preserve: what the client sent",
    )
    .or("rewrite")
    .of_route(OfRoute::Inherited),
    setting(
        FORWARD,
        "forward_identity",
        "NAMES",
        "Its X-Entrada-* headers: all, none, or names such as subject,roles",
    )
    .or("all")
    .of_route(OfRoute::Inherited),
    setting(
        FORWARD,
        "upstream_scope",
        "SCOPES",
        "Send it a token in the caller's name with these scopes of one API, such as \
         api://orders/.default or https://graph.microsoft.com/User.Read: the caller's own is \
         exchanged for it at Entra, and never sent [default: no token]",
    )
    .of_route(OfRoute::Own),
    setting(
        FORWARD,
        "upstream_token_header",
        "NAME",
        "The header that holds that token, by itself [default: Authorization, as Bearer]",
    )
    .of_route(OfRoute::Own),
    setting(
        FORWARD,
        "upstream_app_only_fallback",
        "BOOL",
        "Where the caller is an application, send a token in the name of this app registration, \
         with all application permissions it has at that API",
    )
    .of_route(OfRoute::Own),
    setting(
        FORWARD,
        "upstream_ca_file",
        "FILE",
        "The only certificate authorities (PEM) that vouch for it, in place of the system's and of \
         ca_file",
    )
    .of_route(OfRoute::Own),
    setting(
        FORWARD,
        "upstream_certificate",
        "FILE",
        "The certificate that it is shown, with those between it and an authority (PEM)",
    )
    .of_route(OfRoute::Own),
    setting(
        FORWARD,
        "upstream_key",
        "FILE",
        "The private key of that certificate (PEM)",
    )
    .of_route(OfRoute::Own),
    setting(FORWARD, "body_limit", "SIZE", "How large a request may be")
        .or("4MiB")
        .of_route(OfRoute::Inherited),
    setting(
        FORWARD,
        "upstream_timeout",
        "TIME",
        "How long it may take to begin an answer, or none; a stream that has begun has no \
         limit",
    )
    .or("5m")
    .of_route(OfRoute::Inherited),
    setting(
        STDIO,
        "working_directory",
        "DIR",
        "Where its process runs [default: where the gateway does]",
    )
    .of_route(OfRoute::Own),
    setting(
        STDIO,
        "environment",
        "NAMES",
        "What of the gateway's environment its process gets besides PATH, HOME and the like: names of \
         variables, or NAME=value",
    )
    .of_route(OfRoute::Own),
    setting(
        STDIO,
        "child_mode",
        "MODE",
        "per_session: each session has a process of its own, which knows its user; shared: all have one, \
         which cannot tell them apart",
    )
    .or("per_session")
    .of_route(OfRoute::Inherited),
    setting(
        STDIO,
        "child_idle_timeout",
        "TIME",
        "How long a session or a process may be unused before it ends",
    )
    .or("15m")
    .of_route(OfRoute::Inherited),
    setting(
        STDIO,
        "max_children",
        "NUMBER",
        "How many processes of one server there may be at once",
    )
    .or("32")
    .of_route(OfRoute::Inherited),
    setting(
        STDIO,
        "max_sessions_per_user",
        "NUMBER",
        "How many sessions one user may have at one server; the one longest unused makes room for \
         another",
    )
    .or("8")
    .of_route(OfRoute::Inherited),
    setting(
        STDIO,
        "message_limit",
        "SIZE",
        "How large a message of its process may be",
    )
    .or("8MiB")
    .of_route(OfRoute::Inherited),
    setting(
        POLICY,
        "without_rule",
        "MODE",
        "What becomes of tools, prompts, resources and unknown methods that no [[rule]] of the \
         configuration file names, once there is a rule: deny or allow",
    )
    .or("deny")
    .of_route(OfRoute::Inherited),
    setting(
        POLICY,
        "filter_lists",
        "MODE",
        "true: lists show each caller what it may call; reachable: and what it may call once it has \
         asked for more scopes; false: all there is",
    )
    .or("false")
    .of_route(OfRoute::Inherited),
    setting(
        POLICY,
        "policy_file",
        "FILE",
        "A file of Cedar policies that must allow each call, too [feature: cedar]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        LIMITS,
        "rate_limit_user",
        "RATE",
        "How often one user, or one application, may ask at a server, such as 100/1m, or none; each \
         replica counts for itself [default: none]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        LIMITS,
        "rate_limit_client",
        "RATE",
        "How often one client may, with all of its users [default: none]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        LIMITS,
        "rate_limit_tool",
        "RATE",
        "How often one user may call one tool [default: none]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        PROCESS,
        "metrics_listen",
        "ADDRESS:PORT",
        "An address of its own to answer GET /metrics on, for Prometheus, such as 127.0.0.1:9464 \
         [default: none]",
    ),
    setting(
        PROCESS,
        "audit_log",
        "PLACE",
        "Where who did what is written, a JSON object a line: file:/PATH, stdout, syslog:/dev/log, \
         syslog:udp://HOST:PORT or syslog:tcp://HOST:PORT [default: nowhere]",
    ),
    setting(
        PROCESS,
        "audit_required",
        "BOOL",
        "Answer 503 to whatever cannot be written there",
    ),
    setting(
        PROCESS,
        "audit_arguments",
        "BOOL",
        "Write there what tools are called with, too: it may be personal, or secret",
    ),
    setting(
        PROCESS,
        "otlp_endpoint",
        "URL",
        "The OpenTelemetry collector that traces are sent to, over HTTP, such as http://127.0.0.1:4318 \
         [default: OTEL_EXPORTER_OTLP_ENDPOINT]",
    ),
    setting(
        PROCESS,
        "trace_sample",
        "SHARE",
        "Of how many requests there is a trace, between 0 and 1 [default: 1]",
    ),
    setting(
        PROCESS,
        "trust_traceparent",
        "BOOL",
        "Go on with the traces that requests say they are of: where a proxy of yours says so, and \
         strangers cannot",
    ),
    setting(
        OPERATORS,
        "admin_listen",
        "ADDRESS:PORT",
        "The address to serve operators' pages and API on, reached from within alone [default: nowhere]",
    ),
    setting(
        OPERATORS,
        "admin_base_url",
        "URL",
        "Where browsers reach that; register it in Entra, with /admin/callback behind it, under the platform Web \
         [default: http://localhost and the port, where that is on this machine]",
    ),
    setting(
        OPERATORS,
        "admin_role",
        "ROLE",
        "The app role of the app registration that operators have, such as Entrada.Admin",
    ),
    setting(
        OPERATORS,
        "admin_tenant",
        "ID",
        "The tenant that operators are of, by its id; needed where users of several tenants sign in, for each \
         tenant gives the role to whom it likes [default: the tenant]",
    ),
    setting(
        PROCESS,
        "config",
        "FILE",
        "A TOML file with any of these settings, and with routes to several servers",
    )
    .only(Place::NotInFile),
    setting(
        PROCESS,
        "drain_timeout",
        "TIME",
        "How long requests under way may take to end when told to stop",
    )
    .or("10s"),
    setting(
        PROCESS,
        "log_format",
        "FORMAT",
        "text or json [default: text on a terminal, else json]",
    ),
    setting(
        PROCESS,
        "log_level",
        "LEVEL",
        "error, warn, info, debug, trace, off, or by part: \
         info,entrada=debug",
    )
    .or("info"),
];

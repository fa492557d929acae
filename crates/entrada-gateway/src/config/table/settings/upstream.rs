//! The MCP server: what it sees, and how it is run.

use crate::config::table::{OfRoute, Setting, setting};

const FORWARD: &str = "What the MCP server sees";
const STDIO: &str = "An MCP server that speaks stdio";

pub(super) const SETTINGS: &[Setting] = &[
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
        "Its X-Entrada-* headers: signed, a JWT that says who calls; plain ones by name, such as \
         subject,roles; all of them; or none",
    )
    .or("signed")
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
        "upstream_health_path",
        "PATH",
        "Where each of several replicas is asked every ten seconds whether it is well; one that does not \
         answer 2xx gets no new sessions [default: they are not asked]",
    )
    .of_route(OfRoute::Own),
    setting(
        FORWARD,
        "upstream_http2",
        "BOOL",
        "Speak HTTP/2 where it offers that with TLS; each connection is shared by 64 requests at most",
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
    setting(
        FORWARD,
        "websocket",
        "BOOL",
        "Pass WebSockets through: who opens one is decided as for any request, and what is said there is not \
         read; one ends when its caller's token does",
    )
    .of_route(OfRoute::Inherited),
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
];

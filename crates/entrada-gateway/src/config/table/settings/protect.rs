//! What is protected, and where it is reached.

use crate::config::table::{OfRoute, Setting, setting};

const PROTECT: &str = "What to protect";

pub(super) const SETTINGS: &[Setting] = &[
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
];

//! The process, and those who operate it.

use crate::config::table::{Place, Setting, setting};

const PROCESS: &str = "The process";
const OPERATORS: &str = "Operators";

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        PROCESS,
        "metrics_listen",
        "ADDRESS:PORT",
        "An address of its own to answer GET /metrics on, for Prometheus, and the probes, such as \
         127.0.0.1:9464 [default: none]",
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
        "max_connections",
        "NUMBER",
        "How many connections there may be at once; one more is closed [default: none]",
    ),
    setting(
        PROCESS,
        "max_connections_per_address",
        "NUMBER",
        "How many of them one address may have, of IPv6 one network of 64 bits; the trusted_proxies may have \
         any number [default: none]",
    ),
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

//! The gateway's parts on real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up works, or the test fails"
)]

#[cfg(feature = "cedar")]
mod cedar;
mod config_check;
mod counted;
mod doctor;
mod endpoints;
mod exit_codes;
mod gateway;
mod hostile;
mod http2;
mod leaving;
mod limits;
mod listener_tls;
mod lists;
mod log;
mod observed;
mod passing;
mod policy;
mod program;
mod refusing;
mod reload;
mod replicas;
mod stdio;
mod streams;
mod tls;
mod traces;
mod upstream;
mod upstream_http2;

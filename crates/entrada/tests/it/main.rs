//! Scenarios: an emulated Entra, the server, one virtual clock, a browser and an MCP client.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the shared parts of tests are tests too"
)]

mod admin_site;
mod administration;
mod approved_apps;
mod attacks;
mod authorize;
#[cfg(feature = "azure")]
mod azure;
mod browser;
mod callback;
mod callback_trouble;
mod client;
mod client_credentials;
mod client_documents;
mod conditional_access;
mod consent;
mod continuous_access;
mod credential;
mod direct;
mod dpop;
mod entra_ready;
mod errors;
mod examination;
mod held_registration;
mod identity_assertion;
mod incremental_consent;
mod keys;
mod lifetimes;
mod limits;
mod log;
mod login;
mod mcp_server;
mod mcp_session;
mod metadata;
mod moving;
mod obo;
mod obo_flight;
mod observed;
mod outage;
mod papers;
mod places;
mod preregistered;
mod protect;
mod prover;
mod public_web;
mod quirks;
mod refresh;
mod refresh_race;
mod refresh_trouble;
mod register;
mod remembered_consent;
mod renewed;
mod resources;
mod restart;
mod revoke;
mod secrets;
mod shared_keys;
mod simulation;
mod site;
mod slow;
mod standing;
mod step_up;
mod store_outage;
mod tenancy;
mod token;
mod token_request;
mod upstream;
mod web;
mod world;

#![doc = include_str!("../../../README.md")]

pub mod access_token;
pub mod admin_site;
pub mod administration;
pub mod audit;
pub mod authorization_server;
pub mod caller_assertion;
pub mod causes;
pub mod client_documents;
pub mod dpop;
pub mod entra;
pub mod grant;
pub mod jwt;
pub mod jwt_verifier;
pub mod keys;
pub mod meters;
pub mod multi_auth;
pub mod oauth;
pub mod on_behalf_of;
pub mod platform;
pub mod policy;
mod private_file;
pub mod provider;
pub mod published;
mod quota;
pub mod resource_server;
pub mod secret;
mod single_flight;
pub mod store;
mod verdicts;

#[doc(inline)]
pub use access_token::VerifiedToken;
#[doc(inline)]
pub use entra::verifier::AzureJwtVerifier;
#[doc(inline)]
pub use multi_auth::MultiAuth;
pub use on_behalf_of::EntraOboToken;
#[doc(inline)]
#[cfg(feature = "azure")]
pub use on_behalf_of::OnBehalfOfCredential;
#[doc(inline)]
pub use platform::Platform;
#[doc(inline)]
pub use provider::{AzureConfig, AzureJwtConfig, AzureProvider, RemoteAuthProvider};

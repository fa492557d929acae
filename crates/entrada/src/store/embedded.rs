//! Placeholder.
/// x
#[derive(Debug)]
pub struct EmbeddedStore;
/// x
#[derive(Debug)]
pub struct OpenStoreError;

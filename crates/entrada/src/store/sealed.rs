//! Placeholder.
/// x
#[derive(Debug)]
pub struct SealedStore;

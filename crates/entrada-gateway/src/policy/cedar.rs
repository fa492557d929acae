//! Cedar policies, for who outgrows rules.

#[cfg(feature = "cedar")]
mod evaluated;
#[cfg(feature = "cedar")]
pub use evaluated::CedarPolicies;

#[cfg(not(feature = "cedar"))]
mod absent;
#[cfg(not(feature = "cedar"))]
pub use absent::CedarPolicies;

/// Why policies cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CedarError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// They are wrong: what and where, one by one.
    #[error("{}", .0.join("; "))]
    Wrong(Vec<String>),
    /// This program was built without Cedar.
    #[error(
        "this program was built without Cedar: build it with `cargo build --release --features cedar`"
    )]
    NotBuilt,
}

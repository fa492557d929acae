//! Federated identity credentials: whose tokens an application may show instead of a secret.

use serde::Deserialize;

/// One federated identity credential: a token with these three claims proves who the client is.
///
/// The comparison is exact, capitals and slashes included.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FederatedCredential {
    /// What people call it: 3 to 120 letters, digits, `-` and `_`.
    pub name: String,
    /// The issuer. [`builtin::WORKLOAD_ISSUER`] is one, and so are the emulator's own tenants:
    /// `{base}` at the beginning stands for wherever the emulator is.
    ///
    /// [`builtin::WORKLOAD_ISSUER`]: crate::builtin::WORKLOAD_ISSUER
    pub issuer: String,
    /// The subject; of a managed identity, its principal id.
    pub subject: String,
    /// The audience; that of the cloud, such as `api://AzureADTokenExchange`, when empty.
    pub audience: String,
}

/// What stands for wherever the emulator is.
const BASE: &str = "{base}";

/// How many an application may have.
pub(super) const LIMIT: usize = 20;

impl FederatedCredential {
    /// Whether `issuer` is the one meant, when the emulator is at any of `bases`.
    pub(crate) fn is_issued_by(&self, issuer: &str, bases: &[&str]) -> bool {
        match self.issuer.strip_prefix(BASE) {
            None => self.issuer == issuer,
            Some(path) => bases
                .iter()
                .any(|base| issuer.strip_prefix(base) == Some(path)),
        }
    }

    pub(super) fn is_named_well(&self) -> bool {
        let mut letters = self.name.bytes();
        (3..=120).contains(&self.name.len())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    }
}

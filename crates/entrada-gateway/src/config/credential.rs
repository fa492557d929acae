//! How the app registration proves itself: one of four ways.

use entrada::entra::credential::{CertificateFile, ClientCredential, ManagedIdentity};

use crate::config::problem::Problem;
use crate::config::source::Sources;
use crate::config::table::Setting;
use crate::config::value;

/// The settings that say so, the ways in which they do.
pub(super) const SETTINGS: [&str; 5] = [
    "client_secret",
    "client_secret_file",
    "client_certificate",
    "federated_token_file",
    "managed_identity",
];

/// The settings that mean something with a certificate alone.
const PASSWORDS: [&str; 2] = [
    "client_certificate_password",
    "client_certificate_password_file",
];

/// The one credential; a problem where there is none that is `needed`, or more than one.
pub(super) fn read(sources: &mut Sources<'_>, needed: bool) -> Option<ClientCredential> {
    let secret = sources.secret("client_secret", "client_secret_file");
    let password = sources.secret(PASSWORDS[0], PASSWORDS[1]);
    let given = |name: &&str| sources.is_given(name);
    let given: Vec<_> = SETTINGS.into_iter().filter(given).collect();
    if !given.contains(&"client_certificate") {
        for password in PASSWORDS {
            sources.needs(password, &["client_certificate"]);
        }
    }
    match *given {
        [] => usual(sources, needed),
        ["client_secret" | "client_secret_file"] => {
            secret.map(|secret| ClientCredential::secret(secret.expose()))
        }
        ["client_certificate"] => {
            let file = CertificateFile::new(sources.text("client_certificate")?);
            let file = match password {
                Some(password) => file.password(password.expose()),
                None => file,
            };
            Some(file.into())
        }
        ["federated_token_file"] => {
            let path = sources.text("federated_token_file")?;
            Some(ClientCredential::federated_token_file(path))
        }
        ["managed_identity"] => {
            let client_id = sources.parsed("managed_identity", value::client_id)?;
            let identity = ManagedIdentity::from_variables(|name| sources.azure(name));
            Some(identity.client_id(client_id).into())
        }
        // The first is told already, and no other setting is a way.
        ["client_secret", "client_secret_file"] | [_] => None,
        [first, .., last] => {
            sources.note(Setting::named(last).map(|last| Problem::both(first, last)));
            None
        }
    }
}

/// What there is where nothing is set: AKS says so by a variable.
fn usual(sources: &mut Sources<'_>, needed: bool) -> Option<ClientCredential> {
    let path = sources.azure("AZURE_FEDERATED_TOKEN_FILE");
    let path = path.filter(|path| !path.is_empty());
    if path.is_none() && needed {
        sources.note(Setting::named("client_secret").map(Problem::no_credential));
    }
    path.map(ClientCredential::federated_token_file)
}

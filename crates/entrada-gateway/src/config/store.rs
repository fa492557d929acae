//! Where grants are kept.

use entrada::store::{StoreKind, StoreUrl};

use crate::config::source::Sources;
use crate::telemetry::WithCauses;

/// What a URL with a password means anywhere but in the environment.
const SEEN: &str = "there is a password in the URL, and flags and files are seen by others: set the \
                    variable, or put the password in a file of its own";

/// What `memory:` means.
const FORGETS: &str = "nothing outlives the process: after a restart everybody signs in anew, and no two \
                       replicas know of each other";

/// The store that is named, if one is; a problem where it cannot be one.
pub(super) fn read(sources: &mut Sources<'_>) -> Option<StoreUrl> {
    let store = url(sources, "store", "store_password_file");
    if (store.as_ref()).is_some_and(|store| store.kind() == StoreKind::Memory) {
        sources.warn("store", FORGETS);
    }
    store
}

/// The URL that the setting `name` holds, with the password in the file that the setting `file` names.
fn url(sources: &mut Sources<'_>, name: &str, file: &str) -> Option<StoreUrl> {
    sources.needs(file, &[name]);
    let password = sources.secret_file(file);
    let url = sources.parsed(name, |text| {
        let url = text.parse::<StoreUrl>();
        url.map_err(|error| WithCauses::of(&error).to_string())
    })?;
    if url.has_password() && !sources.is_of_environment(name) {
        sources.check(name, Err::<(), _>(SEEN.to_owned()));
        return None;
    }
    let Some(password) = password else {
        return Some(url);
    };
    let with_password = url.with_password(password.expose());
    let with_password = with_password.map(Some).map_err(|error| error.to_string());
    sources.check(file, with_password)
}

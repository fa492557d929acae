//! The certificate of the gateway's own listener.

use entrada::keys::is_exposed;

use crate::config::source::Sources;
use crate::telemetry::WithCauses;
use crate::tls::{CERTIFICATE, CertificateFiles, KEY};

/// What it means that others may read the key.
const EXPOSED: &str = "others than its owner may read or write the file, and whoever has the key can pose as this \
                       gateway: let nobody else (chmod 600)";

/// The files, where they are named; a problem where they cannot be used.
pub(super) fn read(sources: &mut Sources<'_>) -> Option<CertificateFiles> {
    sources.needs(CERTIFICATE, &[KEY]);
    sources.needs(KEY, &[CERTIFICATE]);
    let files = CertificateFiles::new(sources.text(CERTIFICATE)?, sources.text(KEY)?);
    let mistakes = files.mistakes();
    for mistake in &mistakes {
        sources.refuse(mistake.setting(), &WithCauses::of(mistake).to_string());
    }
    if !mistakes.is_empty() {
        return None;
    }
    if is_exposed(&files.key).unwrap_or(false) {
        sources.warn(KEY, EXPOSED);
    }
    Some(files)
}

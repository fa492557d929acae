//! Small files, read without keeping anybody waiting.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::error::CredentialError;

/// Larger than any token, key or certificate chain.
const LIMIT: u64 = 256 << 10;

/// Reads a file as a whole.
///
/// # Errors
///
/// [`CredentialError::Unreadable`], [`CredentialError::TooLarge`].
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes));
    match file {
        Err(source) => Err(CredentialError::unreadable(path, source)),
        Ok(_) if bytes.len() as u64 > LIMIT => Err(CredentialError::TooLarge(path.to_owned())),
        Ok(_) => Ok(bytes),
    }
}

/// Does `work` where waiting for a disk stops nobody else; in place, where there is no runtime.
///
/// # Errors
///
/// An [`io::Error`] if the runtime is about to end.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    match Handle::try_current() {
        Ok(runtime) => runtime
            .spawn_blocking(work)
            .await
            .map_err(|_| io::Error::other("the reader was stopped")),
        Err(_) => Ok(work()),
    }
}

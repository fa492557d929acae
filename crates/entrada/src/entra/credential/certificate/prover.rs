//! A certificate in use, and the assertions it signed.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;

use super::CertificateFile;
use super::key::{CertifiedKey, Claims};
use crate::causes::Causes;
use crate::entra::credential::error::CredentialError;
use crate::entra::credential::{AssertionRequest, file};
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::ClientAssertion;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long an assertion is good.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How long it is used: a signature costs a millisecond, and every refresh needs one.
const REUSE: Duration = Duration::from_secs(5 * 60);

/// How many endpoints' assertions are kept: there is one a tenant.
const MOST_ENDPOINTS: usize = 1_000;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before its end a certificate is warned about.
const WARN_BEFORE: Duration = Duration::from_secs(14 * DAY.as_secs());

/// A certificate in use.
#[derive(Debug)]
pub(crate) struct CertificateProver {
    file: CertificateFile,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    loaded: Arc<Loaded>,
    stamp: Stamp,
    looked: Timestamp,
    /// The file that was last complained about.
    complained: Option<Stamp>,
    /// When somebody was last told that the certificate is about to expire.
    warned: Option<Timestamp>,
}

#[derive(Debug)]
struct Loaded {
    key: CertifiedKey,
    /// By client and endpoint, with the time each was made.
    assertions: Cache<(String, String), (ClientAssertion, Timestamp)>,
}

/// The state of the file, and what is in it if that is another.
type Look = (Stamp, Option<Result<CertifiedKey, CredentialError>>);

impl Loaded {
    fn new(key: CertifiedKey) -> Self {
        let assertions = Cache::new(MOST_ENDPOINTS);
        Self { key, assertions }
    }

    fn log(&self, path: &Path) {
        let path = path.display();
        let thumbprint = self.key.thumbprint();
        tracing::info!(%path, thumbprint, "client certificate in use");
    }
}

/// What tells a file from another at the same path, or from none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// The file that is at `path` now.
    fn at(path: &Path) -> Self {
        let metadata = fs::metadata(path);
        metadata.map_or_else(|_| Self::default(), |metadata| Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode,
        }
    }
}

impl CertificateProver {
    /// Reads the file for the first time.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: it cannot be used.
    pub(in crate::entra::credential) fn new(
        file: CertificateFile,
        now: Timestamp,
    ) -> Result<Self, CredentialError> {
        let stamp = Stamp::at(&file.path);
        let loaded = Loaded::new(file.load(now)?);
        loaded.log(&file.path);
        let state = State {
            loaded: Arc::new(loaded),
            stamp,
            looked: now,
            complained: None,
            warned: None,
        };
        let state = Mutex::new(state);
        let prover = Self { file, state };
        prover.warn(&mut prover.state(), now);
        Ok(prover)
    }

    /// An assertion for the endpoint asked, fresh or one that was.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: the certificate has expired, and no other has come.
    pub(in crate::entra::credential) async fn assertion(
        self: &Arc<Self>,
        asked: AssertionRequest<'_>,
        random: &dyn SecureRandom,
    ) -> Result<ClientAssertion, CredentialError> {
        let now = asked.now;
        let loaded = self.current(now).await?;
        self.file.outlives(&loaded.key, now)?;
        let endpoint = asked.token_endpoint.to_string();
        let key = (asked.client_id.to_owned(), endpoint);
        if let Some((assertion, made)) = loaded.assertions.get(&key)
            && made.is_within(REUSE, now)
        {
            return Ok(assertion);
        }
        let claims = Claims {
            aud: &key.1,
            iss: asked.client_id,
            sub: asked.client_id,
            jti: &guid(random),
            nbf: now,
            iat: now,
            exp: now + LIFETIME,
        };
        let signed = loaded.key.sign(&claims, self.file.chain);
        let assertion = signed.map_err(|error| self.file.error(error))?;
        loaded.assertions.insert(key, (assertion.clone(), now));
        Ok(assertion)
    }

    /// The certificate to use, after a look at the file if the last was a while ago.
    async fn current(self: &Arc<Self>, now: Timestamp) -> Result<Arc<Loaded>, CredentialError> {
        {
            let mut state = self.state();
            if state.looked.is_within(LOOK_EVERY, now) {
                return Ok(Arc::clone(&state.loaded));
            }
            // Whoever comes meanwhile goes on with what there is.
            state.looked = now;
        }
        let this = Arc::clone(self);
        let found = file::off_the_runtime(move || this.look(now)).await;
        let stopped = |source: io::Error| CredentialError::unreadable(&self.file.path, source);
        Ok(self.take(found.map_err(stopped)?, now))
    }

    /// Looks at the file: its state, and what is in it if that is another.
    fn look(&self, now: Timestamp) -> Look {
        let stamp = Stamp::at(&self.file.path);
        if stamp == self.state().stamp {
            return (stamp, None);
        }
        // Looked at before it is read: what is written meanwhile is then seen next time.
        (stamp, Some(self.file.load(now)))
    }

    /// Takes what was found into use, if it can be used.
    fn take(&self, (stamp, found): Look, now: Timestamp) -> Arc<Loaded> {
        let mut state = self.state();
        match found {
            Some(Ok(key)) => {
                let loaded = Loaded::new(key);
                loaded.log(&self.file.path);
                state.loaded = Arc::new(loaded);
                state.stamp = stamp;
                state.complained = None;
                state.warned = None;
            }
            Some(Err(error)) if state.complained != Some(stamp) => {
                let cause = Causes(&error);
                tracing::error!(%cause, "the old client certificate stays in use");
                state.complained = Some(stamp);
            }
            Some(Err(_)) | None => {}
        }
        self.warn(&mut state, now);
        Arc::clone(&state.loaded)
    }

    /// Says once a day that the certificate is about to expire.
    fn warn(&self, state: &mut State, now: Timestamp) {
        let not_after = state.loaded.key.not_after();
        let told = |at: Timestamp| at.is_within(DAY, now);
        if now + WARN_BEFORE > not_after && !state.warned.is_some_and(told) {
            let days = not_after.since(now).as_secs() / DAY.as_secs();
            let path = self.file.path.display();
            tracing::warn!(%path, days, "the client certificate is about to expire");
            state.warned = Some(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A random GUID (RFC 9562 §5.4).
fn guid(random: &dyn SecureRandom) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    let parts = parts.map(|part| digits.get(part).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
mod tests;

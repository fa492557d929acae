//! Certificates: the app registration knows ours, and we sign with its key (Microsoft, *certificate
//! credentials*).

use std::fs::{self, Metadata};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;

use super::error::CredentialError;
use super::{AssertionRequest, file};
use crate::causes::Causes;
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::{CertificatePassword, ClientAssertion};

mod der;
mod key;
mod pem;
mod pfx;
mod x509;

use key::{CertifiedKey, Chain, Claims};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long an assertion is good.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How long it is used: a signature costs a millisecond, and every refresh needs one.
const REUSE: Duration = Duration::from_secs(5 * 60);

/// How many endpoints' assertions are kept: there is one a tenant.
const MOST_ENDPOINTS: usize = 1_000;

/// How long before its end a certificate is warned about.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A file with a certificate and its private key: PEM, or PFX (PKCS #12).
///
/// In PEM the key is RSA in PKCS#8, encrypted or not, or in PKCS#1; further certificates are those
/// above ours. PFX files must be encrypted with AES, as OpenSSL 3 and Windows' `AES256_SHA256` do;
/// `openssl pkcs12 -legacy -in old.pfx -nodes -out new.pem` makes PEM of the others.
///
/// The file is looked at every few seconds, when it is needed: a new certificate that is put in its
/// place is used at once. One that cannot be used leaves the old one in use, and is logged.
#[derive(Clone, Debug)]
pub struct CertificateFile {
    path: PathBuf,
    password: Option<CertificatePassword>,
    chain: Chain,
}

impl CertificateFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            password: None,
            chain: Chain::default(),
        }
    }

    /// The password of a PFX file, or of an encrypted key in a PEM file.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(CertificatePassword::new(password));
        self
    }

    /// Sends the certificate and those above it with each assertion (`x5c`), for app registrations
    /// that trust a subject name and its issuer rather than one certificate.
    #[must_use]
    pub fn send_certificate_chain(mut self) -> Self {
        self.chain = Chain::Sent;
        self
    }

    /// Reads the file as it is now.
    fn load(&self, now: Timestamp) -> Result<Loaded, CredentialError> {
        let bytes = file::read(&self.path)?;
        let key = CertifiedKey::read(&bytes, self.password.as_ref());
        let key = key.map_err(|error| self.error(error))?;
        let loaded = Loaded {
            key,
            assertions: Cache::new(MOST_ENDPOINTS),
        };
        self.outlives(&loaded, now)?;
        Ok(loaded)
    }

    fn stamp(&self) -> Stamp {
        let metadata = fs::metadata(&self.path);
        metadata.map_or_else(|_| Stamp::default(), |metadata| Stamp::of(&metadata))
    }

    fn outlives(&self, loaded: &Loaded, now: Timestamp) -> Result<(), CredentialError> {
        if now <= loaded.key.not_after() {
            return Ok(());
        }
        Err(self.error(CertificateError::Expired))
    }

    fn error(&self, source: CertificateError) -> CredentialError {
        let path = self.path.clone();
        CredentialError::Certificate { path, source }
    }

    fn log(&self, loaded: &Loaded, now: Timestamp) {
        let path = self.path.display();
        let thumbprint = loaded.key.thumbprint();
        tracing::info!(%path, thumbprint, "client certificate in use");
        let not_after = loaded.key.not_after();
        if now + WARN_BEFORE > not_after {
            let days = not_after.since(now).as_secs() / 86400;
            tracing::warn!(%path, thumbprint, days, "the client certificate is about to expire");
        }
    }
}

/// Why a file holds no certificate that can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is neither PEM nor PFX.
    #[error("neither a PEM nor a PFX file, or damaged")]
    Malformed,
    /// There is no certificate in it.
    #[error("no certificate in it")]
    NoCertificate,
    /// There is no private key in it.
    #[error("no private key in it")]
    NoKey,
    /// There is more than one private key in it.
    #[error("more than one private key in it")]
    ManyKeys,
    /// The key is none Entra takes.
    #[error("the private key is not RSA of 2048 bits or more")]
    NotRsa,
    /// No certificate in it is for the key.
    #[error("no certificate in it is for its private key")]
    AnotherKey,
    /// The password is missing.
    #[error("encrypted: give its password")]
    NoPassword,
    /// The password is another.
    #[error("the password is wrong")]
    WrongPassword,
    /// It is encrypted in a way we do not know.
    #[error(
        "not encrypted with AES and PBKDF2: convert it, openssl pkcs12 -legacy -in old.pfx -nodes \
         -out new.pem"
    )]
    Encryption,
    /// It has expired.
    #[error("the certificate has expired")]
    Expired,
    /// The crypto library failed.
    #[error("signing failed")]
    Signing,
}

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
}

#[derive(Debug)]
struct Loaded {
    key: CertifiedKey,
    /// By client and endpoint, with the time each was made.
    assertions: Cache<(String, String), (ClientAssertion, Timestamp)>,
}

/// What tells a file from another at the same path, or from none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
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
    pub(super) fn new(file: CertificateFile, now: Timestamp) -> Result<Self, CredentialError> {
        let stamp = file.stamp();
        let loaded = file.load(now)?;
        file.log(&loaded, now);
        let state = State {
            loaded: Arc::new(loaded),
            stamp,
            looked: now,
            complained: None,
        };
        let state = Mutex::new(state);
        Ok(Self { file, state })
    }

    /// An assertion for the endpoint asked, fresh or one that was.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: the certificate has expired, and no other has come.
    pub(super) async fn assertion(
        self: &Arc<Self>,
        asked: AssertionRequest<'_>,
        random: &dyn SecureRandom,
    ) -> Result<ClientAssertion, CredentialError> {
        let now = asked.now;
        let loaded = self.current(now).await?;
        self.file.outlives(&loaded, now)?;
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
    fn look(&self, now: Timestamp) -> (Stamp, Option<Result<Loaded, CredentialError>>) {
        let stamp = self.file.stamp();
        if stamp == self.state().stamp {
            return (stamp, None);
        }
        // Looked at before it is read: what is written meanwhile is then seen next time.
        (stamp, Some(self.file.load(now)))
    }

    /// Takes what was found into use, if it can be used.
    fn take(
        &self,
        (stamp, found): (Stamp, Option<Result<Loaded, CredentialError>>),
        now: Timestamp,
    ) -> Arc<Loaded> {
        let mut state = self.state();
        match found {
            Some(Ok(loaded)) => {
                self.file.log(&loaded, now);
                state.loaded = Arc::new(loaded);
                state.stamp = stamp;
                state.complained = None;
            }
            Some(Err(error)) if state.complained != Some(stamp) => {
                let cause = Causes(&error);
                tracing::error!(%cause, "the old client certificate stays in use");
                state.complained = Some(stamp);
            }
            Some(Err(_)) | None => {}
        }
        Arc::clone(&state.loaded)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
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

//! A key ring in a file that nobody else may read.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::in_use::{Change, KeySource, KeysError};
use super::{KeyRing, RingDocument, RingDocumentError};
use crate::jwt::jwks::Algorithm;
use crate::jwt::sign::SigningKeyError;
use crate::platform::{SecureRandom, Timestamp};
use crate::private_file::{self, Draft};

/// How often, and how long apart, the lock is tried: a change takes milliseconds, and a process that
/// was stopped half-way must not keep others from their end.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A file that holds a [`KeyRing`], readable by its owner alone.
///
/// # Security
///
/// Whoever reads the file can mint access tokens and open every stored record.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("cannot use the key file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read the file.
    #[error("the key file {} must be readable by its owner only (chmod 600)", .0.display())]
    Exposed(PathBuf),
    /// The file is no key file of a format we know.
    #[error("{} is not a key file of this version", .0.display())]
    Format(PathBuf),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
}

impl KeyFile {
    /// Names the file. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Reads the ring, or makes one if there is no file yet.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] says what to mend; a file that is not understood is never overwritten.
    pub fn load_or_create(
        &self,
        algorithm: Algorithm,
        random: &dyn SecureRandom,
        now: Timestamp,
    ) -> Result<KeyRing, KeyFileError> {
        match File::open(&self.0) {
            Ok(file) => self.read(&file, now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let ring = KeyRing::generate(algorithm, random, now)?;
                match self.write(&ring, Draft::publish) {
                    Ok(()) => Ok(ring),
                    // Another process was first: its ring is the one in use.
                    Err(KeyFileError::Io { source, .. })
                        if source.kind() == io::ErrorKind::AlreadyExists =>
                    {
                        self.load(now)
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(self.io(error)),
        }
    }

    /// Reads the ring, as it is at `now`.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] says what to mend.
    pub fn load(&self, now: Timestamp) -> Result<KeyRing, KeyFileError> {
        let file = File::open(&self.0).map_err(|error| self.io(error))?;
        self.read(&file, now)
    }

    /// Makes of the ring in the file what `change` makes of it, as it is at `now`, unless that is
    /// nothing; answers with the ring that is then in the file.
    ///
    /// One process does so at a time, and waits ten seconds for another that does. So no change is
    /// lost: a revocation, above all, is not undone by whoever read the file before it. It blocks
    /// the thread.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] says what to mend; the old file then still stands.
    pub fn update<F>(&self, now: Timestamp, change: F) -> Result<KeyRing, KeyFileError>
    where
        F: FnOnce(&KeyRing) -> Result<Option<KeyRing>, SigningKeyError>,
    {
        // Held until it is dropped. It is a file of its own, for the key file is another after each
        // change.
        let _lock = self.lock().map_err(|error| self.io(error))?;
        let ring = self.load(now)?;
        let Some(changed) = change(&ring)? else {
            return Ok(ring);
        };
        self.save(&changed)?;
        Ok(changed)
    }

    fn lock(&self) -> io::Result<File> {
        let lock = private_file::open_or_create(&self.0.with_extension("lock"), &self.0)?;
        for _ in 0..LOCK_TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let held = "another process has held keys.lock for ten seconds";
        Err(io::Error::new(io::ErrorKind::TimedOut, held))
    }

    /// Replaces the ring in one step: a reader sees the old one or the new one. What another process
    /// put there meanwhile is lost: [`update`](Self::update) changes what is there.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Io`]; the old file then still stands.
    pub fn save(&self, ring: &KeyRing) -> Result<(), KeyFileError> {
        self.write(ring, Draft::replace)
    }

    fn read(&self, file: &File, now: Timestamp) -> Result<KeyRing, KeyFileError> {
        self.refuse_exposed(file)?;
        let format = || KeyFileError::Format(self.0.clone());
        let text = Zeroizing::new(io::read_to_string(file).map_err(|error| self.io(error))?);
        let document: RingDocument = serde_json::from_str(&text).map_err(|_| format())?;
        document.into_ring(now).map_err(|error| match error {
            RingDocumentError::Format => format(),
            RingDocumentError::Key(error) => error.into(),
        })
    }

    fn write(
        &self,
        ring: &KeyRing,
        publish: impl FnOnce(Draft) -> io::Result<()>,
    ) -> Result<(), KeyFileError> {
        let document = RingDocument::of(ring);
        let text = serde_json::to_vec_pretty(&document).map(Zeroizing::new);
        let text = text.map_err(|error| self.io(error.into()))?;
        self.write_bytes(&text, publish)
            .map_err(|error| self.io(error))
    }

    fn write_bytes(
        &self,
        text: &[u8],
        publish: impl FnOnce(Draft) -> io::Result<()>,
    ) -> io::Result<()> {
        let (draft, mut file) = Draft::of(&self.0)?;
        private_file::give_to_owner_of(&self.0, &file)?;
        file.write_all(text)?;
        file.sync_all()?;
        publish(draft)
    }

    /// Does `work` where waiting for a disk or a lock stops nobody else.
    async fn off_the_runtime(
        &self,
        work: impl FnOnce() -> Result<KeyRing, KeyFileError> + Send + 'static,
    ) -> Result<KeyRing, KeysError> {
        let done = Handle::current().spawn_blocking(work).await;
        let stopped = |_| self.io(io::Error::other("the reader was stopped"));
        Ok(done.map_err(stopped)??)
    }

    fn io(&self, source: io::Error) -> KeyFileError {
        KeyFileError::Io {
            path: self.0.clone(),
            source,
        }
    }

    fn refuse_exposed(&self, file: &File) -> Result<(), KeyFileError> {
        let is_exposed = private_file::is_exposed(file).map_err(|error| self.io(error))?;
        (!is_exposed)
            .then_some(())
            .ok_or_else(|| KeyFileError::Exposed(self.0.clone()))
    }
}

#[async_trait]
impl KeySource for KeyFile {
    async fn read(&self, now: Timestamp) -> Result<KeyRing, KeysError> {
        let file = self.clone();
        self.off_the_runtime(move || file.load(now)).await
    }

    async fn change(&self, change: &Change, now: Timestamp) -> Result<KeyRing, KeysError> {
        let (file, change) = (self.clone(), Change::clone(change));
        let update = move || file.update(now, |ring| change(ring));
        self.off_the_runtime(update).await
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::keys::Purpose;
    use crate::platform::SystemRandom;

    fn open(path: &Path) -> Result<KeyRing, KeyFileError> {
        let now = Timestamp::from_unix(1);
        KeyFile::new(path).load_or_create(Algorithm::Es256, &SystemRandom::default(), now)
    }

    #[test]
    fn the_ring_survives_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/keys.json");
        let first = open(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let sealed = first
            .sealing()
            .seal(Purpose::new("x", b""), b"y", &SystemRandom::default())
            .unwrap();
        let now = Timestamp::from_unix(2);
        let rotated = first
            .rotated(Algorithm::EdDsa, &SystemRandom::default(), now)
            .unwrap();
        KeyFile::new(&path).save(&rotated).unwrap();
        let again = open(&path).unwrap();
        assert_eq!(again.published().count(), 2);
        assert!(
            again
                .sealing()
                .open(Purpose::new("x", b""), &sealed)
                .is_ok()
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_file_that_is_not_right_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open(&path), Err(KeyFileError::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in [
            "",
            "{}",
            r#"{"format":2,"signing":[],"sealing":[]}"#,
            r#"{"format":1,"signing":[],"sealing":[]}"#,
        ] {
            fs::write(&path, text).unwrap();
            assert!(
                matches!(open(&path), Err(KeyFileError::Format(_))),
                "{text}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_file_without_times_loses_no_key_at_its_first_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let random = SystemRandom::default();
        let purpose = Purpose::new("x", b"");
        let first = open(&path).unwrap();
        let sealed = first.sealing().seal(purpose, b"y", &random).unwrap();
        let second = first.rotated(Algorithm::Es256, &random, Timestamp::from_unix(2));
        let file = KeyFile::new(&path);
        file.save(&second.unwrap()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
        old.as_object_mut().unwrap().remove("seals_from").unwrap();
        fs::write(&path, old.to_string()).unwrap();
        let mut now = Timestamp::from_unix(1_800_000_000);
        for _ in 0..2 {
            let ring = file.load(now).unwrap();
            let rotated = ring.rotated(Algorithm::Es256, &random, now).unwrap();
            assert!(rotated.sealing().open(purpose, &sealed).is_ok());
            file.save(&rotated).unwrap();
            now = now + Duration::from_secs(90 * 86_400);
        }
    }

    #[test]
    fn a_change_that_fails_or_is_none_leaves_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        open(&path).unwrap();
        let (file, now) = (KeyFile::new(&path), Timestamp::from_unix(2));
        let text = fs::read_to_string(&path).unwrap();
        file.update(now, |_| Ok(None)).unwrap();
        let random = SystemRandom::default();
        let wrong = |ring: &KeyRing| ring.rotated(Algorithm::Rs256, &random, now).map(Some);
        assert!(matches!(file.update(now, wrong), Err(KeyFileError::Key(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let none = KeyFile::new(folder.path().join("none.json"));
        assert!(none.update(now, |_| Ok(None)).is_err());
    }

    #[test]
    fn a_file_that_root_changes_stays_its_owners() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        open(&path).unwrap();
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        // Nobody but root can give files away.
        let other = if owner(&path) == 0 {
            65_534
        } else {
            owner(&path)
        };
        chown(&path, Some(other), None).unwrap();
        let (random, now) = (SystemRandom::default(), Timestamp::from_unix(2));
        let revoke = |ring: &KeyRing| ring.revoked(Algorithm::Es256, &random, now).map(Some);
        KeyFile::new(&path).update(now, revoke).unwrap();
        assert_eq!(owner(&path), other);
        let lock = path.with_extension("lock");
        assert_eq!(owner(&lock), other);
        // What its owner links to is not given to them.
        let foreign = folder.path().join("foreign");
        fs::write(&foreign, "").unwrap();
        let before = owner(&foreign);
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(&foreign, &lock).unwrap();
        KeyFile::new(&path).update(now, revoke).unwrap();
        assert_eq!(owner(&foreign), before);
    }
}

//! The store's file: made whole or not at all, opened by one process, understood or left alone.

use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, RepairSession, StorageBackend,
    StorageError, TableDefinition, TableError,
};

use super::tables::{EXPIRY, Failure, SLOTS};
use crate::private_file::Draft;

/// The only format there is.
const FORMAT: u32 = 1;

/// `format` to its number.
const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
const FORMAT_KEY: &[u8] = b"format";

/// How much of the file is held in memory.
const CACHE: usize = 16 << 20;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// The file or its folder cannot be used.
    #[error("cannot use the store {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process, or another part of this one, has the store open.
    #[error("the store {} is in use: one process at a time can open it", .0.display())]
    InUse(PathBuf),
    /// The file is something else.
    #[error("{} is not a store", .0.display())]
    NotAStore(PathBuf),
    /// Another version made it.
    #[error("the store {} has format {found}, but this version knows format {FORMAT} only", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file is damaged, or could not be mended after a crash.
    #[error("the store {} does not open", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Opens the store in the file `path`, or makes it.
pub(super) fn open(path: &Path) -> Result<Database, OpenStoreError> {
    let io = |source| OpenStoreError::Io {
        path: path.to_owned(),
        source,
    };
    if !path.try_exists().map_err(io)? {
        make(path)?;
    }
    let opened = Builder::new()
        .set_cache_size(CACHE)
        .set_repair_callback(mending)
        .open(path);
    let database = opened.map_err(|error| refused(path, error))?;
    match format(&database) {
        Ok(Some(FORMAT)) => Ok(database),
        Ok(Some(found)) => Err(OpenStoreError::Format {
            path: path.to_owned(),
            found,
        }),
        Ok(None) => Err(OpenStoreError::NotAStore(path.to_owned())),
        Err(failure) => Err(damaged(path, failure)),
    }
}

/// Says why opening takes longer than it did.
fn mending(session: &mut RepairSession) {
    let progress = session.progress();
    tracing::info!(progress, "the store was not closed; checking its file");
}

/// Makes an empty store under another name and only then gives it its own, so that a crash leaves
/// a whole one or none.
fn make(path: &Path) -> Result<(), OpenStoreError> {
    let io = |source| OpenStoreError::Io {
        path: path.to_owned(),
        source,
    };
    let (draft, file) = Draft::of(path).map_err(io)?;
    let filled = FileBackend::new(file).map_err(Failure::from).and_then(fill);
    filled.map_err(|failure| damaged(path, failure))?;
    match draft.publish() {
        // Another process was first: its store is the one in use.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes an empty store.
pub(super) fn fill(backend: impl StorageBackend) -> Result<(), Failure> {
    let database = Builder::new().create_with_backend(backend)?;
    let transaction = database.begin_write()?;
    transaction.open_table(SLOTS)?;
    transaction.open_table(EXPIRY)?;
    transaction
        .open_table(META)?
        .insert(FORMAT_KEY, FORMAT.to_be_bytes().as_slice())?;
    transaction.commit()?;
    Ok(database.close()?)
}

/// The format the file says it has.
fn format(database: &Database) -> Result<Option<u32>, Failure> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    let found = meta.get(FORMAT_KEY)?;
    let number = found.and_then(|bytes| bytes.value().try_into().ok());
    Ok(number.map(u32::from_be_bytes))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else redb may say, the file does not open"
)]
fn refused(path: &Path, error: DatabaseError) -> OpenStoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenStoreError::InUse(path)
        }
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            io::ErrorKind::InvalidData => OpenStoreError::NotAStore(path),
            _ => OpenStoreError::Io { path, source },
        },
        other => damaged(&path, other.into()),
    }
}

fn damaged(path: &Path, failure: Failure) -> OpenStoreError {
    OpenStoreError::Damaged {
        path: path.to_owned(),
        source: failure.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refusal(path: &Path) -> OpenStoreError {
        open(path).map(drop).unwrap_err()
    }

    #[test]
    #[cfg(unix)]
    fn a_new_store_is_private_and_leaves_nothing_beside_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/store.redb");
        drop(open(&path).unwrap());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_store_is_opened_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let first = open(&path).unwrap();
        assert!(matches!(refusal(&path), OpenStoreError::InUse(_)));
        drop(first);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn stores_made_at_the_same_time_are_one_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| make(&path).unwrap());
            }
        });
        assert!(open(&path).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        for bytes in [b"".to_vec(), b"x".to_vec(), vec![0; 8192], vec![7; 100_000]] {
            fs::write(&path, &bytes).unwrap();
            let refusal = refusal(&path);
            assert!(matches!(refusal, OpenStoreError::NotAStore(_)), "{refusal}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
        fs::remove_file(&path).unwrap();
        drop(Database::create(&path).unwrap());
        assert!(matches!(refusal(&path), OpenStoreError::NotAStore(_)));
        let inside = folder.path().join("store.redb/within");
        assert!(matches!(refusal(&inside), OpenStoreError::Io { .. }));
    }

    #[test]
    fn a_store_of_a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let database = open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert(FORMAT_KEY, [0, 0, 0, 2].as_slice()).unwrap();
        drop(meta);
        transaction.commit().unwrap();
        drop(database);
        let refusal = refusal(&path);
        assert!(matches!(refusal, OpenStoreError::Format { found: 2, .. }));
        assert!(refusal.to_string().contains("has format 2"));
    }
}

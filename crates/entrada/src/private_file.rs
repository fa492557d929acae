//! Files that nobody but their owner may read, there as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file under another name, which it loses when it is given its own, or is dropped.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    temporary: PathBuf,
}

impl Draft {
    /// Makes an empty file beside `path`, and the folders on the way to it.
    pub(crate) fn of(path: &Path) -> io::Result<(Self, File)> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(folder(path))?;
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{nth}.tmp", std::process::id()));
        // A leftover of a process that was killed: its mode is not to be trusted.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = create(&temporary)?;
        let path = path.to_owned();
        Ok((Self { path, temporary }, file))
    }

    /// Gives the file its name if no other has it: [`io::ErrorKind::AlreadyExists`] otherwise.
    pub(crate) fn publish(self) -> io::Result<()> {
        let linked = fs::hard_link(&self.temporary, &self.path);
        // Even where another was first: it may not have come so far.
        sync_folder(folder(&self.path))?;
        linked
    }

    /// Gives the file its name in one step, whoever had it.
    pub(crate) fn replace(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        sync_folder(folder(&self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already where it was renamed; where it cannot be removed it is its owner's alone.
        drop(fs::remove_file(&self.temporary));
    }
}

/// The file at `path`, whose content means nothing; made for the owner of `beside` if it is not there.
pub(crate) fn open_or_create(path: &Path, beside: &Path) -> io::Result<File> {
    match create(path) {
        Ok(file) => give_to_owner_of(beside, &file).map(|()| file),
        // It may be a link that its owner made to a file of somebody else's, so it is not given away.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => private().open(path),
        Err(error) => Err(error),
    }
}

/// Gives `file`, which was just made, to the owner of the file at `path`, if there is one: what root
/// writes in the place of a service's file must be the service's again.
#[cfg(unix)]
pub(crate) fn give_to_owner_of(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let before = match fs::metadata(path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if file.metadata()?.uid() == before.uid() {
        return Ok(());
    }
    fchown(file, Some(before.uid()), Some(before.gid()))
}

/// Windows lets files inherit who may use them.
#[cfg(not(unix))]
pub(crate) fn give_to_owner_of(_path: &Path, _file: &File) -> io::Result<()> {
    Ok(())
}

/// Whether others than its owner may read or write `file`.
///
/// A secret that is mounted (Kubernetes) is root's, and whoever is not root reads it as one of its group.
#[cfg(unix)]
pub(crate) fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let file = file.metadata()?;
    // What this process is, where the system says so; else it is taken for root.
    let process = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    Ok(!is_private(file.mode(), file.uid(), process))
}

/// Windows lets files inherit who may use them.
#[cfg(not(unix))]
pub(crate) fn is_exposed(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Whether a file of this mode and owner is the own of a process of this user.
#[cfg(unix)]
fn is_private(mode: u32, owner: u32, process: u32) -> bool {
    let is_mounted = owner == 0 && process != 0;
    let others = if is_mounted { 0o037 } else { 0o077 };
    mode & others == 0
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or_else(|| Path::new("."))
}

/// An empty file that nobody else may read.
fn create(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

/// How to open a file that nobody else may read, if it is made.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a name that was just given last: a folder is written apart from its files.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows keeps names by itself, and has no such call.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_group_may_read_what_root_mounted_for_it() {
        for (mode, owner, process, private) in [
            (0o100_600, 1000, 1000, true),
            (0o100_400, 0, 0, true),
            (0o100_640, 1000, 1000, false),
            (0o100_440, 1000, 1001, false),
            (0o100_440, 0, 0, false),
            (0o100_440, 0, 1000, true),
            (0o100_460, 0, 1000, false),
            (0o100_444, 0, 1000, false),
        ] {
            assert_eq!(
                is_private(mode, owner, process),
                private,
                "{mode:o} {owner} {process}"
            );
        }
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_draft_takes_a_free_name_or_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        Draft::of(&path).unwrap().0.publish().unwrap();
        let taken = Draft::of(&path).unwrap().0.publish().unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        Draft::of(&path).unwrap().0.replace().unwrap();
        assert_eq!(names(folder.path()), 1);
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        drop(Draft::of(&path).unwrap());
        assert_eq!(names(folder.path()), 0);
    }
}

//! The programs of an installed PostgreSQL, and the processes that come of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest version that is supported.
const OLDEST: u32 = 15;

/// The server refuses to run as root, and then runs as the user of the package.
pub(crate) fn give_to_the_server(folder: &Path) {
    if is_root() {
        let given = Command::new("chown")
            .args(["-R", "postgres"])
            .arg(folder)
            .status();
        assert!(given.unwrap().success());
    }
}

/// A process and its children.
pub(crate) fn family(first: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    let all = all.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    let children = all.filter(|process| parent(*process) == Some(first));
    [first].into_iter().chain(children).collect()
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// The shell's own `kill` is on every system.
pub(crate) fn signal(name: &str, processes: &[u32]) {
    for process in processes {
        // One that has ended in the meantime needs no signal.
        let sent = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\" 2>/dev/null", "sh", name])
            .arg(process.to_string())
            .status();
        sent.unwrap();
    }
}

/// A program of the newest version that is installed, as a user it agrees to be run by.
pub(crate) fn program(name: &str) -> Command {
    as_the_server(&binaries().join(name))
}

/// A program as the user that the server runs as. If this process is killed, it ends.
pub(crate) fn as_the_server(path: &Path) -> Command {
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
        .args(["--pdeathsig", "KILL", "--"])
        .arg(path);
    command
}

/// Where Debian's packages and others put them, or where the shell finds them.
fn binaries() -> PathBuf {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = debian.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = debian.chain(std::env::split_paths(&path)).collect();
    let newest = folders
        .into_iter()
        .filter(|folder| folder.join("initdb").exists())
        .filter_map(|folder| Some((version(&folder.join("postgres")).ok().flatten()?, folder)))
        .filter(|(version, _)| *version >= OLDEST)
        .max();
    newest.expect("PostgreSQL 15 or later is installed").1
}

fn version(postgres: &Path) -> io::Result<Option<u32>> {
    let told = Command::new(postgres).arg("--version").output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let number = told.split_whitespace().nth(2).unwrap_or_default();
    let major = number.split(|it: char| !it.is_ascii_digit()).next();
    Ok(major.and_then(|it| it.parse().ok()))
}

fn is_root() -> bool {
    let told = Command::new("id").arg("-u").output().unwrap();
    told.stdout.trim_ascii() == b"0"
}

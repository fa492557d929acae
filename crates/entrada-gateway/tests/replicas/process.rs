//! Processes that a test starts, kills and stops.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::programs::{family, signal};

/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that ends with the test, whatever becomes of that.
pub(crate) struct Process {
    command: Mutex<Command>,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let child = spawn(&mut command, &log);
        Self {
            command: Mutex::new(command),
            child: Mutex::new(child),
            log,
        }
    }

    /// Ends it as a power cut would, with its children.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // So that it has no more children than are seen.
        signal("STOP", &[child.id()]);
        signal("KILL", &family(child.id()));
        child.wait().unwrap();
    }

    /// Ends it as an operator does, if it has not ended.
    pub(crate) fn end(&self) {
        let mut child = self.child.lock().unwrap();
        signal("CONT", &family(child.id()));
        signal("INT", &[child.id()]);
        let until = Instant::now() + PATIENCE;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it again as it was.
    pub(crate) fn restart(&self) {
        let mut command = self.command.lock().unwrap();
        *self.child.lock().unwrap() = spawn(&mut command, &self.log);
    }

    pub(crate) fn suspend(&self) {
        let first = self.child.lock().unwrap().id();
        signal("STOP", &[first]);
        signal("STOP", &family(first));
    }

    pub(crate) fn resume(&self) {
        signal("CONT", &family(self.child.lock().unwrap().id()));
    }

    /// Waits until it logs `words`.
    pub(crate) async fn says(&self, words: &str) {
        for _ in 0..600 {
            if fs::read_to_string(&self.log).unwrap().contains(words) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing of {words} in {}", self.log.display());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        // It may have been killed before.
        let _killed = child.kill();
        let _ended = child.wait();
    }
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let old = log.with_extension("old");
    if log.exists() {
        let mut before = OpenOptions::new()
            .create(true)
            .append(true)
            .open(old)
            .unwrap();
        std::io::copy(&mut File::open(log).unwrap(), &mut before).unwrap();
    }
    let log = File::create(log).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

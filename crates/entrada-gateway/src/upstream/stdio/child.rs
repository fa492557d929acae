//! A child process, and how it ends: with all that it started.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// What is run.
#[derive(Clone)]
#[non_exhaustive]
pub struct ChildCommand {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it runs; where the gateway does, if nobody says.
    pub directory: Option<PathBuf>,
    /// Its environment: all of it.
    pub environment: Vec<(String, OsString)>,
}

impl ChildCommand {
    /// Runs `program` with an empty environment.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            environment: Vec::new(),
        }
    }
}

/// Arguments and values may be secrets: they are not shown.
impl fmt::Debug for ChildCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("ChildCommand")
            .field("program", &self.program)
            .field("directory", &self.directory)
            .field("environment", &names)
            .finish_non_exhaustive()
    }
}

/// A process that was started. Dropped, it is killed with all that it started.
#[derive(Debug)]
pub(in crate::upstream) struct Process {
    child: Child,
    group: Group,
}

/// The ends of its streams.
#[derive(Debug)]
pub(in crate::upstream) struct Pipes {
    pub(in crate::upstream) stdin: ChildStdin,
    pub(in crate::upstream) stdout: ChildStdout,
    pub(in crate::upstream) stderr: ChildStderr,
}

impl Process {
    /// Starts `command`, with `told` in its environment besides.
    pub(in crate::upstream) fn start(
        command: &ChildCommand,
        told: &[(String, String)],
    ) -> io::Result<(Self, Pipes)> {
        let mut process = Command::new(&command.program);
        process
            .args(&command.arguments)
            .env_clear()
            .envs(
                command
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .envs(told.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(directory) = &command.directory {
            process.current_dir(directory);
        }
        // What it starts is of its group, and a terminal's Ctrl-C is for us alone.
        #[cfg(unix)]
        process.process_group(0);
        let mut child = process.spawn()?;
        let group = Group::of(&child);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        };
        let pipes = Pipes {
            stdin,
            stdout,
            stderr,
        };
        Ok((Self { child, group }, pipes))
    }

    /// Its number, for the log.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended by itself; how it did, as far as the system says.
    pub(super) async fn exited(&mut self) -> Option<ExitStatus> {
        // There is nothing to do about a process that cannot be waited for, but to go on.
        self.child.wait().await.ok()
    }

    /// Ends it, when its standard input is closed: it is let go, then told, then made (MCP transports,
    /// *Shutdown*). Whatever it left behind ends, too. How it ended.
    pub(in crate::upstream) async fn end(&mut self) -> Option<ExitStatus> {
        for told in [Told::Nothing, Told::Terminate] {
            self.group.tell(told);
            if tokio::time::timeout(GRACE, self.exited()).await.is_ok() {
                break;
            }
        }
        self.group.tell(Told::Kill);
        let status = self.exited().await;
        self.group.tell(Told::Kill);
        self.group.is_over();
        status
    }
}

/// What a group is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    Nothing,
    Terminate,
    Kill,
}

/// All processes that a child started and that did not leave its group. They are killed when this is
/// dropped.
#[derive(Debug)]
struct Group(#[cfg(unix)] Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(rustix::process::Pid::from_raw))
    }

    fn tell(&self, told: Told) {
        use rustix::process::{Signal, kill_process_group};
        let signal = match told {
            Told::Nothing => return,
            Told::Terminate => Signal::TERM,
            Told::Kill => Signal::KILL,
        };
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Its number may be another's from now on.
    fn is_over(&mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        self.tell(Told::Kill);
    }
}

/// Elsewhere the child alone is ended, by whoever drops it.
#[cfg(not(unix))]
impl Group {
    fn of(_: &Child) -> Self {
        Self()
    }

    fn tell(&self, _: Told) {}

    fn is_over(&mut self) {}
}

/// How long a child may take to end when its input is closed, and again when it is told.
const GRACE: Duration = Duration::from_secs(3);

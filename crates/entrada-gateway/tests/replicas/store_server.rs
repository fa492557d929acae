//! The server that all replicas keep their records in.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::programs::{give_to_the_server, program};

/// Which one it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StoreKind {
    Redis,
    Valkey,
    PostgreSql,
}

/// A server of the test's own, which keeps what it acknowledged, whatever happens to it.
pub(crate) struct StoreServer {
    kind: StoreKind,
    port: u16,
    pub(crate) process: Process,
    /// After what runs in it.
    _data: TempDir,
}

const REDIS: &str = "
bind 127.0.0.1
save \"\"
appendonly yes
appendfsync always
maxmemory-policy noeviction
";

/// Its defaults keep all that was acknowledged.
const POSTGRESQL: &str = "
listen_addresses = '127.0.0.1'
shared_buffers = 16MB
";

impl StoreServer {
    /// Starts one; what it logs is in `logs`.
    pub(crate) async fn start(kind: StoreKind, logs: &Path) -> Self {
        let (data, port) = (tempfile::tempdir().unwrap(), free_port());
        let (command, log) = match kind {
            StoreKind::Redis => (redis("redis-server", data.path(), port), "redis.log"),
            StoreKind::Valkey => (redis("valkey-server", data.path(), port), "valkey.log"),
            StoreKind::PostgreSql => (postgresql(data.path(), port), "postgresql.log"),
        };
        let server = Self {
            kind,
            port,
            process: Process::start(command, logs.join(log)),
            _data: data,
        };
        server.lives().await;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How it is named for a replica that reaches it by this port.
    pub(crate) fn url(&self, port: u16) -> String {
        match self.kind {
            StoreKind::Redis => format!("redis://127.0.0.1:{port}"),
            StoreKind::Valkey => format!("valkey://127.0.0.1:{port}"),
            StoreKind::PostgreSql => format!("postgres://entrada@127.0.0.1:{port}/postgres"),
        }
    }

    /// Starts it again after it was killed, and waits until it has mended its files.
    pub(crate) async fn restart(&self) {
        self.process.restart();
        self.lives().await;
    }

    async fn lives(&self) {
        // All say so in these words.
        self.process.says("eady to accept connections").await;
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        // A server that is killed leaves memory behind.
        self.process.end();
    }
}

fn redis(program: &str, data: &Path, port: u16) -> Command {
    let config = data.join("redis.conf");
    fs::write(&config, format!("port {port}\n{REDIS}")).unwrap();
    let mut command = Command::new(program);
    command.arg(config).current_dir(data);
    command
}

fn postgresql(data: &Path, port: u16) -> Command {
    give_to_the_server(data);
    let cluster = data.join("data");
    let made = program("initdb")
        .args(["--no-sync", "--no-locale", "--encoding=UTF8"])
        .args(["--auth=trust", "--username=entrada"])
        .arg(&cluster)
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let config = cluster.join("postgresql.conf");
    let sockets = format!("unix_socket_directories = '{}'", data.display());
    let before = fs::read_to_string(&config).unwrap();
    let settings = format!("{before}port = {port}\n{sockets}\n{POSTGRESQL}");
    fs::write(config, settings).unwrap();
    let mut command = program("postgres");
    command.arg("-D").arg(cluster).current_dir(data);
    command
}

//! A Redis server of the test's own, ended when it is dropped.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::time::Instant;

/// Keeps what it acknowledged.
const DURABLE: &str = "
bind 127.0.0.1
save \"\"
appendonly yes
appendfsync always
unixsocket redis.sock
repl-diskless-sync-delay 0
";

/// What the documentation of `RedisStore` says is enough for its user.
const RIGHTS: &str = "~entrada:* +get +set +del +getrange +pexpire +eval +evalsha +scan +info +wait \
                      +role +ping +cluster|slots +asking";

/// A server, its port and its folder.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    program: &'static str,
    port: u16,
    folder: TempDir,
    scheme: &'static str,
    login: &'static str,
}

impl Server {
    /// One server alone.
    pub(crate) fn start() -> Self {
        Self::start_as("redis-server", |port| format!("port {port}\n{DURABLE}"))
    }

    /// One more, set up by these lines too.
    pub(crate) fn start_with(lines: &str) -> Self {
        Self::start_as("redis-server", |port| {
            format!("port {port}\n{DURABLE}{lines}")
        })
    }

    /// One that wants TLS, a certificate, and a user.
    pub(crate) fn start_with_tls(tls: &Tls) -> Self {
        let mut server = Self::start_as("redis-server", |port| {
            let folder = tls.folder.path().display();
            format!(
                "port 0\ntls-port {port}\n{DURABLE}
                tls-cert-file {folder}/cert.pem
                tls-key-file {folder}/key.pem
                tls-ca-cert-file {folder}/ca.pem
                tls-auth-clients yes
                user default off
                user entrada on >pass/word {RIGHTS}\n"
            )
        });
        server.scheme = "rediss";
        server.login = "entrada:pass%2fword@";
        server
    }

    /// A server that `config` sets up for a port.
    pub(crate) fn start_as(program: &'static str, config: impl Fn(u16) -> String) -> Self {
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            fs::write(folder.path().join("redis.conf"), config(port)).unwrap();
            let mut server = Self {
                child: run(program, folder.path()),
                program,
                port,
                folder,
                scheme: "redis",
                login: "",
            };
            if server.comes_up() {
                return server;
            }
        }
        panic!("{program} does not start");
    }

    /// Whether it says that it is ready; it ends if another was given the port first.
    fn comes_up(&mut self) -> bool {
        let patience = Instant::now() + Duration::from_secs(20);
        while Instant::now() < patience {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if log.contains("eady to accept connections") || log.contains("Sentinel ID is") {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.begin_to_restart();
        assert!(self.comes_up());
    }

    /// Starts it again where it was; it may not be ready yet.
    pub(crate) fn begin_to_restart(&mut self) {
        fs::remove_file(self.folder.path().join("log")).unwrap();
        self.child = run(self.program, self.folder.path());
    }

    /// Has it do nothing until [`resume`](Self::resume).
    pub(crate) fn suspend(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of a store in it.
    pub(crate) fn url(&self, parameters: &str) -> String {
        let Self {
            scheme,
            login,
            port,
            ..
        } = self;
        format!("{scheme}://{login}127.0.0.1:{port}?{parameters}")
    }

    /// Gives it a command.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let asked = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .output()
            .unwrap();
        String::from_utf8(asked.stdout).unwrap()
    }

    /// Waits until it answers so.
    pub(crate) fn wait_for(&self, command: &[&str], answer: &str) {
        let patience = Instant::now() + Duration::from_secs(20);
        while !self.ask(command).contains(answer) {
            assert!(Instant::now() < patience, "{}", self.ask(command));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed before.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn run(program: &str, folder: &Path) -> Child {
    Command::new(program)
        .args(["redis.conf", "--logfile", "log"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An authority, and a certificate for this machine that servers and clients show.
#[derive(Debug)]
pub(crate) struct Tls {
    folder: TempDir,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut names = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        names
            .distinguished_name
            .push(DnType::CommonName, "127.0.0.1");
        let certificate = names.signed_by(&key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, pem) in [
            ("ca.pem", ca.pem()),
            ("cert.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), pem).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a URL says of them.
    pub(crate) fn parameters(&self) -> String {
        let mut parameters = String::new();
        for (name, file) in [
            ("tls_ca", "ca.pem"),
            ("tls_cert", "cert.pem"),
            ("tls_key", "key.pem"),
        ] {
            write!(parameters, "&{name}={}", self.path(file).display()).unwrap();
        }
        parameters
    }
}

//! A server of the test's own, of Redis or of Valkey, ended when it is dropped.

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
pub(crate) const DURABLE: &str = "
save \"\"
appendonly yes
appendfsync always
repl-diskless-sync-delay 0
";

/// What the documentation of `RedisStore` says is enough for its user.
const RIGHTS: &str = "~entrada:* +get +set +del +getrange +pexpire +eval +evalsha +scan +info +wait \
                      +role +ping +cluster|slots +asking";

/// The password of the operator, who may do all, and as whom a replica comes.
pub(crate) const OPERATOR: &str = "operator";

/// Whose program a server is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    Redis,
    Valkey,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }
}

/// Makes of each test one for every family.
macro_rules! for_each_family {
    ($($test:ident,)+) => {
        for_each_family!(redis Redis $($test)+);
        for_each_family!(valkey Valkey $($test)+);
    };
    ($module:ident $family:ident $($test:ident)+) => {
        mod $module {
            use crate::redis::server::Family;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(Family::$family).await;
                }
            )+
        }
    };
}

pub(super) use for_each_family;

/// What a server is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    KeepsRecords,
    WatchesPrimaries,
}

/// A server, its port and its folder.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    family: Family,
    role: Role,
    port: u16,
    folder: TempDir,
    with_tls: bool,
}

impl Server {
    /// One server alone.
    pub(crate) fn start(family: Family) -> Self {
        Self::start_with(family, "")
    }

    /// One more, set up by these lines too.
    pub(crate) fn start_with(family: Family, lines: &str) -> Self {
        let config = format!("{DURABLE}{lines}");
        Self::start_as(family, Role::KeepsRecords, None, || config.clone())
    }

    /// One that wants TLS, a certificate, and a user.
    pub(crate) fn start_with_tls(family: Family, tls: &Tls) -> Self {
        Self::start_as(family, Role::KeepsRecords, Some(tls), || DURABLE.to_owned())
    }

    /// A server that listens at a port, and is set up for the rest by `config`.
    pub(crate) fn start_as(
        family: Family,
        role: Role,
        tls: Option<&Tls>,
        config: impl Fn() -> String,
    ) -> Self {
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            let lines = [listening(port, tls), logins(role, tls), config()];
            fs::write(folder.path().join("redis.conf"), lines.concat()).unwrap();
            let mut server = Self {
                child: run(family, role, folder.path()),
                family,
                role,
                port,
                folder,
                with_tls: tls.is_some(),
            };
            if server.comes_up() {
                return server;
            }
        }
        panic!("{} does not start", family.program());
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
        self.child = run(self.family, self.role, self.folder.path());
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
        let (scheme, login) = self.scheme_and_login();
        format!("{scheme}://{login}127.0.0.1:{}?{parameters}", self.port)
    }

    /// How a store's URL begins, and as whom it comes.
    pub(crate) fn scheme_and_login(&self) -> (&'static str, &'static str) {
        if self.with_tls {
            ("rediss", "entrada:pass%2fword@")
        } else {
            ("redis", "")
        }
    }

    /// Gives it a command.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let mut asked = Command::new("redis-cli");
        if self.with_tls {
            asked.env("REDISCLI_AUTH", OPERATOR);
        }
        let asked = asked
            .arg("-s")
            .arg(self.folder.path().join("redis.sock"))
            .args(command)
            .output()
            .expect("redis-cli is installed");
        String::from_utf8(asked.stdout).unwrap()
    }

    /// Has it show another certificate to whoever comes from now on.
    pub(crate) fn show(&self, certificate: &Path, key: &Path) {
        let [certificate, key] = [certificate, key].map(|it| it.to_str().unwrap());
        let set = ["tls-cert-file", certificate, "tls-key-file", key];
        let done = self.ask(
            &["CONFIG", "SET"]
                .iter()
                .chain(&set)
                .copied()
                .collect::<Vec<_>>(),
        );
        assert_eq!(done.trim(), "OK");
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

fn run(family: Family, role: Role, folder: &Path) -> Child {
    let mut command = Command::new(family.program());
    command.args(["redis.conf", "--logfile", "log"]);
    if let Role::WatchesPrimaries = role {
        command.arg("--sentinel");
    }
    let child = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let program = family.program();
    child.unwrap_or_else(|error| panic!("{program} does not start; is it installed? {error}"))
}

/// Where a server is spoken to, and how; by its socket, the test speaks to it.
fn listening(port: u16, tls: Option<&Tls>) -> String {
    let Some(tls) = tls else {
        return format!("bind 127.0.0.1\nunixsocket redis.sock\nport {port}\n");
    };
    let folder = tls.folder.path().display();
    format!(
        "bind 127.0.0.1
        unixsocket redis.sock
        port 0
        tls-port {port}
        tls-cert-file {folder}/cert.pem
        tls-key-file {folder}/key.pem
        tls-ca-cert-file {folder}/ca.pem
        tls-auth-clients yes
        tls-replication yes
        tls-cluster yes\n"
    )
}

/// Whom a server lets in: where there is TLS, nobody without a password.
fn logins(role: Role, tls: Option<&Tls>) -> String {
    match (role, tls) {
        (_, None) => String::new(),
        (Role::KeepsRecords, Some(_)) => format!(
            "requirepass {OPERATOR}
            masterauth {OPERATOR}
            user entrada on >pass/word {RIGHTS}\n"
        ),
        (Role::WatchesPrimaries, Some(_)) => format!("requirepass {OPERATOR}\n"),
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An authority, and a certificate for this machine that servers and clients show.
#[derive(Debug)]
pub(crate) struct Tls {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&authority_key).unwrap();
        let tls = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer: Issuer::new(authority, authority_key),
        };
        fs::write(tls.path("ca.pem"), ca.pem()).unwrap();
        let (certificate, key) = tls.certify("127.0.0.1");
        fs::rename(certificate, tls.path("cert.pem")).unwrap();
        fs::rename(key, tls.path("key.pem")).unwrap();
        tls
    }

    /// A certificate for a name, and its key.
    pub(crate) fn certify(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut names = CertificateParams::new([name.to_owned()]).unwrap();
        names.distinguished_name.push(DnType::CommonName, name);
        let certificate = names.signed_by(&key, &self.issuer).unwrap();
        let paths = [".pem", ".key"].map(|end| self.path(&format!("{name}{end}")));
        let [certified, keyed] = &paths;
        fs::write(certified, certificate.pem()).unwrap();
        fs::write(keyed, key.serialize_pem()).unwrap();
        paths.into()
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

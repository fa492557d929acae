//! PostgreSQL servers of a test's own.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use entrada::store::{PostgresSettings, PostgresStore};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use super::programs::{family, give_to_the_server, program, signal};

pub(super) const PASSWORD: &str = "pass:w@rd/%?";

pub(super) const PASSWORD_IN_URL: &str = "pass%3Aw%40rd%2F%25%3F";

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster in a folder of its own, and the server that runs on it. It wants a password, and TLS
/// where one comes by TCP.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    running: Option<Child>,
}

/// An operator's session.
pub(crate) struct Admin {
    pub(super) client: Client,
    _speaking: JoinSet<()>,
}

impl Server {
    /// Makes a cluster and starts a server on it.
    pub(crate) async fn started() -> Self {
        let mut server = Self::stopped();
        server.start().await;
        server
    }

    /// Makes a cluster on which no server runs yet.
    pub(super) fn stopped() -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let server = Self {
            folder,
            port,
            running: None,
        };
        fs::write(server.path("password"), PASSWORD).unwrap();
        server.write_certificates();
        give_to_the_server(server.folder.path());
        let made = program("initdb")
            .args(["--no-sync", "--no-locale", "--encoding=UTF8"])
            .args(["--auth=scram-sha-256", "--username=entrada", "--pwfile"])
            .arg(server.path("password"))
            .arg(server.path("data"))
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        server.configure();
        server
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the server; after a crash, as soon as what is left of it has gone.
    pub(super) async fn start(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "{}", self.log());
            let child = self.running.get_or_insert_with(|| {
                let path = self.folder.path().join("log");
                let log = fs::File::options().create(true).append(true).open(path);
                let log = log.unwrap();
                program("postgres")
                    .arg("-D")
                    .arg(self.folder.path().join("data"))
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(log)
                    .spawn()
                    .unwrap()
            });
            if child.try_wait().unwrap().is_some() {
                self.running = None;
            } else if self.try_admin().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Ends the server as an operator does.
    pub(super) fn stop(&mut self) {
        self.end("INT");
    }

    /// Kills it: what it had in memory is gone.
    pub(super) fn kill(&mut self) {
        let processes = self.processes();
        signal("KILL", &processes);
        if let Some(mut child) = self.running.take() {
            child.wait().unwrap();
        }
    }

    /// Lets it hang: connections are taken by the system, and nothing is answered.
    pub(super) fn pause(&self) {
        signal("STOP", &self.processes());
    }

    pub(super) fn resume(&self) {
        signal("CONT", &self.processes());
    }

    /// The URL of its database, with TLS and a password.
    pub(super) fn url(&self, options: &str) -> String {
        let (host, roots) = (self.host(), self.path("ca.pem"));
        let roots = roots.display();
        format!(
            "postgres://entrada:{PASSWORD_IN_URL}@{host}/postgres?sslrootcert={roots}&{options}"
        )
    }

    /// The URL of its database by its socket.
    pub(super) fn socket_url(&self) -> String {
        let (folder, port) = (self.folder.path().display(), self.port);
        format!(
            "postgres:///postgres?host={folder}&port={port}&user=entrada&password={PASSWORD_IN_URL}"
        )
    }

    /// Has the server take a certificate in place of a password where one comes by TCP.
    pub(super) async fn let_in_by_certificate(&self) {
        let hba = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 cert\n";
        fs::write(self.path("data/pg_hba.conf"), hba).unwrap();
        let authorities = format!(
            "ALTER SYSTEM SET ssl_ca_file = '{}'",
            self.path("ca.pem").display()
        );
        self.sql(&authorities).await;
        self.sql("SELECT pg_reload_conf()").await;
        // Sessions that begin after the signal has come see it.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn settings(&self, options: &str) -> PostgresSettings {
        self.url(options).parse().unwrap()
    }

    pub(crate) fn store(&self, options: &str) -> PostgresStore {
        PostgresStore::open(self.settings(options)).unwrap()
    }

    /// A session to look around in, or to get in the way.
    pub(super) async fn admin(&self) -> Admin {
        self.try_admin().await.unwrap()
    }

    async fn try_admin(&self) -> Result<Admin, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.folder.path()).port(self.port);
        config.user("entrada").password(PASSWORD).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        let mut speaking = JoinSet::new();
        speaking.spawn(async move { drop(connection.await) });
        Ok(Admin {
            client,
            _speaking: speaking,
        })
    }

    /// Has an operator say something to the server.
    pub(super) async fn sql(&self, sql: &str) {
        self.admin().await.client.batch_execute(sql).await.unwrap();
    }

    /// How many rows a table has.
    pub(super) async fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        let row = self.admin().await.client.query_one(&count, &[]).await;
        row.unwrap().get(0)
    }

    /// The processes that serve stores.
    pub(super) async fn sessions(&self) -> Vec<i32> {
        let sessions = "SELECT pid FROM pg_stat_activity
            WHERE application_name = 'entrada' ORDER BY pid";
        let rows = self.admin().await.client.query(sessions, &[]).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Waits until so many statements of stores wait for somebody's lock.
    pub(super) async fn until_waiting(&self, statements: i64) {
        let waiting = "pg_stat_activity
            WHERE application_name = 'entrada' AND wait_event_type = 'Lock'";
        while self.count(waiting).await < statements {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn configure(&self) {
        let (folder, port) = (self.folder.path().display(), self.port);
        let settings = format!(
            "listen_addresses = '127.0.0.1'
             port = {port}
             unix_socket_directories = '{folder}'
             fsync = on
             shared_buffers = 16MB
             ssl = on
             ssl_cert_file = '{folder}/server.pem'
             ssl_key_file = '{folder}/server.key'\n"
        );
        let before = fs::read_to_string(self.path("data/postgresql.conf")).unwrap();
        fs::write(self.path("data/postgresql.conf"), before + &settings).unwrap();
        fs::write(
            self.path("data/pg_hba.conf"),
            "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
        )
        .unwrap();
    }

    /// A certificate for the server, and the authority that vouches for it.
    fn write_certificates(&self) {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = server.signed_by(&key, &issuer).unwrap();
        fs::write(self.path("ca.pem"), root.pem()).unwrap();
        fs::write(self.path("server.pem"), certificate.pem()).unwrap();
        fs::write(self.path("server.key"), key.serialize_pem()).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let mut client = CertificateParams::new(vec![]).unwrap();
        client
            .distinguished_name
            .push(DnType::CommonName, "entrada");
        let certificate = client.signed_by(&client_key, &issuer).unwrap();
        fs::write(self.path("client.pem"), certificate.pem()).unwrap();
        fs::write(self.path("client.key"), client_key.serialize_pem()).unwrap();
        let mut mode = fs::metadata(self.path("server.key")).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
        fs::set_permissions(self.path("server.key"), mode).unwrap();
    }

    /// The server's processes, the first one first.
    fn processes(&self) -> Vec<u32> {
        let first = self.running.as_ref().map(Child::id);
        first.map(family).unwrap_or_default()
    }

    fn end(&mut self, name: &str) {
        let processes = self.processes();
        let Some(mut child) = self.running.take() else {
            return;
        };
        signal("CONT", &processes);
        signal(name, &[child.id()]);
        let until = Instant::now() + PATIENCE;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                drop(child.kill());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

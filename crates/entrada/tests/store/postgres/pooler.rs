//! A PgBouncer between the store and its server.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use entrada::store::{PostgresStore, Store as _};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use super::programs::{as_the_server, give_to_the_server};
use super::server::{PASSWORD, PASSWORD_IN_URL, Server, free_port};
use super::{entry, keeps_every_promise, new_key, told};

/// Debian keeps it out of the PATH of users.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pooler of a test's own. It has two sessions on the server at most.
struct Pooler {
    running: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    async fn started(server: &Server, mode: &str) -> Self {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let path = folder.path().display();
        let (socket, of_server) = (server.path("").display().to_string(), server.port());
        let config = format!(
            "[databases]
            postgres = host={socket} port={of_server}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = {path}/users
            pool_mode = {mode}
            default_pool_size = 2
            logfile = {path}/log\n"
        );
        fs::write(folder.path().join("pgbouncer.ini"), config).unwrap();
        let users = format!("\"entrada\" \"{PASSWORD}\"\n");
        fs::write(folder.path().join("users"), users).unwrap();
        give_to_the_server(folder.path());
        let running = as_the_server(Path::new(PROGRAM))
            .arg("--quiet")
            .arg(folder.path().join("pgbouncer.ini"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let pooler = Self {
            running: running.expect("PgBouncer is installed"),
            port,
            _folder: folder,
        };
        pooler.listens().await;
        pooler
    }

    async fn listens(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        let there = || tokio::net::TcpStream::connect(("127.0.0.1", self.port));
        while there().await.is_err() {
            assert!(
                Instant::now() < until,
                "PgBouncer does not start: is it installed?"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn store(&self, options: &str) -> PostgresStore {
        let port = self.port;
        let url =
            format!("postgres://entrada:{PASSWORD_IN_URL}@127.0.0.1:{port}/postgres?{options}");
        PostgresStore::open(url.parse().unwrap()).unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // What would be told by it is nothing that a test waits for.
        drop(self.running.kill());
        drop(self.running.wait());
    }
}

async fn refusal(store: &PostgresStore) -> String {
    told(&store.put(&new_key(), entry("x")).await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_a_pooler_shares_by_transactions_are_enough_for_every_promise() {
    let server = Server::started().await;
    let pooler = Pooler::started(&server, "transaction").await;
    let other = Arc::new(pooler.store("prepare=false&schema=other"));
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let other = Arc::clone(&other);
        writers.spawn(async move {
            for _ in 0..200 {
                let key = new_key();
                other.put(&key, entry("x")).await.unwrap();
                other.take(&key).await.unwrap();
            }
        });
    }
    let store = Arc::new(pooler.store("prepare=false&timeout=10s"));
    keeps_every_promise(store).await;
    writers.join_all().await;
    assert_eq!(server.count("other.slots").await, 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_shared_unless_the_url_says_so_and_the_role_is_fit_for_it() {
    let server = Server::started().await;
    let pooler = Pooler::started(&server, "session").await;
    for _ in 0..3 {
        let store = pooler.store("pool=1");
        store.put(&new_key(), entry("x")).await.unwrap();
    }

    let pooler = Pooler::started(&server, "transaction").await;
    let first = pooler.store("");
    first.put(&new_key(), entry("x")).await.unwrap();
    let refused = refusal(&pooler.store("")).await;
    assert!(refused.contains("prepare=false"), "{refused}");
    // The session goes, and what was prepared in it.
    server
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'entrada'")
        .await;
    let store = pooler.store("prepare=false");
    store.put(&new_key(), entry("x")).await.unwrap();
    let refused = refusal(&first).await;
    assert!(refused.contains("prepare=false"), "{refused}");

    for (setting, value) in [
        ("default_transaction_isolation", "serializable"),
        ("synchronous_commit", "off"),
    ] {
        let alter = format!("ALTER ROLE entrada SET {setting} = '{value}'");
        server.sql(&alter).await;
        let pooler = Pooler::started(&server, "transaction").await;
        let refused = refusal(&pooler.store("prepare=false")).await;
        assert!(refused.contains("ALTER ROLE"), "{refused}");
        server.sql("ALTER ROLE entrada RESET ALL").await;
    }
}

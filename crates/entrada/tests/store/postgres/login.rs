//! Whom the store speaks to, and as whom.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use entrada::secret::DatabasePassword;
use entrada::store::{
    OpenPostgresError, PasswordSource, PostgresSettings, PostgresStore, Store as _, StoreError,
    StoreTlsError,
};
use tokio::time::Instant;

use super::server::{PASSWORD, PASSWORD_IN_URL, Server};
use super::{entry, new_key, told};

async fn refusal(settings: PostgresSettings) -> String {
    let store = PostgresStore::open(settings).unwrap();
    let before = Instant::now();
    let error = store.put(&new_key(), entry("x")).await.unwrap_err();
    // What nobody but an operator can mend is told at once.
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "{}",
        told(&error)
    );
    let said = format!("{error:?} {store:?}");
    assert!(
        !said.contains(PASSWORD) && !said.contains("hunter2"),
        "{said}"
    );
    told(&error)
}

#[derive(Debug)]
struct Told(Result<&'static str, &'static str>);

#[async_trait]
impl PasswordSource for Told {
    async fn password(&self) -> Result<DatabasePassword, StoreError> {
        let password = self.0.map(DatabasePassword::new);
        password.map_err(StoreError::new)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_or_trusted_without_proof() {
    let server = Server::started().await;

    let wrong = DatabasePassword::new("hunter2");
    let refused = refusal(server.settings("timeout=10s").with_password(&wrong)).await;
    let expected = "password authentication failed for user \"entrada\"";
    assert!(refused.contains(expected), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");

    let without = server.url("timeout=10s").replace(PASSWORD_IN_URL, "");
    let refused = refusal(without.replace(":@", "@").parse().unwrap()).await;
    assert!(refused.contains("store_password_file"), "{refused}");

    let nowhere = server
        .url("timeout=10s")
        .replace("/postgres?", "/elsewhere?");
    let refused = refusal(nowhere.parse().unwrap()).await;
    assert!(
        refused.contains("\"elsewhere\" does not exist"),
        "{refused}"
    );

    let by_name = server
        .url("timeout=10s")
        .replace("@127.0.0.1", "@localhost");
    let refused = refusal(by_name.parse().unwrap()).await;
    assert!(refused.contains("not valid for name"), "{refused}");

    let others = Server::stopped();
    let roots = |server: &Server| format!("sslrootcert={}", server.path("ca.pem").display());
    let other_root = server
        .url("timeout=10s")
        .replace(&roots(&server), &roots(&others));
    let refused = refusal(other_root.parse().unwrap()).await;
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    // The authorities of the system know nothing of the server's.
    let system = server
        .url("")
        .replace(&roots(&server), "sslrootcert=system");
    let refused = refusal(system.parse().unwrap()).await;
    assert!(refused.contains("invalid peer certificate"), "{refused}");

    let clear = server
        .url("timeout=10s")
        .replace(&roots(&server), "sslmode=disable");
    let refused = refusal(clear.parse().unwrap()).await;
    assert!(refused.contains("no encryption"), "{refused}");

    let source = Arc::new(Told(Err("the vault is shut")));
    let refused = refusal(server.settings("timeout=10s").with_password_from(source)).await;
    assert!(refused.contains("the vault is shut"), "{refused}");
    let source = Arc::new(Told(Ok(PASSWORD)));
    let settings = server.settings("timeout=10s").with_password(&wrong);
    let store = PostgresStore::open(settings.with_password_from(source)).unwrap();
    store.put(&new_key(), entry("x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_needs_no_tls_and_a_certificate_can_stand_for_a_password() {
    let server = Server::started().await;
    let socket = server.socket_url();
    let store = PostgresStore::open(socket.parse().unwrap()).unwrap();
    store.put(&new_key(), entry("x")).await.unwrap();

    server.let_in_by_certificate().await;
    let (certificate, key) = (server.path("client.pem"), server.path("client.key"));
    let files = format!("sslcert={}&sslkey={}", certificate.display(), key.display());
    let wrong = DatabasePassword::new("hunter2");
    let settings = server.settings(&files).with_password(&wrong);
    let store = PostgresStore::open(settings).unwrap();
    store.put(&new_key(), entry("x")).await.unwrap();
    let refused = refusal(server.settings("timeout=10s").with_password(&wrong)).await;
    assert!(refused.contains("certificate"), "{refused}");
}

#[test]
fn files_that_are_named_must_be_what_they_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let missing = folder.path().join("missing.pem");
    let open = |option: &str, path: &std::path::Path| {
        let url = format!("postgres://u@db.example/d?{option}={}", path.display());
        let opened = PostgresStore::open(url.parse().unwrap());
        opened.map(drop).unwrap_err()
    };
    let refused = open("sslrootcert", &missing);
    assert!(
        matches!(refused, OpenPostgresError::Tls(StoreTlsError::File { path, .. }) if path == missing)
    );
    let refused = open("sslrootcert", &empty);
    assert!(
        matches!(refused, OpenPostgresError::Tls(StoreTlsError::Pem { path, .. }) if path == empty)
    );
}

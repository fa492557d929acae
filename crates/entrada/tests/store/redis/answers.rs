//! What a store makes of answers that are lost, and of how a server is set up.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use entrada::store::{Sealed, Store as _, Taken, Written};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing_subscriber::fmt::MakeWriter;

use super::server::{Family, Server, for_each_family};
use super::{entry, new_key, open, told};

for_each_family!(
    what_changed_something_is_not_done_twice_when_the_answer_is_lost,
    what_may_be_done_twice_is_when_the_answer_is_lost,
    a_user_that_may_not_look_at_the_server_can_work_all_the_same,
    whoever_is_not_let_in_is_told_what_to_mend,
    what_is_foreign_is_neither_believed_nor_exported,
    an_export_that_a_restart_interrupts_says_so,
);

/// Stands between store and server, and hangs up on answers when it is told to.
#[derive(Debug)]
struct Between {
    port: u16,
    loses: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Between {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loses = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let lose = Arc::clone(&loses);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                connections.spawn(between(client, server, Arc::clone(&lose)));
            }
        });
        Self {
            port,
            loses,
            _tasks: tasks,
        }
    }
}

async fn between(client: TcpStream, server: TcpStream, loses: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut bytes = vec![0; 65536];
        while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
            // The server did what it was asked to.
            if loses.swap(false, Ordering::SeqCst) {
                return;
            }
            to_client.write_all(&bytes[..length]).await.unwrap();
        }
    };
    tokio::select! {
        () = answers => {}
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
    }
}

async fn what_changed_something_is_not_done_twice_when_the_answer_is_lost(family: Family) {
    let server = Server::start(family);
    let between = Between::start(server.port()).await;
    let store = open(&format!("redis://127.0.0.1:{}", between.port));
    let (code, grant) = (new_key(), new_key());
    // The scripts are known, so that one answer is what one verb needs.
    store.take(&new_key()).await.unwrap();
    store.put_version(&new_key(), 1, entry("1")).await.unwrap();

    let lose = || between.loses.store(true, Ordering::SeqCst);
    lose();
    let error = store.put_new(&code, entry("code")).await.unwrap_err();
    assert!(
        told(&error).contains("may have been done"),
        "{}",
        told(&error)
    );
    let written = store.put_new(&code, entry("code")).await.unwrap();
    assert_eq!(written, Written::Conflict);

    lose();
    assert!(store.take(&code).await.is_err());
    assert_eq!(store.take(&code).await.unwrap(), Taken::Spent(None));

    lose();
    assert!(store.put_version(&grant, 1, entry("1")).await.is_err());
    let written = store.put_version(&grant, 2, entry("2")).await.unwrap();
    assert_eq!(written, Written::Yes);
}

async fn what_may_be_done_twice_is_when_the_answer_is_lost(family: Family) {
    let server = Server::start(family);
    let between = Between::start(server.port()).await;
    let store = open(&format!("redis://127.0.0.1:{}", between.port));
    let grant = new_key();
    store.put(&grant, entry("grant")).await.unwrap();
    between.loses.store(true, Ordering::SeqCst);
    let stored = store.read(&grant).await.unwrap();
    assert_eq!(
        stored.map(|it| it.sealed),
        Some(Sealed::from_stored("grant"))
    );
    store.revoke(&new_key(), super::later()).await.unwrap();
    between.loses.store(true, Ordering::SeqCst);
    store.revoke(&grant, super::later()).await.unwrap();
    assert_eq!(store.read(&grant).await.unwrap(), None);
}

/// All that is logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_server_that_forgets_when_memory_runs_short_is_warned_of() {
    let policies = [("volatile-lru", true), ("noeviction", false)];
    for (family, (policy, warned)) in Family::ALL
        .into_iter()
        .flat_map(|it| policies.map(|policy| (it, policy)))
    {
        let server = Server::start_with(family, &format!("maxmemory-policy {policy}\n"));
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone());
        let _guard = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());
        let store = open(&server.url(""));
        store.put(&new_key(), entry("grant")).await.unwrap();
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            log.contains("set maxmemory-policy to noeviction"),
            warned,
            "{log}"
        );
        assert_eq!(log.contains(policy), warned, "{log}");
    }
}

async fn a_user_that_may_not_look_at_the_server_can_work_all_the_same(family: Family) {
    let server = Server::start_with(family, "user default on nopass ~* +@all -info -ping\n");
    let store = open(&server.url(""));
    let key = new_key();
    store.put(&key, entry("grant")).await.unwrap();
    let page = store.export(None, 10).await.unwrap();
    assert_eq!(page.slots.len(), 1);
    assert_eq!(page.next, None);
}

async fn whoever_is_not_let_in_is_told_what_to_mend(family: Family) {
    let (open_to_all, closed) = (
        Server::start(family),
        Server::start_with(family, "requirepass hush\n"),
    );
    let (open_to_all, closed) = (open_to_all.port(), closed.port());
    for (url, says) in [
        (
            format!("redis://127.0.0.1:{closed}"),
            "there is none: put it in the URL, or in the file that store_password_file",
        ),
        (format!("redis://127.0.0.1:{closed}/3"), "there is none"),
        (
            format!("redis://:hunter2@127.0.0.1:{closed}/3"),
            "are user and password right",
        ),
        (
            format!("redis+sentinel://127.0.0.1:{closed}/main"),
            "sentinel_password_file",
        ),
        (
            format!("redis://127.0.0.1:{open_to_all}/99"),
            "has no database 99",
        ),
        (
            format!("rediss://127.0.0.1:{open_to_all}"),
            "does not seem to speak TLS",
        ),
    ] {
        let error = open(&url).read(&new_key()).await.unwrap_err();
        let told = told(&error);
        assert!(told.contains(says), "{url}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_to_tls_is_told_of() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let store = open(&format!("rediss://127.0.0.1:{port}?timeout=500ms"));
    let error = store.read(&new_key()).await.unwrap_err();
    let told = told(&error);
    assert!(told.contains("does not seem to speak TLS"), "{told}");
}

async fn what_is_foreign_is_neither_believed_nor_exported(family: Family) {
    let server = Server::start(family);
    let store = open(&server.url("prefix=a*:"));
    let key = new_key();
    store.put(&key, entry("grant")).await.unwrap();
    for other in ["ab:c", "a:x", "a*:", "a*:what"] {
        server.ask(&["SET", other, "foreign"]);
    }
    let page = store.export(None, 1000).await.unwrap();
    let keys: Vec<_> = page.slots.iter().map(|(key, _)| key).collect();
    assert_eq!((keys, page.next), (vec![&key], None));
}

async fn an_export_that_a_restart_interrupts_says_so(family: Family) {
    let mut server = Server::start(family);
    let store = open(&server.url(""));
    for _ in 0..100 {
        store.put(&new_key(), entry("grant")).await.unwrap();
    }
    let page = store.export(None, 10).await.unwrap();
    let next = page.next.unwrap();
    assert!(store.export(Some(&next), 10).await.is_ok());
    server.kill();
    server.restart();
    super::works_again(&store).await;
    let error = store.export(Some(&next), 10).await.unwrap_err();
    assert!(told(&error).contains("begin anew"), "{}", told(&error));
}

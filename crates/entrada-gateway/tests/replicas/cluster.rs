//! Three processes of the real program on one store, before one Entra and one MCP server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::{Json, Router};
use entra_emulator::{Control, Directory, Emulator, Endpoint, GrantType, Listen, Options, builtin};
use http::Request;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fault_proxy::{FaultProxy, Network};
use crate::process::{Process, free_port};
use crate::store_server::{StoreKind, StoreServer};
use crate::world::{BASE_URL, Hosts, Reply};

/// How many replicas there are.
pub(crate) const REPLICAS: usize = 3;

/// How many people there are. Each has some clients.
const USERS: usize = 10;

const REFRESH: Endpoint = Endpoint::TokenGrant(GrantType::RefreshToken);

/// How long after the end of a fault a replica may still be without its store: it leaves a server
/// alone for up to a second that it could not reach, and what it asked before has two.
const HEALING: Duration = Duration::from_secs(4);

pub(crate) struct Cluster {
    pub(crate) hosts: Hosts,
    entra: Control,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) store: StoreServer,
    _emulator: entra_emulator::Running,
    _upstream: JoinSet<()>,
    /// After everything that runs in it.
    folder: TempDir,
}

pub(crate) struct Replica {
    pub(crate) process: Process,
    proxy: FaultProxy,
    trouble: Mutex<Trouble>,
}

/// Whether something is between a replica and the store.
struct Trouble {
    faults: u32,
    ended: Option<Instant>,
}

impl Cluster {
    pub(crate) async fn start(kind: StoreKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let emulator = Emulator::new(Options {
            directory: directory(),
            ..Options::default()
        });
        let running = emulator.serve(Listen::http()).await.unwrap();
        let mut tasks = JoinSet::new();
        let upstream = upstream(&mut tasks).await;
        let store = StoreServer::start(kind, folder.path()).await;
        let key = new_encryption_key(folder.path());
        let mut replicas = Vec::new();
        let mut addresses = Vec::new();
        for number in 0..REPLICAS {
            let proxy = FaultProxy::before(store.port()).await;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let settings = [
                format!("--listen={address}"),
                format!("--upstream={upstream}"),
                format!("--authority-host={}", running.authority_host()),
                format!("--store={}", store.url(proxy.port())),
                format!("--key-encryption-key-file={}", key.display()),
                // Each has its own: they share nothing but the store.
                format!("--data-dir={}/data-{number}", folder.path().display()),
            ];
            let log = folder.path().join(format!("replica-{number}.log"));
            let process = Process::start(serve(&settings), log);
            addresses.push(address);
            replicas.push(Replica {
                process,
                proxy,
                trouble: Mutex::new(Trouble {
                    faults: 0,
                    ended: None,
                }),
            });
            // The first makes the keys of all, and each looks whether it can be used.
            let hosts = Hosts::new(addresses.clone());
            comes_up(&hosts, number, "/readyz").await;
        }
        Self {
            hosts: Hosts::new(addresses),
            entra: emulator.control(),
            replicas,
            store,
            _emulator: running,
            _upstream: tasks,
            folder,
        }
    }

    /// Makes Entra take so long for each of the next refreshes.
    pub(crate) fn entra_takes(&self, time: Duration, refreshes: u64) {
        self.entra.delay_next(REFRESH, refreshes, time);
    }

    /// How often Entra was asked for a refresh.
    pub(crate) fn entra_refreshes(&self) -> u64 {
        self.entra.calls(REFRESH)
    }

    /// Waits until a replica lives again.
    pub(crate) async fn lives(&self, replica: usize) {
        comes_up(&self.hosts, replica, "/healthz").await;
    }

    /// Waits until all replicas can use the store.
    pub(crate) async fn all_ready(&self) {
        for replica in 0..REPLICAS {
            comes_up(&self.hosts, replica, "/readyz").await;
        }
    }

    /// Keeps the logs, and says where they are.
    pub(crate) fn keep_logs(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Replica {
    /// Puts something between this replica and the store.
    pub(crate) fn cut_off(&self, network: Network) {
        self.begin_trouble();
        self.proxy.become_so(network);
    }

    /// Ends it.
    pub(crate) fn reconnect(&self) {
        self.proxy.become_so(Network::Passes);
        self.end_trouble();
    }

    pub(crate) fn begin_trouble(&self) {
        self.trouble.lock().unwrap().faults += 1;
    }

    pub(crate) fn end_trouble(&self) {
        let mut trouble = self.trouble.lock().unwrap();
        trouble.faults -= 1;
        trouble.ended = Some(Instant::now());
    }

    /// Whether something was between it and the store at any time since `then`.
    pub(crate) fn had_trouble_since(&self, then: Instant) -> bool {
        let trouble = self.trouble.lock().unwrap();
        trouble.faults > 0 || trouble.ended.is_some_and(|ended| ended + HEALING > then)
    }
}

fn serve(settings: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrada"));
    command
        .arg("serve")
        .args(settings)
        .arg(format!("--base-url={BASE_URL}"))
        .arg(format!("--tenant-id={}", builtin::TENANT_ID))
        .arg(format!("--client-id={}", builtin::CLIENT_ID))
        .args([
            "--insecure-http-authority",
            "--required-scopes=mcp.read",
            "--consent=remember",
            "--rate-limits=none",
            "--log-format=json",
        ])
        .env_clear()
        .env("ENTRADA_CLIENT_SECRET", builtin::CLIENT_SECRET);
    command
}

/// What the keys are sealed with in the store.
fn new_encryption_key(folder: &Path) -> PathBuf {
    let made = Command::new(env!("CARGO_BIN_EXE_entrada"))
        .args(["keys", "new-encryption-key"])
        .env_clear()
        .output()
        .unwrap();
    assert!(made.status.success());
    let path = folder.join("key-encryption-key");
    fs::write(&path, made.stdout).unwrap();
    let mut rights = fs::metadata(&path).unwrap().permissions();
    rights.set_mode(0o600);
    fs::set_permissions(&path, rights).unwrap();
    path
}

async fn comes_up(hosts: &Hosts, replica: usize, path: &str) {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let request = Request::get(format!("{BASE_URL}{path}")).body(Body::empty());
        match hosts.ask_at(replica, request.unwrap()).await {
            Reply::Answer(answer) if answer.status == 200 => return,
            reply @ (Reply::Answer(_) | Reply::Unsent | Reply::Broken) => {
                assert!(Instant::now() < patience, "replica {replica}: {reply:?}");
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn upstream(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Router::new().fallback(|| async { Json(json!({"result": "done"})) });
    tasks.spawn(async move { axum::serve(listener, server).await.unwrap() });
    format!("http://{address}/mcp")
}

/// The name under which the user of the `number`th client signs in.
pub(crate) fn username(number: usize) -> String {
    format!("user{}@contoso.onmicrosoft.com", number % USERS)
}

/// The usual one, with more people.
fn directory() -> Directory {
    let mut directory = Directory::default();
    let bob = directory
        .users
        .iter()
        .find(|user| user.oid == builtin::BOB_OID);
    let bob = bob.unwrap().clone();
    for number in 0..USERS {
        let mut user = bob.clone();
        user.oid = format!("20000000-0000-4000-9000-{number:012}");
        user.username = username(number);
        directory.users.push(user);
    }
    directory
}

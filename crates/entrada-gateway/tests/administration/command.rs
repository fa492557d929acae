//! `entrada grants` and `entrada clients`, beside a gateway that keeps a file.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use entra_emulator::builtin;
use entrada::AzureConfig;
use entrada::platform::{Clock as _, SystemClock};
use serde_json::Value;

use crate::world::{BASE_URL, World};

/// A world at a time when what is given in it has not ended.
pub(crate) async fn today() -> World {
    let world = World::new().await;
    let behind = SystemClock::default().now().since(world.now());
    world.advance(behind);
    world
}

/// A server that keeps keys and grants in `folder`.
pub(crate) fn server(world: &World, folder: &Path) -> World {
    world.replica_with(|_| {
        AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL)
            .client_secret(builtin::CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .authority_host("login.emulator.test")
            .data_dir(folder)
    })
}

/// What came of a command, and what it said to whom.
pub(crate) struct Said {
    code: Option<i32>,
    pub(crate) out: String,
    error: String,
}

pub(crate) fn entrada(folder: &Path, line: &[&str]) -> Said {
    said(&mut command(folder, line))
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code(),
        out: text(output.stdout),
        error: text(output.stderr),
    }
}

fn command(folder: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrada"));
    command.args(line).env_clear().stdin(Stdio::null());
    for (name, value) in [
        ("UPSTREAM", "http://127.0.0.1:3000/mcp"),
        ("BASE_URL", BASE_URL),
        ("TENANT_ID", builtin::TENANT_ID),
        ("CLIENT_ID", builtin::CLIENT_ID),
        ("CLIENT_SECRET", builtin::CLIENT_SECRET),
        ("REQUIRED_SCOPES", "mcp.read"),
        ("DATA_DIR", folder.to_str().unwrap()),
    ] {
        command.env(format!("ENTRADA_{name}"), value);
    }
    command
}

/// A gateway that keeps keys and grants in `folder`, ended with the test.
struct Gateway(Child);

impl Gateway {
    fn of(folder: &Path, store: &str) -> Self {
        let line = ["serve", "--listen", "127.0.0.1:0", "--store", store];
        let mut command = command(folder, &line);
        command.env("ENTRADA_AUTHORITY_HOST", "127.0.0.1:1");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let gateway = Self(child);
        let mut lines = log.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("commands are answered")));
        // It goes on writing.
        std::thread::spawn(move || lines.for_each(drop));
        gateway
    }

    /// Asks it to stop, and waits until it has.
    fn stop(mut self) {
        let id = self.0.id().to_string();
        Command::new("kill").arg(&id).status().unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, &*self.error), (Some(0), ""));
        self.out
    }

    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        let out = self.ok();
        out.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[track_caller]
    fn refused(self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{}", self.error);
        assert!(self.error.contains(words), "{}", self.error);
        assert_eq!(self.out, "");
    }
}

#[tokio::test]
async fn grants_are_listed_and_ended_while_no_gateway_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    entrada(folder, &["grants", "list"]).refused(1, "there is nothing at");
    let outside = today().await;
    let world = server(&outside, folder);
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let bobs_other = bob.client.log_in(&mut world.browser(), "bob").await;
    entrada(folder, &["grants", "list"]).refused(1, "is in use, by a gateway most likely");
    // They hold on to the server no longer.
    let [alice, bob, bobs_other] = [alice, bob, bobs_other].map(|it| it.at(&outside));
    drop(world);

    let all = entrada(folder, &["grants", "list", "--json"]).json();
    assert_eq!(all.len(), 3);
    let of_alice = ["grants", "list", "--user", "Alice@contoso.onmicrosoft.com"];
    let told = entrada(folder, &of_alice).ok();
    for words in [
        "alice@contoso.onmicrosoft.com  20000000-0000-4000-8000-000000000001@",
        "through \"Test client\"",
        "mcp.read",
    ] {
        assert!(told.contains(words), "{told}");
    }
    for secret in [&alice.access_token, &alice.refresh_token] {
        assert!(!told.contains(&secret[..24]), "{told}");
    }
    assert!(!told.contains('\u{1b}'), "no terminal, no colour: {told}");
    let id = alice.claims()["sid"].as_str().unwrap().to_owned();
    let ended = entrada(folder, &["grants", "revoke", "--grant", &id, "--json"]).json();
    assert_eq!(ended[0]["grants"], 1);
    let user = ["grants", "revoke", "--user", "bob@contoso.onmicrosoft.com"];
    // There is nobody to ask.
    entrada(folder, &user).refused(2, "say --yes");
    let told = entrada(folder, &[&user[..], &["--yes"]].concat()).ok();
    assert_eq!(told, "2 grants ended, 0 logins under way stopped\n");
    let told = entrada(folder, &["grants", "revoke", "--all"]).ok();
    assert_eq!(told, "0 grants ended, 0 logins under way stopped\n");
    for wrong in [
        &["grants", "revoke"][..],
        &["grants", "revoke", "--all", "--user", "a@b"],
        &["grants", "revoke", "--grant", "short"],
        &[
            "grants",
            "list",
            "--user",
            "20000000-0000-4000-8000-000000000001",
        ],
    ] {
        assert_eq!(entrada(folder, wrong).code, Some(2), "{wrong:?}");
    }
    let world = server(&outside, folder);
    for session in [&alice, &bob, &bobs_other] {
        let session = session.at(&world);
        session.refresh().await.assert_refused(400, "invalid_grant");
    }
}

/// What is told of an empty file: which one it is.
fn none_in(folder: &Path) -> String {
    format!(
        "There are none in file:{}.\n",
        folder.join("grants.redb").display()
    )
}

#[tokio::test]
async fn what_is_kept_is_seen_without_a_secret_of_the_gateways() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("entrada.toml");
    let settings = format!(
        "data_dir = {data:?}\nclient_secret_file = \"/nowhere/secret\"\n\n[[client]]\nclient_id = \"agents\"\n\
         client_name = \"Agents\"\nredirect_uris = \"https://agents.example/cb\"\nsecret_file = \"/nowhere/agents\"\n"
    );
    std::fs::write(&file, settings).unwrap();
    let outside = today().await;
    let world = server(&outside, &data);
    let session = world.log_in("alice").await.at(&outside);
    drop(world);
    let run = |line: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_entrada"));
        command.args(line).arg("--config").arg(&file);
        said(command.env_clear().stdin(Stdio::null()))
    };
    let grants = run(&["grants", "list", "--json"]).json();
    assert_eq!(grants[0]["client_id"], *session.client.id);
    let clients = run(&["clients", "list", "--json"]).json();
    assert_eq!(clients.len(), 2);
    assert_eq!(
        (&clients[0]["id"], &clients[0]["origin"]),
        (&"agents".into(), &"configured".into())
    );
    assert_eq!(clients[0]["is_confidential"], true);
    run(&["clients", "remove", "agents", "--yes"]).refused(1, "stands in the configuration");
    assert_eq!(
        run(&["grants", "revoke", "--all", "--json"]).json()[0]["grants"],
        1
    );
    assert_eq!(run(&["grants", "list"]).ok(), none_in(&data));
    // Looking makes no keys.
    std::fs::remove_file(data.join("keys.json")).unwrap();
    run(&["grants", "list"]).refused(1, "there are no keys in");
    assert!(!data.join("keys.json").exists());
    // What names another place must be understood.
    std::fs::write(&file, "data_dirr = \"elsewhere\"\n").unwrap();
    run(&["grants", "list"]).refused(2, "is data_dir meant?");
}

#[tokio::test]
async fn clients_are_listed_and_removed_while_no_gateway_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let outside = today().await;
    let world = server(&outside, folder);
    let session = world.log_in("alice").await.at(&outside);
    let id = session.client.id.clone();
    drop(world);
    let all = entrada(folder, &["clients", "list", "--json"]).json();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["id"], *id);
    assert_eq!(all[0]["origin"], "registered");
    let told = entrada(folder, &["clients", "list"]).ok();
    assert!(
        told.starts_with(&format!("{id}  \"Test client\"\n  registered ")),
        "{told}"
    );
    entrada(folder, &["clients", "remove", &id]).refused(2, "say --yes");
    let told = entrada(folder, &["clients", "remove", &id, "--yes"]).ok();
    assert_eq!(told, REMOVED);
    let again = entrada(folder, &["clients", "remove", &id, "--yes"]);
    again.refused(1, "there is no such client");
    // Identifiers of an earlier version could begin like an option.
    for id in ["-bcd", "-yes-or-no", "--bcd"] {
        entrada(folder, &["clients", "remove", id, "-y"]).refused(1, "there is no such client");
    }
    let grants = ["grants", "list", "--client", "-bcd"];
    assert_eq!(entrada(folder, &grants).ok(), none_in(folder));
    let grant = [
        "grants",
        "revoke",
        "--grant",
        "-AAAAAAAAAAAAAAAAAAAAA",
        "-y",
    ];
    assert!(entrada(folder, &grant).ok().starts_with("0 grants ended"));
    assert_eq!(entrada(folder, &["clients", "list"]).ok(), none_in(folder));
    assert_eq!(entrada(folder, &["clients", "list", "--json"]).ok(), "");
    let session = session.at(&server(&outside, folder));
    session
        .refresh()
        .await
        .assert_refused(401, "invalid_client");
}

#[tokio::test]
async fn grants_and_clients_are_managed_while_the_gateway_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let outside = today().await;
    let world = server(&outside, folder);
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let [alice, bob] = [alice, bob].map(|session| session.at(&outside));
    drop(world);
    let socket = folder.join("control.sock");
    // One that was killed left its socket behind.
    drop(UnixListener::bind(&socket).unwrap());
    let store = format!("file:{}", folder.join("grants.redb").display());
    let gateway = Gateway::of(folder, &store);
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let all = entrada(folder, &["grants", "list", "--json"]).json();
    assert_eq!(all.len(), 2);
    let told = entrada(
        folder,
        &["grants", "list", "--user", "bob@contoso.onmicrosoft.com"],
    )
    .ok();
    assert_eq!(told.matches("through").count(), 1);
    let id = alice.claims()["sid"].as_str().unwrap().to_owned();
    let ended = entrada(folder, &["grants", "revoke", "--grant", &id, "--json"]).json();
    assert_eq!(ended[0]["grants"], 1);
    assert_eq!(
        entrada(folder, &["clients", "list", "--json"]).json().len(),
        2
    );
    let told = entrada(folder, &["clients", "remove", &bob.client.id, "--yes"]).ok();
    assert_eq!(told, REMOVED);
    let again = entrada(folder, &["clients", "remove", &bob.client.id, "--yes"]);
    again.refused(1, "there is no such client");
    gateway.stop();
    assert!(!socket.exists());

    let world = server(&outside, folder);
    let refused = alice.at(&world).refresh().await;
    refused.assert_refused(400, "invalid_grant");
}

#[test]
fn a_gateway_tells_what_is_in_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::of(folder.path(), "memory:");
    let file = folder.path().join("entrada.toml");
    std::fs::write(&file, "store = \"memory:\"\n").unwrap();
    let line = ["grants", "list", "--config", file.to_str().unwrap()];
    assert_eq!(
        entrada(folder.path(), &line).ok(),
        "There are none in memory:.\n"
    );
    gateway.stop();
}

#[test]
fn a_store_in_memory_is_a_gateways_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entrada.toml");
    std::fs::write(&file, "store = \"memory:\"\n").unwrap();
    let line = ["grants", "list", "--config", file.to_str().unwrap()];
    entrada(folder.path(), &line).refused(1, "only the gateway itself can read");
}

#[tokio::test]
async fn keys_are_told_as_json() {
    let folder = tempfile::tempdir().unwrap();
    drop(server(&today().await, folder.path()));
    for (line, signing) in [
        (["keys", "list", "--json"], 1),
        (["keys", "rotate", "--json"], 2),
    ] {
        let mut told = entrada(folder.path(), &line);
        // A new key waits already, by the clock here, which is behind that of the keys.
        told.error.clear();
        let told = told.json();
        let keys = told[0]["keys"].as_array().unwrap();
        let sign = |key: &&Value| key["signs_with"] == "ES256";
        assert_eq!(keys.iter().filter(sign).count(), signing, "{told:?}");
        assert_eq!(keys.len(), 2 * signing);
    }
}

const REMOVED: &str = "the client is removed\n1 grant ended, 0 logins under way stopped\n";

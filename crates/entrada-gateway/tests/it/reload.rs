//! The program, whose configuration changes while it runs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use entra_emulator::builtin;
use http::StatusCode;
use serde_json::Value;

use crate::program::{Running, entrada, get};

/// A gateway that goes by a file, and what it says.
struct Gateway {
    running: Running,
    lines: Receiver<Value>,
    url: String,
}

/// Longer than anything here takes, even where much else is going on.
const PATIENCE: Duration = Duration::from_secs(120);

impl Gateway {
    fn start(folder: &Path) -> Self {
        let file = folder.join("entrada.toml");
        let mut command = entrada(&["serve", "--config", file.to_str().unwrap()]);
        command.args(["--log-format=json", "--listen=127.0.0.1:0"]);
        let mut running = Running(command.stdout(Stdio::null()).spawn().unwrap());
        let said = BufReader::new(running.0.stderr.take().unwrap()).lines();
        let (tell, lines) = channel();
        // It ends with the program.
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let mut gateway = Self {
            running,
            lines,
            url: String::new(),
        };
        let listening = gateway.says("listening");
        let address = listening.get("listen").and_then(Value::as_str).unwrap();
        gateway.url = format!("http://{address}");
        gateway
    }

    /// Waits for a line with `message`.
    fn says(&self, message: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("it says so");
            assert!(!line.to_string().contains(builtin::CLIENT_SECRET), "{line}");
            if line.get("message").is_some_and(|said| said == message) {
                return line;
            }
        }
    }

    fn hang_up(&self) {
        let id = self.running.0.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status().unwrap();
        assert!(sent.success());
    }
}

/// Whether the gateway at `url` has a server at `path`.
async fn serves(url: &str, path: &str) -> bool {
    let url = format!("{url}/.well-known/oauth-protected-resource{path}");
    get(&url).await.0 == StatusCode::OK
}

const ROUTE: &str = "[[route]]\npath = '/search'\nupstream = 'http://127.0.0.1:1/mcp'\n";

fn content(folder: &Path, more: &str) -> String {
    let (tenant, client) = (builtin::TENANT_ID, builtin::CLIENT_ID);
    let folder = folder.display();
    format!(
        "upstream = 'http://127.0.0.1:1/mcp'\n\
         base_url = 'http://127.0.0.1:8000'\n\
         tenant_id = '{tenant}'\n\
         client_id = '{client}'\n\
         authority_host = '127.0.0.1:1'\n\
         client_secret_file = '{folder}/secret'\n\
         required_scopes = ['mcp.read']\n\
         data_dir = '{folder}'\n\
         {more}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_configuration_read_again_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, content: &str| std::fs::write(folder.join(name), content).unwrap();
    write("secret", builtin::CLIENT_SECRET);
    write("entrada.toml", &content(folder, ""));
    let gateway = Gateway::start(folder);
    assert!(!serves(&gateway.url, "/search").await);

    gateway.hang_up();
    gateway.says("the configuration has not changed");

    write("entrada.toml", &content(folder, ROUTE));
    gateway.hang_up();
    gateway.says("the configuration was taken over");
    assert!(serves(&gateway.url, "/search").await);

    write("entrada.toml", &content(folder, "consent = 'perhaps'\n"));
    gateway.hang_up();
    let told = gateway.says("the configuration in use stays");
    assert_eq!(told["level"], "ERROR");
    let problem = told["problem"].as_str().unwrap();
    assert!(problem.contains("entrada.toml:9: consent: "), "{problem}");
    assert!(serves(&gateway.url, "/search").await);

    let moved = content(folder, "issuer_url = 'http://127.0.0.1:9'\n");
    write("entrada.toml", &moved);
    gateway.hang_up();
    let told = gateway.says("the configuration in use stays");
    let problem = told["problem"].as_str().unwrap();
    assert!(problem.ends_with(": issuer_url"), "{problem}");
    assert!(serves(&gateway.url, "/search").await);

    write("entrada.toml", &content(folder, ROUTE));
    gateway.hang_up();
    gateway.says("the configuration is again the one in use");
    assert!(gateway.running.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_changes_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, content: &str| std::fs::write(folder.join(name), content).unwrap();
    write("secret", builtin::CLIENT_SECRET);
    let loud = content(folder, ROUTE);
    write("entrada.toml", &loud);
    let gateway = Gateway::start(folder);
    get(&format!("{}/loud", gateway.url)).await;
    while gateway.says("request")["path"] != "/loud" {}

    write("entrada.toml", &content(folder, "log_level = 'error'\n"));
    gateway.hang_up();
    while serves(&gateway.url, "/search").await {
        tokio::task::yield_now().await;
    }
    get(&format!("{}/quiet", gateway.url)).await;
    write("entrada.toml", &content(folder, "consent = 'perhaps'\n"));
    gateway.hang_up();
    loop {
        let line = gateway.lines.recv_timeout(PATIENCE).unwrap();
        assert_ne!(line["path"], "/quiet", "{line}");
        if line["message"] == "the configuration in use stays" {
            break;
        }
    }
    write("entrada.toml", &loud);
    gateway.hang_up();
    gateway.says("the configuration was taken over");
    get(&format!("{}/loud-again", gateway.url)).await;
    while gateway.says("request")["path"] != "/loud-again" {}
}

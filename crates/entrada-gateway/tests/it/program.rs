//! The program itself.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use axum::body::Body;
use entra_emulator::{Emulator, Listen, Options, builtin};
use http::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::gateway::body;

pub(crate) fn entrada(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrada"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A program that is ended with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let id = self.0.id().to_string();
        Command::new("kill").arg(&id).status().unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn get(url: &str) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(url).body(Body::empty()).unwrap();
    let response = client.request(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, body(response).await.to_vec())
}

/// The demo, and what it says once it is ready.
pub(crate) fn demo() -> (Running, Value) {
    let mut command = entrada(&["demo", "--json", "--listen", "127.0.0.1:0"]);
    let mut demo = Running(command.stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    let stdout = demo.0.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (demo, serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn the_demo_is_ready_when_it_says_so_and_stops_when_told() {
    let (demo, ready) = demo();
    let told = |name: &str| ready[name].as_str().unwrap();
    let (mcp_url, issuer) = (told("mcp_url"), told("issuer"));

    let (status, headers, _) = get(mcp_url).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let challenge = headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(get(&format!("{issuer}{probe}")).await.0, StatusCode::OK);
    }
    let metadata = format!("{issuer}/.well-known/oauth-protected-resource/mcp");
    let metadata: Value = serde_json::from_slice(&get(&metadata).await.2).unwrap();
    assert_eq!(metadata["resource"], mcp_url);
    let discovery = format!(
        "{}/common/v2.0/.well-known/openid-configuration",
        told("emulator_url")
    );
    assert_eq!(get(&discovery).await.0, StatusCode::OK);

    let (status, _, front) = get(told("issuer")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(front.starts_with(b"Entrada demo: "));

    assert!(demo.stop().success());
}

#[test]
fn the_demo_is_told_that_authorities_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "").unwrap();
    let ca_file = format!("--ca-file={}", file.display());
    let mut command = entrada(&[
        "demo",
        "--listen=127.0.0.1:0",
        "--client-documents",
        &ca_file,
    ]);
    let done = command.output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(
        told.contains("--ca-file: the file has no certificate in PEM"),
        "{told}"
    );
}

/// What a server with `tenant` and `more` settings logs once it knows whether Entra answers at `host`.
async fn said_of_entra(host: &str, tenant: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "serve",
        "--listen=127.0.0.1:0",
        "--upstream=http://127.0.0.1:1/mcp",
        "--base-url=http://127.0.0.1:8000",
        "--required-scopes=mcp.read",
        "--log-format=json",
        &format!("--client-id={}", builtin::CLIENT_ID),
        &format!("--tenant-id={tenant}"),
        &format!("--authority-host={host}"),
        &format!("--data-dir={}", folder.path().display()),
    ];
    let mut command = entrada(&[&arguments, more].concat());
    command.env("ENTRADA_CLIENT_SECRET", builtin::CLIENT_SECRET);
    let mut serve = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let lines = BufReader::new(serve.0.stderr.take().unwrap()).lines();
    let found = tokio::task::spawn_blocking(|| {
        let lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let after = lines.skip_while(|line| line["message"] != "listening");
        let others = ["ready", "commands are answered"];
        let mut after = after
            .skip(1)
            .filter(|line| !others.contains(&line["message"].as_str().unwrap()));
        after.next().unwrap()
    });
    found.await.unwrap()
}

#[tokio::test]
async fn whether_entra_answers_is_said_right_after_the_start() {
    let emulator = Emulator::new(Options::default());
    let entra = emulator.serve(Listen::http()).await.unwrap();
    let host = entra.authority_host();
    let plain = ["--insecure-http-authority"];
    let line = said_of_entra(host, builtin::TENANT_ID, &plain).await;
    assert_eq!(line["level"], "INFO", "{line}");
    assert_eq!(line["message"], "entra answers, and knows the tenant");
    for (tenant, more, advice, cause) in [
        (
            "nobody.example",
            &plain[..],
            "there is no such tenant at this authority",
            "AADSTS90002",
        ),
        // TLS, where there is none.
        (
            builtin::TENANT_ID,
            &[],
            "entra cannot be reached: check the network",
            "no complete response from 127.0.0.1",
        ),
    ] {
        let line = said_of_entra(host, tenant, more).await;
        assert_eq!(line["level"], "WARN", "{line}");
        assert!(
            line["advice"].as_str().unwrap().starts_with(advice),
            "{line}"
        );
        assert!(line["cause"].as_str().unwrap().contains(cause), "{line}");
    }
    entra.shutdown().await;
}

/// What a server without its store logs until it has said why.
#[tokio::test]
#[cfg(feature = "redis")]
async fn a_start_without_the_store_says_where_that_is_and_not_that_all_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let key = entrada(&["keys", "new-encryption-key"]).output().unwrap();
    let arguments = [
        "serve",
        "--listen=127.0.0.1:0",
        "--upstream=http://127.0.0.1:1/mcp",
        "--base-url=http://127.0.0.1:8000",
        "--required-scopes=mcp.read",
        "--log-format=json",
        "--authority-host=127.0.0.1:1",
        &format!("--client-id={}", builtin::CLIENT_ID),
        &format!("--tenant-id={}", builtin::TENANT_ID),
        &format!("--data-dir={}", folder.path().display()),
    ];
    let mut command = entrada(&arguments);
    command
        .env("ENTRADA_CLIENT_SECRET", builtin::CLIENT_SECRET)
        .env("ENTRADA_STORE", "redis://user:hunter2@127.0.0.1:1/3")
        .env(
            "ENTRADA_KEY_ENCRYPTION_KEY",
            str::from_utf8(&key.stdout).unwrap().trim(),
        );
    let mut serve = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let lines = BufReader::new(serve.0.stderr.take().unwrap()).lines();
    let read = tokio::task::spawn_blocking(|| {
        let mut said = Vec::new();
        for line in lines.map(Result::unwrap) {
            said.push(serde_json::from_str::<Value>(&line).unwrap());
            if line.contains("there are no keys yet") {
                break;
            }
        }
        said
    });
    let said = read.await.unwrap();
    let line = |message: &str| said.iter().find(|line| line["message"] == message);
    let kept = line("what is kept where").unwrap();
    assert_eq!(kept["store"], "redis://127.0.0.1:1");
    assert_eq!(kept["keys"], "in the store, shared");
    assert!(line("listening").is_some());
    assert!(line("ready").is_none());
    let last = said.last().unwrap()["message"].as_str().unwrap();
    assert!(last.starts_with("there are no keys yet"), "{last}");
    assert!(said.iter().all(|it| !it.to_string().contains("hunter2")));
}

#[test]
fn a_wrong_configuration_ends_with_status_2_and_every_reason() {
    let mut serve = entrada(&["serve", "--listen", "nowhere"]);
    let output = serve.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    for name in [
        "upstream",
        "base_url",
        "tenant_id",
        "client_id",
        "client_secret",
        "required_scopes",
        "--listen",
    ] {
        assert!(said.contains(&format!("\n  - {name}")), "{name}: {said}");
    }
}

#[test]
fn a_port_that_is_taken_ends_with_status_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut demo = Running(entrada(&["demo", "--listen", &address]).spawn().unwrap());
    assert_eq!(demo.0.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    let mut stderr = demo.0.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(
        said.contains(&format!(
            "cannot listen on {address} (--listen names another"
        )),
        "{said}"
    );
}

#[test]
fn a_port_that_is_taken_is_told_with_the_flag_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let line = [
        "serve",
        "--upstream=http://127.0.0.1:1/mcp",
        "--base-url=https://mcp.example.com",
        "--tenant-id=contoso.onmicrosoft.com",
        "--client-id=11111111-2222-3333-4444-555555555555",
        "--required-scopes=mcp.access",
        "--listen=127.0.0.1:0",
        &format!("--data-dir={}", folder.path().display()),
        &format!("--metrics-listen={address}"),
    ];
    let mut command = entrada(&line);
    let output = command.env("ENTRADA_CLIENT_SECRET", "a secret").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("cannot listen on {address} (--metrics-listen names another");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_manual_that_cannot_be_written_is_told_with_its_directory() {
    let output = entrada(&["man", "--dir", "/nowhere/at/all"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "cannot write the manual to /nowhere/at/all";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn help_of_a_subcommand_is_had_either_way() {
    let told = |arguments: &[&str]| {
        let output = entrada(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for subcommand in ["serve", "demo", "keys", "grants", "clients", "config"] {
        let help = told(&["help", subcommand]);
        assert_eq!(help, told(&[subcommand, "--help"]));
        assert!(
            help.contains(&format!("Usage: entrada {subcommand}")),
            "{help}"
        );
    }
    assert_eq!(told(&["help"]), told(&["--help"]));
}

#[test]
fn help_names_every_variable() {
    let help = entrada(&["serve", "--help"]).output().unwrap();
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for name in entrada_gateway::config::names() {
        let variable = format!("ENTRADA_{}", name.to_uppercase());
        assert!(text.contains(&variable), "{variable}");
    }
}

#[test]
fn a_policy_that_does_not_do_what_is_expected_is_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let (config, cases) = (
        folder.path().join("c.toml"),
        folder.path().join("cases.toml"),
    );
    std::fs::write(&config, "[[rule]]\ntools = ['read_*']\n").unwrap();
    let (config, file) = (config.to_str().unwrap(), cases.to_str().unwrap());
    for (call, expect, code) in [
        ("tools/call read_x", "allow", 0),
        ("tools/call erase", "deny", 0),
        ("tools/call erase", "allow", 1),
        ("tools/call erase", "perhaps", 2),
    ] {
        let case = format!("[[case]]\ncaller = {{}}\ncall = '{call}'\nexpect = '{expect}'\n");
        std::fs::write(&cases, case).unwrap();
        let told = entrada(&["policy", "test", file, "--config", config]).output();
        let told = told.unwrap();
        assert_eq!(told.status.code(), Some(code), "{told:?}");
    }
}

#[test]
fn shells_and_manual_know_every_subcommand() {
    let told = |arguments: &[&str]| {
        let output = entrada(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let subcommands = [
        "serve", "demo", "keys", "store", "grants", "clients", "config",
    ];
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = told(&["completions", shell]);
        for subcommand in subcommands {
            assert!(script.contains(subcommand), "{shell} {subcommand}");
        }
        assert!(script.contains("tenant"), "{shell}");
        // Whoever takes what is offered is not to be refused.
        let offered = script
            .replace("client-secret-file", "")
            .replace("password-file", "");
        for secret in ["client-secret", "-password", "client_secret"] {
            assert!(!offered.contains(secret), "{shell} {secret}");
        }
    }
    let bash = told(&["completions", "bash"]);
    let mut check = Command::new("bash");
    let mut check = check.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), bash.as_bytes()).unwrap();
    assert!(check.wait().unwrap().success());

    let manual = told(&["man"]);
    assert!(manual.contains(".TH entrada 1"), "{manual}");
    assert!(manual.contains("Exit codes"), "{manual}");
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    told(&["man", "--dir", dir]);
    for subcommand in subcommands {
        assert!(
            folder
                .path()
                .join(format!("entrada-{subcommand}.1"))
                .exists()
        );
    }
}

#[test]
fn what_is_wrong_with_the_command_line_has_its_exit_code() {
    for (line, code) in [
        (&["nonsense"][..], 2),
        (&["config", "check", "--config", "/nowhere/entrada.toml"], 2),
        (&["completions", "csh"], 2),
        (&["grants", "list", "--config", "/nowhere/entrada.toml"], 2),
        (&["grants", "revoke"], 2),
        (&["keys", "list", "--data-dir", "/nowhere"], 1),
        (&["--version"], 0),
    ] {
        let output = entrada(line).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{line:?}");
    }
}

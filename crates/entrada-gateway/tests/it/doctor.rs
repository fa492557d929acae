//! What keeps people from signing in, looked for by the program.

use std::process::Output;

use axum::Json;
use axum::routing::post;
use entra_emulator::builtin;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::program::{Running, demo, entrada};
use crate::upstream::serve;

/// A gateway that runs, with an Entra, and an MCP server to look at.
struct Stage {
    _demo: Running,
    issuer: String,
    authority: String,
    upstream: String,
    _tasks: JoinSet<()>,
}

impl Stage {
    async fn new() -> Self {
        let (demo, ready) = demo();
        let told = |name: &str| ready.get(name).unwrap().as_str().unwrap().to_owned();
        let mut tasks = JoinSet::new();
        let weather = json!({
            "jsonrpc": "2.0", "id": 1,
            "result": {"protocolVersion": "2025-06-18", "serverInfo": {"name": "weather"}}
        });
        let router = axum::Router::new().route("/mcp", post(async || Json(weather)));
        let upstream = serve(router, &mut tasks).await;
        let authority = told("emulator_url").replace("http://", "");
        Self {
            _demo: demo,
            issuer: told("issuer"),
            authority,
            upstream,
            _tasks: tasks,
        }
    }

    /// What is said of it, with `more` flags in the place of those of the same name.
    async fn examined(&self, secret: &str, more: &[&str]) -> (Output, Value) {
        let mut arguments = vec![
            "doctor".to_owned(),
            "--json".to_owned(),
            "--insecure-http-authority".to_owned(),
            "--required-scopes=mcp.read".to_owned(),
            format!("--tenant-id={}", builtin::TENANT_ID),
            format!("--client-id={}", builtin::CLIENT_ID),
        ];
        for (flag, value) in [
            ("--authority-host", &self.authority),
            ("--base-url", &self.issuer),
            ("--upstream", &self.upstream),
        ] {
            let is_said = |more: &&str| more.starts_with(flag);
            let is_program = |more: &&str| flag == "--upstream" && more.starts_with("--command");
            if !more.iter().any(|more| is_said(more) || is_program(more)) {
                arguments.push(format!("{flag}={value}"));
            }
        }
        arguments.extend(more.iter().map(|&more| more.to_owned()));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut command = entrada(&arguments);
        command.env("ENTRADA_CLIENT_SECRET", secret);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap());
        let done = done.await.unwrap();
        let told = serde_json::from_slice(&done.stdout);
        (done, told.unwrap_or_default())
    }
}

/// What was not good: where, its state, and all that is said of it.
fn not_good(told: &Value) -> Vec<(&str, &str, String)> {
    let seen = told.get("seen").unwrap().as_array().unwrap();
    let seen = seen
        .iter()
        .filter(|seen| seen.get("state").unwrap() != "good");
    let seen = seen.map(|seen| {
        let text = |name: &str| seen.get(name).and_then(Value::as_str).unwrap_or_default();
        let all = format!("{} | {} | {}", text("what"), text("why"), text("advice"));
        (text("at"), text("state"), all)
    });
    seen.collect()
}

#[tokio::test]
async fn nothing_is_wrong_where_people_sign_in() {
    let stage = Stage::new().await;
    let (done, told) = stage.examined(builtin::CLIENT_SECRET, &[]).await;
    assert_eq!(done.status.code(), Some(0), "{told}");
    assert_eq!(not_good(&told), []);
    assert_eq!(told["ok"], true);
    let seen = told["seen"].as_array().unwrap();
    let at = |place: &str| seen.iter().filter(|seen| seen["at"] == place).count();
    assert_eq!((at("entra"), at("mcp_server"), at("gateway")), (4, 1, 7));
    assert!(told.to_string().contains("weather"), "{told}");
}

#[tokio::test]
async fn what_is_wrong_is_found_where_it_is() {
    let stage = Stage::new().await;
    let upstream = stage.upstream.replace("/mcp", "/elsewhere");
    let upstream = format!("--upstream={upstream}");
    let issuer = format!("--issuer-url={}/another", stage.issuer);
    for (secret, flag, at, words) in [
        (
            "another",
            None,
            "entra",
            &["AADSTS7000215", "must be the secret's value"][..],
        ),
        (
            builtin::CLIENT_SECRET,
            Some("--redirect-path=/elsewhere"),
            "entra",
            &[
                "/elsewhere",
                "AADSTS50011",
                "add it under \"Authentication\"",
            ],
        ),
        (
            builtin::CLIENT_SECRET,
            Some("--upstream=http://127.0.0.1:1/mcp"),
            "mcp_server",
            &["Connection refused"],
        ),
        (
            builtin::CLIENT_SECRET,
            Some(&upstream),
            "mcp_server",
            &["404", "/mcp"],
        ),
        (
            builtin::CLIENT_SECRET,
            Some(&issuer),
            "gateway",
            &["404", "/.well-known/"],
        ),
    ] {
        let more: Vec<_> = flag.into_iter().collect();
        let (done, told) = stage.examined(secret, &more).await;
        assert_eq!(done.status.code(), Some(1), "{told}");
        let found = not_good(&told);
        let [(there, "wrong", said)] = &*found else {
            panic!("{found:?}");
        };
        assert_eq!(*there, at, "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!((&told["ok"], &*done.stderr), (&json!(false), &b""[..]));
    }
}

#[tokio::test]
async fn a_gateway_that_was_not_started_is_no_mistake() {
    let stage = Stage::new().await;
    // Entra leaves the port of `localhost` out of account.
    let away = ["--base-url=http://localhost:1"];
    let (done, told) = stage.examined(builtin::CLIENT_SECRET, &away).await;
    assert_eq!(done.status.code(), Some(0), "{told}");
    let found = not_good(&told);
    let [("gateway", "unclear", said)] = &*found else {
        panic!("{found:?}");
    };
    assert!(said.contains("once the gateway runs"), "{said}");
}

#[tokio::test]
async fn a_program_is_started_and_asked() {
    let stage = Stage::new().await;
    for (script, code, word) in [
        (
            r#"read -r _; echo '{"jsonrpc":"2.0","id":1,"result":{"serverInfo":{"name":"files"}}}'"#,
            0,
            "files",
        ),
        ("echo 'no key' >&2; exit 3", 1, "no key"),
        (
            "echo 'Starting server...'; sleep 100",
            1,
            "Starting server...",
        ),
        ("cat", 1, "initialize"),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        let command = format!("--command=/bin/sh {}", file.path().display());
        let (done, told) = stage.examined(builtin::CLIENT_SECRET, &[&command]).await;
        assert_eq!(done.status.code(), Some(code), "{told}");
        assert!(told.to_string().contains(word), "{told}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_as_ever() {
    let stage = Stage::new().await;
    let (done, _) = stage.examined("", &["--listen=nowhere"]).await;
    assert_eq!(done.status.code(), Some(2));
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(
        told.contains("client_secret") && told.contains("listen"),
        "{told}"
    );
}

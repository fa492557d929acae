//! What the program says to whoever started it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use entra_emulator::builtin;
use serde_json::Value;

use crate::program::{Running, entrada};

fn serve(data_dir: &Path, more: &[&str]) -> Command {
    let data_dir = format!("--data-dir={}", data_dir.display());
    let arguments = [
        "serve",
        "--upstream=http://127.0.0.1:1/mcp",
        "--base-url=http://127.0.0.1:8000",
        "--required-scopes=mcp.read",
        "--log-format=json",
        "--insecure-http-authority",
        &format!("--client-id={}", builtin::CLIENT_ID),
        &format!("--tenant-id={}", builtin::TENANT_ID),
        "--authority-host=127.0.0.1:1",
        &data_dir,
    ];
    let mut command = entrada(&[&arguments, more].concat());
    command.env("ENTRADA_CLIENT_SECRET", builtin::CLIENT_SECRET);
    command
}

/// The address it listens on, once it does.
fn address(serving: &mut Running) -> String {
    let lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let said = |line: &Value, name| Some(line.get(name)?.as_str()?.to_owned());
    let line = lines.find(|line| said(line, "message").as_deref() == Some("listening"));
    said(&line.unwrap(), "listen").unwrap()
}

#[test]
fn what_is_in_use_is_no_mistake_in_the_settings() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = serve(folder.path(), &["--listen=127.0.0.1:0"]);
    let mut first = Running(first.stdout(Stdio::null()).spawn().unwrap());
    let taken = format!("--listen={}", address(&mut first));
    let damaged = tempfile::tempdir().unwrap();
    std::fs::write(damaged.path().join("keys.json"), "{").unwrap();
    for (data_dir, more, code, said) in [
        (&folder, "--listen=127.0.0.1:0", 1, "is in use"),
        (&other, &*taken, 1, "cannot listen on "),
        (&damaged, "--listen=127.0.0.1:0", 1, "cannot begin:"),
        (
            &other,
            "--listen=nowhere",
            2,
            "the configuration cannot be used:",
        ),
        (&other, "--lisen=127.0.0.1:0", 2, "unexpected argument"),
    ] {
        let done = serve(data_dir.path(), &[more]).output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{more}: {told}");
        assert!(told.contains(said), "{more}: {told}");
    }
    drop(first);
}

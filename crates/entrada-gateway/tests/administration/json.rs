//! What the commands write as JSON is what `docs/JSON.md` says, field for field.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::{entrada, server, today};

const PAPER: &str = include_str!("../../../../docs/JSON.md");

type Names = BTreeSet<String>;

/// The fields that stand in the table below the heading `command`.
fn written(command: &str) -> Names {
    let heading = format!("\n## `entrada {command}`\n");
    let (_, section) = PAPER.split_once(&heading).expect(command);
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let names: Vec<_> = rows
        .map(|row| row.split_once("` |").unwrap().0.to_owned())
        .collect();
    let all: Names = names.iter().cloned().collect();
    assert_eq!(all.len(), names.len(), "one is there twice: {names:?}");
    all
}

/// The names of all there is in `value`, below `place`.
fn names(value: &Value, place: &str, all: &mut Names) {
    if let Some(fields) = value.as_object() {
        for (name, value) in fields {
            let name = if place.is_empty() {
                name.clone()
            } else {
                format!("{place}.{name}")
            };
            all.insert(name.clone());
            names(value, &name, all);
        }
    } else if let Some(items) = value.as_array() {
        for item in items {
            names(item, &format!("{place}[]"), all);
        }
    }
}

/// The names in all of these lines.
fn told(lines: &[Value]) -> Names {
    let mut all = Names::new();
    for line in lines {
        names(line, "", &mut all);
    }
    all
}

#[tokio::test]
async fn every_field_of_what_is_kept_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let world = server(&today().await, folder);
    let session = world.log_in("alice").await;
    let id = session.client.id.clone();
    drop((session, world));
    for (heading, line) in [
        ("grants list --json", &["grants", "list", "--json"][..]),
        ("clients list --json", &["clients", "list", "--json"]),
        (
            "grants revoke --json",
            &["grants", "revoke", "--all", "--json"],
        ),
        (
            "clients remove --json",
            &["clients", "remove", &id, "--yes", "--json"],
        ),
        ("keys list --json", &["keys", "list", "--json"]),
    ] {
        assert_eq!(
            told(&entrada(folder, line).json()),
            written(heading),
            "{heading}"
        );
    }
    for line in [["keys", "rotate", "--json"], ["keys", "revoke", "--json"]] {
        let lines = entrada(folder, &line).out;
        let lines: Vec<_> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(told(&lines), written("keys list --json"), "{line:?}");
    }
    let [from, to] = ["grants.redb", "other.redb"].map(|name| file_url(folder, name));
    let line = ["store", "migrate", "--from", &from, "--to", &to, "--json"];
    assert_eq!(
        told(&entrada(folder, &line).json()),
        written("store migrate --json")
    );
}

fn file_url(folder: &Path, name: &str) -> String {
    format!("file:{}", folder.join(name).display())
}

#[test]
fn every_field_of_what_is_looked_at_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = entrada(folder, &["config", "check", "--json", "--store", "memory:"]);
    let check = ["config", "check", "--json", "--listen", "nowhere"];
    let mut lines = vec![good.out, entrada(folder, &check).out];
    if cfg!(feature = "acme") {
        let acme = [
            "--acme-domains=mcp.example.com",
            "--acme-accept-terms=true",
            "--base-url=https://mcp.example.com",
        ];
        lines.push(
            entrada(
                folder,
                &[&["config", "check", "--json"], &acme[..]].concat(),
            )
            .out,
        );
    }
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told(&lines), written("config check --json"), "{lines:?}");

    let nowhere = ["authority-host", "base-url", "upstream", "message-limit"];
    let values = [
        "127.0.0.1:1",
        "http://127.0.0.1:1",
        "http://127.0.0.1:2/mcp",
        "1mb",
    ];
    let settings = nowhere.iter().zip(values);
    let settings: Vec<_> = settings
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
    let settings = settings.iter().map(String::as_str);
    let line: Vec<_> = ["doctor", "--json"].into_iter().chain(settings).collect();
    let lines = [serde_json::from_str(&entrada(folder, &line).out).unwrap()];
    assert_eq!(told(&lines), written("doctor --json"), "{lines:?}");

    let (config, cases) = (folder.join("rules.toml"), folder.join("cases.toml"));
    std::fs::write(&config, "[[rule]]\ntools = ['read']\n").unwrap();
    let text = "[[case]]\nname = 'n'\ncaller = {}\ncall = 'tools/call read'\nexpect = 'deny'\n";
    std::fs::write(&cases, text).unwrap();
    let [config, cases] = [&config, &cases].map(|path| path.to_str().unwrap());
    let line = ["policy", "test", cases, "--config", config, "--json"];
    let lines = [serde_json::from_str(&entrada(folder, &line).out).unwrap()];
    let mut fields = told(&lines);
    // A rule is named where one decided against a call.
    fields.insert("rule".to_owned());
    assert_eq!(fields, written("policy test --json"), "{lines:?}");
}

#[test]
fn every_field_of_the_demo_is_explained() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_entrada"));
    demo.args(["demo", "--json", "--listen", "127.0.0.1:0"]);
    let mut demo = demo
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = demo.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();
    let lines = [serde_json::from_str(&line).unwrap()];
    assert_eq!(told(&lines), written("demo --json"));
}

#[test]
fn no_command_that_writes_json_is_left_out() {
    let written: BTreeSet<_> = PAPER
        .lines()
        .filter_map(|line| line.strip_prefix("## `entrada ")?.strip_suffix(" --json`"))
        .collect();
    let expected = [
        "clients list",
        "clients remove",
        "config check",
        "demo",
        "doctor",
        "grants list",
        "grants revoke",
        "keys list",
        "policy test",
        "store migrate",
    ];
    assert_eq!(written, BTreeSet::from(expected));
}

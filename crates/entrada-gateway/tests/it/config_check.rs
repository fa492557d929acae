//! `entrada config check`: what it says of a file.

use serde_json::Value;

use crate::program::entrada;

const GOOD: &str = r#"
upstream = "http://127.0.0.1:3000/mcp"
base_url = "https://mcp.example.com"
tenant_id = "contoso.onmicrosoft.com"
client_id = "00000000-0000-0000-0000-000000000000"
client_secret_file = "SECRET"
required_scopes = ["mcp.access"]
store = "memory:"

[[route]]
path = "/mcp/search"
upstream = "http://127.0.0.1:3001/mcp"
"#;

/// What `entrada config check` makes of a file.
fn checked(content: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret").unwrap();
    let file = folder.path().join("entrada.toml");
    let content = content.replace("SECRET", secret.to_str().unwrap());
    std::fs::write(&file, content).unwrap();
    let line = ["config", "check", "--config", file.to_str().unwrap()];
    let output = entrada(&[&line, more].concat()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    // It looks, and leaves nothing behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn settings_that_can_be_used_say_what_to_register_and_where_it_leads() {
    let (code, out, error) = checked(GOOD, &[]);
    assert_eq!((code, &*error), (Some(0), ""));
    for words in [
        "warning: ",
        "entrada.toml:8: store: nothing outlives the process",
        "the configuration can be used",
        "https://mcp.example.com/auth/callback  (register it in Entra",
        "https://mcp.example.com/mcp  leads to  http://127.0.0.1:3000/mcp",
        "https://mcp.example.com/mcp/search  leads to  http://127.0.0.1:3001/mcp",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(!out.contains('\u{1b}'), "no terminal, no colour: {out}");
    let (code, out, error) = checked(GOOD, &["--json"]);
    assert_eq!((code, &*error), (Some(0), ""));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["ok"], true);
    assert_eq!(
        told["redirect_uri"],
        "https://mcp.example.com/auth/callback"
    );
    assert_eq!(told["mcp_urls"][1], "https://mcp.example.com/mcp/search");
    assert_eq!(told["warnings"][0]["setting"], "store");
}

#[test]
#[cfg(feature = "acme")]
fn the_authority_that_issues_the_certificate_is_told() {
    let acme = "acme_domains = \"mcp.example.com\"\nacme_accept_terms = true\n";
    let (code, out, _) = checked(&format!("{acme}{GOOD}"), &[]);
    assert_eq!(code, Some(0), "{out}");
    for words in [
        "certificate   for mcp.example.com, from https://acme-v02.api.letsencrypt.org/directory",
        "warning: listen: this address is reached from this machine alone",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_told_all_at_once_with_their_lines() {
    let bad = GOOD
        .replace("https://mcp.example.com", "ftp://mcp.example.com")
        .replace("[\"mcp.access\"]", "[\"mcp access\\u0000\"]")
        .replace("client_id", "cliend_id");
    let (code, out, error) = checked(&bad, &[]);
    assert_eq!((code, &*out), (Some(2), ""));
    for words in [
        "entrada.toml:3: base_url: ",
        "entrada.toml:5: there is no setting \"cliend_id\": is client_id meant?",
        "entrada.toml:7: required_scopes: ",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let (code, out, error) = checked(&bad, &["--json"]);
    assert_eq!((code, &*error), (Some(2), ""));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["ok"], false);
    let problems = told["problems"].as_array().unwrap();
    assert!(problems.len() >= 3, "{told}");
    assert_eq!(
        (&problems[0]["setting"], &problems[0]["line"]),
        (&"base_url".into(), &3.into())
    );
    assert!(
        problems[0]["file"]
            .as_str()
            .unwrap()
            .ends_with("/entrada.toml"),
        "{told}"
    );
    assert!(told.get("redirect_uri").is_none());
}

//! Where operators are served.

use super::*;

fn admin(lines: &[&str]) -> Result<Settings, ConfigError> {
    let lines = lines.iter().map(|line| format!("--admin-{line}"));
    let lines: Vec<_> = lines.collect();
    read(
        &lines.iter().map(String::as_str).collect::<Vec<_>>(),
        &LEAST,
    )
}

#[test]
fn operators_are_served_where_it_is_said_and_nowhere_else() {
    assert!(admin(&[]).unwrap().admin.is_none());
    for (lines, base_url) in [
        (
            &["listen=127.0.0.1:9000", "role=Admin"][..],
            "http://localhost:9000",
        ),
        (
            &[
                "listen=10.0.0.1:9000",
                "role=Admin",
                "base-url=https://admin.example.com",
            ],
            "https://admin.example.com",
        ),
    ] {
        let settings = admin(lines).unwrap();
        let told = settings.admin.unwrap();
        assert_eq!((&*told.base_url, &*told.role), (base_url, "Admin"));
        assert_eq!(settings.warnings, []);
    }
    let open = [
        "listen=0.0.0.0:9000",
        "role=Admin",
        "base-url=https://admin.example.com",
    ];
    let warnings = admin(&open).unwrap().warnings;
    assert!(
        warnings[0]
            .to_string()
            .contains("reached from within alone")
    );
}

#[test]
fn operators_are_not_served_where_others_listen_in_or_clients_are() {
    for (lines, expected) in [
        (
            &["role=Admin"][..],
            "--admin-role: means nothing without admin_listen",
        ),
        (
            &["base-url=https://a.example"],
            "--admin-base-url: means nothing without",
        ),
        (&["listen=127.0.0.1:9000"], "admin_role is missing"),
        (
            &["listen=127.0.0.1:0", "role=Admin"],
            "admin_base_url is missing",
        ),
        (
            &["listen=10.0.0.1:9000", "role=Admin"],
            "admin_base_url is missing",
        ),
        (
            &[
                "listen=10.0.0.1:9000",
                "role=Admin",
                "base-url=http://admin.example.com",
            ],
            "--admin-base-url: the base URL must be https://",
        ),
        (
            &[
                "listen=10.0.0.1:9000",
                "role=Admin",
                "base-url=https://mcp.example.com",
            ],
            "--admin-base-url: is where clients are served",
        ),
        (&["listen=nowhere", "role=Admin"], "--admin-listen: "),
    ] {
        let error = admin(lines).unwrap_err().to_string();
        assert!(error.contains(expected), "{lines:?}: {error}");
    }
}

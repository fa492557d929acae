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

#[test]
fn operators_of_many_tenants_are_of_one() {
    const ID: &str = "11111111-2222-3333-4444-555555555555";
    let several = |lines: &[&str]| {
        let mut all = vec!["--admin-listen=127.0.0.1:9000", "--admin-role=Admin"];
        all.extend(lines);
        let read = read(
            &all,
            &[&LEAST[..], &[("ENTRADA_TENANT_ID", "organizations")]].concat(),
        );
        read.map(|settings| settings.admin.unwrap().tenant)
            .map_err(|error| error.to_string())
    };
    let named = format!("--admin-tenant={ID}");
    let allowed = format!("--allowed-tenants={ID}");
    assert_eq!(several(&[&named]), Ok(Some(ID.to_owned())));
    assert_eq!(several(&[&allowed]), Ok(None));
    let two = format!("{allowed} 21111111-2222-3333-4444-555555555555");
    for (lines, expected) in [
        (&[][..], "admin_tenant is missing"),
        (&[&*two], "admin_tenant is missing"),
        (
            &["--admin-tenant=contoso.com"],
            "--admin-tenant: write the id",
        ),
    ] {
        let error = several(lines).unwrap_err();
        assert!(error.contains(expected), "{lines:?}: {error}");
    }
    let error = admin(&["tenant=contoso.com", "listen=127.0.0.1:9000", "role=A"]);
    assert!(error.is_err());
}

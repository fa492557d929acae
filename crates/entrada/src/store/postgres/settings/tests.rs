use super::*;

fn parsed(url: &str) -> PostgresSettings {
    url.parse().unwrap()
}

fn refusal(url: &str) -> PostgresUrlError {
    url.parse::<PostgresSettings>().unwrap_err()
}

fn hosts(settings: &PostgresSettings) -> Vec<(&str, u16)> {
    let hosts = settings.hosts.iter();
    hosts.map(|(host, port)| (host.as_str(), *port)).collect()
}

#[test]
fn a_url_says_where_as_whom_and_how() {
    let settings = parsed(
        "postgresql://en%40trada:s%3Ae%2Fc%25ret@db1.example:1,[2001:db8::1],db3.example:3/some%20base\
         ?timeout=500ms&pool=3&schema=other_1&migrate=false&prepare=false&application_name=a+b%3D",
    );
    let config = &settings.config;
    assert_eq!(config.get_user(), Some("en@trada"));
    assert_eq!(config.get_password(), Some(&b"s:e/c%ret"[..]));
    let expected = [
        ("db1.example", 1),
        ("2001:db8::1", 5432),
        ("db3.example", 3),
    ];
    assert_eq!(hosts(&settings), expected);
    assert_eq!(config.get_dbname(), Some("some base"));
    assert_eq!(config.get_application_name(), Some("a+b="));
    assert_eq!(settings.timeout, Duration::from_millis(500));
    assert_eq!(settings.pool, 3);
    assert_eq!(settings.schema, "\"other_1\"");
    assert!(!settings.migrate);
    assert!(!settings.prepare);
}

#[test]
fn all_of_it_may_be_options() {
    let settings =
        parsed("postgres:///?user=me@tenant&password=p&host=a.example,b.example&port=7&dbname=d");
    let config = &settings.config;
    assert_eq!(config.get_user(), Some("me@tenant"));
    assert_eq!(config.get_password(), Some(&b"p"[..]));
    assert_eq!(hosts(&settings), [("a.example", 7), ("b.example", 7)]);
    assert_eq!(config.get_dbname(), Some("d"));
    assert_eq!(settings.timeout, Duration::from_secs(2));
    assert_eq!(settings.pool, 8);
    assert!(settings.migrate);
    assert!(settings.prepare);
}

#[test]
fn a_place_is_told_without_the_login() {
    for (url, place) in [
        (
            "postgres://u:hunter2@db1.example,[2001:db8::1]:7/d?timeout=1s",
            "postgres://db1.example:5432,[2001:db8::1]:7/d",
        ),
        (
            "postgres:///?user=u&password=hunter2&host=/run/pg&dbname=d",
            "postgres:///run/pg:5432/d",
        ),
    ] {
        assert_eq!(parsed(url).place(), place);
    }
}

#[test]
fn the_server_is_verified_unless_it_is_on_this_machine_or_the_url_says_otherwise() {
    for url in [
        "postgres://u@db.example/d",
        "postgres://u@db.example/d?sslmode=require",
        "postgres://u@db.example/d?sslmode=verify-ca",
        "postgres://u@db.example/d?sslmode=verify-full&sslrootcert=system",
        "postgres://u@localhost,db.example/d",
        "postgres://u@localhost/d?sslmode=verify-full",
        "postgres://u@127.0.0.1/d?sslrootcert=/ca.pem",
        "postgres://u@127.0.0.1/d?sslcert=/c.pem&sslkey=/k.pem",
        "postgres://u@127.0.0.1.example/d",
    ] {
        let settings = parsed(url);
        assert!(settings.tls.is_some(), "{url}");
        let mode = settings.config.get_ssl_mode();
        assert_eq!(mode, tokio_postgres::config::SslMode::Require, "{url}");
    }
    for url in [
        "postgres://u@localhost/d",
        "postgres://u@127.0.0.1,[::1]:7/d",
        "postgres://u@%2Fvar%2Frun/d",
        "postgres://u@/d?host=/var/run",
        "postgres://u@db.example/d?sslmode=disable",
    ] {
        let settings = parsed(url);
        assert!(settings.tls.is_none(), "{url}");
        let mode = settings.config.get_ssl_mode();
        assert_eq!(mode, tokio_postgres::config::SslMode::Disable, "{url}");
    }
    let settings = parsed("postgres://u@h/d?sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem");
    let files = settings.tls.unwrap();
    assert_eq!(files.authorities, Some("/ca.pem".into()));
    assert_eq!(files.client, Some(("/c.pem".into(), "/k.pem".into())));
}

#[test]
fn a_standby_is_never_settled_for() {
    for url in [
        "postgres://u@h/d",
        "postgres://u@h/d?target_session_attrs=any",
    ] {
        let attrs = parsed(url).config.get_target_session_attrs();
        let read_write = tokio_postgres::config::TargetSessionAttrs::ReadWrite;
        assert_eq!(attrs, read_write, "{url}");
    }
}

#[test]
fn a_wrong_url_is_refused_for_what_is_wrong_with_it() {
    use PostgresUrlError as E;
    let table = [
        ("redis://u@h/d", E::Scheme),
        ("postgres:u@h/d", E::Scheme),
        ("postgres://u@/d", E::NoHost),
        ("postgres://u@h,/d", E::NoHost),
        ("postgres://h/d", E::NoUser),
        ("postgres://u@h", E::NoDatabase),
        ("postgres://u@h/", E::NoDatabase),
        ("postgres://u@h:0/d", E::Port),
        ("postgres://u@h:x/d", E::Port),
        ("postgres://u@[::1]7/d", E::Port),
        ("postgres://u@h/d?port=1,2", E::Port),
        ("postgres://u@h:1/d?port=1", E::Twice("port".to_owned())),
        ("postgres://u@h/d?user=u", E::Twice("user".to_owned())),
        ("postgres://u@h/d?host=h", E::Twice("host".to_owned())),
        (
            "postgres://u@h/d?pool=1&pool=1",
            E::Twice("pool".to_owned()),
        ),
        ("postgres://u@h/d?ssl=true", E::Unknown),
        ("postgres://u@h/d?password=a&hunter2=b", E::Unknown),
        ("postgres://u:p@ss@h/d", E::Encoding),
        ("postgres://u:p/ss@h/d", E::Encoding),
        ("postgres://u:p?ss@h/d", E::Encoding),
        ("postgres://u:p#ss@h/d", E::Encoding),
        ("postgres://u:p:ss@h/d", E::Encoding),
        ("postgres://u:p%ss@h/d", E::Encoding),
        ("postgres://u:p%ff@h/d", E::Encoding),
        ("postgres://u:p@h/d?pool", E::Encoding),
    ];
    for (url, expected) in table {
        assert_eq!(refusal(url), expected, "{url}");
    }
    for (option, wrong) in [
        ("sslmode", "prefer"),
        ("sslmode", "allow"),
        ("sslmode", "disable&sslrootcert=/ca.pem"),
        ("schema", "Entrada"),
        ("schema", "a\"b"),
        ("schema", "pg_catalog"),
        ("schema", ""),
        ("timeout", "0"),
        ("timeout", "2m"),
        ("timeout", "61s"),
        ("pool", "0"),
        ("migrate", "yes"),
        ("prepare", "no"),
        ("channel_binding", "never"),
        ("target_session_attrs", "read-only"),
    ] {
        let refusal = refusal(&format!("postgres://u@h/d?{option}={wrong}"));
        let told = refusal.to_string();
        assert!(matches!(refusal, E::Value { .. }), "{told}");
        assert!(told.starts_with(option), "{told}");
    }
    let over_a_socket = refusal("postgres://u@%2Frun/d?sslmode=verify-full");
    assert!(matches!(
        over_a_socket,
        E::Value {
            option: "sslmode",
            ..
        }
    ));
    let half = refusal("postgres://u@h/d?sslcert=/c.pem");
    assert!(matches!(
        half,
        E::Value {
            option: "sslkey",
            ..
        }
    ));
}

#[test]
fn no_refusal_and_no_settings_tell_the_password() {
    for url in [
        "postgres://u:hunter2@h/d",
        "postgres://h/d?user=u&password=hunter2",
        "postgres://u:hunter2@x@h/d",
        "postgres://u:hunter2/x@h/d",
        "postgres://u:x/hunter2@h/d",
        "postgres://u:hunter2?x@h/d",
        "postgres://u:x?hunter2@h/d",
        "postgres://u:x?a=b&hunter2@h/d",
        "postgres://u:x?hunter2=b@h/d",
        "postgres://u:hunter2#x@h/d",
        "postgres://u:hunter2%@h/d",
        "postgres://u:hunter2@:x/d",
        "hunter2",
    ] {
        let told = format!("{:?}", url.parse::<PostgresSettings>());
        assert!(!told.contains("hunter2"), "{told}");
    }
    let settings = parsed("postgres://u@h/d").with_password(&DatabasePassword::new("hunter2"));
    assert_eq!(settings.config.get_password(), Some(&b"hunter2"[..]));
    assert!(!format!("{settings:?}").contains("hunter2"));
}

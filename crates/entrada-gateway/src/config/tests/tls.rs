//! The certificate of the listener.

use super::*;

fn pair() -> (tempfile::NamedTempFile, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (
        file(&made.cert.pem()),
        file(&made.signing_key.serialize_pem()),
    )
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[test]
fn nobody_speaks_tls_who_was_not_told_to() {
    assert!(read(&[], &least_and(&[])).unwrap().tls.is_none());
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_with_setting_and_file() {
    let ((certificate, key), (_, other), empty) = (pair(), pair(), file(""));
    let (certificate, key, other, empty) =
        (path(&certificate), path(&key), path(&other), path(&empty));
    let settings = read(
        &["--tls-certificate", certificate, "--tls-key", key],
        &least_and(&[]),
    );
    let files = settings.unwrap().tls.unwrap();
    assert_eq!(files, CertificateFiles::new(certificate, key));
    for (line, named, told) in [
        (
            vec!["--tls-certificate", certificate],
            "--tls-certificate: ",
            "without tls_key",
        ),
        (
            vec!["--tls-key", key],
            "--tls-key: ",
            "without tls_certificate",
        ),
        (
            vec!["--tls-certificate", "/nowhere", "--tls-key", key],
            "--tls-certificate: /nowhere",
            "cannot be read: ",
        ),
        (
            vec!["--tls-certificate", certificate, "--tls-key", empty],
            "--tls-key: there is no private key",
            empty,
        ),
        (
            vec!["--tls-certificate", key, "--tls-key", key],
            "--tls-certificate: there is no certificate in ",
            key,
        ),
        (
            vec!["--tls-certificate", certificate, "--tls-key", other],
            "--tls-key: the key in ",
            certificate,
        ),
    ] {
        let found = problems(&line, &least_and(&[]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(named), "{found:?}");
        assert!(found[0].contains(told), "{found:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_key_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let (certificate, key) = pair();
    for (mode, warned) in [(0o600, 0), (0o640, 1), (0o644, 1)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(key.path(), permissions).unwrap();
        let line = [
            "--tls-certificate",
            path(&certificate),
            "--tls-key",
            path(&key),
        ];
        let settings = read(&line, &least_and(&[])).unwrap();
        let warnings = settings.warnings.iter().map(Problem::to_string);
        let exposed = warnings.filter(|it| it.starts_with("--tls-key: others"));
        assert_eq!(exposed.count(), warned, "{mode:o}");
    }
}

#[test]
fn clients_are_not_led_to_plain_http_where_tls_is_spoken() {
    let (certificate, key) = pair();
    let (certificate, key) = (path(&certificate), path(&key));
    let line = ["--tls-certificate", certificate, "--tls-key", key];
    let plain = ["--base-url", "http://localhost:8000"];
    let found = problems(&[&line[..], &plain].concat(), &least_and(&[]));
    let expected = "--base-url: is http://, but TLS is spoken here, for there is tls_certificate: write https://";
    assert_eq!(found, [expected]);
    assert!(read(&line, &least_and(&[])).is_ok());
}

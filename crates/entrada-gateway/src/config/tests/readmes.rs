//! What the READMEs tell people to write.

use entra_emulator::builtin;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;

use super::*;

#[test]
fn the_files_in_the_readme_are_right_together() {
    let readme = include_str!("../../../README.md");
    let examples = readme.split("```toml\n").skip(1);
    let examples = examples.map(|example| example.split_once("```").unwrap().0);
    let example: String = examples.collect();
    let secret = file("t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d");
    let secret = secret.path().to_str().unwrap();
    let example = example.replace("/run/secrets/entrada", secret);
    let example = example.replace("/run/secrets/agents", secret);
    let example = example.replace("/run/secrets/nightly-jobs", secret);
    let example = example.replace("\"npx\"", "\"/bin/sh\"");
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let keys = file(&key.jwks().unwrap());
    let keys = keys.path().to_str().unwrap();
    let example = example.replace("/etc/entrada/assistant.json", keys);
    // There is no certificate here.
    let example = example.lines().filter(|line| !line.starts_with("tls_"));
    let example = example.collect::<Vec<_>>().join("\n");
    let file = file(&example);
    let settings = read(&["--config", file.path().to_str().unwrap()], &[]).unwrap();
    assert_eq!(settings.provider.rehearse(&[]), []);
    assert_eq!(settings.upstreams.len(), 5);
    assert_eq!(settings.provider.clients.len(), 3);
    assert_eq!(settings.provider.trusted_issuers.len(), 1);
}

#[test]
fn the_command_in_the_readme_of_the_emulator_is_right() {
    let readme = include_str!("../../../../entra-emulator/README.md");
    let (before, command) = readme.split_once("$ entrada serve ").unwrap();
    let (command, _) = command.split_once("```").unwrap();
    let line = command.split_whitespace().filter(|word| *word != "\\");
    let (_, secret) = before.rsplit_once("ENTRADA_CLIENT_SECRET='").unwrap();
    let (secret, _) = secret.split_once('\'').unwrap();
    assert_eq!(secret, builtin::CLIENT_SECRET);
    let variables = [("ENTRADA_CLIENT_SECRET", secret)];
    let settings = read(&line.collect::<Vec<_>>(), &variables).unwrap();
    assert_eq!(settings.provider.client_id, builtin::CLIENT_ID);
    assert_eq!(settings.provider.rehearse(&[]), []);
    assert_eq!(settings.warnings, []);
    let host = settings.provider.authority_host.unwrap();
    assert!(before.contains(&format!("entra-emulator --http {host} --no-https")));
}

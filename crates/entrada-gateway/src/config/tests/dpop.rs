//! The settings of tokens that are bound to a key.

use entrada::dpop::Dpop;

use super::*;

#[test]
fn clients_may_bind_their_tokens_unless_told_otherwise() {
    let settings = read(&[], &least_and(&[])).unwrap();
    assert_eq!(settings.provider.dpop, Dpop::Optional);
    assert!(!settings.provider.dpop_nonce);
    for (text, mode) in [
        ("off", Dpop::Off),
        ("optional", Dpop::Optional),
        ("required", Dpop::Required),
    ] {
        let settings = read(&[], &least_and(&[("ENTRADA_DPOP", text)])).unwrap();
        assert_eq!(settings.provider.dpop, mode);
        assert!(settings.provider.rehearse(&[]).is_empty());
    }
    let nonce = [("ENTRADA_DPOP", "required"), ("ENTRADA_DPOP_NONCE", "true")];
    let settings = read(&[], &least_and(&nonce)).unwrap();
    assert!(settings.provider.dpop_nonce);
    assert!(settings.provider.rehearse(&[]).is_empty());
}

#[test]
fn what_does_not_go_together_is_a_problem() {
    for (told, expected) in [
        (
            [("ENTRADA_DPOP", "on"), ("ENTRADA_DPOP_NONCE", "false")],
            "ENTRADA_DPOP: write off, optional or required",
        ),
        (
            [("ENTRADA_DPOP", "off"), ("ENTRADA_DPOP_NONCE", "true")],
            "ENTRADA_DPOP_NONCE: proofs are to hold a nonce, and dpop is off",
        ),
        (
            [
                ("ENTRADA_DPOP", "required"),
                ("ENTRADA_REQUIRED_APP_ROLES", "Mcp.Run"),
            ],
            "ENTRADA_DPOP: no token but a bound one would get in, and those of Entra and other issuers are \
             never bound: write optional, or let no other tokens in",
        ),
    ] {
        let found = match read(&[], &least_and(&told)) {
            Ok(settings) => settings.provider.rehearse(&[]),
            Err(error) => error.problems().to_vec(),
        };
        let found: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(found, [expected]);
    }
}

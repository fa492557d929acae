//! The settings of when users are asked.

use std::time::Duration;

use entrada::authorization_server::ConsentMode;
use entrada::grant::Remember;

use super::*;

const CONSENT: &str = "ENTRADA_CONSENT";

#[test]
fn users_are_asked_at_every_login_unless_told_otherwise() {
    let settings = read(&[], &least_and(&[])).unwrap();
    assert_eq!(settings.provider.consent, ConsentMode::Always);
    assert!(settings.provider.pre_approved_clients.is_empty());
    let mut week = Remember::default();
    week.lifetime = Duration::from_secs(7 * 86_400);
    week.apps_on_device = false;
    for (told, mode) in [
        (vec![(CONSENT, "external")], ConsentMode::External),
        (
            vec![(CONSENT, "remember")],
            ConsentMode::Remember(Remember::default()),
        ),
        (
            vec![
                (CONSENT, "remember"),
                ("ENTRADA_CONSENT_LIFETIME", "7d"),
                ("ENTRADA_ASK_FOR_APPS_ON_DEVICE", "true"),
                (
                    "ENTRADA_PRE_APPROVED_CLIENTS",
                    "agents https://a.example/c.json",
                ),
            ],
            ConsentMode::Remember(week),
        ),
    ] {
        let settings = read(&[], &least_and(&told)).unwrap();
        assert!(settings.provider.rehearse(&[]).is_empty(), "{told:?}");
        assert_eq!(settings.provider.consent, mode, "{told:?}");
        let clients = settings.provider.pre_approved_clients.len();
        assert_eq!(clients, if told.len() == 4 { 2 } else { 0 });
    }
}

#[test]
fn whoever_has_nobody_asked_is_warned() {
    for (mode, warnings) in [("always", 0), ("remember", 0), ("external", 1)] {
        let settings = read(&[], &least_and(&[(CONSENT, mode)])).unwrap();
        let told = &settings.warnings;
        assert_eq!(told.len(), warnings, "{mode}: {told:?}");
        assert!(
            told.iter()
                .all(|it| it.to_string().contains("a link hands"))
        );
    }
}

#[test]
fn what_has_no_use_is_a_problem() {
    let remembering = (CONSENT, "remember");
    for (told, expected) in [
        (
            vec![(CONSENT, "none")],
            "ENTRADA_CONSENT: write always, remember or external",
        ),
        (
            vec![("ENTRADA_CONSENT_LIFETIME", "7d")],
            "ENTRADA_CONSENT_LIFETIME: it says something where consent is remember alone",
        ),
        (
            vec![
                (CONSENT, "external"),
                ("ENTRADA_ASK_FOR_APPS_ON_DEVICE", "true"),
            ],
            "ENTRADA_ASK_FOR_APPS_ON_DEVICE: it says something where consent is remember alone",
        ),
        (
            vec![remembering, ("ENTRADA_CONSENT_LIFETIME", "401d")],
            "ENTRADA_CONSENT_LIFETIME: consent is remembered one hour to 400 days, such as 90d",
        ),
        (
            vec![("ENTRADA_PRE_APPROVED_CLIENTS", "agents\u{e9}")],
            "ENTRADA_PRE_APPROVED_CLIENTS: \"agents\u{e9}\" is no client id: write that of the client, or the \
             URL of its document",
        ),
    ] {
        let found = match read(&[], &least_and(&told)) {
            Ok(settings) => settings.provider.rehearse(&[]),
            Err(error) => error.problems().to_vec(),
        };
        let problems: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(problems, [expected], "{told:?}");
    }
}

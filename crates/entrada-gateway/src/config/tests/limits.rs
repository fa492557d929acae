//! The settings of how often clients may come, and from where.

use entrada::authorization_server::{ClientRegistrations, RateLimits};

use super::*;

#[test]
fn limits_are_on_and_proxies_are_not_trusted_unless_told_otherwise() {
    let settings = read(&[], &least_and(&[])).unwrap();
    assert_eq!(settings.provider.rate_limits, RateLimits::default());
    assert!(settings.provider.trusted_proxies.is_empty());
    let told = [
        ("ENTRADA_RATE_LIMITS", "none"),
        ("ENTRADA_TRUSTED_PROXIES", "10.0.0.4, fd00::/8"),
    ];
    let settings = read(&[], &least_and(&told)).unwrap();
    assert!(settings.provider.rehearse(&[]).is_empty());
    assert_eq!(settings.provider.rate_limits, RateLimits::NONE);
    assert_eq!(settings.provider.trusted_proxies, ["10.0.0.4", "fd00::/8"]);
}

#[test]
fn what_is_no_limit_or_proxy_is_a_problem() {
    for (variable, value, expected) in [
        (
            "ENTRADA_RATE_LIMITS",
            "off",
            "ENTRADA_RATE_LIMITS: write default or none",
        ),
        (
            "ENTRADA_TRUSTED_PROXIES",
            "proxy.internal",
            "ENTRADA_TRUSTED_PROXIES: \"proxy.internal\": write an IP address such as 10.0.0.4, or a \
             network such as 10.0.0.0/8",
        ),
        (
            "ENTRADA_TRUSTED_PROXIES",
            "0.0.0.0/0",
            "ENTRADA_TRUSTED_PROXIES: \"0.0.0.0/0\": a network of all addresses would let every client say \
             where it comes from",
        ),
    ] {
        let found = match read(&[], &least_and(&[(variable, value)])) {
            Ok(settings) => settings.provider.rehearse(&[]),
            Err(error) => error.problems().to_vec(),
        };
        let told: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(told, [expected], "{variable}");
    }
}

#[test]
fn registrations_are_stored_unless_their_clients_hold_them() {
    let kept = |told: &[(&str, &str)]| {
        let settings = read(&[], &least_and(told));
        settings.map(|settings| settings.provider.client_registrations)
    };
    let name = "ENTRADA_CLIENT_REGISTRATIONS";
    assert_eq!(kept(&[]).unwrap(), ClientRegistrations::Stored);
    assert_eq!(kept(&[(name, "held")]).unwrap(), ClientRegistrations::Held);
    let error = kept(&[(name, "none")]).unwrap_err();
    let problems: Vec<_> = error.problems().iter().map(Problem::to_string).collect();
    assert_eq!(
        problems,
        ["ENTRADA_CLIENT_REGISTRATIONS: write stored or held"]
    );
}

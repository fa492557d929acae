use super::*;

const TENANT: &str = "10000000-0000-4000-8000-00000000000a";
const OTHER: &str = "10000000-0000-4000-8000-00000000000b";
const LOGIN: &str = "https://login.microsoftonline.com";

fn entra_id(tenants: Tenants) -> IssuerRules {
    IssuerRules::EntraId(EntraIdIssuers {
        v2: IssuerTemplate::v2(LOGIN),
        v1: Some(IssuerTemplate::v1("sts.windows.net")),
        tenants,
    })
}

fn v2(tenant: &str) -> String {
    format!("{LOGIN}/{tenant}/v2.0")
}

fn v1(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

fn said<'a>(issuer: &'a str, tenant_id: &'a str, version: &'a str) -> Said<'a> {
    let some = |text: &'a str| (!text.is_empty()).then_some(text);
    Said {
        issuer,
        tenant_id: some(tenant_id),
        version: some(version),
        policy: None,
    }
}

/// The first words of the verdict.
fn verdict(found: Result<String, VerifyError>) -> String {
    match found {
        Ok(tenant) => format!("good: {tenant}"),
        Err(error) => error
            .to_string()
            .split(':')
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

const ISSUER: &str = "the token is from another issuer";
const KEY: &str = "the token's key signs for another issuer";
const WRONG_TENANT: &str = "the token is of another tenant";
const VERSION: &str = "the token is of another version";

#[test]
fn the_issuer_is_that_of_the_tokens_own_tenant_and_version() {
    let own = entra_id(Tenants::Own(TENANT.to_owned()));
    let template = v2(PLACEHOLDER);
    let good = format!("good: {TENANT}");
    for (issuer, tenant, version, expected) in [
        (v2(TENANT), TENANT, "2.0", &*good),
        (v1(TENANT), TENANT, "1.0", &good),
        // One version's issuer, the other's number.
        (v1(TENANT), TENANT, "2.0", ISSUER),
        (v2(TENANT), TENANT, "1.0", ISSUER),
        (v2(TENANT), TENANT, "", VERSION),
        (v2(TENANT), TENANT, "3.0", VERSION),
        // Look-alikes.
        (format!("{}/", v2(TENANT)), TENANT, "2.0", ISSUER),
        (v2(TENANT).to_uppercase(), TENANT, "2.0", ISSUER),
        (v2(TENANT).replace("https", "http"), TENANT, "2.0", ISSUER),
        (
            v2(TENANT).replace("online.com", "online.us"),
            TENANT,
            "2.0",
            ISSUER,
        ),
        (
            v2(TENANT).replace(".com", ".com.evil.example"),
            TENANT,
            "2.0",
            ISSUER,
        ),
        (template, TENANT, "2.0", ISSUER),
        // The tenant of the issuer and the token's own differ.
        (v2(OTHER), TENANT, "2.0", ISSUER),
        (v2(TENANT), OTHER, "2.0", ISSUER),
        (v2(OTHER), OTHER, "2.0", WRONG_TENANT),
        (v1(OTHER), OTHER, "1.0", WRONG_TENANT),
        // No tenant, or none.
        (v2(TENANT), "", "2.0", WRONG_TENANT),
        (v2("common"), "common", "2.0", WRONG_TENANT),
        (v2(""), "", "2.0", WRONG_TENANT),
        (v2("{tenantid}"), "{tenantid}", "2.0", WRONG_TENANT),
    ] {
        let found = own.admit(said(&issuer, tenant, version), Some(&v2(TENANT)), None);
        assert_eq!(verdict(found), expected, "{issuer} {tenant} {version}");
    }
}

#[test]
fn tenants_are_let_in_as_configured() {
    let listed = vec![TENANT.to_uppercase(), PERSONAL_ACCOUNTS.to_owned()];
    let found = Discovered {
        issuer: v2(TENANT),
        tenant_id: TENANT.to_owned(),
    };
    for (tenants, discovered, admitted) in [
        (Tenants::Own(TENANT.to_owned()), None, [true, false, false]),
        (Tenants::Discovered, Some(&found), [true, false, false]),
        (Tenants::Discovered, None, [false, false, false]),
        (Tenants::Listed(listed), None, [true, false, true]),
        (Tenants::Organizations, None, [true, true, false]),
        (Tenants::Everybody, None, [true, true, true]),
    ] {
        for (tenant, expected) in [TENANT, OTHER, PERSONAL_ACCOUNTS].into_iter().zip(admitted) {
            let (issuer, rules) = (v2(tenant), entra_id(tenants.clone()));
            let found = rules.admit(said(&issuer, tenant, "2.0"), Some(&issuer), discovered);
            assert_eq!(found.is_ok(), expected, "{tenants:?} {tenant}");
        }
    }
}

#[test]
fn a_key_vouches_for_its_own_issuer_alone() {
    let everybody = entra_id(Tenants::Everybody);
    let own = entra_id(Tenants::Own(TENANT.to_owned()));
    let good = format!("good: {TENANT}");
    let (organizations, personal) = (v2(PLACEHOLDER), v2(PERSONAL_ACCOUNTS));
    for (rules, key_issuer, expected) in [
        (&everybody, Some(&*organizations), &*good),
        (&everybody, Some(&*v2(TENANT)), &good),
        (&everybody, Some(&*personal), KEY),
        (&everybody, Some(&*v2(OTHER)), KEY),
        (
            &everybody,
            Some("https://login.microsoftonline.us/{tenantid}/v2.0"),
            KEY,
        ),
        (&everybody, Some("{tenantid}"), KEY),
        (&everybody, Some(""), KEY),
        // Where all tenants share the keys, a key says whose it is.
        (&everybody, None, KEY),
        (&own, None, &good),
        (&own, Some(&*personal), KEY),
    ] {
        for (issuer, version) in [(v2(TENANT), "2.0"), (v1(TENANT), "1.0")] {
            let found = rules.admit(said(&issuer, TENANT, version), key_issuer, None);
            assert_eq!(verdict(found), expected, "{key_issuer:?} {version}");
        }
    }
    let found = everybody.admit(
        said(&personal, PERSONAL_ACCOUNTS, "2.0"),
        Some(&personal),
        None,
    );
    assert!(found.is_ok());
}

#[test]
fn where_no_v1_issuer_is_known_v1_tokens_are_not_taken() {
    let rules = IssuerRules::EntraId(EntraIdIssuers {
        v2: IssuerTemplate::v2(LOGIN),
        v1: None,
        tenants: Tenants::Own(TENANT.to_owned()),
    });
    let found = rules.admit(said(&v1(TENANT), TENANT, "1.0"), None, None);
    assert_eq!(verdict(found), VERSION);
}

#[test]
fn external_id_names_its_issuer_by_the_tenant() {
    let rules = IssuerRules::ExternalId;
    let issuer = format!("https://{TENANT}.ciamlogin.com/{TENANT}/v2.0");
    let discovered = rules.read_metadata(&issuer).unwrap();
    assert_eq!(discovered.tenant_id, TENANT);
    for (issuer, tenant, version, key, expected) in [
        (
            &*issuer,
            TENANT,
            "2.0",
            None,
            "good: 10000000-0000-4000-8000-00000000000a",
        ),
        (
            &*issuer,
            TENANT,
            "2.0",
            Some(&*issuer),
            "good: 10000000-0000-4000-8000-00000000000a",
        ),
        (&*issuer, TENANT, "2.0", Some("https://x"), KEY),
        (&*issuer, OTHER, "2.0", None, WRONG_TENANT),
        (&*issuer, TENANT, "1.0", None, VERSION),
        (&*v2(TENANT), TENANT, "2.0", None, ISSUER),
        (
            "https://contoso.ciamlogin.com/contoso/v2.0",
            TENANT,
            "2.0",
            None,
            ISSUER,
        ),
    ] {
        let found = rules.admit(said(issuer, tenant, version), key, Some(&discovered));
        assert_eq!(verdict(found), expected, "{issuer}");
    }
    let unknown = rules.admit(said(&issuer, TENANT, "2.0"), None, None);
    assert!(matches!(unknown, Err(VerifyError::Unavailable(_))));
}

#[test]
fn b2c_names_its_issuer_and_its_user_flow() {
    let rules = IssuerRules::B2c {
        policy: "B2C_1_In".to_owned(),
    };
    let issuer = format!("https://contoso.b2clogin.com/{TENANT}/v2.0/");
    let discovered = rules.read_metadata(&issuer).unwrap();
    let flow = "the token is of another user flow";
    for (tenant, version, policy, expected) in [
        (
            "",
            "1.0",
            Some("b2c_1_in"),
            "good: 10000000-0000-4000-8000-00000000000a",
        ),
        (
            TENANT,
            "1.0",
            Some("B2C_1_In"),
            "good: 10000000-0000-4000-8000-00000000000a",
        ),
        (OTHER, "1.0", Some("B2C_1_In"), WRONG_TENANT),
        ("", "2.0", Some("B2C_1_In"), VERSION),
        ("", "1.0", Some("B2C_1_reset"), flow),
        ("", "1.0", None, flow),
    ] {
        let said = Said {
            policy,
            ..said(&issuer, tenant, version)
        };
        let found = rules.admit(said, None, Some(&discovered));
        assert_eq!(verdict(found), expected, "{tenant} {version} {policy:?}");
    }
}

#[test]
fn metadata_names_an_issuer_of_its_kind_or_none() {
    let ciam = format!("https://{TENANT}.ciamlogin.com/{TENANT}/v2.0");
    let tfp = format!("https://c.b2clogin.com/tfp/{TENANT}/b2c_1_in/v2.0/");
    let b2c = IssuerRules::B2c {
        policy: "b2c_1_in".to_owned(),
    };
    let domain = entra_id(Tenants::Discovered);
    for (rules, issuer, expected) in [
        (&domain, &*v2(TENANT), true),
        (&domain, &v2("{tenantid}"), false),
        (&domain, &v2("contoso.com"), false),
        (&domain, &v1(TENANT), false),
        (&domain, &ciam, false),
        (&IssuerRules::ExternalId, &ciam, true),
        (
            &IssuerRules::ExternalId,
            &ciam.replace("https", "http"),
            false,
        ),
        (
            &IssuerRules::ExternalId,
            &ciam.replace(".com/", ".com.evil.example/"),
            false,
        ),
        (&IssuerRules::ExternalId, &v2(TENANT), false),
        (
            &b2c,
            &format!("https://c.b2clogin.com/{TENANT}/v2.0/"),
            true,
        ),
        (&b2c, &tfp, true),
        (
            &b2c,
            &format!("http://c.b2clogin.com/{TENANT}/v2.0/"),
            false,
        ),
        (
            &b2c,
            &format!("https://c.b2clogin.com/{TENANT}/v2.0/?x"),
            false,
        ),
        (&b2c, "https://c.b2clogin.com/contoso/v2.0/", false),
        (&b2c, "not a url", false),
    ] {
        assert_eq!(rules.read_metadata(issuer).is_some(), expected, "{issuer}");
    }
}

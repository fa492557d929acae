//! The rules of a grant's life as tables.

use super::*;
use crate::keys::SealingKey;
use crate::oauth::client::{Client, UnverifiedClientMetadata};
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::platform::SystemRandom;
use crate::secret::{AuthorizationCode, BrowserBinding, CodeVerifier, Nonce, UpstreamState};

const LIFETIMES: Lifetimes = Lifetimes {
    access_token: Duration::from_secs(3600),
    refresh_token: Duration::from_secs(10_000),
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn random() -> SystemRandom {
    SystemRandom::default()
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

fn resource(text: &str) -> ResourceIndicator {
    ResourceIndicator::parse(text).unwrap()
}

fn client(id: &str) -> AuthenticatedClient {
    AuthenticatedClient::assertion(ClientId::parse(id).unwrap())
}

fn request() -> AuthorizationRequest {
    let metadata = UnverifiedClientMetadata {
        redirect_uris: Some(vec!["https://client.example/cb".to_owned()]),
        ..UnverifiedClientMetadata::default()
    };
    let id = ClientId::parse("c").unwrap();
    let registered = Client::register(
        id.clone(),
        metadata.check(&AllowedRedirects::Registered).unwrap(),
        at(0),
    );
    AuthorizationRequest {
        upstream_state: UpstreamState::generate(&random()),
        client_id: id,
        client_name: Some("Client".to_owned()),
        redirect: registered.trusted_redirect(None).unwrap(),
        state: Some("xyz".to_owned()),
        challenge: CodeChallenge::of(&CodeVerifier::new("verifier")),
        dpop_jkt: None,
        scope: scope("read write"),
        resource: resource("https://mcp.example/mcp"),
        hints: LoginHints::default(),
        refreshable: true,
        browser: BrowserBinding::new("browser").hashed(),
        asked_at: at(0),
    }
}

fn held(name: &str) -> HeldTokens {
    let refresh = EntraRefreshToken::new(format!("{name}-refresh"));
    HeldTokens::new(EntraAccessToken::new(name), Some(refresh), at(5000))
}

fn consented() -> ConsentedRequest {
    let login = Login::new(
        CodeVerifier::new("ours"),
        Nonce::new("nonce"),
        BrowserBinding::new("cookie"),
    );
    request().consent(Consent::Given, login, at(10))
}

fn code() -> IssuedCode {
    let signed_in = SignedIn::new(Principal::default(), held("first"), scope("read other"));
    consented().complete(GrantId::generate(&random()), signed_in, at(100))
}

/// What a request names, where there is the one server.
fn naming(named: &[&str]) -> AskedResources {
    let named = named.iter().map(|text| resource(text));
    AskedResources::new(named.collect(), vec![resource("https://mcp.example/mcp")])
}

fn code_request() -> CodeRequest {
    let mut request = CodeRequest::new(
        AuthorizationCode::new("code"),
        CodeVerifier::new("verifier"),
        naming(&[]),
    );
    request.redirect_uri = Some("https://client.example/cb".to_owned());
    request
}

#[test]
fn entra_is_asked_in_its_own_words() {
    let endpoint = url::Url::parse("https://login.example/authorize").unwrap();
    let ask = |hints| {
        let mut request = request();
        request.hints = hints;
        let login = Login::new(
            CodeVerifier::new("ours"),
            Nonce::new("n"),
            BrowserBinding::new("b"),
        );
        let consented = request.consent(Consent::Given, login, at(0));
        let url = consented.login().url(&Upstream {
            authorization_endpoint: &endpoint,
            client_id: "app",
            redirect_uri: "https://mcp.example/cb",
            scope: "api://app/read",
            claims: None,
        });
        move |name: &str| {
            url.query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        }
    };
    let plain = ask(LoginHints::default());
    assert_eq!(plain("prompt").as_deref(), Some("select_account"));
    assert_eq!(plain("scope").as_deref(), Some("api://app/read"));
    assert_eq!(plain("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(plain("resource"), None);
    assert_ne!(plain("state").as_deref(), Some("xyz"));
    let login_hint = Some("alice@contoso.com".to_owned());
    let hinted = ask(LoginHints {
        login_hint: login_hint.clone(),
        ..LoginHints::default()
    });
    assert_eq!(
        (hinted("login_hint"), hinted("prompt")),
        (login_hint, Some("select_account".to_owned()))
    );
    let fresh = ask(LoginHints {
        fresh_login: true,
        ..LoginHints::default()
    });
    assert_eq!(fresh("prompt").as_deref(), Some("login"));
}

#[test]
fn only_the_browser_that_consented_comes_back() {
    assert!(consented().login().is_from(&BrowserBinding::new("cookie")));
    assert!(!consented().login().is_from(&BrowserBinding::new("browser")));
    assert!(!consented().login().has_expired(at(610)));
    assert!(consented().login().has_expired(at(611)));
}

#[test]
fn a_code_is_redeemed_by_its_client_with_its_verifier_in_time() {
    let first = RefreshTerm::new(&RefreshToken::new("first"), at(9000));
    let outcome = |change: &dyn Fn(&mut CodeRequest), who: &str, now: u64| {
        let mut presented = code_request();
        change(&mut presented);
        code()
            .redeem(&presented, &client(who), Some(first), at(now))
            .map(|_| ())
    };
    let same = |_: &mut CodeRequest| {};
    assert_eq!(outcome(&same, "c", 220), Ok(()));
    assert_eq!(outcome(&|r| r.redirect_uri = None, "c", 220), Ok(()));
    assert_eq!(outcome(&same, "c", 221), Err(RedeemError::Expired));
    assert_eq!(outcome(&same, "thief", 100), Err(RedeemError::WrongClient));
    let other = |r: &mut CodeRequest| r.code_verifier = CodeVerifier::new("guess");
    assert_eq!(outcome(&other, "c", 100), Err(RedeemError::WrongVerifier));
    let other = |r: &mut CodeRequest| r.redirect_uri = Some("https://client.example/".to_owned());
    assert_eq!(
        outcome(&other, "c", 100),
        Err(RedeemError::WrongRedirectUri)
    );
    let other = |r: &mut CodeRequest| r.resources = naming(&["https://other.example/mcp"]);
    assert_eq!(outcome(&other, "c", 100), Err(RedeemError::WrongResource));
    let same = |r: &mut CodeRequest| r.resources = naming(&["https://MCP.example/mcp/"]);
    assert_eq!(outcome(&same, "c", 100), Ok(()));
}

#[test]
fn the_grant_holds_what_was_asked_and_granted_both() {
    let code = code();
    assert!(code.is_refreshable());
    let grant = code
        .redeem(&code_request(), &client("c"), None, at(100))
        .unwrap();
    assert_eq!(*grant.scope(), scope("read"));
    assert_eq!(grant.expires_at(), at(5000));
    assert_eq!(
        grant.access_token_lifetime(LIFETIMES, at(4000)),
        Duration::from_secs(1000)
    );
}

/// A grant and the tokens of its family: one forgotten, one replaced at 200, one current.
struct Family {
    keys: SealingKeys,
    grant: Grant,
    tokens: [RefreshToken; 3],
}

fn family() -> Family {
    let keys = SealingKeys::new(SealingKey::generate(&random()));
    let code = code();
    let issue = || RefreshToken::issue(code.grant_id(), &keys, &random());
    let tokens = [issue(), issue(), issue()];
    let presented =
        |token: &RefreshToken| PresentedRefreshToken::authenticate(token.clone(), &keys).unwrap();
    let [a, b, c] = &tokens;
    let succeed = |old: &RefreshToken, new: &RefreshToken, now: u64| {
        presented(old)
            .succeeded_by(new, at(now + 10_000), [1; 32])
            .unwrap()
    };
    let grant = code
        .redeem(
            &code_request(),
            &client("c"),
            Some(RefreshTerm::new(a, at(10_100))),
            at(100),
        )
        .unwrap()
        .rotated(succeed(a, b, 150), None, &seen(150))
        .rotated(succeed(b, c, 200), None, &seen(200));
    Family {
        keys,
        grant,
        tokens,
    }
}

fn replica(number: u64) -> ReplicaId {
    serde_json::from_value(number.into()).unwrap()
}

/// What the replica that rotates sees, whose store never fails.
fn seen(now: u64) -> Vantage {
    Vantage {
        now: at(now),
        replica: replica(1),
        outage: None,
    }
}

#[test]
fn a_refresh_token_rotates_repeats_or_betrays_a_thief() {
    let Family {
        keys,
        grant,
        tokens: [oldest, previous, current],
    } = family();
    assert_eq!(grant.version(), 3);
    let outcome = |token: &RefreshToken, seen_from: &Vantage| {
        let presented = PresentedRefreshToken::authenticate(token.clone(), &keys).unwrap();
        let (client, request) = (client("c"), RefreshRequest::new(None, naming(&[])));
        let decision = grant.refresh(&presented, &client, &request, seen_from);
        match decision.unwrap() {
            RefreshDecision::Rotate => "rotate",
            RefreshDecision::Repeat(token) if token.expose() == current.expose() => "repeat",
            RefreshDecision::Repeat(_) => "repeat another",
            RefreshDecision::Revoke => "revoke",
        }
    };
    for (token, now, by, outage, expected) in [
        (&current, 9999, 1, None, "rotate"),
        (&previous, 200, 1, None, "repeat"),
        (&previous, 230, 1, None, "repeat"),
        (&previous, 231, 1, None, "revoke"),
        // A clock that is behind; another that is ahead said when it was replaced.
        (&previous, 140, 2, None, "repeat"),
        (&previous, 290, 2, None, "repeat"),
        (&previous, 291, 2, None, "revoke"),
        // The store went away before the client could come again.
        (&previous, 530, 1, Some((200, 500)), "repeat"),
        (&previous, 530, 1, Some((230, 500)), "repeat"),
        (&previous, 531, 1, Some((230, 500)), "revoke"),
        (&previous, 590, 2, Some((290, 500)), "repeat"),
        // It was away when the token was replaced elsewhere.
        (&previous, 530, 1, Some((100, 500)), "repeat"),
        // The request came while it was away.
        (&previous, 480, 1, Some((200, 500)), "repeat"),
        // It could have come.
        (&previous, 530, 1, Some((231, 500)), "revoke"),
        (&previous, 231, 1, Some((100, 199)), "revoke"),
        // A clock was set back.
        (&previous, 231, 1, Some((230, 500)), "revoke"),
        (&oldest, 200, 1, None, "revoke"),
        (&oldest, 200, 2, Some((150, 200)), "revoke"),
    ] {
        let seen_from = Vantage {
            now: at(now),
            replica: replica(by),
            outage: outage.map(|(begun, failed)| Outage {
                begun_at: at(begun),
                last_failed_at: at(failed),
            }),
        };
        let found = outcome(token, &seen_from);
        assert_eq!(found, expected, "{now} {by} {outage:?}");
    }
}

#[test]
fn a_refresh_asks_for_no_more_than_was_granted() {
    let Family {
        keys,
        grant,
        tokens: [_, _, current],
    } = family();
    let presented = PresentedRefreshToken::authenticate(current, &keys).unwrap();
    let outcome = |who: &str, request: &RefreshRequest, now| {
        grant
            .refresh(&presented, &client(who), request, &seen(now))
            .map(|_| ())
            .err()
    };
    let ask = |text: &str| RefreshRequest::new(Some(scope(text)), naming(&[]));
    let target = |text: &str| RefreshRequest::new(None, naming(&[text]));
    assert_eq!(outcome("c", &ask("read"), 200), None);
    assert_eq!(
        outcome("c", &ask("read write"), 200),
        Some(RefreshError::ScopeExceeded)
    );
    assert_eq!(
        outcome("thief", &ask("read"), 200),
        Some(RefreshError::WrongClient)
    );
    assert_eq!(outcome("c", &target("https://mcp.example/mcp"), 200), None);
    assert_eq!(
        outcome("c", &target("https://x.example"), 200),
        Some(RefreshError::WrongResource)
    );
    assert_eq!(outcome("c", &ask("read"), 10_199), None);
    assert_eq!(
        outcome("c", &ask("read"), 10_200),
        Some(RefreshError::Expired)
    );
}

#[test]
fn a_forged_token_is_told_from_an_old_one() {
    let Family {
        keys,
        tokens: [_, _, current],
        ..
    } = family();
    let proven =
        |text: &str| PresentedRefreshToken::authenticate(RefreshToken::new(text), &keys).is_some();
    assert!(proven(current.expose()));
    let mut bytes = URL_SAFE_NO_PAD.decode(current.expose()).unwrap();
    bytes[20] ^= 1;
    for forged in [
        &URL_SAFE_NO_PAD.encode(&bytes),
        "",
        "short",
        &"A".repeat(86),
        &"A".repeat(900),
    ] {
        assert!(!proven(forged), "{forged}");
    }
}

#[test]
fn what_entra_says_anew_can_only_narrow() {
    let Family {
        keys,
        grant,
        tokens: [_, _, current],
    } = family();
    let presented = PresentedRefreshToken::authenticate(current, &keys).unwrap();
    let newer = HeldTokens::new(EntraAccessToken::new("second"), None, at(9000));
    let renewal = Renewal::new(newer, None, scope("read write admin"));
    let next = RefreshToken::issue(grant.id(), &keys, &random());
    let succession = presented.succeeded_by(&next, at(9000), [3; 32]).unwrap();
    let renewed = grant.rotated(succession, Some(renewal), &seen(300));
    assert_eq!(*renewed.scope(), scope("read"));
    assert_eq!(renewed.held().unwrap().access_token.expose(), "second");
    // Entra sent no new refresh token, so the old one stays.
    assert_eq!(
        renewed
            .held()
            .unwrap()
            .refresh_token
            .as_ref()
            .unwrap()
            .expose(),
        "first-refresh"
    );
}

#[test]
fn a_stored_grant_reads_back_the_same() {
    let grant = family().grant;
    let json = serde_json::to_string(&grant).unwrap();
    let again: Grant = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
}

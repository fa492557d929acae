//! What Entra demands of a user at an exchange, all the way to the client and back.

use entra_emulator::{Endpoint, GrantRefusal, GrantType, builtin};
use entrada::entra::error::Remedy;
use entrada::on_behalf_of::OboError;
use serde_json::{Value, json};

use crate::browser::{Browser, Page};
use crate::client::{Answer, Session};
use crate::obo::{EXCHANGE, USER_READ, caller, token};
use crate::refresh::REFRESH_GRANT;
use crate::world::{SECOND, World};

const AUTHORIZE: Endpoint = Endpoint::Authorize;

/// A world in which alice is signed in without a second factor, and Entra demands one of her before
/// anybody acts in her name.
async fn world() -> (World, Browser, Session) {
    let world = World::new().await;
    let mut browser = world.browser();
    let session = world.client().await.log_in(&mut browser, "alice").await;
    world.entra.demand_mfa_at_obo(builtin::ALICE, true);
    (world, browser, session)
}

/// The parameter of the last login at Entra.
pub(crate) fn asked(world: &World, name: &str) -> Option<String> {
    let query = world.entra.last_authorize_query().unwrap();
    let found = query.into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value)
}

#[track_caller]
pub(crate) fn assert_challenged(answer: &Answer) {
    answer.assert_unauthorized("invalid_token");
    // What Entra wants is remembered here: a client could make nothing of it.
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(!challenge.contains("claims="), "{challenge}");
    assert!(challenge.contains("resource_metadata="), "{challenge}");
}

#[track_caller]
pub(crate) fn assert_works(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["downstream"]["oid"], json!(builtin::ALICE_OID));
}

/// The page of a link on which alice brings what is demanded.
pub(crate) async fn link(world: &World, session: &Session, scope: &str) -> String {
    let caller = caller(world, session).await;
    let refused = caller.downstream_token(scope).await;
    let Err(OboError::InteractionRequired(required)) = refused else {
        panic!("{refused:?}");
    };
    required.interaction.link.unwrap()
}

fn title(page: &Page) -> &str {
    let (_, rest) = page.html.split_once("<h1>").unwrap();
    rest.split("</h1>").next().unwrap()
}

#[tokio::test]
async fn one_more_login_brings_the_second_factor_and_the_same_call_works() {
    let (world, mut browser, session) = world().await;
    assert_challenged(&session.call_downstream(USER_READ).await);
    // Clients refresh first: that would bring what it brought before.
    session.refresh().await.assert_refused(400, "invalid_grant");
    assert_eq!(world.entra.calls(REFRESH_GRANT), 0);

    world.entra.reset_calls();
    let session = session.client.log_in(&mut browser, "alice").await;
    assert_eq!(world.entra.calls(AUTHORIZE), 2);
    let claims: Value = serde_json::from_str(&asked(&world, "claims").unwrap()).unwrap();
    assert_eq!(claims["access_token"]["capolids"]["essential"], json!(true));
    assert_works(&session.call_downstream(USER_READ).await);

    // It was about that login alone.
    world.entra.reset_calls();
    session.client.log_in(&mut browser, "alice").await;
    assert_eq!(world.entra.calls(AUTHORIZE), 1);
    assert_eq!(asked(&world, "claims"), None);
}

#[tokio::test]
async fn whoever_does_not_bring_it_is_signed_in_without() {
    let (world, mut browser, session) = world().await;
    assert_challenged(&session.call_downstream(USER_READ).await);
    browser.has_second_factor = false;
    let session = session.client.log_in(&mut browser, "alice").await;
    assert_eq!(session.call_tool().await.status, 200);
    // And asked again once it is needed again.
    assert_challenged(&session.call_downstream(USER_READ).await);
    browser.has_second_factor = true;
    let session = session.client.log_in(&mut browser, "alice").await;
    assert_works(&session.call_downstream(USER_READ).await);
    drop(world);
}

#[tokio::test]
async fn another_client_and_another_user_are_not_asked() {
    let (world, _, session) = world().await;
    let other_client = world.log_in("alice").await;
    let mut bobs = world.browser();
    let bob = session.client.log_in(&mut bobs, "bob").await;
    assert_challenged(&session.call_downstream(USER_READ).await);
    world.entra.reset_calls();
    for session in [&other_client, &bob] {
        session.refreshed().await;
    }
    session.client.log_in(&mut bobs, "bob").await;
    assert_eq!(world.entra.calls(AUTHORIZE), 1);
}

#[tokio::test]
async fn the_login_may_end_at_another_replica() {
    let (world, browser, session) = world().await;
    let replica = world.replica();
    assert_challenged(&session.call_downstream(USER_READ).await);
    let client = session.client.at(&replica);
    let session = client.log_in(&mut browser.at(&replica), "alice").await;
    assert_works(&session.call_downstream(USER_READ).await);
}

#[tokio::test]
async fn what_is_not_brought_for_an_hour_is_forgotten() {
    let (world, mut browser, session) = world().await;
    assert_challenged(&session.call_downstream(USER_READ).await);
    world.advance(3600 * SECOND);
    world.entra.reset_calls();
    session.client.log_in(&mut browser, "alice").await;
    assert_eq!(world.entra.calls(AUTHORIZE), 1);
}

/// Not every client knows how to fetch its user, and those that do come back with another grant.
#[tokio::test]
async fn a_client_that_comes_back_without_its_user_is_known() {
    let (world, mut browser, session) = world().await;
    let in_vain = async |session: &Session| {
        let refused = token(&caller(&world, session).await).await;
        let Err(OboError::InteractionRequired(required)) = refused else {
            panic!("{refused:?}");
        };
        required.interaction.asked_in_vain
    };
    assert!(!in_vain(&session).await);
    world.advance(60 * SECOND);
    assert!(!in_vain(&session).await);
    world.advance(SECOND);
    assert!(in_vain(&session).await);
    browser.has_second_factor = false;
    let session = session.client.log_in(&mut browser, "alice").await;
    assert!(!in_vain(&session).await);
}

#[tokio::test]
async fn a_link_does_the_same_without_the_client() {
    let (_world, mut browser, session) = world().await;
    let answer = session.call_downstream(USER_READ).await;
    assert_challenged(&answer);
    let link = answer.json["error_uri"].as_str().unwrap();
    let page = browser.get(link).await.page();
    assert_eq!(title(&page), "Microsoft wants to see you again");
    // Whoever has the link sees the page: it says no more than they need who know the account.
    assert!(page.html.contains("a…@contoso.onmicrosoft.com"));
    assert!(!page.html.contains("alice"));
    let there = browser.submit(&page, &[]).await;
    let back = browser.sign_in(there, "alice").await.page();
    assert_eq!(
        (back.status.as_u16(), title(&back)),
        (200, "You can go back to your app")
    );
    // With the token of before.
    assert_works(&session.call_downstream(USER_READ).await);
    // And nothing is left to do.
    let again = browser.get(link).await.page();
    assert_eq!(
        (again.status.as_u16(), title(&again)),
        (400, "There is nothing to do here")
    );
    session.refreshed().await;
}

#[tokio::test]
async fn a_person_who_does_not_bring_it_changes_nothing_by_the_link() {
    let (world, mut browser, session) = world().await;
    let link = link(&world, &session, USER_READ).await;
    browser.has_second_factor = false;
    let page = browser.get(&link).await.page();
    let there = browser.submit(&page, &[]).await;
    let back = browser.sign_in(there, "alice").await.page();
    assert_eq!(title(&back), "Microsoft did not sign you in");
    assert_eq!(session.call_tool().await.status, 200);
    browser.has_second_factor = true;
    let page = browser.get(&link).await.page();
    let there = browser.submit(&page, &[]).await;
    browser.sign_in(there, "alice").await.page();
    assert_works(&session.call_downstream(USER_READ).await);
    drop(world);
}

/// Everything Entra holds against an exchange, and what comes of it.
#[tokio::test]
async fn each_refusal_is_told_as_what_it_is() {
    use GrantRefusal as R;
    for (refusal, status, remedy) in [
        (R::MfaRequired, 401, Remedy::StepUp),
        (R::MfaEnrolmentRequired, 401, Remedy::StepUp),
        (R::DeviceNotCompliant, 401, Remedy::StepUp),
        (R::Blocked, 401, Remedy::StepUp),
        (R::ConsentRequired, 401, Remedy::Consent),
        (R::Revoked, 401, Remedy::SignInAgain),
        (R::PasswordExpired, 401, Remedy::SignInAgain),
        (R::UserDisabled, 401, Remedy::SignInAgain),
    ] {
        let world = World::new().await;
        let session = world.log_in("alice").await;
        world.entra.refuse_obo(builtin::ALICE, refusal);
        let answer = session.call_downstream(USER_READ).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{refusal:?}: {}",
            answer.text
        );
        assert_challenged(&answer);
        assert!(!answer.text.contains("AADSTS"), "{}", answer.text);
        let error = token(&caller(&world, &session).await).await.unwrap_err();
        let told = if let OboError::InteractionRequired(required) = &error {
            required.error.remedy()
        } else if let OboError::Exchange(error) = &error {
            error.remedy()
        } else {
            panic!("{refusal:?}: {error:?}");
        };
        assert_eq!(told, remedy, "{refusal:?}");
        // The session goes on, and once nothing is held against it so does the call.
        assert_eq!(session.call_tool().await.status, 200);
        world.entra.refuse_obo(builtin::ALICE, None);
        world.advance(5 * SECOND);
        assert_works(&session.call_downstream(USER_READ).await);
    }
}

#[tokio::test]
async fn a_user_who_only_has_to_sign_in_goes_to_entra_once() {
    let world = World::new().await;
    let mut browser = world.browser();
    let session = world.client().await.log_in(&mut browser, "alice").await;
    world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::PasswordExpired);
    assert_challenged(&session.call_downstream(USER_READ).await);
    // Entra would still refresh, and refuse the exchange once more.
    session.refresh().await.assert_refused(400, "invalid_grant");
    world.entra.refuse_obo(builtin::ALICE, None);
    world.entra.reset_calls();
    let session = session.client.log_in(&mut browser, "alice").await;
    assert_eq!(world.entra.calls(AUTHORIZE), 1);
    assert_works(&session.call_downstream(USER_READ).await);
}

#[tokio::test]
async fn what_is_demanded_at_a_refresh_goes_the_same_way() {
    let world = World::new().await;
    world.entra.set_token_lifetime(3600 * SECOND);
    let mut browser = world.browser();
    let session = world.client().await.log_in(&mut browser, "alice").await;
    let held = caller(&world, &session).await;
    world
        .entra
        .refuse_refresh(builtin::ALICE, GrantRefusal::MfaRequired);
    world.advance(3600 * SECOND);
    let refused = token(&held).await;
    assert!(
        matches!(refused, Err(OboError::InteractionRequired(_))),
        "{refused:?}"
    );
    assert_eq!(world.entra.calls(EXCHANGE), 0);
    session.refresh().await.assert_refused(400, "invalid_grant");
    let session = session.client.log_in(&mut browser, "alice").await;
    assert!(asked(&world, "claims").is_some());
    assert_works(&session.call_downstream(USER_READ).await);
}

#[tokio::test]
async fn a_login_during_which_entra_fails_is_not_lost() {
    let (world, mut browser, session) = world().await;
    assert_challenged(&session.call_downstream(USER_READ).await);
    let client = &session.client;
    let consent = client.ask(&mut browser).await;
    browser.stop_before = Some("/auth/callback");
    let first = browser.approve(&consent, "alice").await.left();
    browser.stop_before = None;
    let stop = browser.get(first.as_str()).await;
    let codes = Endpoint::TokenGrant(GrantType::AuthorizationCode);
    world
        .entra
        .fail_next(codes, 1, entra_emulator::Failure::Status(503));
    let back = browser.sign_in(stop, "alice").await.left();
    let code = crate::client::parameter(&back, "code").unwrap();
    let session = client.session(client.redeem(&code).await.ok());
    assert_eq!(session.call_tool().await.status, 200);
}

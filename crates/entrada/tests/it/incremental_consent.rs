//! Consent to downstream APIs when it is needed, and by administrators.

use entra_emulator::{Endpoint, builtin};
use entrada::on_behalf_of::OboError;
use serde_json::json;

use crate::browser::Stop;
use crate::conditional_access::{asked, assert_challenged, assert_works, link};
use crate::obo::caller;
use crate::world::{SECOND, World};

const READ_BASIC: &str = "https://graph.microsoft.com/User.ReadBasic.All";
const READ_DIRECTORY: &str = "https://graph.microsoft.com/Directory.Read.All";

async fn world() -> World {
    World::with(|config| config.incremental_scopes([READ_BASIC])).await
}

#[tokio::test]
async fn a_scope_is_asked_for_once_a_tool_needs_it() {
    let world = world().await;
    let (client, mut browser) = (world.client().await, world.browser());
    let consent = client.ask(&mut browser).await;
    assert!(
        consent
            .html
            .contains("<h2>Later, Microsoft may ask you to let")
    );
    assert!(consent.html.contains("User.ReadBasic.All"));
    let session = client.log_in(&mut browser, "alice").await;
    assert!(!asked(&world, "scope").unwrap().contains(READ_BASIC));

    assert_challenged(&session.call_downstream(READ_BASIC).await);
    let session = client.log_in(&mut browser, "alice").await;
    assert!(asked(&world, "scope").unwrap().contains(READ_BASIC));
    let answer = session.call_downstream(READ_BASIC).await;
    assert_works(&answer);
    let granted = answer.json["downstream"]["scp"].as_str().unwrap();
    assert!(
        granted
            .split(' ')
            .any(|scope| scope == "User.ReadBasic.All")
    );

    // It was alice's own consent, and is never asked for again.
    let mut bobs = world.browser();
    let bob = client.log_in(&mut bobs, "bob").await;
    assert_challenged(&bob.call_downstream(READ_BASIC).await);
    world.entra.reset_calls();
    let session = client.log_in(&mut browser, "alice").await;
    assert_eq!(world.entra.calls(Endpoint::Authorize), 1);
    assert_works(&session.call_downstream(READ_BASIC).await);
}

#[tokio::test]
async fn a_link_asks_for_consent_without_the_client() {
    let world = world().await;
    let (client, mut browser) = (world.client().await, world.browser());
    let session = client.log_in(&mut browser, "alice").await;
    let link = link(&world, &session, READ_BASIC).await;
    let page = browser.get(&link).await.page();
    assert!(page.html.contains("Microsoft will ask you to let"));
    assert!(page.html.contains("User.ReadBasic.All"));
    let there = browser.submit(&page, &[]).await;
    browser.sign_in(there, "alice").await.page();
    assert_works(&session.call_downstream(READ_BASIC).await);
}

/// Entra takes no `.default` beside scopes with names.
#[tokio::test]
async fn default_is_asked_for_by_the_names_that_are_known() {
    let api = builtin::UNCONSENTED_IDENTIFIER_URI;
    let (named, default) = (format!("{api}/data.read"), format!("{api}/.default"));
    let world = World::with(|config| config.incremental_scopes([&named])).await;
    let (client, mut browser) = (world.client().await, world.browser());
    let session = client.log_in(&mut browser, "alice").await;
    assert_challenged(&session.call_downstream(&default).await);
    let session = client.log_in(&mut browser, "alice").await;
    let scope = asked(&world, "scope").unwrap();
    assert!(
        scope.contains(&named) && !scope.contains(".default"),
        "{scope}"
    );
    assert_works(&session.call_downstream(&default).await);

    // Where none is known nobody but an administrator can be asked.
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let answer = session.call_downstream(&default).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    let page = answer.json["error_uri"].as_str().unwrap();
    assert!(page.contains("/v2.0/adminconsent?client_id="), "{page}");
    let refused = caller(&world, &session).await;
    let refused = refused.downstream_token(&*default).await;
    assert!(matches!(refused, Err(OboError::AskAdmin(_))), "{refused:?}");
}

#[tokio::test]
async fn an_administrator_consents_by_the_link_for_everybody() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let refused = caller(&world, &session).await;
    let refused = refused.downstream_token(READ_DIRECTORY).await;
    let Err(OboError::InteractionRequired(required)) = refused else {
        panic!("{refused:?}");
    };
    let link = required.admin_consent_url.unwrap();
    let mut browser = world.browser();
    let stop = browser.get(&link).await;
    let page = browser.sign_in(stop, "admin").await.page();
    assert_eq!(page.status, 200);
    assert!(
        page.html.contains("<h1>Consent was given</h1>"),
        "{}",
        page.html
    );
    world.advance(5 * SECOND);
    assert_works(&session.call_downstream(READ_DIRECTORY).await);
    let bob = world.log_in("bob").await;
    let answer = bob.call_downstream(READ_DIRECTORY).await;
    assert_eq!(answer.json["downstream"]["oid"], json!(builtin::BOB_OID));
}

/// Nobody is kept out of what does not need it.
#[tokio::test]
async fn a_scope_only_an_administrator_gives_stops_one_login_at_most() {
    let world = World::new().await;
    let (client, mut browser) = (world.client().await, world.browser());
    let session = client.log_in(&mut browser, "alice").await;
    assert_challenged(&session.call_downstream(READ_DIRECTORY).await);
    let consent = client.ask(&mut browser).await;
    let stop = browser.approve(&consent, "alice").await;
    let Stop::Page(page) = stop else {
        panic!("{stop:?}");
    };
    assert!(page.html.contains("AADSTS90094"), "{}", page.html);
    let session = client.log_in(&mut browser, "alice").await;
    assert_eq!(session.call_tool().await.status, 200);
}

//! The pages and the API of operators.

use std::sync::Arc;
use std::time::Duration;

use entra_emulator::{TokenOrder, builtin};
use entrada::store::Collection;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use crate::browser::{Browser, Page};
use crate::client::Answer;
use crate::outage::Outage;
use crate::refresh::assert_ended;
use crate::world::{ADMIN_URL, World};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn at(path: &str) -> String {
    format!("{ADMIN_URL}{path}")
}

/// The answer to `name`'s sign-in.
pub(crate) async fn try_sign_in(browser: &mut Browser, name: &str) -> Page {
    let page = browser.get(&at("/admin")).await.page();
    assert!(
        page.html.contains("Sign in with Microsoft"),
        "{}",
        page.html
    );
    let stop = browser.submit(&page, &[]).await;
    browser.sign_in(stop, name).await.page()
}

/// The first page, once `name` has signed in for it.
pub(crate) async fn sign_in(browser: &mut Browser, name: &str) -> Page {
    let page = try_sign_in(browser, name).await;
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.html.contains("url=/admin"), "{}", page.html);
    browser.get(&at("/admin")).await.page()
}

/// The form behind the button with these words.
pub(crate) fn form(page: &Page, button: &str) -> (Url, Vec<(String, String)>) {
    let forms = page.html.split("<form").skip(1);
    let found = forms.enumerate().find(|(_, form)| {
        let form = form.split("</form>").next().unwrap();
        form.contains(button)
    });
    let (number, _) = found.unwrap_or_else(|| panic!("no {button:?}: {}", page.html));
    page.forms().nth(number).unwrap()
}

pub(crate) async fn press(browser: &mut Browser, page: &Page, button: &str) -> Page {
    let (url, fields) = form(page, button);
    browser.post(&url, &fields).await.page()
}

/// What the API answers to a token.
pub(crate) async fn api(
    world: &World,
    token: &str,
    (method, path): (Method, &str),
    body: &str,
) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer)];
    world
        .ask(method, &at(&format!("/admin/api{path}")), &headers, body)
        .await
}

/// A token of an application with these roles.
pub(crate) fn program(world: &World, roles: &[&str]) -> String {
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    world.entra.mint(&order.claim("roles", json!(roles)))
}

#[tokio::test]
async fn an_operator_sees_who_is_signed_in_and_ends_it() {
    let world = World::new().await.administered();
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let bobs_other = bob.client.log_in(&mut world.browser(), "bob").await;
    let mut browser = world.browser();
    let page = sign_in(&mut browser, "alice").await;
    for words in [
        "Signed in as <bdi dir=\"ltr\">alice@contoso.onmicrosoft.com",
        "bob@contoso.onmicrosoft.com",
        "Test client",
        &*bob.client.id,
        "mcp.read",
    ] {
        assert!(page.html.contains(words), "{words}: {}", page.html);
    }
    let one = form(&page, "End this grant of alice@");
    browser.post(&one.0, &one.1).await.page();
    assert_ended(&world, &alice).await;
    bob.call_tool().await.ok();

    let search = at("/admin?user=bob@contoso.onmicrosoft.com&client=&tenant=");
    let page = browser.get(&search).await.page();
    assert!(!page.html.contains("All grants of alice"), "{}", page.html);
    let asked = press(&mut browser, &page, "End all grants of this user").await;
    assert!(asked.html.contains("Is that meant?"), "{}", asked.html);
    bob.refresh().await.ok();
    let page = press(&mut browser, &asked, "Yes").await;
    assert_eq!(page.url.as_str(), at("/admin"));
    assert!(page.html.contains("There are none here."), "{}", page.html);
    assert_ended(&world, &bobs_other).await;
    let wrong = browser
        .get(&at("/admin?client=%20&user=a%20b"))
        .await
        .page();
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn an_operator_sees_clients_keys_and_numbers_and_changes_them() {
    let world = World::new().await.administered();
    let session = world.log_in("bob").await;
    let mut browser = world.browser();
    sign_in(&mut browser, "alice").await;
    let page = browser.get(&at("/admin/live")).await.page();
    assert!(page.html.contains("<dd>1</dd>"), "{}", page.html);
    assert!(
        page.html.contains("http-equiv=\"refresh\""),
        "{}",
        page.html
    );

    let page = browser.get(&at("/admin/clients")).await.page();
    assert!(
        page.html.contains("https://client.example/callback"),
        "{}",
        page.html
    );
    let asked = press(&mut browser, &page, "Remove").await;
    let page = press(&mut browser, &asked, "Yes").await;
    assert_eq!(page.url.as_str(), at("/admin/clients"));
    assert!(page.html.contains("There are none here."), "{}", page.html);
    session
        .refresh()
        .await
        .assert_refused(401, "invalid_client");

    let page = browser.get(&at("/admin/keys")).await.page();
    let keys = |page: &Page| page.html.matches("signs with ES256").count();
    assert_eq!(keys(&page), 1);
    let page = press(&mut browser, &page, "Make new keys").await;
    assert_eq!(keys(&page), 2, "{}", page.html);
    let published = world.get("/.well-known/jwks.json").await.ok();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);

    let page = press(&mut browser, &page, "Sign out").await;
    assert!(
        page.html.contains("Sign in with Microsoft"),
        "{}",
        page.html
    );
}

#[tokio::test]
async fn a_program_does_the_same_by_the_api() {
    let world = World::new().await.administered();
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let token = program(&world, &["Mcp.Admin"]);
    let get = async |path: &str| api(&world, &token, (Method::GET, path), "").await;
    let all = get("/grants?most=1").await.ok();
    let next = all["next"].as_str().unwrap();
    let rest = get(&format!("/grants?most=1000&after={next}")).await.ok();
    let of = |page: &Value| page["grants"].as_array().unwrap().len();
    assert_eq!(of(&all) + of(&rest), 2, "{all} {rest}");
    let of_alice = get("/grants?user=alice@contoso.onmicrosoft.com").await.ok();
    assert_eq!(of_alice["grants"][0]["id"], alice.claims()["sid"]);
    let summary = get("/summary").await.ok();
    assert_eq!(
        summary,
        json!({ "grants": 2, "clients": 2, "unopened": 0, "keys": 2 })
    );
    assert_eq!(
        get("/clients").await.ok()["clients"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(get("/keys").await.ok()["keys"][0]["signs_with"], "ES256");

    let revoke = async |body: Value| {
        let body = body.to_string();
        api(&world, &token, (Method::POST, "/grants/revoke"), &body).await
    };
    for wrong in [
        json!({}),
        json!({ "all": false }),
        json!({ "all": true, "user": "a@b" }),
        json!({ "grant": "short" }),
        json!({ "tenant": "" }),
        json!({ "users": "a@b" }),
        json!([]),
    ] {
        revoke(wrong).await.assert_refused(400, "invalid_request");
    }
    let ended = revoke(json!({ "grant": alice.claims()["sid"] })).await.ok();
    assert_eq!(ended["grants"], 1);
    assert_ended(&world, &alice).await;
    let path = format!("/clients?client={}", bob.client.id);
    for nowhere in ["/nosuch", "/grants/nosuch", ""] {
        let answer = api(&world, &token, (Method::GET, nowhere), "").await;
        answer.assert_refused(404, "not_found");
    }
    let removed = api(&world, &token, (Method::DELETE, &path), "").await.ok();
    assert_eq!(removed["grants"], 1);
    let again = api(&world, &token, (Method::DELETE, &path), "").await;
    again.assert_refused(404, "not_found");
    let rotated = api(&world, &token, (Method::POST, "/keys/rotate"), "")
        .await
        .ok();
    assert_eq!(rotated["keys"].as_array().unwrap().len(), 4);
    for wrong in [
        "/grants?after=%3D",
        "/grants?user=a%20b",
        "/grants?colour=red",
    ] {
        get(wrong).await.assert_refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn an_operator_is_signed_out_after_a_while() {
    let world = World::new().await.administered();
    let mut browser = world.browser();
    sign_in(&mut browser, "alice").await;
    let is_in = async |browser: &mut Browser, path: &str| {
        let page = browser.get(&at(path)).await.page();
        !page.html.contains("Sign in with Microsoft")
    };
    for _ in 0..4 {
        world.advance(14 * MINUTE);
        assert!(is_in(&mut browser, "/admin/keys").await);
    }
    world.advance(5 * MINUTE);
    assert!(!is_in(&mut browser, "/admin").await, "an hour is the most");
    let mut idle = world.browser();
    sign_in(&mut idle, "alice").await;
    // Numbers that come by themselves are no sign of somebody there.
    for _ in 0..2 {
        world.advance(7 * MINUTE);
        assert!(is_in(&mut idle, "/admin/live").await);
    }
    world.advance(2 * MINUTE);
    assert!(!is_in(&mut idle, "/admin/live").await);
}

#[tokio::test]
async fn a_store_that_fails_is_told() {
    let outage = Arc::new(Outage::default());
    let world = World::on(Arc::<Outage>::clone(&outage), |config| config).await;
    let world = world.administered();
    let session = world.log_in("bob").await;
    let mut browser = world.browser();
    let page = sign_in(&mut browser, "alice").await;
    outage.begin_at("revoke", Collection::Grants);
    let failed = press(&mut browser, &page, "End this grant of bob@").await;
    assert_eq!(failed.status, 503, "{}", failed.html);
    outage.end();
    session.call_tool().await.ok();
    outage.begin();
    let failed = browser.get(&at("/admin")).await.page();
    assert_eq!(failed.status, 503);
    let token = program(&world, &["Mcp.Admin"]);
    let failed = api(&world, &token, (Method::GET, "/grants"), "").await;
    failed.assert_refused(503, "temporarily_unavailable");
}

//! At the pages and the API of operators.

use std::sync::Arc;
use std::time::Duration;

use entra_emulator::{Endpoint, TokenOrder, builtin};
use entrada::admin_site::{AdminError, AdminSettings};
use entrada::administration::{Selection, User};
use entrada::audit::Who;
use entrada::entra::verifier::AppOnlyTokens;
use entrada::{AzureJwtConfig, AzureJwtVerifier};
use http::Method;
use serde_json::json;

use crate::admin_site::{api, at, form, press, program, sign_in, try_sign_in};
use crate::client::parameter;
use crate::observed::Told;
use crate::tenancy::multi_tenant;
use crate::world::{ADMIN_URL, BASE_URL, SECOND, World};

const ADMIN_HOST: &str = "admin.example.com";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn operator_without_the_role_gets_in_nowhere() {
    let world = World::new().await.administered();
    let mut browser = world.browser();
    let refused = try_sign_in(&mut browser, "bob").await;
    assert_eq!(refused.status, 403, "{}", refused.html);
    assert!(
        browser.cookies(ADMIN_HOST).is_empty(),
        "{:?}",
        browser.cookies(ADMIN_HOST)
    );
    for path in ["/admin", "/admin/clients", "/admin/keys", "/admin/live"] {
        let page = browser.get(&at(path)).await.page();
        assert!(
            page.html.contains("Sign in with Microsoft"),
            "{}",
            page.html
        );
    }
}

/// Each tenant says which of its users have a role of an app that several use.
#[tokio::test]
async fn role_that_another_tenant_gave_makes_no_operator() {
    let world = multi_tenant("organizations").await;
    world.entra.change_directory(|directory| {
        let app = directory.app_mut(builtin::MULTI_TENANT_CLIENT_ID).unwrap();
        let callback = format!("{ADMIN_URL}/admin/callback");
        app.redirect_uris.web.push(callback);
        let mut given = directory.user(builtin::ALICE).unwrap().app_roles[0].clone();
        builtin::MULTI_TENANT_CLIENT_ID.clone_into(&mut given.resource);
        "Mcp.Admin".clone_into(&mut given.role);
        for name in [builtin::ALICE, builtin::FRANK] {
            let user = directory.user_mut(name).unwrap();
            user.app_roles.push(given.clone());
        }
    });
    let settings = || AdminSettings::new(ADMIN_URL, "Mcp.Admin");
    let unsaid = world.provider.admin_site(settings());
    assert_eq!(unsaid.err(), Some(AdminError::Tenant));
    let programs = AzureJwtConfig::new("organizations", builtin::MULTI_TENANT_CLIENT_ID)
        .allowed_tenants([builtin::TENANT_ID, builtin::FABRIKAM_TENANT_ID]);
    let world = world.administered_by(settings().tenant(builtin::TENANT_ID), programs);
    let stranger = try_sign_in(&mut world.browser(), builtin::FRANK).await;
    assert_eq!(stranger.status, 403, "{}", stranger.html);
    sign_in(&mut world.browser(), "alice").await;
    let program = |tenant: &str| {
        let order = TokenOrder::app_only(
            builtin::MULTI_TENANT_CLIENT_ID,
            builtin::MULTI_TENANT_CLIENT_ID,
        );
        let order = order.claim("roles", json!(["Mcp.Admin"])).tenant(tenant);
        world.entra.mint(&order)
    };
    for (tenant, expected) in [
        (builtin::TENANT_ID, 200),
        (builtin::FABRIKAM_TENANT_ID, 403),
    ] {
        let token = program(tenant);
        let answer = api(&world, &token, (Method::GET, "/grants"), "").await;
        assert_eq!(answer.status, expected, "{tenant}");
    }
}

#[tokio::test]
async fn admin_form_is_of_no_use_to_another_site_or_session() {
    let world = World::new().await.administered();
    let session = world.log_in("bob").await;
    let (mut victim, mut other) = (world.browser(), world.browser());
    let page = sign_in(&mut victim, "alice").await;
    let theirs = sign_in(&mut other, "alice").await;
    let (url, fields) = form(&page, "End this grant of bob@");
    let body = |fields: &[(String, String)]| {
        let (name, value) = &fields[0];
        format!("{name}={value}")
    };
    let cookies = victim.cookie_header(ADMIN_HOST);
    let content = ("content-type", "application/x-www-form-urlencoded");
    let post = async |headers: &[(&str, &str)], body: &str| {
        let answer = world.ask(Method::POST, url.as_str(), headers, body).await;
        answer.status.as_u16()
    };
    let with = |site| [content, ("cookie", &*cookies), ("sec-fetch-site", site)];
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(post(&with(site), &body(&fields)).await, 403, "{site}");
    }
    // A form of the attacker's own session, and none.
    let (_, foreign) = form(&theirs, "End this grant of bob@");
    assert_eq!(post(&with("same-origin"), &body(&foreign)).await, 403);
    assert_eq!(post(&with("same-origin"), "request=AAAA").await, 403);
    assert_eq!(post(&with("same-origin"), "").await, 403);
    assert_eq!(post(&[content], &body(&fields)).await, 403);
    session.refresh().await.ok();
    // What would have been done is done by its own session.
    assert_eq!(post(&with("same-origin"), &body(&fields)).await, 303);
    session.refresh().await.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn admin_pages_are_framed_by_nobody_and_run_no_script() {
    let world = World::new().await.administered();
    world.log_in("bob").await;
    let mut browser = world.browser();
    let mut pages = vec![browser.get(&at("/admin")).await.page()];
    pages.push(try_sign_in(&mut browser, "alice").await);
    for path in [
        "/admin",
        "/admin/clients",
        "/admin/keys",
        "/admin/live",
        "/admin?client=%20a",
    ] {
        pages.push(browser.get(&at(path)).await.page());
    }
    let first = browser.get(&at("/admin")).await.page();
    pages.push(press(&mut browser, &first, "All of this user").await);
    for page in pages {
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(
            !policy.contains("script-src") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(page.headers["x-frame-options"], "DENY");
        assert_eq!(page.headers["cache-control"], "no-store");
        assert!(!page.html.contains("<script"));
    }
}

#[tokio::test]
async fn session_of_an_operator_cannot_be_planted_or_begun_elsewhere() {
    let world = World::new().await.administered();
    let mut attacker = world.browser();
    // The attacker, who has the role, leaves before the last step, and sends it to the victim.
    attacker.stop_before = Some("/admin/callback");
    let page = attacker.get(&at("/admin")).await.page();
    let stop = attacker.submit(&page, &[]).await;
    let back = attacker.sign_in(stop, "alice").await.left();
    let mut victim = world.browser();
    let refused = victim.get(back.as_str()).await.page();
    assert_eq!(refused.status, 400, "{}", refused.html);
    // Nor does a login that the victim began take another's code.
    victim.stop_before = Some("/admin/callback");
    let page = victim.get(&at("/admin")).await.page();
    let stop = victim.submit(&page, &[]).await;
    let own = victim.sign_in(stop, "alice").await.left();
    victim.stop_before = None;
    // What was begun elsewhere is not even asked about.
    let mut another = world.browser();
    another.stop_before = Some("/admin/callback");
    let page = another.get(&at("/admin")).await.page();
    another.submit(&page, &[]).await;
    another.stop_before = None;
    world.entra.reset_calls();
    let refused = another.get(back.as_str()).await.page();
    assert_eq!(refused.status, 400, "{}", refused.html);
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
    let (state, code) = (parameter(&own, "state"), parameter(&back, "code"));
    let mixed = format!(
        "/admin/callback?state={}&code={}",
        state.unwrap(),
        code.unwrap()
    );
    let refused = victim.get(&at(&mixed)).await.page();
    assert!(!refused.status.is_success(), "{}", refused.html);
    assert!(
        !victim
            .cookies(ADMIN_HOST)
            .contains(&"__Host-entrada-admin".to_owned())
    );
    // Whoever signs in has a session that nobody knew before; no page but ours brings its cookie along.
    let mut browser = world.browser();
    let one = try_sign_in(&mut browser, "alice").await;
    let cookies: Vec<_> = one.headers.get_all("set-cookie").iter().collect();
    let cookie = cookies[0].to_str().unwrap();
    assert!(cookie.starts_with("__Host-entrada-admin="), "{cookie}");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Secure", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let old = browser.get(&at("/admin")).await.page();
    let signed_out = press(&mut browser, &old, "Sign out").await;
    assert!(signed_out.html.contains("Sign in with Microsoft"));
    sign_in(&mut browser, "alice").await;
    let (url, fields) = form(&old, "Sign out");
    let refused = browser.post(&url, &fields).await.page();
    assert_eq!(refused.status, 403, "{}", refused.html);
}

#[tokio::test]
async fn copied_cookie_of_an_operator_ends_with_the_session() {
    let world = World::new().await.administered();
    let mut browser = world.browser();
    let page = sign_in(&mut browser, "alice").await;
    let mut thief = browser.clone();
    let keys = thief.get(&at("/admin/keys")).await.page();
    // Elsewhere they are signed in, too.
    let mut desk = world.browser();
    sign_in(&mut desk, "alice").await;
    let out = press(&mut browser, &page, "Sign out").await;
    assert!(out.html.contains("Sign in with Microsoft"), "{}", out.html);
    let replica = world.replica().administered();
    for minutes in [0, 14] {
        world.advance(minutes * MINUTE);
        for mut thief in [thief.clone(), thief.clone().at(&replica)] {
            let refused = press(&mut thief, &keys, "Make new keys").await;
            assert_eq!(refused.status, 403, "{}", refused.html);
            let page = thief.get(&at("/admin")).await.page();
            let asks = page.html.contains("Sign in with Microsoft");
            assert!(asks, "{}", page.html);
        }
        let desk = desk.get(&at("/admin")).await.page();
        assert!(desk.html.contains("Sign out"), "{}", desk.html);
    }
}

#[tokio::test]
async fn operator_does_nothing_that_must_be_written_and_cannot_be() {
    let log = Told::default();
    let world = World::with(|config| config.audit(Arc::new(log.clone()))).await;
    let world = world.administered();
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let mut browser = world.browser();
    let page = sign_in(&mut browser, "alice").await;
    let keys = browser.get(&at("/admin/keys")).await.page();
    let token = program(&world, &["Mcp.Admin"]);
    log.take();
    log.is_full(true);
    for (page, button) in [(&page, "End this grant of bob@"), (&keys, "Make new keys")] {
        let refused = press(&mut browser, page, button).await;
        assert_eq!(refused.status, 503, "{}", refused.html);
        assert!(refused.html.contains("audit log"), "{}", refused.html);
    }
    let client = format!("/clients?client={}", bob.client.id);
    for way in [
        (Method::POST, "/grants/revoke"),
        (Method::DELETE, &*client),
        (Method::POST, "/keys/rotate"),
    ] {
        let refused = api(&world, &token, way.clone(), "{\"all\":true}").await;
        assert_eq!(refused.status, 503, "{way:?}");
    }
    assert!(log.take().is_empty());
    let alice = alice.refreshed().await;
    let bob = bob.refreshed().await;
    // What is there can still be looked at.
    let page = browser.get(&at("/admin")).await.page();
    assert_eq!(page.status, 200);
    // Whoever is at the machine could write anything there: a grant that was stolen ends.
    let administration = world
        .provider
        .administration()
        .by(Who::named("at the machine"));
    let alices = Selection::User(User::Name("alice@contoso.onmicrosoft.com".to_owned()));
    administration.revoke(&alices, drop).await.unwrap();
    alice.refresh().await.assert_refused(400, "invalid_grant");
    log.is_full(false);
    let ended = press(&mut browser, &page, "End this grant of bob@").await;
    assert_eq!(ended.status, 200, "{}", ended.html);
    bob.refresh().await.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn client_name_on_an_admin_page_stays_text() {
    let world = World::new().await.administered();
    let metadata = json!({
        "client_name": "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
        "redirect_uris": ["https://client.example/callback"],
    });
    let client = world.client_with(&metadata).await;
    client.log_in(&mut world.browser(), "bob").await;
    let mut browser = world.browser();
    let page = sign_in(&mut browser, "alice").await;
    let clients = browser.get(&at("/admin/clients")).await.page();
    let searched = at("/admin?user=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    let searched = browser.get(&searched).await.page();
    for page in [page, clients, searched] {
        assert!(page.html.contains("alert(1)"), "{}", page.html);
        for tag in ["<script", "<img", "\"><"] {
            let ours = page.html.replace("\"></", "").replace("\">\n<", "");
            assert!(!ours.contains(tag) || tag == "\"><", "{tag}: {}", page.html);
        }
    }
}

#[tokio::test]
async fn admin_api_is_for_applications_with_the_role_alone() {
    let world = World::new().await.administered();
    let session = world.log_in("alice").await;
    let mut browser = world.browser();
    sign_in(&mut browser, "alice").await;
    let alice = "alice@contoso.onmicrosoft.com";
    let user = TokenOrder::delegated(alice, builtin::PUBLIC_CLIENT_ID, builtin::CLIENT_ID);
    let user = user.claim("roles", json!(["Mcp.Admin"]));
    let app = || {
        let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
        order.claim("roles", json!(["Mcp.Admin"]))
    };
    let elsewhere = app().claim("aud", builtin::MULTI_TENANT_CLIENT_ID);
    let good = world.entra.mint(&app());
    let ways = [
        (Method::GET, "/grants"),
        (Method::POST, "/grants/revoke"),
        (Method::GET, "/clients"),
        (Method::DELETE, "/clients?client=c"),
        (Method::GET, "/keys"),
        (Method::POST, "/keys/rotate"),
        (Method::GET, "/summary"),
    ];
    for (method, path) in ways {
        for (what, token) in [
            ("a user's with the role", world.entra.mint(&user)),
            ("without the role", program(&world, &["Mcp.Run"])),
            ("for another audience", world.entra.mint(&elsewhere)),
            ("of ours", session.access_token.clone()),
            ("none", String::new()),
        ] {
            let answer = api(&world, &token, (method.clone(), path), "{\"all\":true}").await;
            let status = answer.status.as_u16();
            assert!(
                status == 401 || status == 403,
                "{method} {path} {what}: {status}"
            );
        }
        // A cookie counts for nothing here.
        let cookies = browser.cookie_header(ADMIN_HOST);
        let headers = [("cookie", &*cookies)];
        let url = at(&format!("/admin/api{path}"));
        let answer = world.ask(method, &url, &headers, "{\"all\":true}").await;
        assert_eq!(answer.status, 401, "{path}");
    }
    session.call_tool().await.ok();
    api(&world, &good, (Method::GET, "/grants"), "").await.ok();
    // Whatever the verifier lets through.
    let lenient = AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID)
        .app_only(AppOnlyTokens::Allow)
        .required_scopes(["mcp.read"])
        .required_app_roles(["Mcp.Run"])
        .authority_host("login.emulator.test");
    let lenient = AzureJwtVerifier::new(lenient, world.platform());
    let lenient = lenient.unwrap_or_else(|errors| panic!("{errors}"));
    let world = world.administered_as(AdminSettings::new(ADMIN_URL, "Mcp.Admin").programs(lenient));
    let user = world.entra.mint(&user.scopes(["mcp.read"]));
    for token in [user, program(&world, &["Mcp.Run"])] {
        let answer = api(&world, &token, (Method::GET, "/grants"), "").await;
        assert_eq!(answer.status, 403);
    }
    let both = program(&world, &["Mcp.Run", "Mcp.Admin"]);
    api(&world, &both, (Method::GET, "/grants"), "").await.ok();
}

#[tokio::test]
async fn nothing_of_the_administration_is_at_the_public_address() {
    let world = World::new().await.administered();
    let token = program(&world, &["Mcp.Admin"]);
    let mut browser = world.browser();
    sign_in(&mut browser, "alice").await;
    world.advance(SECOND);
    let (bearer, cookies) = (format!("Bearer {token}"), browser.cookie_header(ADMIN_HOST));
    let headers = [("authorization", &*bearer), ("cookie", &*cookies)];
    for path in [
        "/admin",
        "/admin/callback",
        "/admin/act",
        "/admin/api/grants",
        "/admin/live",
    ] {
        for method in [Method::GET, Method::POST] {
            let url = format!("{BASE_URL}{path}");
            let answer = world.ask(method.clone(), &url, &headers, "").await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
}

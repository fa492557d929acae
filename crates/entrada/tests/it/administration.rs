//! What an operator sees of grants and clients, and ends.

use std::sync::Arc;

use entra_emulator::builtin;
use entrada::administration::{
    ClientOrigin, GrantFacts, GrantFilter, Page, RemoveClientError, Selection,
};
use entrada::authorization_server::{ClientRegistrations, PreregisteredClient};
use entrada::grant::GrantId;
use entrada::oauth::client::ClientId;
use entrada::store::{Collection, EmbeddedStore, MemoryStore, Moving, Store};

use crate::approved_apps::sign_in;
use crate::client::Session;
use crate::outage::Outage;
use crate::refresh::assert_ended;
use crate::remembered_consent::{is_asked, opened, remembering};
use crate::world::{SECOND, World};

pub(crate) fn id_of(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

pub(crate) async fn revoke(world: &World, selection: Selection) -> (u64, u64) {
    let administration = world.provider.administration();
    let ended = administration.revoke(&selection, drop).await.unwrap();
    (ended.grants, ended.codes)
}

pub(crate) fn user(name: &str) -> Selection {
    Selection::User(name.parse().unwrap())
}

/// Every grant there is, in pages of `most`.
async fn listed(world: &World, filter: &GrantFilter, most: usize) -> Vec<GrantFacts> {
    let (administration, mut all) = (world.provider.administration(), Vec::new());
    let mut after = None;
    loop {
        let page = administration.grants(filter, after.as_ref(), most).await;
        let Page { items, next, .. } = page.unwrap();
        all.extend(items);
        let Some(next) = next else { return all };
        after = Some(next.to_string().parse().unwrap());
    }
}

async fn assert_all_stand(sessions: &[&Session]) {
    for session in sessions {
        session.call_tool().await.ok();
        session.refresh().await.ok();
    }
}

#[tokio::test]
async fn grants_are_told_with_whom_they_are_of_and_what_they_allow() {
    let world = World::new().await;
    let alice = world.log_in("alice").await;
    world.advance(60 * SECOND);
    let alice = alice.refreshed().await;
    let bob = alice.client.log_in(&mut world.browser(), "bob").await;
    let all = listed(&world, &GrantFilter::default(), 50).await;
    let of_alice = all
        .iter()
        .find(|grant| grant.holder.name.as_deref() == Some("Alice Anders"));
    let told = serde_json::to_value(of_alice.unwrap_or_else(|| panic!("{all:?}"))).unwrap();
    let begun = world.now().as_unix() - 60;
    assert_eq!(
        told,
        serde_json::json!({
            "id": alice.claims()["sid"],
            "holder": {
                "kind": "user",
                "tenant_id": builtin::TENANT_ID,
                "object_id": builtin::ALICE_OID,
                "username": "alice@contoso.onmicrosoft.com",
                "name": "Alice Anders",
                "subject": null,
            },
            "client_id": alice.client.id,
            "client_name": "Test client",
            "scope": "mcp.read",
            "resource": "https://mcp.example.com/mcp",
            "issued_at": begun,
            "refreshed_at": begun + 60,
            "expires_at": begun + 60 + 90 * 86_400,
            "is_refreshable": true,
        })
    );
    assert_eq!(all.len(), 2);
    drop(bob);
}

#[tokio::test]
async fn grants_are_found_by_user_client_and_tenant_on_pages_of_any_size() {
    let world = World::new().await;
    let one = world.log_in("alice").await;
    let two = world.log_in("alice").await;
    let bob = two.client.log_in(&mut world.browser(), "bob").await;
    let id = format!("{}@{}", builtin::ALICE_OID, builtin::TENANT_ID);
    let filter = |user: Option<&str>, client: Option<&str>, tenant: Option<&str>| {
        let mut filter = GrantFilter::default();
        filter.user = user.map(|user| user.parse().unwrap());
        filter.client = client.map(id_of);
        filter.tenant = tenant.map(str::to_owned);
        filter
    };
    let other = "99999999-9999-9999-9999-999999999999";
    for (filter, expected) in [
        (filter(None, None, None), vec![&one, &two, &bob]),
        (filter(Some(&id), None, None), vec![&one, &two]),
        (
            filter(Some("ALICE@contoso.onmicrosoft.com"), None, None),
            vec![&one, &two],
        ),
        (filter(None, Some(&two.client.id), None), vec![&two, &bob]),
        (filter(Some(&id), Some(&two.client.id), None), vec![&two]),
        (
            filter(None, None, Some(builtin::TENANT_ID)),
            vec![&one, &two, &bob],
        ),
        (filter(Some(&id), None, Some(other)), vec![]),
    ] {
        let mut expected: Vec<_> = expected
            .into_iter()
            .map(|session| session.claims()["sid"].as_str().unwrap().to_owned())
            .collect();
        expected.sort();
        for most in [1, 2, 100] {
            let found = listed(&world, &filter, most).await;
            let mut found: Vec<_> = found.iter().map(|it| it.id.to_string()).collect();
            found.sort();
            assert_eq!(found, expected, "{filter:?} {most}");
        }
    }
    // What has ended is no grant any more.
    world.advance(91 * 86_400 * SECOND);
    assert!(
        listed(&world, &GrantFilter::default(), 100)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_revocation_ends_what_is_selected_everywhere_and_nothing_else() {
    let world = World::new().await;
    let id = format!("{}@{}", builtin::ALICE_OID, builtin::TENANT_ID);
    let client = world.client().await;
    for (of_alice, at_client, selection) in [
        (true, false, user(&id)),
        (true, false, user("Alice@contoso.onmicrosoft.com")),
        (false, true, Selection::Client(id_of(&client.id))),
        (true, true, Selection::Tenant(builtin::TENANT_ID.to_owned())),
        (true, true, Selection::All),
    ] {
        let by_alice = world.log_in("alice").await;
        let by_bob = client.log_in(&mut world.browser(), "bob").await;
        let neighbour = world.log_in("grace").await;
        let replica = world.replica();
        by_alice.at(&replica).call_tool().await.ok();
        let everybody = of_alice && at_client;
        let expected = 1 + u64::from(everybody) * 2;
        assert_eq!(
            revoke(&world, selection.clone()).await,
            (expected, 0),
            "{selection:?}"
        );
        world.advance(11 * SECOND);
        let (mut ended, mut standing) = (Vec::new(), Vec::new());
        for (session, is_ended) in [
            (&by_alice, of_alice),
            (&by_bob, at_client),
            (&neighbour, everybody),
        ] {
            let sessions = if is_ended { &mut ended } else { &mut standing };
            sessions.push(session);
        }
        for session in ended {
            for at in [&world, &replica] {
                let session = session.at(at);
                session
                    .call_tool()
                    .await
                    .assert_unauthorized("invalid_token");
                session.refresh().await.assert_refused(400, "invalid_grant");
            }
        }
        assert_all_stand(&standing).await;
        revoke(&world, Selection::All).await;
    }
}

#[tokio::test]
async fn one_grant_is_ended_by_its_name() {
    let world = World::new().await;
    let (one, other) = (world.log_in("alice").await, world.log_in("alice").await);
    let id = GrantId::parse(one.claims()["sid"].as_str().unwrap()).unwrap();
    let found = world.provider.administration().grant(&id).await.unwrap();
    assert_eq!(found.map(|grant| grant.id), Some(id));
    assert_eq!(revoke(&world, Selection::Grant(id)).await, (1, 0));
    assert_eq!(revoke(&world, Selection::Grant(id)).await, (0, 0));
    let found = world.provider.administration().grant(&id).await.unwrap();
    assert_eq!(found, None);
    assert_ended(&world, &one).await;
    other.call_tool().await.ok();
}

#[tokio::test]
async fn consent_that_was_remembered_is_taken_back_with_the_grants() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    for selection in [
        user("alice@contoso.onmicrosoft.com"),
        Selection::Client(id_of(&client.id)),
        Selection::All,
    ] {
        let (mut browser, mut others) = (opened(&world), opened(&world));
        client.log_in(&mut browser, "alice").await;
        let kept = world.client().await;
        kept.log_in(&mut others, "bob").await;
        let all = selection == Selection::All;
        revoke(&world, selection).await;
        assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
        assert_eq!(is_asked(&mut others, &kept.authorize_url(&[])).await, all);
        let page = sign_in(&mut browser, "alice").await;
        assert!(!page.html.contains(&*client.id), "{}", page.html);
    }
}

#[tokio::test]
async fn clients_are_listed_and_removed_with_their_grants() {
    let known = PreregisteredClient::new("known", ["https://known.example/callback"]);
    let world = World::with(|config| config.client(known.name("Known"))).await;
    let session = world.log_in("alice").await;
    let other = world.log_in("bob").await;
    let administration = world.provider.administration();
    let page = administration.clients(None, 100).await.unwrap();
    let told: Vec<_> = page
        .items
        .iter()
        .map(|client| (client.id.as_str(), client.origin, client.used_at.is_some()))
        .collect();
    assert_eq!(told[0], ("known", ClientOrigin::Configured, false));
    assert!(told.contains(&(&*session.client.id, ClientOrigin::Registered, false)));
    assert_eq!(told.len(), 3);
    let removed = administration
        .remove_client(&id_of(&session.client.id), drop)
        .await
        .unwrap();
    assert_eq!(removed.grants, 1);
    world.advance(11 * SECOND);
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
    session
        .refresh()
        .await
        .assert_refused(401, "invalid_client");
    assert_all_stand(&[&other]).await;
    let page = administration.clients(None, 100).await.unwrap();
    assert_eq!(page.items.len(), 2);
    let counts = administration.counts().await.unwrap();
    assert_eq!((counts.grants, counts.clients), (1, 1));
    let gone = id_of(&session.client.id);
    let gone = administration.remove_client(&gone, drop).await;
    assert!(matches!(gone, Err(RemoveClientError::Unknown)));
    let known = administration.remove_client(&id_of("known"), drop).await;
    assert!(matches!(known, Err(RemoveClientError::Configured)));
}

#[tokio::test]
async fn a_client_that_holds_its_registration_cannot_be_removed_and_its_grants_can_be_ended() {
    let held = ClientRegistrations::Held;
    let world = World::with(|config| config.client_registrations(held)).await;
    let session = world.log_in("alice").await;
    let id = id_of(&session.client.id);
    let administration = world.provider.administration();
    let removed = administration.remove_client(&id, drop).await;
    assert!(matches!(removed, Err(RemoveClientError::Held)));
    let all = listed(&world, &GrantFilter::default(), 10).await;
    assert_eq!(all[0].client_name.as_deref(), Some("Test client"));
    assert_eq!(revoke(&world, Selection::Client(id)).await, (1, 0));
    assert_ended(&world, &session).await;
}

#[tokio::test]
async fn it_works_while_records_move_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let old: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let new = EmbeddedStore::open(folder.path().join("new.redb")).unwrap();
    let moving = Moving::under_way(Arc::clone(&old), Arc::new(new));
    let before = World::on(old, |config| config).await;
    let (moved, left) = (before.log_in("alice").await, before.log_in("alice").await);
    let world = before.over(Arc::new(moving));
    let moved = moved.at(&world).refreshed().await;
    let bob = world.log_in("bob").await;
    assert_eq!(listed(&world, &GrantFilter::default(), 1).await.len(), 3);
    let id = format!("{}@{}", builtin::ALICE_OID, builtin::TENANT_ID);
    assert_eq!(revoke(&world, user(&id)).await, (2, 0));
    assert_ended(&world, &moved).await;
    assert_ended(&world, &left.at(&world)).await;
    bob.call_tool().await.ok();
}

#[tokio::test]
async fn many_users_and_grants_are_ended_and_counted() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browsers = ["alice", "bob", "grace"].map(|name| (world.browser(), name));
    for _ in 0..25 {
        for (browser, name) in &mut browsers {
            client.log_in(browser, name).await;
        }
    }
    let mut told = Vec::new();
    let administration = world.provider.administration();
    let ended = administration.revoke(&Selection::All, |so_far| told.push(so_far));
    assert_eq!(ended.await.unwrap().grants, 75);
    assert!(told.last().unwrap().seen >= 75);
    assert!(
        listed(&world, &GrantFilter::default(), 100)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_store_that_fails_ends_nothing_in_secret() {
    let outage = Arc::new(Outage::default());
    let world = World::on(Arc::<Outage>::clone(&outage), |config| config).await;
    let session = world.log_in("alice").await;
    let administration = world.provider.administration();
    for (verb, collection) in [
        ("revoke", Collection::Grants),
        ("put_version", Collection::Approvals),
    ] {
        outage.begin_at(verb, collection);
        let failed = administration.revoke(&Selection::All, drop).await;
        assert!(failed.is_err(), "{verb}");
        outage.end();
    }
    outage.begin();
    assert!(
        administration
            .grants(&GrantFilter::default(), None, 1)
            .await
            .is_err()
    );
    assert!(administration.clients(None, 1).await.is_err());
    assert!(administration.counts().await.is_err());
    outage.end();
    administration.revoke(&Selection::All, drop).await.unwrap();
    assert_ended(&world, &session).await;
}

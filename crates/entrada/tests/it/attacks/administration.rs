//! Whoever was to be signed out, and tries to stay.

use std::sync::Arc;

use entra_emulator::builtin;
use entrada::administration::{GrantFilter, Selection};
use entrada::audit::{Decision, Who};
use entrada::store::{Collection, Store};

use crate::administration::{id_of, revoke, user};
use crate::observed::Told;
use crate::outage::Outage;
use crate::world::{SECOND, World};

#[tokio::test]
async fn code_issued_before_a_revocation_becomes_no_grant() {
    let world = World::new().await;
    let client = world.client().await;
    let id = format!("{}@{}", builtin::ALICE_OID, builtin::TENANT_ID);
    for selection in [
        user(&id),
        user("alice@contoso.onmicrosoft.com"),
        Selection::Client(id_of(&client.id)),
        Selection::Tenant(builtin::TENANT_ID.to_owned()),
        Selection::All,
    ] {
        let code = client.code(&mut world.browser(), "alice").await;
        assert_eq!(
            revoke(&world, selection.clone()).await,
            (0, 1),
            "{selection:?}"
        );
        let refused = client.redeem(&code).await;
        refused.assert_refused(400, "invalid_grant");
    }
    // Somebody else's is good.
    let code = client.code(&mut world.browser(), "bob").await;
    revoke(&world, user(&id)).await;
    client.redeem(&code).await.ok();
}

#[tokio::test]
async fn code_spent_during_a_revocation_becomes_no_grant() {
    let held = Arc::new(Outage::default());
    let world = World::on(Arc::<Outage>::clone(&held) as Arc<dyn Store>, |config| {
        config
    })
    .await;
    let client = world.client().await;
    let id = format!("{}@{}", builtin::ALICE_OID, builtin::TENANT_ID);
    for selection in [user(&id), Selection::All] {
        let code = client.code(&mut world.browser(), "alice").await;
        // The code is taken, and its grant not stored before the revocation is done.
        held.hold_at(&["put_version"], Collection::Grants);
        let redeemed = client.redeem(&code);
        let revoked = async {
            held.held().await;
            let ended = revoke(&world, selection).await;
            held.release();
            ended
        };
        let (redeemed, _) = tokio::join!(redeemed, revoked);
        redeemed.assert_refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn removed_client_is_not_brought_back_by_its_own_requests() {
    let held = Arc::new(Outage::default());
    let world = World::on(Arc::<Outage>::clone(&held) as Arc<dyn Store>, |config| {
        config
    })
    .await;
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let waiting = client.code(&mut world.browser(), "alice").await;
    // It has its tokens, and is about to be noted as in use.
    held.hold_at(&["slot", "put"], Collection::Clients);
    let redeemed = client.redeem(&code);
    let removed = async {
        held.held().await;
        let administration = world.provider.administration();
        let removed = administration.remove_client(&id_of(&client.id), drop).await;
        held.release();
        removed.unwrap()
    };
    let (redeemed, removed) = tokio::join!(redeemed, removed);
    assert_eq!((removed.grants, removed.codes), (1, 1));
    world.advance(11 * SECOND);
    let session = client.session(redeemed.ok());
    let called = session.call_tool().await;
    called.assert_unauthorized("invalid_token");
    let refreshed = session.refresh().await;
    refreshed.assert_refused(401, "invalid_client");
    client
        .redeem(&waiting)
        .await
        .assert_refused(401, "invalid_client");
    let listed = world.provider.administration().clients(None, 100).await;
    assert_eq!(listed.unwrap().items, []);
}

#[tokio::test]
async fn administration_tells_no_secret() {
    let world = World::new().await;
    let heard = super::overhear(&world);
    let session = world.log_in("alice").await.refreshed().await;
    let administration = world.provider.administration();
    let grants = administration
        .grants(&GrantFilter::default(), None, 10)
        .await;
    let clients = administration.clients(None, 10).await;
    let told = serde_json::to_string(&(grants.unwrap().items, clients.unwrap().items)).unwrap();
    let told = format!("{told} {:?} {administration:?}", administration.keys());
    assert!(told.contains("alice@contoso"));
    let mut secrets = vec![session.access_token, session.refresh_token];
    for answer in &*heard.lock().unwrap() {
        for name in ["access_token", "refresh_token", "id_token"] {
            secrets.push(answer[name].as_str().unwrap().to_owned());
        }
    }
    for secret in &secrets {
        assert!(!told.contains(&secret[..24]), "{secret}");
    }
}

#[tokio::test]
async fn an_operator_who_hangs_up_is_in_the_audit_log_all_the_same() {
    let (held, told) = (Arc::new(Outage::default()), Told::default());
    let store = Arc::<Outage>::clone(&held) as Arc<dyn Store>;
    let world = World::on(store, |config| config.audit(Arc::new(told.clone()))).await;
    let session = world.log_in("alice").await;
    let administration = world.provider.administration();
    let administration = administration.by(Who::named("night shift"));
    let id = id_of(&session.client.id);
    told.take();
    held.hold_at(&["read", "put_version", "revoke"], Collection::Grants);
    tokio::select! {
        done = administration.remove_client(&id, drop) => panic!("{done:?}"),
        () = held.held() => {}
    }
    let events = told.take();
    let [removed] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(removed.act.as_str(), "client_removed");
    assert_eq!(removed.object, Some(format!("client {id}")));
    let username = removed.who.as_ref().and_then(|who| who.username.as_deref());
    assert_eq!(username, Some("night shift"));
    let is_whole = matches!(removed.decision, Decision::Allowed);
    assert!(!is_whole, "its grant stands");
    session
        .refresh()
        .await
        .assert_refused(401, "invalid_client");
}

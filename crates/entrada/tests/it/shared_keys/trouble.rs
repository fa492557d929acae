//! The store that keeps the ring fails, or holds another.

use entrada::keys::KeysError;
use entrada::platform::Timestamp;
use entrada::store::{Collection, Entry, RecordKey, Sealed, Store};
use http::Method;

use super::{EVERY, Shared, new_key, tend};
use crate::client::Answer;
use crate::keys::kids;
use crate::world::{SECOND, World};

const HTML: [(&str, &str); 1] = [("accept", "text/html")];

#[track_caller]
fn assert_try_later(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(!answer.text.contains("invalid"), "{}", answer.text);
    // Pages say it in words.
    if !answer.text.contains("<h1>") {
        let later = answer.header("retry-after").unwrap();
        assert!(later.parse::<u64>().unwrap() >= 1);
    }
    assert!(answer.header("www-authenticate").is_none());
}

#[tokio::test]
async fn without_keys_everybody_is_told_to_come_back() {
    let shared = Shared::new().await;
    let session = shared.replica().log_in("alice").await;
    shared.store.begin();
    let replica = shared.replica();
    assert!(replica.provider.tend_keys(Some(EVERY)).await.is_err());
    assert!(replica.provider.ready().await.is_err());
    let session = session.at(&replica);
    let asked = session.client.authorize_url(&[]);
    for answer in [
        session.call_tool().await,
        session.refresh().await,
        session.client.redeem("nothing").await,
        session.client.revoke(&session.refresh_token).await,
        replica
            .register(&serde_json::json!({"redirect_uris": ["https://c.example/cb"]}))
            .await,
        replica.get("/.well-known/jwks.json").await,
        replica.get(&asked).await,
        replica.ask(Method::GET, &asked, &HTML, "").await,
        replica.ask(Method::GET, "/approved-apps", &HTML, "").await,
        replica
            .ask(Method::GET, "/sign-in-again?request=x", &HTML, "")
            .await,
        replica.ask(Method::POST, "/consent", &HTML, "").await,
        replica
            .ask(Method::GET, "/auth/callback?state=x&code=y", &HTML, "")
            .await,
    ] {
        assert_try_later(&answer);
    }
    // What needs no key is there, and no key was made up.
    replica
        .get("/.well-known/oauth-authorization-server")
        .await
        .ok();
    shared.store.end();
    // Nobody has looked after the keys since, and they are found all the same.
    shared.world.advance(2 * SECOND);
    session.call_tool().await.ok();
    session.refreshed().await.call_tool().await.ok();
    replica.provider.ready().await.unwrap();
    replica.log_in("bob").await.call_tool().await.ok();
}

#[tokio::test]
async fn an_unknown_key_is_no_forgery_while_nobody_can_look() {
    let shared = Shared::new().await;
    let [awake, asleep] = [shared.replica(), shared.replica()];
    for replica in [&awake, &asleep] {
        tend(replica).await;
    }
    let old = asleep.log_in("bob").await;
    old.call_tool().await.ok();
    shared.revoke().await;
    tend(&awake).await;
    let session = awake.log_in("alice").await;
    let opened = old.at(&awake).refreshed().await.call_tool().await;
    let client = awake.client().await;
    let mut browser = awake.browser();
    let page = client.ask(&mut browser).await;
    shared.store.begin_at("read", Collection::KeyRings);
    let session = session.at(&asleep);
    let forged = session.access_token.replace('.', "A.");
    let cookies = browser.cookie_header(crate::attacks::HOST);
    let form = crate::attacks::allowed(&page);
    for _ in 0..2 {
        assert_try_later(&session.call_tool().await);
        assert_try_later(&session.refresh().await);
        assert_try_later(&session.client.revoke(&session.refresh_token).await);
        let headers = [("cookie", &*cookies)];
        let posted = crate::attacks::post_form(&asleep, "/consent", &headers, &form).await;
        assert_try_later(&posted);
        // Sessions of the ring of before go on, their tags cannot be judged.
        old.call_tool().await.ok();
        assert_try_later(&super::resumed(&old, &opened).await);
        shared.world.advance(SECOND);
    }
    let answer = session.client.call_with(&forged).await;
    answer.assert_unauthorized("invalid_token");
    shared.store.end();
    shared.world.advance(2 * SECOND);
    session.call_tool().await.ok();
    session.refreshed().await.call_tool().await.ok();
    let headers = [("cookie", &*cookies)];
    let posted = crate::attacks::post_form(&asleep, "/consent", &headers, &form).await;
    assert_eq!(posted.status, 303);
}

async fn stored(shared: &Shared) -> (RecordKey, Sealed, u64) {
    let page = shared.store.export(None, 1000).await.unwrap();
    let mut rings = page.slots.into_iter();
    let is_ring = |key: &RecordKey| key.collection() == Collection::KeyRings;
    let (key, _) = rings.find(|(key, _)| is_ring(key)).unwrap();
    let stored = shared.store.read(&key).await.unwrap().unwrap();
    (key, stored.sealed, stored.version)
}

#[tokio::test]
async fn a_replica_with_another_key_encryption_key_changes_nothing() {
    let shared = Shared::new().await;
    let replica = shared.replica();
    let session = replica.log_in("alice").await;
    let (_, sealed, version) = stored(&shared).await;
    let foreign: World = shared.world.replica_with(|_| shared.config(&new_key()));
    for _ in 0..2 {
        let tended = foreign.provider.tend_keys(Some(EVERY)).await;
        let error = tended.unwrap_err();
        assert!(matches!(error, KeysError::Unopened));
        assert!(
            error
                .to_string()
                .contains("give this replica the key-encryption key")
        );
        assert!(foreign.provider.rotate_keys().await.is_err());
        assert!(foreign.provider.ready().await.is_err());
        assert_try_later(&session.at(&foreign).call_tool().await);
        shared.world.advance(EVERY);
    }
    let (_, now_sealed, now_version) = stored(&shared).await;
    assert_eq!((now_sealed, now_version), (sealed, version));
}

#[tokio::test]
async fn a_ring_that_does_not_open_leaves_the_keys_in_use() {
    let shared = Shared::new().await;
    let replica = shared.replica();
    let session = replica.log_in("alice").await;
    let published = kids(&replica).await;
    let (key, ring, _) = stored(&shared).await;
    let mut bytes = ring.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = Sealed::from_stored(bytes);
    let put = async |sealed: &Sealed| {
        let entry = Entry::new(sealed.clone(), Timestamp::from_unix(u64::MAX));
        shared.store.put(&key, entry).await.unwrap();
    };
    put(&damaged).await;
    shared.world.advance(EVERY);
    for _ in 0..2 {
        let tended = replica.provider.tend_keys(Some(EVERY)).await;
        assert!(matches!(tended, Err(KeysError::Unopened)));
        assert_eq!(kids(&replica).await, published);
    }
    let next = replica.log_in("bob").await;
    assert_eq!(next.kid(), session.kid());
    next.call_tool().await.ok();
    assert_eq!(stored(&shared).await.1, damaged);
    put(&ring).await;
    tend(&replica).await;
    assert_eq!(kids(&replica).await.len(), 2);
}

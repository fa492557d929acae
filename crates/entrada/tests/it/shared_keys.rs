//! Replicas share their keys through the store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use entrada::AzureConfig;
use entrada::authorization_server::ClientRegistrations;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyEncryptionKeys, KeyFile, KeysError, PUBLISH_AHEAD};
use entrada::oauth::issuer::Issuer;
use entrada::platform::SystemRandom;
use entrada::store::{Store, StoredKeyRing};
use http::Method;

use crate::client::{Answer, Session};
use crate::keys::kids;
use crate::outage::Outage;
use crate::restart::on_disk;
use crate::world::{BASE_URL, SECOND, World};

mod trouble;

pub(crate) const EVERY: Duration = Duration::from_secs(90 * 86_400);

/// Replicas of one server, and the store they share.
pub(crate) struct Shared {
    pub(crate) world: World,
    pub(crate) store: Arc<Outage>,
    key: String,
}

impl Shared {
    pub(crate) async fn new() -> Self {
        let store = Arc::new(Outage::default());
        Self {
            world: World::on(Arc::clone(&store) as Arc<dyn Store>, |config| config).await,
            store,
            key: new_key(),
        }
    }

    /// A configuration with these key-encryption keys, and nothing on disk.
    pub(crate) fn config(&self, keys: &str) -> AzureConfig {
        self.config_in(Path::new("/nowhere/at/all"), keys)
    }

    fn config_in(&self, directory: &Path, keys: &str) -> AzureConfig {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let keys = KeyEncryptionKeys::parse(keys).unwrap();
        on_disk(directory).store(store).shared_keys(keys)
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn replica(&self) -> World {
        self.ahead(0)
    }

    /// A replica whose clock is ahead by so many seconds.
    fn ahead(&self, by: i64) -> World {
        self.world.replica_ahead(by, |_| self.config(&self.key))
    }

    /// What an operator's command sees.
    pub(crate) fn place(&self) -> StoredKeyRing {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let issuer = Issuer::parse(BASE_URL).unwrap();
        let keys = KeyEncryptionKeys::parse(&self.key).unwrap();
        StoredKeyRing::new(store, &issuer, keys, Arc::new(SystemRandom::default()))
    }

    pub(crate) async fn revoke(&self) {
        let (random, now) = (SystemRandom::default(), self.world.now());
        let place = self.place();
        let revoked = place.update(now, |ring| {
            ring.revoked(Algorithm::Es256, &random, now).map(Some)
        });
        assert!(revoked.await.unwrap().is_some());
    }
}

pub(crate) fn new_key() -> String {
    KeyEncryptionKeys::generate(&SystemRandom::default()).to_string()
}

pub(crate) async fn tend(replica: &World) {
    replica.provider.tend_keys(Some(EVERY)).await.unwrap();
}

/// A call in the MCP session that `opened` it.
async fn resumed(session: &Session, opened: &Answer) -> Answer {
    let bearer = format!("Bearer {}", session.access_token);
    let id = opened.header("mcp-session-id").unwrap();
    let headers = [("authorization", &*bearer), ("mcp-session-id", id)];
    session.client.call(Method::POST, &headers).await
}

#[tokio::test]
async fn a_session_goes_on_at_every_replica() {
    let shared = Shared::new().await;
    let [one, other] = [shared.replica(), shared.replica()];
    for replica in [&one, &other] {
        tend(replica).await;
    }
    assert_eq!(kids(&one).await, kids(&other).await);
    let session = one.log_in("alice").await;
    let opened = session.call_tool().await;
    let session = session.at(&other);
    assert_eq!(resumed(&session, &opened).await.status, 200);
    let session = session.refreshed().await.at(&one);
    assert_eq!(resumed(&session, &opened).await.status, 200);
    // A consent page that the one showed is answered at the other.
    let client = one.client().await;
    let mut browser = one.browser();
    let page = client.ask(&mut browser).await;
    browser = browser.at(&other);
    browser.stop_before = Some("/callback");
    let back = browser.approve(&page, "bob").await.left();
    let code = crate::client::parameter(&back, "code").unwrap();
    client.at(&other).redeem(&code).await.ok();
}

/// Else users would be sent from one half of the replicas to the other, and be strangers at each.
#[tokio::test]
async fn a_replica_without_the_key_encryption_key_is_not_ready_beside_others() {
    let shared = Shared::new().await;
    let apart = shared.world.replica();
    apart.provider.ready().await.unwrap();
    let replica = shared.replica();
    tend(&replica).await;
    replica.provider.ready().await.unwrap();
    let refused = apart.provider.ready().await.unwrap_err();
    assert!(refused.source.to_string().contains("key-encryption key"));
}

#[tokio::test]
async fn of_many_that_start_or_rotate_at_once_one_makes_the_keys() {
    let shared = Shared::new().await;
    let replicas: Vec<_> = (0..10).map(|_| shared.replica()).collect();
    let published = async || {
        let mut tending = tokio::task::JoinSet::new();
        for replica in &replicas {
            let provider = replica.provider.clone();
            tending.spawn(async move { provider.tend_keys(Some(EVERY)).await });
        }
        for tended in tending.join_all().await {
            tended.unwrap();
        }
        let first = kids(&replicas[0]).await;
        for replica in &replicas {
            tend(replica).await;
            assert_eq!(kids(replica).await.len(), first.len());
        }
        let first = kids(&replicas[0]).await;
        for replica in &replicas {
            assert_eq!(kids(replica).await, first);
        }
        first.len()
    };
    assert_eq!(published().await, 1);
    shared.world.advance(EVERY);
    assert_eq!(published().await, 2);
    shared.world.advance(PUBLISH_AHEAD + EVERY);
    assert_eq!(published().await, 2, "the first is over, the third is new");
}

#[tokio::test]
async fn rotation_reaches_all_before_first_use_whatever_their_clocks_say() {
    let shared = Shared::new().await;
    // Each differs from each other by a minute at most, and whoever rotates is ahead of all or behind.
    for clocks in [[0, 30, 60], [60, 0, 30], [0, -60, -20]] {
        let replicas = clocks.map(|ahead| shared.ahead(ahead));
        for replica in &replicas {
            tend(replica).await;
        }
        let old = kids(&replicas[0]).await.pop().unwrap();
        shared.world.advance(EVERY);
        tend(&replicas[0]).await;
        let new = kids(&replicas[0]).await.pop().unwrap();
        assert_ne!(new, old);
        let mut used = Vec::new();
        // All have it five seconds later, and nobody uses it for eight minutes and more.
        for minute in 0..=12 {
            for replica in &replicas {
                tend(replica).await;
                assert!(kids(replica).await.contains(&new));
            }
            for replica in &replicas {
                let session = replica.log_in("alice").await;
                used.push((minute, session.kid() == new));
                for other in &replicas {
                    let session = session.at(other);
                    session.call_tool().await.ok();
                }
                let last = &replicas[minute % replicas.len()];
                session.at(last).refreshed().await.call_tool().await.ok();
            }
            shared.world.advance(60 * SECOND);
        }
        assert!(
            used.iter().all(|(minute, new)| *minute >= 8 || !new),
            "{used:?}"
        );
        assert!(
            used.iter().all(|(minute, new)| *minute < 12 || *new),
            "{used:?}"
        );
    }
}

/// A revocation is used at once, so replicas that look every five seconds meet it unprepared.
#[tokio::test]
async fn a_replica_that_slept_looks_for_keys_that_others_use() {
    let shared = Shared::new().await;
    let [awake, asleep] = [shared.replica(), shared.replica()];
    for replica in [&awake, &asleep] {
        tend(replica).await;
    }
    let unseen = asleep.log_in("bob").await;
    shared.revoke().await;
    tend(&awake).await;
    let session = awake.log_in("alice").await.at(&asleep);
    session.call_tool().await.ok();
    assert_eq!(kids(&awake).await, kids(&asleep).await);
    // What the keys were revoked for: an access token made with them.
    let refused = unseen.call_tool().await;
    refused.assert_unauthorized("invalid_token");
    unseen.refreshed().await.call_tool().await.ok();

    // The same where the refresh token comes first, or the page.
    shared.revoke().await;
    tend(&awake).await;
    let session = awake.log_in("alice").await.at(&asleep);
    session.refreshed().await;
    shared.revoke().await;
    tend(&awake).await;
    let client = awake.client().await;
    let mut browser = awake.browser();
    let page = client.ask(&mut browser).await;
    browser = browser.at(&asleep);
    browser.stop_before = Some("/callback");
    browser.approve(&page, "bob").await.left();
}

#[tokio::test]
async fn revocation_reaches_all_and_an_empty_store_undoes_none() {
    let shared = Shared::new().await;
    let [one, late] = [shared.replica(), shared.replica()];
    for replica in [&one, &late] {
        tend(replica).await;
    }
    let before = kids(&one).await;
    shared.revoke().await;
    tend(&one).await;
    let revoked = kids(&one).await;
    assert_ne!(revoked, before);
    // One that has not heard of it puts back what it knows, and leaves it for what the other does.
    shared.store.forget_everything();
    tend(&late).await;
    assert_eq!(kids(&late).await, before);
    for replica in [&one, &late] {
        tend(replica).await;
        assert_eq!(kids(replica).await, revoked);
    }
}

#[tokio::test]
async fn a_store_that_comes_back_empty_gets_its_keys_back() {
    let shared = Shared::new().await;
    let config = || {
        let config = shared.config(&shared.key);
        config.client_registrations(ClientRegistrations::Held)
    };
    let replica = || shared.world.replica_with(|_| config());
    let replicas = [replica(), replica()];
    for replica in &replicas {
        tend(replica).await;
    }
    let (published, client) = (kids(&replicas[0]).await, replicas[0].client().await);
    shared.store.forget_everything();
    let [one, other] = &replicas;
    let both = tokio::join!(
        one.provider.tend_keys(Some(EVERY)),
        other.provider.tend_keys(Some(EVERY))
    );
    both.0.unwrap();
    both.1.unwrap();
    // A third, which knows nothing, has them from the store.
    let third = replica();
    tend(&third).await;
    for replica in [one, other, &third] {
        assert_eq!(kids(replica).await, published);
        // What clients hold themselves goes on.
        let client = client.at(replica);
        let session = client.log_in(&mut replica.browser(), "alice").await;
        session.call_tool().await.ok();
    }
}

#[tokio::test]
async fn sessions_survive_the_move_from_a_key_file() {
    let directory = tempfile::tempdir().unwrap();
    let shared = Shared::new().await;
    let store = Arc::clone(&shared.store) as Arc<dyn Store>;
    let alone = shared
        .world
        .replica_with(|_| on_disk(directory.path()).store(store));
    let session = alone.log_in("alice").await;
    let opened = session.call_tool().await;
    let published = kids(&alone).await;
    drop(alone);
    // The first replica has the file; the second was never anywhere else.
    let moved = shared
        .world
        .replica_with(|_| shared.config_in(directory.path(), &shared.key));
    tend(&moved).await;
    let other = shared.replica();
    tend(&other).await;
    for replica in [&moved, &other] {
        assert_eq!(kids(replica).await, published);
        let session = session.at(replica);
        assert_eq!(resumed(&session, &opened).await.status, 200);
    }
    session.at(&other).refreshed().await.call_tool().await.ok();
    // From now on the file says nothing.
    shared.revoke().await;
    tend(&moved).await;
    assert_ne!(kids(&moved).await, published);
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_is_not_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    std::fs::write(&file, "{}").unwrap();
    let shared = Shared::new().await;
    let replica = shared
        .world
        .replica_with(|_| shared.config_in(directory.path(), &shared.key));
    let tended = replica.provider.tend_keys(None).await;
    assert!(matches!(tended, Err(KeysError::File(_))));
    assert!(replica.provider.ready().await.is_err());
    let (random, now) = (SystemRandom::default(), shared.world.now());
    std::fs::remove_file(&file).unwrap();
    let ring = KeyFile::new(&file).load_or_create(Algorithm::EdDsa, &random, now);
    tend(&replica).await;
    let first = ring.unwrap().facts().next().unwrap();
    assert_eq!(kids(&replica).await, [first.id]);
}

#[tokio::test]
async fn key_encryption_keys_are_replaced_while_serving() {
    let shared = Shared::new().await;
    let new = new_key();
    let session = shared.replica().log_in("alice").await;
    let with = |keys: &[&str]| {
        let keys = keys.join("\n");
        shared.world.replica_with(|_| shared.config(&keys))
    };
    // First all can open with the new one, then all seal with it, then the old one goes.
    for keys in [&[&*shared.key, &*new], &[&*new, &*shared.key], &[&*new]] as [&[&str]; 3] {
        let replica = with(keys);
        tend(&replica).await;
        session.at(&replica).call_tool().await.ok();
    }
    let late = shared.replica();
    let tended = late.provider.tend_keys(None).await;
    assert!(matches!(tended, Err(KeysError::Unopened)));
}

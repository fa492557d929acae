//! A copy of the store, a hand in the store, and the files beside it.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use entra_emulator::builtin;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::KeyFile;
use entrada::platform::{SystemRandom, Timestamp};
use entrada::secret::{
    AccessToken, AuthorizationCode, BrowserBinding, CertificatePassword, ClientAssertion,
    ClientSecret, CodeVerifier, EntraAccessToken, EntraCode, EntraIdToken, EntraRefreshToken,
    IdentityHeader, McpClientSecret, Nonce, RefreshToken, UpstreamState,
};
use entrada::store::{
    Collection, Cursor, EmbeddedStore, Entry, Lease, LeaseHolder, MemoryStore, RecordKey, Sealed,
    Slot, SlotPage, Store, StoreError, Stored, Taken, Written,
};

use http::Method;

use super::{HOST, allowed, overhear, post_form};
use crate::browser::Page;
use crate::client::{Session, parameter};
use crate::restart::on_disk;
use crate::world::{SECOND, World};

#[tokio::test]
async fn leaked_store_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Arc::new(EmbeddedStore::open(&path).unwrap());
    let world = World::on(store, |config| config).await;
    let heard = overhear(&world);
    let client = world.client().await;
    let mut browser = world.browser();
    let callback = super::callback_url(&client, &mut browser, "alice").await;
    // One login stays half-way, one code unspent, one grant lives.
    let state = parameter(&callback, "state").unwrap();
    let code = client.code(&mut browser, "alice").await;
    let session = client.log_in(&mut browser, "alice").await.refreshed().await;
    let who = session.call_tool().await.ok();
    let mut secrets = vec![
        state,
        code,
        session.access_token.clone(),
        session.refresh_token.clone(),
        client.id.clone(),
        client.redirect_uri.clone(),
        builtin::CLIENT_SECRET.to_owned(),
        "mcp.read".to_owned(),
        "Test client".to_owned(),
    ];
    for name in ["oid", "tid", "name", "preferred_username"] {
        secrets.push(who[name].as_str().unwrap().to_owned());
    }
    for answer in &*heard.lock().unwrap() {
        for name in ["access_token", "refresh_token", "id_token"] {
            secrets.push(answer[name].as_str().unwrap().to_owned());
        }
    }
    let mut leaked = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        leaked.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    assert!(leaked.len() > 4096);
    for secret in &secrets {
        // A part of a long one would be enough to go on from.
        let part = &secret[..secret.len().min(24)];
        let found = leaked
            .windows(part.len())
            .any(|bytes| bytes == part.as_bytes());
        assert!(!found, "{secret}");
    }
}

#[tokio::test]
async fn records_cannot_change_places() {
    let store = Arc::new(Tampered::default());
    let world = World::on(Arc::clone(&store) as Arc<dyn Store>, |config| config).await;
    let alice = world.log_in("alice").await;
    // Of one client, so that nothing but the seal tells their grants apart.
    let bob = alice.client.log_in(&mut world.browser(), "bob").await;
    alice.call_tool().await.ok();
    let other = world.client().await;
    world.advance(120 * SECOND);
    // Alice's grant answers for everybody's, and her client for every client.
    store.swapped.store(true, Ordering::SeqCst);
    let answer = bob.call_tool().await;
    assert!(!answer.status.is_success(), "{}", answer.json);
    assert!(!bob.refresh().await.status.is_success());
    let asked = world.get(&other.authorize_url(&[])).await;
    assert!(!asked.status.is_success(), "{}", asked.text);
    store.swapped.store(false, Ordering::SeqCst);
    bob.call_tool().await.ok();
    // Nor does one kind of record pass for another.
    store.crossed.store(true, Ordering::SeqCst);
    world.advance(120 * SECOND);
    assert!(!bob.call_tool().await.status.is_success());
}

/// A store that somebody else writes to.
#[derive(Debug, Default)]
pub(super) struct Tampered {
    store: MemoryStore,
    /// The first record of each kind stands where the others were.
    swapped: AtomicBool,
    /// The first user's approvals stand where others' were.
    pub(super) swapped_approvals: AtomicBool,
    /// Clients stand where grants were.
    crossed: AtomicBool,
    first: Mutex<HashMap<Collection, Sealed>>,
}

impl Tampered {
    fn note(&self, key: &RecordKey, entry: &Entry) {
        let mut first = self.first.lock().unwrap();
        first
            .entry(key.collection())
            .or_insert_with(|| entry.sealed.clone());
    }

    fn instead(&self, collection: Collection, stored: Option<Stored>) -> Option<Stored> {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        let instead = if collection == Collection::Grants && is_set(&self.crossed) {
            Some(Collection::Clients)
        } else {
            let swapped = [Collection::Grants, Collection::Clients].contains(&collection)
                && is_set(&self.swapped);
            let swapped_approvals = collection == Collection::Approvals
                && stored.is_some()
                && is_set(&self.swapped_approvals);
            (swapped || swapped_approvals).then_some(collection)
        };
        let first = self.first.lock().unwrap();
        let other = instead.and_then(|collection| first.get(&collection).cloned());
        match other {
            Some(sealed) => {
                let version = stored.map_or(1, |stored| stored.version);
                Some(Stored::new(version, sealed))
            }
            None => stored,
        }
    }
}

#[async_trait]
impl Store for Tampered {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        let stored = self.store.read(key).await?;
        Ok(self.instead(key.collection(), stored))
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        self.note(key, &entry);
        self.store.put(key, entry).await
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        self.store.put_new(key, entry).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        self.note(key, &entry);
        self.store.put_version(key, version, entry).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        self.store.take(key).await
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        self.store.revoke(key, until).await
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        self.store.lease(flight, holder, term, now).await
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        self.store.settle(flight, holder, answer).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.store.sweep(now).await
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        self.store.export(after, most).await
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        self.store.slot(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        self.store.replace(key, found, slot).await
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_their_owners_alone() {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let keys = folder.path().join("keys.json");
    KeyFile::new(&keys).save(&world.keys.current()).unwrap();
    let store = folder.path().join("store.redb");
    EmbeddedStore::open(&store).unwrap();
    for file in [&keys, &store] {
        let mode = metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    // Keys that others may have read are not used.
    for mode in [0o640, 0o604, 0o620, 0o666] {
        set_permissions(&keys, Permissions::from_mode(mode)).unwrap();
        let random = SystemRandom::default();
        let loaded = KeyFile::new(&keys).load_or_create(Algorithm::Es256, &random, world.now());
        assert!(loaded.is_err(), "{mode:o}");
    }
}

/// Compiles for no type that can be compared, shown or written out: what `T` has twice, the
/// compiler cannot choose.
macro_rules! assert_opaque {
    ($($secret:ty),+ $(,)?) => {$({
        trait Ambiguous<Marker> { fn choose() {} }
        struct Compared;
        struct Shown;
        struct Written;
        impl<T> Ambiguous<()> for T {}
        impl<T: PartialEq> Ambiguous<Compared> for T {}
        impl<T: fmt::Display> Ambiguous<Shown> for T {}
        impl<T: serde::Serialize> Ambiguous<Written> for T {}
        <$secret as Ambiguous<_>>::choose();
        assert!(!format!("{:?}", <$secret>::new("hunter2")).contains("hunter2"));
    })+};
}

#[test]
fn secrets_are_compared_by_digest_alone() {
    assert_opaque!(
        AccessToken,
        AuthorizationCode,
        BrowserBinding,
        CertificatePassword,
        ClientAssertion,
        ClientSecret,
        CodeVerifier,
        EntraAccessToken,
        EntraCode,
        EntraIdToken,
        EntraRefreshToken,
        IdentityHeader,
        McpClientSecret,
        Nonce,
        RefreshToken,
        UpstreamState,
    );
    assert_eq!(Nonce::new("a").hashed(), Nonce::new("a").hashed());
}

#[tokio::test]
async fn revoked_keys_vouch_for_nothing_that_is_shown_to_us() {
    // The thief runs a server of their own on our keys.
    let (world, thief) = (World::new().await, World::new().await);
    thief.keys.replace((*world.keys.current()).clone());
    let (client, mut theirs) = (thief.client().await, thief.browser());
    let forged = [client.ask(&mut theirs).await, client.ask(&mut theirs).await];
    let cookies = theirs.cookie_header(HOST);
    let sent = async |form: &Page| {
        let headers = [("cookie", &*cookies)];
        let answer = post_form(&world, "/consent", &headers, &allowed(form)).await;
        answer.status
    };
    let session = world.log_in("alice").await;
    let opened = session.call_tool().await;
    let id = opened.header("mcp-session-id").unwrap();
    let resumed = async |session: &Session| {
        let bearer = format!("Bearer {}", session.access_token);
        let headers = [("authorization", &*bearer), ("mcp-session-id", id)];
        session.client.call(Method::GET, &headers).await.status
    };
    // As long as nobody knows of the theft, it works.
    assert_eq!(sent(&forged[0]).await, 303);
    assert_eq!(resumed(&session).await, 200);

    let (random, now) = (SystemRandom::default(), world.now());
    let ring = world.keys.current().revoked(Algorithm::Es256, &random, now);
    world.keys.replace(ring.unwrap());
    assert_eq!(sent(&forged[1]).await, 400);
    // What is stored goes on, so nobody signs in again.
    let session = session.refreshed().await;
    assert_eq!(resumed(&session).await, 404);
    session.call_tool().await.ok();
}

#[tokio::test]
async fn rotation_does_not_bring_revoked_keys_back() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let server = world.replica_with(|_| on_disk(folder.path()));
    let (believed, unseen) = (server.log_in("alice").await, server.log_in("bob").await);
    believed.call_tool().await.ok();
    let file = KeyFile::new(folder.path().join("keys.json"));
    let (random, now) = (SystemRandom::default(), world.now());
    let mut operator = None;
    // A gateway has read the file and will write it. Meanwhile the operator revokes what is there.
    let rotated = file.update(now, |ring| {
        let file = file.clone();
        operator = Some(std::thread::spawn(move || {
            let random = SystemRandom::default();
            file.update(now, |ring| {
                ring.revoked(Algorithm::Es256, &random, now).map(Some)
            })
        }));
        let lock = File::open(folder.path().join("keys.lock")).unwrap();
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        ring.rotated(Algorithm::Es256, &random, now).map(Some)
    });
    rotated.unwrap();
    operator.unwrap().join().unwrap().unwrap();
    server.provider.tend_keys(None).await.unwrap();
    world.advance(11 * SECOND);
    for session in [&believed, &unseen] {
        session
            .call_tool()
            .await
            .assert_unauthorized("invalid_token");
        session.refreshed().await.call_tool().await.ok();
    }
    // The keys of the rotation were there when the operator came, and went with the others.
    let ring = file.load(now).unwrap();
    let (signing, sealing): (Vec<_>, Vec<_>) =
        ring.facts().partition(|key| key.algorithm.is_some());
    assert_eq!(signing.len(), 1);
    let revoked: Vec<_> = sealing.iter().map(|key| key.is_revoked).collect();
    assert_eq!(revoked, [true, true, false]);
}

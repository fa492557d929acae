//! What a sealed store gives back, and what it does not.

use proptest::prelude::*;

use super::users::APPROVALS;
use super::*;
use crate::access_token::Principal;
use crate::grant::{
    AuthenticatedClient, AuthorizationRequest, CodeRequest, Consent, ConsentedRequest, HeldTokens,
    Login, LoginHints, PendingLogin, SignedIn,
};
use crate::jwt::jwks::Algorithm;
use crate::keys::KeyRing;
use crate::oauth::client::UnverifiedClientMetadata;
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::oauth::resource::{AskedResources, ResourceIndicator};
use crate::oauth::scope::Scope;
use crate::platform::SystemRandom;
use crate::secret::{BrowserBinding, CodeVerifier, EntraAccessToken, EntraRefreshToken, Nonce};
use crate::store::MemoryStore;

mod kept;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn ring() -> KeyRing {
    KeyRing::generate(Algorithm::Es256, &SystemRandom::default(), at(0)).unwrap()
}

fn over(store: &Arc<MemoryStore>, ring: KeyRing) -> SealedStore {
    let store = Arc::<MemoryStore>::clone(store);
    SealedStore::new(store, Keys::new(ring), Arc::new(SystemRandom::default()))
}

fn sealed_store() -> (Arc<MemoryStore>, SealedStore) {
    let bare = Arc::new(MemoryStore::new());
    let sealed = over(&bare, ring());
    (bare, sealed)
}

fn client(id: &str) -> Client {
    let metadata = UnverifiedClientMetadata {
        redirect_uris: Some(vec!["https://client.example/cb".to_owned()]),
        ..UnverifiedClientMetadata::default()
    };
    let id = ClientId::parse(id).unwrap();
    let metadata = metadata.check(&AllowedRedirects::Registered);
    Client::register(id, metadata.unwrap(), at(0))
}

fn consented() -> ConsentedRequest {
    let request = AuthorizationRequest {
        upstream_state: UpstreamState::generate(&SystemRandom::default()),
        client_id: ClientId::parse("c").unwrap(),
        client_name: None,
        redirect: client("c").trusted_redirect(None).unwrap(),
        state: None,
        challenge: CodeChallenge::of(&CodeVerifier::new("verifier")),
        dpop_jkt: None,
        scope: Scope::parse("read").unwrap(),
        resource: ResourceIndicator::parse("https://mcp.example/mcp").unwrap(),
        hints: LoginHints::default(),
        refreshable: true,
        browser: BrowserBinding::new("browser").hashed(),
        asked_at: at(0),
    };
    let (verifier, nonce) = (CodeVerifier::new("ours"), Nonce::new("nonce"));
    let login = Login::new(verifier, nonce, BrowserBinding::new("browser"));
    request.consent(Consent::Given, login, at(0))
}

fn issued() -> IssuedCode {
    let refresh = EntraRefreshToken::new("entra-refresh-secret");
    let access = EntraAccessToken::new("entra-access-secret");
    let held = HeldTokens::new(access, Some(refresh), at(5000));
    let scope = Scope::parse("read").unwrap();
    let id = GrantId::generate(&SystemRandom::default());
    consented().complete(id, SignedIn::new(Principal::default(), held, scope), at(0))
}

/// A grant that ends at 5000, with its first tokens.
fn grant() -> Grant {
    let code = AuthorizationCode::new("code");
    let served = ResourceIndicator::parse("https://mcp.example/mcp").unwrap();
    let resources = AskedResources::new(Vec::new(), vec![served]);
    let presented = CodeRequest::new(code, CodeVerifier::new("verifier"), resources);
    let client = AuthenticatedClient::assertion(ClientId::parse("c").unwrap());
    issued().redeem(&presented, &client, None, at(0)).unwrap()
}

async fn bare_grant(bare: &MemoryStore, id: &GrantId) -> Sealed {
    let stored = bare.read(&RecordKey::grant(id)).await.unwrap();
    stored.unwrap().sealed
}

fn reason(error: &StoreError) -> RecordError {
    *error.source.downcast_ref().unwrap()
}

#[tokio::test]
async fn records_come_back_until_they_expire() {
    let (_, store) = sealed_store();
    let registered = client("c");
    store.put_client(&registered, at(100)).await.unwrap();
    let found = store.client(registered.id(), at(99)).await.unwrap();
    assert_eq!(found.unwrap().id(), registered.id());
    let found = store.client(registered.id(), at(100)).await.unwrap();
    assert!(found.is_none());

    for (now, there) in [(99, true), (100, false)] {
        let request = PendingLogin::from(consented());
        let written = store.put_request(&request, at(100)).await.unwrap();
        assert_eq!(written, Written::Yes);
        let state = request.login().state();
        let taken = store.take_request(state, at(now)).await.unwrap();
        assert_eq!(taken.is_some(), there);
        assert!(store.take_request(state, at(now)).await.unwrap().is_none());
    }

    let (code, issued) = (AuthorizationCode::new("code"), issued());
    store.put_code(&code, &issued, at(100)).await.unwrap();
    let id = issued.grant_id();
    let redeemed = store.redeem_code(&code, at(99)).await.unwrap();
    assert!(matches!(redeemed, Redeemed::Fresh(found) if found.grant_id() == id));
    let redeemed = store.redeem_code(&code, at(99)).await.unwrap();
    assert!(matches!(redeemed, Redeemed::Replayed(found) if found == id));
    let late = AuthorizationCode::new("late");
    store.put_code(&late, &issued, at(100)).await.unwrap();
    let redeemed = store.redeem_code(&late, at(100)).await.unwrap();
    assert!(matches!(redeemed, Redeemed::Unknown));
}

#[tokio::test]
async fn an_ended_grant_is_told_from_one_that_never_was() {
    let (_, store) = sealed_store();
    let grant = grant();
    assert_eq!(store.put_grant(&grant).await.unwrap(), Written::Yes);
    assert_eq!(store.put_grant(&grant).await.unwrap(), Written::Conflict);
    for (now, is_live) in [(0, Some(true)), (5000, Some(false)), (5000 + 3600, None)] {
        let found = store.grant(&grant.id(), at(now)).await.unwrap();
        assert_eq!(found.map(|found| found.is_live(at(now))), is_live);
    }
    store.revoke_grant(&grant.id(), at(1)).await.unwrap();
    assert!(store.grant(&grant.id(), at(1)).await.unwrap().is_none());
    assert_eq!(store.put_grant(&grant).await.unwrap(), Written::Revoked);
}

#[tokio::test]
async fn a_denied_login_can_neither_be_taken_nor_allowed_afterwards() {
    let (_, store) = sealed_store();
    let request = PendingLogin::from(consented());
    let state = request.login().state();
    let spent = store.spend_request(state, at(100)).await.unwrap();
    assert_eq!(spent, Written::Yes);
    let allowed = store.put_request(&request, at(100)).await.unwrap();
    assert_eq!(allowed, Written::Conflict);
    assert!(store.take_request(state, at(1)).await.unwrap().is_none());
    let again = store.spend_request(state, at(100)).await.unwrap();
    assert_eq!(again, Written::Conflict);

    let request = PendingLogin::from(consented());
    store.put_request(&request, at(100)).await.unwrap();
    let state = request.login().state();
    let denied = store.spend_request(state, at(100)).await.unwrap();
    assert_eq!(denied, Written::Conflict);
    assert!(store.take_request(state, at(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_backend_holds_nothing_that_reads() {
    let (bare, store) = sealed_store();
    let grant = grant();
    store.put_grant(&grant).await.unwrap();
    let sealed = bare_grant(&bare, &grant.id()).await;
    for word in ["entra-access-secret", "entra-refresh-secret", "mcp.example"] {
        let bytes = sealed.as_bytes();
        assert!(!bytes.windows(word.len()).any(|it| it == word.as_bytes()));
    }
    assert!(!format!("{store:?}").contains("secret"));
}

#[tokio::test]
async fn a_record_in_another_ones_place_does_not_open() {
    let (bare, store) = sealed_store();
    let (mine, theirs) = (grant(), grant());
    store.put_grant(&theirs).await.unwrap();
    let stolen = bare_grant(&bare, &theirs.id()).await;
    let entry = Entry::new(stolen, at(100));
    let key = RecordKey::grant(&mine.id());
    bare.put_version(&key, 1, entry.clone()).await.unwrap();
    let error = store.grant(&mine.id(), at(1)).await.unwrap_err();
    assert_eq!(reason(&error), RecordError::Unopened);

    let code = AuthorizationCode::new("code");
    bare.put_new(&RecordKey::code(&code.hashed()), entry)
        .await
        .unwrap();
    let error = store.redeem_code(&code, at(1)).await.unwrap_err();
    assert_eq!(reason(&error), RecordError::Unopened);
}

#[tokio::test]
async fn rotated_keys_open_old_records_and_lost_ones_fail_aloud() {
    let bare = Arc::new(MemoryStore::new());
    let old = ring();
    let store = over(&bare, old.clone());
    let (registered, grant) = (client("c"), grant());
    store.put_client(&registered, at(100)).await.unwrap();
    store.put_grant(&grant).await.unwrap();

    let random = SystemRandom::default();
    let rotated = old.rotated(Algorithm::Es256, &random, at(1)).unwrap();
    let store = over(&bare, rotated);
    let id = registered.id();
    assert!(store.client(id, at(1)).await.unwrap().is_some());
    assert!(store.grant(&grant.id(), at(1)).await.unwrap().is_some());

    let store = over(&bare, ring());
    let error = store.grant(&grant.id(), at(1)).await.unwrap_err();
    assert_eq!(reason(&error), RecordError::Unopened);
    assert!(store.client(id, at(1)).await.unwrap().is_none());
    store.put_client(&registered, at(100)).await.unwrap();
    assert!(store.client(id, at(1)).await.unwrap().is_some());
}

const FORM: Purpose<'_> = Purpose::new("form", b"");

#[tokio::test]
async fn approvals_whose_key_is_lost_begin_anew() {
    let user = Hashed::of("alice");
    let (bare, store) = sealed_store();
    let granted = consented();
    let microsoft = Scope::default();
    let grant = GrantId::generate(&SystemRandom::default());
    let new = granted.new_grant(grant, &microsoft);
    let first = store
        .approvals(user, at(0))
        .await
        .unwrap()
        .with(&new, at(0));
    assert_eq!(store.put_approvals(&first).await.unwrap(), Written::Yes);
    assert_eq!(
        store.put_approvals(&first).await.unwrap(),
        Written::Conflict
    );
    // Who is told to try later would be stuck for good; the version goes on.
    let store = over(&bare, ring());
    let found = store.approvals(user, at(0)).await.unwrap();
    assert_eq!((found.version(), found.clients().len()), (1, 0));
    let next = found.with(&new, at(1));
    assert_eq!(store.put_approvals(&next).await.unwrap(), Written::Yes);
    // So does it where what it holds cannot be read.
    let purpose = Purpose::new(APPROVALS, user.as_bytes());
    let unread = store
        .entry(purpose, &"nothing of the kind", at(5000))
        .unwrap();
    let key = RecordKey::approvals(&user);
    bare.put_version(&key, 3, unread).await.unwrap();
    let found = store.approvals(user, at(0)).await.unwrap();
    assert_eq!((found.version(), found.clients().len()), (3, 0));
    assert_eq!(
        store.put_approvals(&found.with(&new, at(1))).await.unwrap(),
        Written::Yes
    );
    // And where a record is out of date that the store still has.
    let late = at(u64::MAX / 2);
    let found = store.approvals(user, late).await.unwrap();
    assert_eq!((found.version(), found.clients().len()), (4, 0));
}

/// Keys that come from nowhere else are not waited for.
fn opened<T: DeserializeOwned>(store: &SealedStore, for_what: Purpose<'_>, it: &str) -> Option<T> {
    let opened = std::pin::pin!(store.open_for(for_what, it));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match opened.poll(&mut context) {
        std::task::Poll::Ready(opened) => opened.unwrap(),
        std::task::Poll::Pending => panic!("it waits"),
    }
}

proptest! {
    #[test]
    fn a_travelling_value_opens_for_its_purpose_alone(value: (String, Option<u64>)) {
        let (_, store) = sealed_store();
        let sealed = store.seal_for(FORM, &value).unwrap();
        prop_assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        prop_assert_eq!(opened(&store, FORM, &sealed), Some(value));
        for other in [Purpose::new("form", b"x"), Purpose::new("formx", b"")] {
            prop_assert_eq!(opened::<(String, Option<u64>)>(&store, other, &sealed), None);
        }
    }

    #[test]
    fn a_changed_value_does_not_open(value: String, at: prop::sample::Index, to: char) {
        let (_, store) = sealed_store();
        let sealed = store.seal_for(FORM, &value).unwrap();
        let at = at.index(sealed.len());
        let mut changed = sealed.clone();
        changed.replace_range(at..=at, &to.to_string());
        prop_assume!(changed != sealed);
        prop_assert_eq!(opened::<String>(&store, FORM, &changed), None);
        prop_assert_eq!(opened::<String>(&store, FORM, &sealed[..at]), None);
    }
}

//! The app registration proves itself by other things than a secret.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use entra_emulator::{Endpoint, builtin};
use entrada::entra::credential::{
    AssertionRequest, CertificateFile, ClientAssertionProvider, ClientCredential, ManagedIdentity,
};
use entrada::on_behalf_of::OboError;
use entrada::secret::ClientAssertion;
use tempfile::TempDir;

use crate::client::Session;
use crate::direct::world::settle;
use crate::obo;
use crate::world::{SECOND, World};

const OTHER_CERTIFICATE: &str = include_str!("../fixtures/other.crt.pem");
const OTHER_KEY: &str = include_str!("../fixtures/other.key.pem");

/// The built-in application's certificate, in a file that can be replaced.
pub(crate) struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self { folder };
        this.replace(builtin::DAEMON_CERTIFICATE, builtin::DAEMON_PRIVATE_KEY);
        this
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("app.pem")
    }

    fn replace(&self, certificate: &str, key: &str) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, format!("{certificate}{key}")).unwrap();
        fs::rename(draft, self.path()).unwrap();
    }
}

/// How the last token request proved who sent it.
fn last_proof(world: &World) -> Vec<String> {
    let form = world.entra.last_token_form().unwrap();
    let names = form.into_iter().map(|(name, _)| name);
    names
        .filter(|name| name.starts_with("client_") && name != "client_id")
        .collect()
}

async fn refresh(world: &World, session: &Session) -> u16 {
    world.advance(2 * 3600 * SECOND);
    session.refresh().await.status.as_u16()
}

#[tokio::test]
async fn a_certificate_signs_for_every_call() {
    let certificate = Certificate::new();
    let world = World::with(|config| {
        config.credential(ClientCredential::certificate_file(certificate.path()))
    })
    .await;
    let assertion = ["client_assertion_type", "client_assertion"];
    let session = world.log_in("alice").await;
    session.call_tool().await.ok();
    assert_eq!(last_proof(&world), assertion);
    let calls = world.entra.calls(Endpoint::Token);
    world.advance(2 * 3600 * SECOND);
    let session = session.refreshed().await;
    assert!(world.entra.calls(Endpoint::Token) > calls);
    assert_eq!(last_proof(&world), assertion);
    let calls = world.entra.calls(Endpoint::Token);
    let caller = obo::caller(&world, &session).await;
    obo::token(&caller).await.unwrap();
    assert!(world.entra.calls(Endpoint::Token) > calls);
    assert_eq!(last_proof(&world), assertion);
}

#[tokio::test]
async fn a_pfx_file_and_its_chain_do_as_well() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/daemon.aes.pfx");
    let file = CertificateFile::new(path)
        .password("hush")
        .send_certificate_chain();
    let world = World::with(|config| config.credential(file)).await;
    world.log_in("alice").await.call_tool().await.ok();
}

#[tokio::test]
async fn a_certificate_is_rotated_without_a_restart() {
    let certificate = Certificate::new();
    let world = World::with(|config| {
        config.credential(ClientCredential::certificate_file(certificate.path()))
    })
    .await;
    let session = world.log_in("alice").await;
    certificate.replace(OTHER_CERTIFICATE, OTHER_KEY);
    // Entra does not know it yet: our trouble, and nobody is signed out for it.
    assert_eq!(refresh(&world, &session).await, 503);
    world.entra.change_directory(|directory| {
        let app = directory.app_mut(builtin::CLIENT_ID);
        app.unwrap().certificates = vec![OTHER_CERTIFICATE.to_owned()];
    });
    let session = session.refreshed().await;
    certificate.replace("", "");
    assert_eq!(refresh(&world, &session).await, 200);
}

/// Gives the assertions of a certificate, or none.
#[derive(Debug, Default)]
struct Vault {
    closed: AtomicBool,
    asked: Mutex<Vec<(String, String)>>,
}

#[async_trait]
impl ClientAssertionProvider for Vault {
    async fn assertion(
        &self,
        asked: AssertionRequest<'_>,
    ) -> Result<ClientAssertion, Box<dyn std::error::Error + Send + Sync>> {
        if self.closed.load(Ordering::SeqCst) {
            return Err("the vault is closed".into());
        }
        let asked = (asked.client_id.to_owned(), asked.token_endpoint.to_string());
        self.asked.lock().unwrap().push(asked);
        Ok(ClientAssertion::new("a.b.c"))
    }
}

#[tokio::test]
async fn an_assertion_provider_is_asked_each_time() {
    let vault = Arc::new(Vault::default());
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let provider = ClientCredential::assertion_provider(vault.clone());
    let replica = world.replica_with(|config| config.credential(provider));
    let session = session.at(&replica);
    // Entra takes no such assertion, but it was sent one.
    for calls in 1..3 {
        assert_eq!(refresh(&replica, &session).await, 503);
        let form = replica.entra.last_token_form().unwrap();
        assert!(form.contains(&("client_assertion".to_owned(), "a.b.c".to_owned())));
        let asked = vault.asked.lock().unwrap().clone();
        assert_eq!(asked.len(), calls);
        assert_eq!(asked[0].0, builtin::CLIENT_ID);
        assert!(asked[0].1.ends_with("/oauth2/v2.0/token"), "{asked:?}");
    }
}

#[tokio::test]
async fn nobody_is_signed_out_because_we_cannot_prove_ourselves() {
    let vault = Arc::new(Vault::default());
    vault.closed.store(true, Ordering::SeqCst);
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let provider = ClientCredential::assertion_provider(vault);
    let replica = world.replica_with(|config| config.credential(provider));
    let caller = obo::caller(&replica, &session.at(&replica)).await;
    let calls = replica.entra.calls(Endpoint::Token);
    let Err(OboError::Exchange(error)) = obo::token(&caller).await else {
        panic!("there was a token");
    };
    assert_eq!(
        error.to_string(),
        "the credential of the app registration cannot be had"
    );
    assert_eq!(refresh(&replica, &session.at(&replica)).await, 503);
    assert_eq!(replica.entra.calls(Endpoint::Token), calls);
    session.refreshed().await;
}

/// A file as Kubernetes keeps it, with the token of the service account that the built-in
/// application trusts.
pub(crate) struct TokenFile {
    folder: TempDir,
}

impl TokenFile {
    pub(crate) fn new(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self { folder };
        this.renew(world);
        this
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn renew(&self, world: &World) {
        let (subject, audience) = (builtin::WORKLOAD_SUBJECT, builtin::TOKEN_EXCHANGE_AUDIENCE);
        let token = world
            .entra
            .mint_workload_token(subject, audience, 3600 * SECOND);
        fs::write(self.path(), token).unwrap();
    }
}

/// Everything our app registration asks Entra for, once each.
async fn use_everything(world: &World) -> Session {
    let session = world.log_in("alice").await;
    let caller = obo::caller(world, &session).await;
    obo::token(&caller).await.unwrap();
    session.refreshed().await
}

#[tokio::test]
async fn a_workload_shows_the_token_in_its_file_at_every_call() {
    let world = World::new().await;
    let file = TokenFile::new(&world);
    let credential = ClientCredential::federated_token_file(file.path());
    let replica = world.replica_with(|config| config.credential(credential));
    let session = use_everything(&replica).await;
    for form in replica.entra.token_forms() {
        assert!(form.contains(&("client_assertion".to_owned(), file.token())));
        assert!(form.iter().all(|(name, _)| name != "client_secret"));
    }
    // Kubernetes replaced it, and the one of before has ended.
    replica.advance(2 * 3600 * SECOND);
    assert_eq!(session.refresh().await.status, 503);
    file.renew(&replica);
    session.refreshed().await;
}

#[tokio::test]
async fn a_managed_identity_vouches_for_the_app_registration() {
    let id = builtin::MANAGED_IDENTITY_CLIENT_ID;
    let endpoint = format!("{}/msi/token", builtin::BASE_URL);
    for identity in [
        ManagedIdentity::imds(),
        ManagedIdentity::imds().client_id(id),
        ManagedIdentity::imds().object_id(builtin::MANAGED_IDENTITY_PRINCIPAL_ID),
        ManagedIdentity::imds().resource_id(builtin::MANAGED_IDENTITY_RESOURCE_ID),
        ManagedIdentity::app_service(endpoint, builtin::IDENTITY_HEADER).client_id(id),
    ] {
        let world = World::with(|config| config.credential(identity)).await;
        let session = use_everything(&world).await;
        let assertions = world.entra.token_forms().into_iter().flatten();
        let assertions = assertions.filter(|(name, _)| name == "client_assertion");
        assert_eq!(assertions.count(), 3);
        assert_eq!(world.entra.calls(Endpoint::ManagedIdentity), 1);
        // Half a day later its token is asked for anew, and stands in while that fails.
        world.advance(12 * 3600 * SECOND);
        let failure = entra_emulator::Failure::Status(503);
        world.entra.fail_next(Endpoint::ManagedIdentity, 1, failure);
        let session = session.refreshed().await;
        settle().await;
        world.advance(3600 * SECOND);
        session.refreshed().await;
        settle().await;
        assert_eq!(world.entra.calls(Endpoint::ManagedIdentity), 3);
    }
}

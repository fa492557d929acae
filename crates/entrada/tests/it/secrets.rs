//! No secret leaves by the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use entra_emulator::{Endpoint, Failure, GrantRefusal, builtin};
use entrada::AzureConfig;
use entrada::entra::credential::ClientCredential;
use entrada::on_behalf_of::OboError;
use serde_json::json;
use url::Url;

use crate::client::{Answer, VERIFIER, parameter};
use crate::client_credentials::with_jobs;
use crate::credential::Certificate;
use crate::identity_assertion::{Idp, TYPE, trusting};
use crate::log::Log;
use crate::observed::{Told, recorder};
use crate::prover::{Prover, call};
use crate::remembered_consent::{opened, remembering};
use crate::world::{BASE_URL, RESOURCE, SECOND, World};
use crate::{approved_apps, client_credentials, obo};

/// What must not be seen.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn add(&mut self, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() > 20, "too short to be looked for: {secret}");
        self.0.insert(secret);
    }

    fn add_parameters(&mut self, url: &Url, names: &[&str]) {
        let values = names.iter().filter_map(|name| parameter(url, name));
        values.for_each(|value| self.add(value));
    }

    /// What went to Entra: the secret, codes, verifiers, tokens.
    fn add_upstream(&mut self, world: &World) {
        for (name, value) in world.entra.last_token_form().unwrap() {
            if [
                "client_assertion",
                "client_secret",
                "code",
                "code_verifier",
                "refresh_token",
                "assertion",
            ]
            .contains(&&*name)
            {
                self.add(value);
            }
        }
        for (name, value) in world.entra.last_authorize_query().unwrap() {
            if ["state", "nonce"].contains(&&*name) {
                self.add(value);
            }
        }
    }

    #[track_caller]
    fn assert_unseen(&self, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret), "{secret} stands in:\n{text}");
        }
    }
}

/// A session from registration to revocation, with everything going wrong once.
async fn live(world: &World, secrets: &mut Secrets) {
    let client = world.client().await;
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    let (_, fields) = consent.form();
    secrets.add(fields[0].1.clone());
    browser.stop_before = Some("/auth/callback");
    let back = browser.approve(&consent, "alice").await.left();
    secrets.add_parameters(&back, &["code", "state"]);
    browser
        .cookie_values("mcp.example.com")
        .into_iter()
        .for_each(|value| secrets.add(value));
    browser.stop_before = None;
    world.browser().get(back.as_str()).await.page();
    let location = browser.get(back.as_str()).await.left();
    secrets.add_upstream(world);
    secrets.add_parameters(&location, &["code"]);
    let code = parameter(&location, "code").unwrap();
    let session = client.session(client.redeem(&code).await.ok());
    session.call_tool().await.ok();
    let replayed = client.redeem(&code).await;
    replayed.assert_refused(400, "invalid_grant");
    crate::refresh::assert_ended(world, &session).await;

    let session = world.log_in("alice").await;
    let next = session.refreshed().await;
    secrets.add_upstream(world);
    session.refreshed().await;
    for failure in [Failure::Garbage, Failure::Drop, Failure::Status(503)] {
        world.entra.fail_next(Endpoint::Token, 1, failure);
        world.advance(2 * 3600 * SECOND);
        assert_eq!(next.refresh().await.status, 503);
    }
    let last = next.refreshed().await;
    last.client.revoke(&last.refresh_token).await;
    for session in [&session, &next, &last] {
        secrets.add(session.access_token.clone());
        secrets.add(session.refresh_token.clone());
        session.refresh().await.assert_refused(400, "invalid_grant");
    }
    world.entra.disable_user(builtin::BOB);
    world.entra.fail_next(Endpoint::Token, 1, Failure::Drop);
    client.authorize(&mut world.browser(), "alice").await;
}

#[tokio::test]
async fn a_whole_session_leaves_no_secret_in_the_log() {
    let (log, _guard) = Log::begin();
    let world = World::new().await;
    let mut secrets = Secrets::default();
    live(&world, &mut secrets).await;
    secrets.add(builtin::CLIENT_SECRET);
    secrets.add(VERIFIER);
    assert!(secrets.0.len() > 15);
    let text = log.text();
    // It was listening.
    for line in [
        "client registered",
        "code issued",
        "grant refreshed",
        "grant revoked",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    secrets.assert_unseen(&text);
    // Nor does it tell a person's name.
    for name in ["Alice", "alice", builtin::PASSWORD] {
        assert!(!text.contains(name), "{name}:\n{text}");
    }
    secrets.assert_unseen(&format!("{:?}", world.provider));
    secrets.assert_unseen(&format!("{:?}", world.provider.guard()));
    secrets.assert_unseen(&format!("{:?}", world.store));
    secrets.assert_unseen(&format!("{:?}", world.keys));
}

#[tokio::test]
async fn a_whole_session_leaves_no_secret_in_audit_log_or_metrics() {
    let (told, recorder) = (Told::default(), recorder());
    let _guard = metrics::set_default_local_recorder(&recorder);
    let world = World::with(|config| config.audit(Arc::new(told.clone()))).await;
    let mut secrets = Secrets::default();
    live(&world, &mut secrets).await;
    secrets.add(builtin::CLIENT_SECRET);
    secrets.add(VERIFIER);
    let events = told.take();
    assert!(events.len() > 15);
    secrets.assert_unseen(&format!("{events:#?}"));
    let text = recorder.handle().render();
    assert!(text.contains("entrada_logins_total"), "{text}");
    secrets.assert_unseen(&text);
    for name in ["alice", builtin::ALICE_OID, builtin::TENANT_ID] {
        assert!(!text.contains(name), "{name}:\n{text}");
    }
}

/// Tokens to downstream APIs, the link to sign in again, and what goes wrong with both.
#[tokio::test]
async fn on_behalf_of_leaves_no_secret_in_the_log() {
    let (log, _guard) = Log::begin();
    let world = World::new().await;
    let mut secrets = Secrets::default();
    let mut browser = world.browser();
    let client = world.client().await;
    let session = client.log_in(&mut browser, "alice").await;
    let caller = obo::caller(&world, &session).await;
    secrets.add(session.access_token.clone());
    secrets.add(obo::token(&caller).await.unwrap().expose());
    secrets.add_upstream(&world);
    for failure in [Failure::Garbage, Failure::Drop, Failure::Status(503)] {
        world.advance(2 * 3600 * SECOND);
        world.entra.fail_next(obo::EXCHANGE, 1, failure);
        let session = client.log_in(&mut browser, "alice").await;
        let answer = session.call_downstream(obo::USER_READ).await;
        assert_eq!(answer.status, 503);
        secrets.add_upstream(&world);
    }
    for refusal in [GrantRefusal::Revoked, GrantRefusal::MfaRequired] {
        world.entra.refuse_obo(builtin::ALICE, refusal);
        let session = client.log_in(&mut browser, "alice").await;
        let answer = session.call_downstream(obo::USER_READ).await;
        assert_eq!(answer.status, 401);
        secrets.add_upstream(&world);
    }
    browser.has_second_factor = false;
    let session = client.log_in(&mut browser, "alice").await;
    let caller = obo::caller(&world, &session).await;
    let refused = obo::token(&caller).await;
    let shown = format!("{refused:?}");
    let Err(OboError::InteractionRequired(required)) = refused else {
        panic!("{shown}");
    };
    let link = required.interaction.link.as_ref().unwrap();
    secrets.add_parameters(&link.parse().unwrap(), &["request"]);
    browser.has_second_factor = true;
    let page = browser.get(link).await.page();
    secrets.add(page.form().1[0].1.clone());
    let there = browser.submit(&page, &[]).await;
    browser.sign_in(there, "alice").await.page();
    secrets.add_upstream(&world);
    secrets.add(builtin::CLIENT_SECRET);
    let text = log.text();
    for line in ["the user is asked to sign in again", "signed in again"] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    secrets.assert_unseen(&text);
    assert!(!text.contains("alice"), "{text}");
    secrets.assert_unseen(&format!("{caller:?}"));
    assert!(!shown.contains("eyJ"), "{shown}");
}

#[tokio::test]
async fn a_session_leaves_nothing_of_the_certificate_in_the_log() {
    let (log, _guard) = Log::begin();
    let certificate = Certificate::new();
    let credential = ClientCredential::certificate_file(certificate.path());
    let world = World::with(|config| config.credential(credential)).await;
    let mut secrets = Secrets::default();
    live(&world, &mut secrets).await;
    let key = builtin::DAEMON_PRIVATE_KEY.lines();
    key.filter(|line| line.len() == 64)
        .for_each(|line| secrets.add(line));
    let text = log.text();
    assert!(text.contains("client certificate in use"), "{text}");
    secrets.assert_unseen(&text);
}

#[test]
fn a_configuration_does_not_show_its_secret() {
    let config = AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL)
        .client_secret(builtin::CLIENT_SECRET)
        .resource_url(RESOURCE);
    let shown = format!("{config:#?}");
    assert!(shown.contains(builtin::CLIENT_ID));
    assert!(!shown.contains(builtin::CLIENT_SECRET), "{shown}");
}

/// The page of apps, and all that it keeps in the browser.
async fn take_back(world: &World, secrets: &mut Secrets) {
    let mut browser = opened(world);
    let client = world.client().await;
    client.log_in(&mut browser, "alice").await;
    let page = approved_apps::sign_in(&mut browser, "alice").await;
    for (_, fields) in page.forms() {
        secrets.add(fields[0].1.clone());
    }
    let cookies = browser.cookie_values("mcp.example.com");
    assert!(cookies.len() >= 3, "{cookies:?}");
    for value in cookies {
        secrets.add(value);
    }
    let (action, fields) = approved_apps::removal(&page, &client.id);
    world.browser().post(&action, &fields).await.page();
    browser.post(&action, &fields).await.page();
}

#[tokio::test]
async fn consent_that_is_remembered_and_programs_leave_no_secret_in_the_log() {
    let (log, _guard) = Log::begin();
    let idp = Idp::with(|config| trusting(with_jobs(remembering(config)))).await;
    let world = &idp.world;
    let mut secrets = Secrets::default();
    take_back(world, &mut secrets).await;
    let token = |answer: Answer| answer.ok()["access_token"].as_str().unwrap().to_owned();
    secrets.add(token(client_credentials::ask(world, &[]).await));
    let refused = client_credentials::ask(world, &[("resource", "none")]).await;
    refused.assert_refused(400, "invalid_target");
    let assertion = idp.key.sign(TYPE, &idp.claims(&json!({}))).unwrap();
    secrets.add(token(idp.present(&assertion, &[]).await));
    let again = idp.present(&assertion, &[]).await;
    again.assert_refused(400, "invalid_grant");
    secrets.add(assertion);
    let prover = Prover::new();
    let session = prover.log_in(world, "alice").await;
    let proof = prover.for_call(world, &session.access_token);
    for _ in 0..2 {
        call(world, &session.access_token, &proof).await;
    }
    for secret in [&session.access_token, &session.refresh_token, &proof] {
        secrets.add(secret.clone());
    }
    secrets.add(client_credentials::SECRET);
    let text = log.text();
    for line in ["a user removed a client", "grant issued without a login"] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    secrets.assert_unseen(&text);
    assert!(!text.contains("user@example.com"), "{text}");
}

//! What is told of what was decided: to whoever counts, and to whoever keeps an audit log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use entra_emulator::{Endpoint, Failure, builtin};
use entrada::administration::Selection;
use entrada::audit::{AuditEvent, AuditSink, AuditUnavailable, Decision, Who};
use entrada::oauth::client::ClientId;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::admin_site::{press, sign_in};
use crate::world::World;

/// An audit log that is kept for a test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<AuditEvent>>>, Arc<AtomicBool>);

impl AuditSink for Told {
    fn record(&self, event: AuditEvent) {
        self.0.lock().unwrap().push(event);
    }

    fn ready(&self) -> Result<(), AuditUnavailable> {
        let is_full = self.1.load(Ordering::Relaxed);
        if is_full {
            Err(AuditUnavailable)
        } else {
            Ok(())
        }
    }
}

impl Told {
    /// From now on it says that nothing can be written, or that it can again.
    pub(crate) fn is_full(&self, full: bool) {
        self.1.store(full, Ordering::Relaxed);
    }

    pub(crate) fn take(&self) -> Vec<AuditEvent> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Each event in a line: what, whether, and whose.
    fn lines(&self) -> Vec<String> {
        let line = |event: &AuditEvent| {
            let decision = match &event.decision {
                Decision::Denied { code, .. } => code.as_str(),
                Decision::Allowed | _ => "allowed",
            };
            let object_id = event.who.as_ref().and_then(|who| who.object_id.clone());
            let whose = match object_id {
                Some(id) if id == builtin::ALICE_OID => " alice",
                Some(_) => " another",
                None => "",
            };
            format!("{} {decision}{whose}", event.act.as_str())
        };
        self.take().iter().map(line).collect()
    }
}

/// What counts for a test.
pub(crate) fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// The value of a series, by its name and labels as they are written.
#[track_caller]
fn value(rendered: &str, series: &str) -> u64 {
    let found = rendered.lines().find_map(|line| line.strip_prefix(series));
    let found = found.and_then(|value| value.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{series}:\n{rendered}"))
}

#[tokio::test]
async fn a_session_is_told_of_from_registration_to_revocation() {
    let told = Told::default();
    let world = World::with(|config| config.audit(Arc::new(told.clone()))).await;
    let session = world.log_in("alice").await;
    let expected = [
        "registration allowed",
        "consent allowed",
        "login allowed alice",
        "code allowed alice",
    ];
    assert_eq!(told.lines(), expected);
    let next = session.refreshed().await;
    next.client.revoke(&next.refresh_token).await;
    next.refresh().await.assert_refused(400, "invalid_grant");
    let expected = [
        "refresh allowed alice",
        "revocation allowed alice",
        "refresh invalid_grant",
    ];
    assert_eq!(told.lines(), expected);
}

#[tokio::test]
async fn an_event_says_who_with_what_and_from_where() {
    let told = Told::default();
    let world = World::with(|config| config.audit(Arc::new(told.clone()))).await;
    let session = world.log_in("alice").await;
    let events = told.take();
    let [_, _, login, code] = &events[..] else {
        panic!("{events:?}");
    };
    for event in [login, code] {
        let who = event.who.as_ref().unwrap();
        assert_eq!(who.tenant_id, builtin::TENANT_ID);
        assert_eq!(who.username.as_deref(), Some(builtin::ALICE));
        let client_id = event.client_id.as_ref().unwrap().as_str();
        assert_eq!(client_id, session.client.id);
        assert!(event.unverified_client_name.is_some());
        assert_eq!(event.correlation_id.len(), 16);
    }
    assert_eq!(login.grant, code.grant);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let asked = (http::Method::POST, "/token");
    world.ask_from("203.0.113.5", asked, &form, "").await;
    let address = told.take()[0].address.unwrap();
    assert_eq!(address.to_string(), "203.0.113.5");
}

#[tokio::test]
async fn what_was_refused_is_told_of_with_its_reason() {
    let told = Told::default();
    let world = World::with(|config| config.audit(Arc::new(told.clone()))).await;
    let client = world.client().await;
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    browser.submit(&consent, &[("answer", "deny")]).await.left();
    world.entra.disable_user(builtin::BOB);
    let code = client.code(&mut browser, "alice").await;
    client.redeem(&code).await.ok();
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
    let expected = [
        "registration allowed",
        "consent access_denied",
        "consent allowed",
        "login allowed alice",
        "code allowed alice",
        "replayed_code allowed",
        "code invalid_grant",
    ];
    assert_eq!(told.lines(), expected);
    world.entra.fail_next(Endpoint::Token, 1, Failure::Drop);
    client.authorize(&mut world.browser(), "alice").await;
    let events = told.take();
    let last = events.last().unwrap();
    let Decision::Denied { code, reason } = &last.decision else {
        panic!("{last:?}");
    };
    assert_eq!(code.as_str(), "temporarily_unavailable");
    assert!(
        reason.starts_with("the login could not be completed: "),
        "{reason}"
    );
}

#[tokio::test]
async fn the_funnel_is_counted_step_by_step() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let world = World::new().await;
    let session = world.log_in("alice").await;
    session.call_tool().await.ok();
    session.call_tool().await.ok();
    session.refreshed().await;
    session.client.call(http::Method::POST, &[]).await;
    let text = recorder.handle().render();
    for (series, expected) in [
        (r#"entrada_registrations_total{outcome="ok"}"#, 1),
        (r#"entrada_authorizations_total{outcome="ok"}"#, 1),
        (r#"entrada_consents_total{answer="asked"}"#, 1),
        (r#"entrada_consents_total{answer="given"}"#, 1),
        (r#"entrada_logins_total{outcome="ok",aadsts="none"}"#, 1),
        (
            r#"entrada_token_requests_total{grant_type="authorization_code",outcome="ok"}"#,
            1,
        ),
        (
            r#"entrada_token_requests_total{grant_type="refresh_token",outcome="ok"}"#,
            1,
        ),
        (r#"entrada_guard_admitted_total{verdict="verified"}"#, 1),
        (r#"entrada_guard_admitted_total{verdict="recalled"}"#, 1),
        (
            r#"entrada_guard_refusals_total{reason="no_credentials"}"#,
            1,
        ),
        (
            r#"entrada_entra_requests_total{kind="code",outcome="ok"}"#,
            1,
        ),
        (
            r#"entrada_entra_request_duration_seconds_count{kind="code"}"#,
            1,
        ),
        (
            r#"entrada_store_operations_total{verb="put_new",outcome="ok"}"#,
            2,
        ),
    ] {
        assert_eq!(value(&text, series), expected, "{series}:\n{text}");
    }
}

#[tokio::test]
async fn nothing_a_stranger_chooses_becomes_a_label() {
    let recorder = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let world = World::new().await;
    let once = |number: u32| {
        let world = &world;
        async move {
            let name = format!("stranger{number}");
            let client = world.client().await;
            let form = [("grant_type", name.as_str()), ("client_id", &name)];
            client.token(&form).await;
            let url = client.authorize_url(&[("scope", &name), ("client_id", &name)]);
            world.browser().get(&url).await;
            client
                .call(http::Method::POST, &[("authorization", &name)])
                .await;
            let mut browser = world.browser();
            browser.stop_before = Some("/auth/callback");
            let consent = client.ask(&mut browser).await;
            let mut back = browser.approve(&consent, "alice").await.left();
            let state = crate::client::parameter(&back, "state").unwrap();
            let description = format!("AADSTS{}", 9_000 + number);
            let forged = [
                ("state", state.as_str()),
                ("error", &name),
                ("error_description", &description),
            ];
            back.query_pairs_mut().clear().extend_pairs(forged);
            browser.stop_before = None;
            browser.get(back.as_str()).await;
        }
    };
    once(0).await;
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let first = series(&recorder.handle().render());
    for number in 1..20 {
        once(number).await;
    }
    let text = recorder.handle().render();
    assert_eq!(series(&text), first, "{text}");
    assert!(!text.contains("stranger"), "{text}");
}

#[tokio::test]
async fn what_operators_do_is_told_with_who_and_what_it_was_about() {
    let told = Told::default();
    let world = World::with(|config| config.audit(Arc::new(told.clone()))).await;
    let world = world.administered();
    let session = world.log_in("bob").await;
    let mut browser = world.browser();
    let page = sign_in(&mut browser, "alice").await;
    told.take();
    let confirm = press(&mut browser, &page, "All of this user").await;
    assert_eq!(told.lines(), Vec::<String>::new());
    press(&mut browser, &confirm, "Yes").await;
    let events = told.take();
    let [ended] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(ended.act.as_str(), "grants_ended");
    assert_eq!(ended.decision, Decision::Allowed);
    let who = ended.who.as_ref().unwrap();
    assert_eq!(who.object_id.as_deref(), Some(builtin::ALICE_OID));
    assert_eq!(who.tenant_id, builtin::TENANT_ID);
    let bob = format!("user {}@{}", builtin::BOB_OID, builtin::TENANT_ID);
    assert_eq!(ended.object, Some(bob));
    session.refresh().await.assert_refused(400, "invalid_grant");

    // A library that embeds it says whose acts they are.
    let administration = world.provider.administration();
    let id = ClientId::parse(&session.client.id).unwrap();
    told.take();
    let silent = administration.revoke(&Selection::All, drop).await;
    silent.unwrap();
    assert_eq!(told.lines(), Vec::<String>::new());
    let known = administration.by(Who::named("night shift"));
    known.remove_client(&id, drop).await.unwrap();
    known.remove_client(&id, drop).await.unwrap_err();
    known.rotate_keys().await.unwrap();
    let lines = told.lines();
    assert_eq!(
        lines,
        [
            "client_removed allowed",
            "client_removed server_error",
            "keys_rotated allowed"
        ]
    );
}

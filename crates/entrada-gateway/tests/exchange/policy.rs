//! Clients that come back for the scopes of a rule.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use entra_emulator::builtin;
use entrada::policy::Requirement;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::gateway::gateway;
use entrada_gateway::policy::{Decision, Outcome, Pattern, Policy, Rule};
use entrada_gateway::route::Routes;
use http::{Request, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::browser::Browser;
use crate::client::{Answer, Client, Session, parameter};
use crate::world::{RESOURCE, World};

fn rule(place: &str, tool: &str, requirement: Requirement) -> Rule {
    let mut rule = Rule::new(place);
    rule.tools = vec![Pattern::parse(tool).unwrap()];
    rule.requirement = requirement;
    rule
}

/// A gateway before a server that says `done`, under rules.
struct Stage {
    world: World,
    app: Router,
    _serving: JoinSet<()>,
}

impl Stage {
    async fn new() -> Self {
        let optional = ["mcp.write", "mcp.access"];
        let world = World::with(|config| config.optional_scopes(optional)).await;
        let mut policy = Policy::default();
        policy.rules = vec![
            rule("rules:1", "look", Requirement::nothing()),
            rule("rules:2", "*_order", Requirement::scopes(["mcp.write"])),
            rule("rules:3", "delete_*", Requirement::scopes(["mcp.access"])),
            rule("rules:4", "audit", Requirement::roles(["Auditor"])),
        ];
        let mut serving = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let server = Router::new().fallback(any(async || "done"));
        serving.spawn(async move { axum::serve(listener, server).await.unwrap() });
        let mut settings = UpstreamSettings::new(url.parse().unwrap());
        settings.policy = policy;
        let routes = Routes::new(&world.provider, &[settings]).unwrap();
        let app = gateway(&world.provider, &routes);
        Self {
            world,
            app,
            _serving: serving,
        }
    }

    async fn send(&self, session: &Session, tools: &[&str]) -> Response<Body> {
        let calls = tools.iter().map(|name| {
            json!({ "id": 1, "method": "tools/call", "params": { "name": name } }).to_string()
        });
        let calls: Vec<String> = calls.collect();
        let body = match &*calls {
            [only] => only.clone(),
            many => format!("[{}]", many.join(",")),
        };
        let request = Request::post(RESOURCE)
            .header("authorization", format!("Bearer {}", session.access_token))
            .header("content-type", "application/json");
        let answer = self
            .app
            .clone()
            .oneshot(request.body(Body::from(body)).unwrap());
        answer.await.unwrap_or_else(|never| match never {})
    }

    async fn call(&self, session: &Session, tools: &[&str]) -> Answer {
        Answer::read(self.send(session, tools).await).await
    }
}

/// Signs alice in with the scopes asked for.
async fn log_in(client: &Client, browser: &mut Browser, scope: &str) -> Session {
    let url = client.authorize_url(&[("scope", scope)]);
    let consent = browser.get(&url).await.page();
    let location = browser.approve(&consent, "alice").await.left();
    let code = parameter(&location, "code").unwrap();
    client.session(client.redeem(&code).await.ok())
}

fn challenged(answer: &Answer) -> String {
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer error=\"insufficient_scope\""),
        "{challenge}"
    );
    assert!(
        challenge.contains("resource_metadata=\"https://"),
        "{challenge}"
    );
    let told = challenge.split("scope=\"").nth(1).unwrap();
    told.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn one_step_up_is_enough_for_all_that_a_message_calls() {
    let stage = Stage::new().await;
    let (client, mut browser) = (stage.world.client().await, stage.world.browser());
    let session = log_in(&client, &mut browser, "").await;
    assert_eq!(stage.call(&session, &["look"]).await.text, "done");

    // One tool under two rules, and a batch that needs both: each is told all at once.
    for tools in [&["delete_order"][..], &["look", "new_order", "delete_all"]] {
        let refused = stage.call(&session, tools).await;
        refused.assert_refused(403, "insufficient_scope");
        assert_eq!(
            challenged(&refused),
            "mcp.read mcp.write mcp.access",
            "{tools:?}"
        );
    }
    let refused = stage.call(&session, &["new_order"]).await;
    let told = challenged(&refused);
    assert_eq!(told, "mcp.read mcp.write");

    let session = log_in(&client, &mut browser, &told).await;
    let asked = stage.world.entra.last_authorize_query().unwrap();
    let asked = &asked.iter().find(|(name, _)| name == "scope").unwrap().1;
    let spelled = format!("{}/mcp.write", builtin::IDENTIFIER_URI);
    assert!(asked.split(' ').any(|scope| scope == spelled), "{asked}");
    assert_eq!(stage.call(&session, &["new_order"]).await.text, "done");

    // The next step keeps what the last one got.
    let refused = stage.call(&session, &["delete_order"]).await;
    let session = log_in(&client, &mut browser, &challenged(&refused)).await;
    assert_eq!(stage.call(&session, &["delete_order"]).await.text, "done");
    let session = session.refreshed().await;
    assert_eq!(
        stage.call(&session, &["look", "delete_order"]).await.text,
        "done"
    );
}

#[tokio::test]
async fn no_scope_is_told_where_none_helps() {
    let stage = Stage::new().await;
    let (client, mut browser) = (stage.world.client().await, stage.world.browser());
    let session = log_in(&client, &mut browser, "").await;
    for tools in [
        &["audit"][..],
        &["new_order", "audit"],
        &["unknown"],
        &["new_order", "unknown"],
    ] {
        let refused = stage.call(&session, tools).await;
        refused.assert_refused(403, "access_denied");
        assert_eq!(refused.header("www-authenticate"), None, "{tools:?}");
        assert!(!refused.text.contains("Auditor"), "{}", refused.text);
    }
}

#[tokio::test]
async fn what_was_decided_goes_with_the_answer() {
    let stage = Stage::new().await;
    let (client, mut browser) = (stage.world.client().await, stage.world.browser());
    let session = log_in(&client, &mut browser, "").await;
    // The guard writes the challenge, and leaves the decision in its place.
    let answer = stage.send(&session, &["look", "delete_order"]).await;
    let decision = answer.extensions().get::<Decision>().unwrap();
    assert!(matches!(decision.outcome, Outcome::InsufficientScope(_)));
    assert_eq!(
        (decision.rule.as_deref(), decision.at),
        (Some("rules:2"), Some(1))
    );
    assert_eq!(decision.called.len(), 2);
    for (tool, rule) in [
        ("look", Some("rules:1")),
        ("audit", Some("rules:4")),
        ("unknown", None),
    ] {
        let answer = stage.send(&session, &[tool]).await;
        let decision = answer.extensions().get::<Decision>().unwrap();
        assert_eq!(decision.rule.as_deref(), rule, "{tool}");
    }
}

//! Callers with our own tokens.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use entra_emulator::{Endpoint, Failure, GrantRefusal, GrantType, builtin};
use http::Response;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Session;
use crate::rpc::message;
use crate::server::{MODES, Mode, bare, server, service, text};
use crate::world::World;

const MINUTE: Duration = Duration::from_secs(61);

struct Stage {
    world: World,
    app: Router,
    browser: Browser,
    session: Session,
    mode: Mode,
}

impl Stage {
    /// Alice is signed in at a server that answers in `mode`.
    async fn new(mode: Mode) -> Self {
        let world = World::new().await;
        let app = world.provider.protect(service(mode));
        Self::at(world, app, mode).await
    }

    async fn at(world: World, app: Router, mode: Mode) -> Self {
        let mut browser = world.browser();
        let session = world.client().await.log_in(&mut browser, "alice").await;
        Self {
            world,
            app,
            browser,
            session,
            mode,
        }
    }

    async fn call(&self, tool: &str) -> Response<Body> {
        self.mode
            .call(&self.app, &self.session.access_token, tool)
            .await
    }

    /// The JSON-RPC message a call is answered with.
    async fn answer(&self, tool: &str) -> Value {
        let answer = self.call(tool).await;
        assert_eq!(answer.status(), 200);
        message(answer).await
    }

    fn demand_second_factor(&self) {
        let refusal = GrantRefusal::MfaRequired;
        self.world.entra.refuse_obo(builtin::ALICE, refusal);
    }
}

#[track_caller]
fn challenge(answer: &Response<Body>) -> &str {
    assert_eq!(answer.status(), 401);
    answer.headers()["www-authenticate"].to_str().unwrap()
}

/// The page that an error sends a person to.
#[track_caller]
fn page(answer: &Value) -> String {
    let error = &answer["error"];
    assert_eq!(error["code"], -32042, "{answer}");
    let elicitation = &error["data"]["elicitations"][0];
    assert_eq!(elicitation["mode"], "url");
    assert_eq!(elicitation["elicitationId"].as_str().unwrap().len(), 22);
    let url = elicitation["url"].as_str().unwrap().to_owned();
    assert!(
        error["message"].as_str().unwrap().contains(&url),
        "{answer}"
    );
    url
}

#[tokio::test]
async fn a_tool_gets_a_token_for_its_caller() {
    for mode in MODES {
        let stage = Stage::new(mode).await;
        for tool in ["declared", "asked", "late"] {
            let answer = stage.answer(tool).await;
            assert_eq!(text(&answer), builtin::ALICE_OID, "{mode:?} {tool}");
        }
        let exchanges = Endpoint::TokenGrant(GrantType::OnBehalfOf);
        assert_eq!(stage.world.entra.calls(exchanges), 1);
    }
}

#[tokio::test]
async fn a_client_is_sent_to_fetch_its_user_and_the_same_call_works() {
    for mode in MODES {
        let mut stage = Stage::new(mode).await;
        stage.demand_second_factor();
        for tool in ["declared", "asked"] {
            let answer = stage.call(tool).await;
            let challenge = challenge(&answer);
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            let body = message(answer).await;
            assert!(body["error_uri"].is_string(), "{body}");
        }
        let client = &stage.session.client;
        stage.session = client.log_in(&mut stage.browser, "alice").await;
        let answer = stage.answer("declared").await;
        assert_eq!(text(&answer), builtin::ALICE_OID, "{mode:?}");
    }
}

#[tokio::test]
async fn a_client_that_knows_nothing_of_challenges_gets_a_page_for_its_user() {
    for mode in MODES {
        let mut stage = Stage::new(mode).await;
        stage.demand_second_factor();
        challenge(&stage.call("declared").await);
        stage.world.advance(MINUTE);
        let link = page(&stage.answer("declared").await);
        let asked = stage.browser.get(&link).await.page();
        let there = stage.browser.submit(&asked, &[]).await;
        let back = stage.browser.sign_in(there, "alice").await.page();
        assert_eq!(back.status, 200, "{}", back.html);
        // With the token of before.
        let answer = stage.answer("declared").await;
        assert_eq!(text(&answer), builtin::ALICE_OID, "{mode:?}");
    }
}

#[tokio::test]
async fn a_tool_that_has_begun_to_answer_ends_with_the_page() {
    for mode in MODES {
        let stage = Stage::new(mode).await;
        stage.demand_second_factor();
        page(&stage.answer("late").await);
    }
}

#[tokio::test]
async fn without_the_layer_there_is_the_page_alone() {
    for mode in MODES {
        let world = World::new().await;
        let app = world.provider.protect(bare(mode));
        let stage = Stage::at(world, app, mode).await;
        stage.demand_second_factor();
        page(&stage.answer("declared").await);
    }
}

#[tokio::test]
async fn one_call_says_nothing_to_another() {
    for mode in MODES {
        let stage = Stage::new(mode).await;
        let bob = stage.world.log_in("bob").await;
        stage.demand_second_factor();
        let (refused, served) = tokio::join!(
            stage.call("declared"),
            mode.call(&stage.app, &bob.access_token, "declared"),
        );
        challenge(&refused);
        assert_eq!(text(&message(served).await), builtin::BOB_OID);
    }
}

#[tokio::test]
async fn what_an_administrator_must_allow_comes_with_a_page_for_one() {
    for mode in MODES {
        let stage = Stage::new(mode).await;
        let answer = stage.call("ambitious").await;
        assert_eq!(answer.status(), 403, "{mode:?}");
        let body = message(answer).await;
        let page = body["error_uri"].as_str().unwrap();
        assert!(page.contains("/v2.0/adminconsent?client_id="), "{page}");
    }
    let world = World::new().await;
    let app = world.provider.protect(bare(Mode::Json));
    let stage = Stage::at(world, app, Mode::Json).await;
    let error = stage.answer("ambitious").await["error"].clone();
    assert_eq!(error["data"]["error"], "access_denied", "{error}");
    let page = error["data"]["error_uri"].as_str().unwrap();
    assert!(
        error["message"].as_str().unwrap().ends_with(page),
        "{error}"
    );
}

#[tokio::test]
async fn passing_trouble_says_when_to_try_again_and_no_more() {
    let exchanges = Endpoint::TokenGrant(GrantType::OnBehalfOf);
    for mode in MODES {
        let stage = Stage::new(mode).await;
        let throttle = Failure::Throttle { retry_after: 17 };
        stage.world.entra.fail_next(exchanges, 1, throttle);
        let answer = stage.answer("declared").await;
        let error = json!({
            "code": -32603,
            "message": "a service behind this is not available: try again in 17 seconds",
            "data": { "error": "temporarily_unavailable", "retry_after": 17 },
        });
        assert_eq!(answer["error"], error, "{mode:?}");
        stage.world.advance(Duration::from_secs(17));
        let answer = stage.answer("declared").await;
        assert_eq!(text(&answer), builtin::ALICE_OID, "{mode:?}");
    }
}

#[tokio::test]
async fn a_mistake_of_ours_is_nobodys_business() {
    let stage = Stage::new(Mode::Stream).await;
    let wrong = Failure::Error {
        aadsts: 7_000_215,
        error: "invalid_client".to_owned(),
        suberror: None,
        claims: None,
    };
    let exchanges = Endpoint::TokenGrant(GrantType::OnBehalfOf);
    stage.world.entra.fail_next(exchanges, 1, wrong);
    let answer = stage.answer("declared").await;
    let error = json!({ "code": -32603, "message": "internal error" });
    assert_eq!(answer["error"], error);
}

#[test]
fn nothing_of_it_is_in_a_schema() {
    for tool in server().tool_router.list_all() {
        let schema = serde_json::to_value(&tool.input_schema).unwrap();
        let properties = schema["properties"].as_object();
        assert!(properties.is_none_or(serde_json::Map::is_empty), "{schema}");
    }
}

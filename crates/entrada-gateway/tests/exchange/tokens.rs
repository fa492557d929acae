//! Which token the server gets.

use entra_emulator::{Endpoint, GrantType, builtin};
use entrada_gateway::upstream::exchange::Exchange;
use http::Method;
use serde_json::json;

use crate::mcp_server::claims_of;
use crate::stage::{Stage, USER_READ, header};
use crate::world::World;

const EXCHANGE: Endpoint = Endpoint::TokenGrant(GrantType::OnBehalfOf);

fn exchange(scope: &str) -> Exchange {
    Exchange::new(scope).unwrap()
}

#[tokio::test]
async fn the_server_gets_a_token_for_itself_and_never_the_callers() {
    let scope = format!("{}/.default", builtin::DOWNSTREAM_IDENTIFIER_URI);
    let stage = Stage::new(exchange(&scope)).await;
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let answer = stage.send(method.clone(), &[]).await;
        let sent = header(&answer, "authorization");
        let token = sent.strip_prefix("Bearer ").unwrap();
        assert_ne!(token, stage.session.access_token);
        let claims = claims_of(token);
        assert_eq!(claims["oid"], json!(builtin::ALICE_OID), "{method}");
        assert_eq!(claims["scp"], json!("data.read"), "{method}");
        assert!(!answer.text.contains(&stage.session.access_token));
    }
    assert_eq!(stage.world.entra.calls(EXCHANGE), 1);
}

#[tokio::test]
async fn a_header_of_its_own_is_the_gateways_alone() {
    let name = Exchange::parse_header("X-Graph-Token").unwrap();
    let stage = Stage::new(exchange(USER_READ).header(name)).await;
    let forged = [("x-graph-token", "forged"), ("X-Graph-Token", "twice")];
    let answer = stage.send(Method::POST, &forged).await;
    let claims = claims_of(&header(&answer, "x-graph-token"));
    assert_eq!(claims["oid"], json!(builtin::ALICE_OID));
    assert!(answer.json["authorization"].is_null(), "{}", answer.text);
    let told = claims_of(&header(&answer, "x-entrada-assertion"));
    assert_eq!(told["oid"], json!(builtin::ALICE_OID));
}

#[tokio::test]
async fn without_an_exchange_there_is_no_token_at_all() {
    let stage = Stage::on(World::new().await, None).await;
    let answer = stage.post().await;
    assert!(answer.json["authorization"].is_null(), "{}", answer.text);
    assert_eq!(stage.world.entra.calls(EXCHANGE), 0);
}

#[tokio::test]
async fn a_hundred_calls_are_one_exchange() {
    let stage = Stage::new(exchange(USER_READ)).await;
    for _ in 0..100 {
        assert_eq!(stage.post().await.status, 200);
    }
    assert_eq!(stage.world.entra.calls(EXCHANGE), 1);
}

//! A person signs in, and a client calls a tool.

use entra_emulator::builtin;
use serde_json::json;

use crate::client::parameter;
use crate::world::{BASE_URL, World};

#[tokio::test]
async fn a_client_registers_logs_a_person_in_and_calls_a_tool() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    assert_eq!(session.tokens["token_type"], json!("Bearer"));
    assert_eq!(session.tokens["scope"], json!("mcp.read"));
    assert_eq!(session.tokens["expires_in"], json!(3600));
    let answer = session.call_tool().await.ok();
    assert_eq!(answer["oid"], json!(builtin::ALICE_OID));
    assert_eq!(answer["tid"], json!(builtin::TENANT_ID));
    assert_eq!(answer["preferred_username"], json!(builtin::ALICE));
    assert_eq!(answer["client_id"], json!(session.client.id));
}

#[tokio::test]
async fn the_answer_carries_state_and_issuer() {
    let world = World::new().await;
    let client = world.client().await;
    let location = client.authorize(&mut world.browser(), "alice").await;
    assert_eq!(location.host_str(), Some("client.example"));
    assert_eq!(parameter(&location, "state").as_deref(), Some("a+b c&d"));
    assert_eq!(parameter(&location, "iss").as_deref(), Some(BASE_URL));
    assert_eq!(location.query_pairs().count(), 3);
}

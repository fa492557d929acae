//! Several servers behind one gateway, and applications among the callers.

use entra_emulator::{Endpoint, GrantType, TokenOrder, builtin};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::provider::ProtectedResource;
use entrada::{AzureJwtConfig, AzureJwtVerifier};
use entrada_gateway::upstream::exchange::Exchange;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::mcp_server::claims_of;
use crate::stage::{Stage, USER_READ, header};
use crate::world::{BASE_URL, World};

const ORDERS: &str = "/mcp/orders";
const GRAPH: &str = "/mcp/graph";

/// A world with a protected server at each of these paths.
async fn three() -> World {
    let at = |path: &str| ProtectedResource::new(format!("{BASE_URL}{path}"));
    World::with(|config| config.resource(at(GRAPH)).resource(at(ORDERS))).await
}

fn graph() -> Exchange {
    Exchange::new(USER_READ).unwrap()
}

fn orders() -> Exchange {
    let scope = format!("{}/.default", builtin::DOWNSTREAM_IDENTIFIER_URI);
    let name = Exchange::parse_header("X-Orders-Token").unwrap();
    Exchange::new(scope).unwrap().header(name)
}

/// What the token says that reached the server as `Authorization`.
fn bearer(answer: &Answer) -> Value {
    let value = header(answer, "authorization");
    claims_of(value.strip_prefix("Bearer ").unwrap())
}

#[tokio::test]
async fn each_server_gets_a_token_for_itself() {
    let routes = [
        ("/mcp", None),
        (GRAPH, Some(graph())),
        (ORDERS, Some(orders())),
    ];
    let stage = Stage::with_routes(three().await, routes).await;

    let token = &stage.session.access_token;
    let plain = stage.call("/mcp/anything", token).await;
    assert_eq!(header(&plain, ":path"), "/mcp/anything");
    assert!(plain.json["authorization"].is_null(), "{}", plain.text);
    assert!(plain.json["x-orders-token"].is_null(), "{}", plain.text);

    let token = &stage.token_for(GRAPH).await;
    let graph = stage.call("/mcp/graph/x", token).await;
    assert_eq!(header(&graph, ":path"), "/mcp/graph/x");
    assert_eq!(bearer(&graph)["aud"], json!("https://graph.microsoft.com"));
    assert!(graph.json["x-orders-token"].is_null(), "{}", graph.text);

    let token = &stage.token_for(ORDERS).await;
    let orders = stage.call(ORDERS, token).await;
    assert_eq!(header(&orders, ":path"), ORDERS);
    let claims = claims_of(&header(&orders, "x-orders-token"));
    assert_eq!(claims["scp"], json!("data.read"));
    assert_eq!(claims["oid"], json!(builtin::ALICE_OID));
    assert!(orders.json["authorization"].is_null(), "{}", orders.text);
}

#[tokio::test]
async fn a_token_for_one_server_is_refused_by_the_others() {
    let routes = [("/mcp", None), (GRAPH, Some(graph())), (ORDERS, None)];
    let stage = Stage::with_routes(three().await, routes).await;
    for own in ["/mcp", GRAPH, ORDERS] {
        let token = stage.token_for(own).await;
        for path in ["/mcp", "/mcp/x", GRAPH, "/mcp/graph/x", ORDERS] {
            let at = if path == "/mcp/x" { "/mcp" } else { path };
            let answer = stage.call(path, &token).await;
            if at.starts_with(own) && (own != "/mcp" || at == own) {
                assert_eq!(answer.status, 200, "{own} {path}");
            } else {
                answer.assert_unauthorized("invalid_token");
            }
        }
        // However it is spelled, it is the other server's guard that looks.
        for path in ["/mcp/%67raph", "/mcp//graph", "/mcp/x/../graph"] {
            let answer = stage.call(path, &token).await;
            let through = answer.status == 200 && own == "/mcp";
            assert!(
                through || answer.status == 401 || answer.status == 403,
                "{own} {path}"
            );
        }
    }
    let exchange = Endpoint::TokenGrant(GrantType::OnBehalfOf);
    assert_eq!(stage.world.entra.calls(exchange), 1);
}

#[tokio::test]
async fn a_path_of_no_server_leads_nowhere() {
    let stage = Stage::with_routes(three().await, [("/mcp", None)]).await;
    let token = stage.token_for(GRAPH).await;
    for path in ["/other", "/mcps", GRAPH] {
        let answer = stage.call(path, &token).await;
        assert!([401, 404].contains(&answer.status.as_u16()), "{path}");
    }
}

/// A gateway that applications may call, before a server with `exchange`; and such a call.
async fn called_by_an_application(exchange: Option<Exchange>) -> (Stage, Answer) {
    let world = World::new().await;
    let applications = AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID)
        .authority_host("login.emulator.test")
        .client_secret(builtin::CLIENT_SECRET)
        .app_only(AppOnlyTokens::Require)
        .allowed_clients([builtin::DAEMON_CLIENT_ID]);
    let verifier = AzureJwtVerifier::new(applications, world.platform()).unwrap();
    let world = world.replica_with(|config| config.also_accept(verifier));
    let stage = Stage::on(world, exchange).await;
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let token = stage.world.entra.mint(&order);
    let answer = stage.call("/mcp", &token).await;
    assert!(!answer.text.contains(&token));
    (stage, answer)
}

#[tokio::test]
async fn an_application_is_spoken_for_by_ours_where_the_operator_says_so() {
    let (stage, answer) = called_by_an_application(Some(graph().allow_app_only_fallback())).await;
    let claims = bearer(&answer);
    assert_eq!(claims["appid"], json!(builtin::CLIENT_ID));
    assert_eq!(claims["idtyp"], json!("app"));
    let told = claims_of(&header(&answer, "x-entrada-assertion"));
    assert_eq!(told["client_id"], json!(builtin::DAEMON_CLIENT_ID));
    assert_eq!(told["idtyp"], json!("app"));
    // A user beside it is never answered with what the app may do.
    let user = bearer(&stage.post().await);
    assert_eq!(user["oid"], json!(builtin::ALICE_OID));
    assert_eq!(user["idtyp"], json!("user"));
    let own = Endpoint::TokenGrant(GrantType::ClientCredentials);
    assert_eq!(stage.world.entra.calls(own), 1);
}

#[tokio::test]
async fn an_application_is_not_spoken_for_unless_the_operator_says_so() {
    let (stage, answer) = called_by_an_application(Some(graph())).await;
    answer.assert_refused(403, "access_denied");
    let own = Endpoint::TokenGrant(GrantType::ClientCredentials);
    assert_eq!(stage.world.entra.calls(own), 0);
    let (_, answer) = called_by_an_application(None).await;
    assert_eq!(answer.status, 200);
}

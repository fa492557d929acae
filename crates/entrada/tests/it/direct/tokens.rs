//! Every kind of token Entra issues, and some that it does not: each judged by the verifier, and
//! sent to the guard over HTTP.

use entra_emulator::TokenOrder;
use entrada::AzureJwtConfig;

use super::world::Direct;

/// Rows of a table: what is special about a token, its order, and what becomes of it.
macro_rules! rows {
    ($($name:literal: $order:expr => $expected:expr;)*) => {
        vec![$(super::row($name, $order, $expected)),*]
    };
}

mod applications;
mod directories;
mod facts;
mod forged;
mod tenants;
mod users;

/// A token, and what becomes of it: how the reason begins, or nothing for one that is let in.
struct Row {
    name: &'static str,
    order: TokenOrder,
    expected: &'static str,
}

fn row(name: &'static str, order: TokenOrder, expected: &'static str) -> Row {
    Row {
        name,
        order,
        expected,
    }
}

const GOOD: &str = "";
const CLAIMS: &str = "the token's claims are not understood";
const SIGNATURE: &str = "the token's signature does not hold";
const UNKNOWN_KEY: &str = "the token's key is unknown";
const ALGORITHM: &str = "the token's algorithm is not allowed";
const KIND: &str = "the token is of another kind";
const EXPIRED: &str = "the token has expired";
const EARLY: &str = "the token is not valid yet";
const ISSUER_V1: &str = "the token is from another issuer: expected https://sts.windows.net/";
const ISSUER: &str = "the token is from another issuer: expected https://login.emulator.test/";
const KEY_ISSUER: &str =
    "the token's key signs for another issuer: expected https://login.emulator";
const TENANT: &str = "the token is of another tenant: expected ";
const AUDIENCE: &str = "the token is for another audience: expected 30000000-";
const VERSION: &str = "the token is of another version: expected ";
const FLOW: &str = "the token is of another user flow: expected B2C_1";
const ID_TOKEN: &str = "this is an ID token";
const GRAPH: &str = "this is a token for Microsoft Graph";
const BOUND: &str = "the token is bound to a key (cnf)";
const SCOPE: &str = "the token does not allow this: it needs the scopes mcp.read";
const NO_APPS: &str = "the token does not allow this: the token is an application's own";
const NO_USERS: &str = "the token does not allow this: the token is a user's";
const ROLE: &str = "the token does not allow this: the caller needs the app roles Reader";
const CLIENT: &str = "the token does not allow this: the client is none of";

/// Judges each token both ways.
async fn judge(config: AzureJwtConfig, rows: Vec<Row>) {
    let world = Direct::new(config);
    for Row {
        name,
        order,
        expected,
    } in rows
    {
        let token = world.entra.mint(&order);
        let verdict = world.verify(&token).await;
        let reason = verdict.as_ref().err().map(ToString::to_string);
        let answer = world.call(&token).await;
        let status = answer.status.as_u16();
        match reason {
            None => assert_eq!((expected, status), (GOOD, 200), "{name}"),
            Some(reason) => {
                let told = !expected.is_empty() && reason.starts_with(expected);
                assert!(told, "{name}: {reason}, not {expected}");
                let challenge = answer.header("www-authenticate");
                match expected {
                    SCOPE => assert!(status == 403 && challenge.is_some(), "{name}"),
                    NO_APPS | NO_USERS | ROLE | CLIENT => {
                        assert!(status == 403 && challenge.is_none(), "{name}");
                    }
                    _ => answer.assert_unauthorized("invalid_token"),
                }
                // What was expected and what came stays with whoever runs the server.
                assert!(!answer.text.contains("expected"), "{name}: {}", answer.text);
            }
        }
    }
}

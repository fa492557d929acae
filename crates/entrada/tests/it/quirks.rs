//! Clients that are not ours to change: what each registers or publishes, and where it then wants its
//! code. One row a client, so that whoever meets another adds one.

use serde_json::{Value, json};

use crate::client::Client;
use crate::world::World;

/// A client as it comes, and redirect URIs it asks with: whether each is its own.
struct Known {
    name: &'static str,
    comes: Comes,
    asks: &'static [(&'static str, bool)],
}

enum Comes {
    /// With this metadata (RFC 7591 §2).
    Registering(Value),
    /// As the document at this URL says.
    Described(&'static str, Value),
}

fn described(url: &'static str, redirect_uris: &[&str]) -> Comes {
    let document = json!({
        "client_id": url,
        "client_name": "The app",
        "redirect_uris": redirect_uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    Comes::Described(url, document)
}

fn described_by_documents() -> Vec<Known> {
    vec![
        Known {
            name: "Claude Code, which takes a port of its own for each login",
            comes: described(
                "https://claude.ai/oauth/claude-code-client-metadata",
                &["http://localhost/callback", "http://127.0.0.1/callback"],
            ),
            asks: &[
                ("http://localhost:54545/callback", true),
                ("http://127.0.0.1:61022/callback", true),
                ("http://localhost:54545/other", false),
                ("http://[::1]:54545/callback", false),
            ],
        },
        Known {
            name: "claude.ai",
            comes: described(
                "https://claude.ai/oauth/mcp-oauth-client-metadata",
                &["https://claude.ai/api/mcp/auth_callback"],
            ),
            asks: &[("https://claude.ai/api/mcp/auth_callback", true)],
        },
        Known {
            name: "ChatGPT, whose document has its own id in it",
            comes: described(
                "https://chatgpt.com/oauth/a1b2/client.json",
                &[
                    "https://chatgpt.com/connector/oauth/a1b2",
                    "https://chatgpt.com/connector_platform_oauth_redirect",
                ],
            ),
            asks: &[
                ("https://chatgpt.com/connector/oauth/a1b2", true),
                (
                    "https://chatgpt.com/connector_platform_oauth_redirect",
                    true,
                ),
                ("https://chatgpt.com/connector/oauth/c3d4", false),
            ],
        },
    ]
}

fn registering() -> Vec<Known> {
    vec![
        Known {
            name: "VS Code, which has a port of its own, or another where that is taken",
            comes: Comes::Registering(json!({
                "client_name": "Visual Studio Code",
                "redirect_uris": [
                    "https://insiders.vscode.dev/redirect",
                    "https://vscode.dev/redirect",
                    "http://127.0.0.1/",
                    "http://127.0.0.1:33418/",
                ],
                "grant_types": [
                    "authorization_code",
                    "refresh_token",
                    "urn:ietf:params:oauth:grant-type:device_code",
                ],
                "response_types": ["code"],
            })),
            asks: &[
                ("http://127.0.0.1:33418/", true),
                ("http://127.0.0.1:52110/", true),
                ("http://127.0.0.1:52110", true),
                ("https://vscode.dev/redirect", true),
                ("https://vscode.dev/redirect/", false),
            ],
        },
        Known {
            name: "Cursor, which registers one list for all of its platforms, as a web app",
            comes: Comes::Registering(json!({
                "client_name": "Cursor",
                "application_type": "web",
                "redirect_uris": [
                    "cursor://anysphere.cursor-mcp/oauth/callback",
                    "https://www.cursor.com/agents/mcp/oauth/callback",
                    "http://localhost:8787/callback",
                ],
                "token_endpoint_auth_method": "none",
            })),
            asks: &[
                ("cursor://anysphere.cursor-mcp/oauth/callback", true),
                ("https://www.cursor.com/agents/mcp/oauth/callback", true),
                ("http://localhost:8787/callback", true),
                ("cursor://anysphere.other/oauth/callback", false),
            ],
        },
        Known {
            name: "Codex, whose path is drawn for each login before it registers",
            comes: Comes::Registering(json!({
                "client_name": "Codex",
                "redirect_uris": ["http://127.0.0.1:41911/callback/9f8e7d"],
                "token_endpoint_auth_method": "none",
            })),
            asks: &[
                ("http://127.0.0.1:41911/callback/9f8e7d", true),
                ("http://127.0.0.1:41911/callback/000000", false),
            ],
        },
        Known {
            name: "Copilot Studio, which wants a secret and gets none",
            comes: Comes::Registering(json!({
                "client_name": "Copilot Studio",
                "redirect_uris": ["https://global.consent.azure-apim.net/redirect/mcp-entrada"],
                "token_endpoint_auth_method": "client_secret_post",
            })),
            asks: &[(
                "https://global.consent.azure-apim.net/redirect/mcp-entrada",
                true,
            )],
        },
    ]
}

/// A client of `world`, as it comes.
async fn arrive(world: &World, comes: Comes) -> Client {
    match comes {
        Comes::Registering(metadata) => {
            let registered = world.register(&metadata).await;
            assert_eq!(registered.status, 201, "{}", registered.text);
            assert!(!registered.text.contains("null"), "{}", registered.text);
            let registered = registered.ok();
            assert!(registered.get("client_secret").is_none());
            Client::registered(world.hosts.clone(), &registered)
        }
        Comes::Described(url, document) => {
            world.web.publish(url, &document);
            let mut named = document;
            named["client_id"] = json!(url);
            Client::registered(world.hosts.clone(), &named)
        }
    }
}

#[tokio::test]
async fn each_client_signs_in_as_it_is() {
    for Known { name, comes, asks } in described_by_documents().into_iter().chain(registering()) {
        let world = World::new().await;
        let client = arrive(&world, comes).await;
        for (redirect_uri, own) in asks {
            let asked = client.authorize_url(&[
                ("redirect_uri", redirect_uri),
                // As several of them do that see `offline_access` among the scopes.
                ("scope", "mcp.read offline_access"),
                ("prompt", "consent"),
            ]);
            let expected = if *own { 200 } else { 400 };
            // Some look at the page before the browser does.
            for _ in 0..2 {
                let answer = world.get(&asked).await;
                assert_eq!(answer.status, expected, "{name}: {redirect_uri}");
                assert_eq!(answer.header("location"), None, "{name}: {redirect_uri}");
            }
        }
    }
}

/// What they fall over in the answer to a registration, or in the metadata.
#[tokio::test]
async fn metadata_has_what_clients_insist_on() {
    let world = World::new().await;
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    assert!(!metadata.text.contains("null"), "{}", metadata.text);
    // Some take their document's URL for an id only where they may be public.
    let methods = metadata.json["token_endpoint_auth_methods_supported"].clone();
    assert!(methods.as_array().unwrap().contains(&json!("none")));
    assert_eq!(
        metadata.json["code_challenge_methods_supported"],
        json!(["S256"])
    );
    // Half a document of OpenID Connect stops several; none does not.
    let absent = world.get("/.well-known/openid-configuration").await;
    assert_eq!(absent.status, 404);
}

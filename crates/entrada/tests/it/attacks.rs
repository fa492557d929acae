//! The attacks of `docs/ATTACKS.md`, carried out. Each test is a line there, and fails when the
//! defence of that line is taken away.

mod admin_site;
mod administration;
mod approvals;
mod codes;
mod consent;
mod direct;
mod documents;
mod dpop;
mod floods;
mod forger;
mod guard;
mod listed;
mod login;
mod offered;
mod on_behalf_of;
mod programs;
mod public_web;
mod redirects;
mod refresh;
mod reload;
mod server;
mod servers;
mod sessions;
mod shared_keys;
mod storage;
mod upstream;

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, header};
use serde_json::{Value, json};

use crate::browser::{Browser, Page};
use crate::client::Client;
use crate::world::World;

/// The host of the server.
pub(crate) const HOST: &str = "mcp.example.com";

/// The path Entra sends browsers back to.
const REDIRECT_PATH: &str = "/auth/callback";

/// Where Entra's answers to the server come from.
const TOKEN_PATH: &str = "/oauth2/v2.0/token";

/// A client of the attacker's, at a host of the attacker's.
async fn evil_client(world: &World) -> Client {
    let metadata = json!({
        "client_name": "Claude Code",
        "redirect_uris": ["https://evil.example/callback"],
    });
    world.client_with(&metadata).await
}

/// The callback's URL for a login that got as far as Entra.
async fn callback_url(client: &Client, browser: &mut Browser, name: &str) -> url::Url {
    let consent = client.ask(browser).await;
    browser.stop_before = Some(REDIRECT_PATH);
    let url = browser.approve(&consent, name).await.left();
    browser.stop_before = None;
    assert_eq!(url.path(), REDIRECT_PATH);
    url
}

/// One request, whose redirect is not followed.
async fn fetch(browser: &mut Browser, method: Method, url: &str) -> Page {
    let url = url.parse().unwrap();
    browser.exchange(&method, &url, "").await.unwrap()
}

/// A request of a browser with headers of the attacker's choice; redirects are not followed.
pub(crate) async fn post_form(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
    fields: &[(String, String)],
) -> crate::client::Answer {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let mut headers = headers.to_vec();
    headers.push(("content-type", "application/x-www-form-urlencoded"));
    world.ask(Method::POST, path, &headers, &body).await
}

/// The fields of a consent page, with the answer `allow`.
pub(crate) fn allowed(page: &Page) -> Vec<(String, String)> {
    let (_, mut fields) = page.form();
    fields.push(("answer".to_owned(), "allow".to_owned()));
    fields
}

#[track_caller]
fn assert_stopped(page: &Page, status: u16) {
    assert_eq!(page.status.as_u16(), status, "{}", page.html);
    assert!(!page.headers.contains_key(header::LOCATION));
    assert!(page.html.contains("<h1>"), "{}", page.html);
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// What Entra's token endpoint answered the server, kept by somebody on the path.
fn overhear(world: &World) -> Arc<Mutex<Vec<Value>>> {
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let keep = Arc::clone(&heard);
    world.intercept(move |path, answer| {
        if path.ends_with(TOKEN_PATH) {
            keep.lock().unwrap().push(answer.clone());
        }
    });
    heard
}

//! Mail.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::calendar::timestamp;
use crate::directory::user::{Message, User};
use crate::emulator::{Call, Shared};
use crate::graph::paging::Page;
use crate::graph::{Parameters, Visit, Whose};

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/graph/v1.0/me/messages", get(own))
        .route("/graph/v1.0/users/{user}/messages", get(anybodys))
}

async fn own(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    mailbox(&visit, Whose::Caller, &query).await
}

async fn anybodys(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(user): Path<String>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> Response {
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    mailbox(&visit, Whose::Named(&user), &query).await
}

async fn mailbox(visit: &Visit<'_>, whose: Whose<'_>, query: &HashMap<String, String>) -> Response {
    let path = match whose {
        Whose::Caller => "me/messages".to_owned(),
        Whose::Named(user) => format!("users/{user}/messages"),
    };
    visit
        .answer(whose, |state, caller, user| {
            caller.require_mail_of(user)?;
            let all: Vec<Value> = user
                .messages
                .iter()
                .enumerate()
                .map(|(n, mail)| selected(message(n, mail, user, visit.call.now), query))
                .collect();
            let context = visit.root(&format!("$metadata#users('{}')/messages", user.oid));
            let page = Page::asked(query, state.graph_page_size.unwrap_or(10));
            Ok(page.of(&all, &context, &visit.root(&path)))
        })
        .await
}

// `id` comes whatever was selected.
fn selected(mut message: Value, query: &HashMap<String, String>) -> Value {
    if let Some(wanted) = query.get("$select").filter(|wanted| !wanted.is_empty())
        && let Some(members) = message.as_object_mut()
    {
        members.retain(|name, _| {
            let mut wanted = wanted.split(',').map(str::trim);
            name == "id" || wanted.any(|wanted| wanted.eq_ignore_ascii_case(name))
        });
    }
    message
}

fn message(n: usize, mail: &Message, user: &User, now: u64) -> Value {
    let address = |address: &str| json!({"emailAddress": {"name": address, "address": address}});
    json!({
        "id": format!("AAMk{n:08}"),
        "subject": mail.subject,
        "bodyPreview": mail.preview,
        "isRead": false,
        "receivedDateTime": timestamp(now.saturating_sub(3600 * (n as u64 + 1))).replace(' ', "T"),
        "from": address(&mail.from),
        "toRecipients": [address(user.email.as_deref().unwrap_or(&user.username))],
    })
}

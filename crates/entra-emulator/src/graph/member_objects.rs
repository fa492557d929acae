//! `getMemberObjects`: the ids of every group somebody is in, of people and of programs.
//!
//! Graph answers all at once. Under a page size of the control's it answers in pages, whose links can
//! be followed with GET and with POST: a client that follows links must get everything.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::{Extension, Router};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::directory::Directory;
use crate::directory::app::App;
use crate::emulator::{Call, Shared};
use crate::graph::access::{Caller, Denied};
use crate::graph::{Visit, Whose, find};

pub(super) fn router() -> Router<Arc<Shared>> {
    use axum::routing::{get, post};
    Router::new()
        .route("/graph/v1.0/me/getMemberObjects", post(own).get(own))
        .route(
            "/graph/v1.0/users/{user}/getMemberObjects",
            post(of_user).get(of_user),
        )
        .route(
            "/graph/v1.0/servicePrincipals/{id}/getMemberObjects",
            get(of_service_principal).post(of_service_principal),
        )
}

type Asked = (Query<HashMap<String, String>>, HeaderMap, String);

async fn own(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    (Query(query), headers, body): Asked,
) -> Response {
    let list = List {
        path: "me/getMemberObjects".to_owned(),
        query: &query,
        body: &body,
    };
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    visit.of_user(Whose::Caller, &list).await
}

async fn of_user(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(user): Path<String>,
    (Query(query), headers, body): Asked,
) -> Response {
    let list = List {
        path: format!("users/{user}/getMemberObjects"),
        query: &query,
        body: &body,
    };
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    visit.of_user(Whose::Named(&user), &list).await
}

async fn of_service_principal(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    (Query(query), headers, body): Asked,
) -> Response {
    let list = List {
        path: format!("servicePrincipals/{id}/getMemberObjects"),
        query: &query,
        body: &body,
    };
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    visit
        .respond(|state, caller| {
            let app = service_principal(&id, caller, &state.directory)?;
            caller.require_any(&["Application.Read.All", "Directory.Read.All"])?;
            let page = list.asked()?;
            Ok(list.page(&visit, &page, &app.all_groups(), state.graph_page_size))
        })
        .await
}

fn service_principal<'d>(
    id: &str,
    caller: &Caller,
    directory: &'d Directory,
) -> Result<&'d App, Denied> {
    let tenant = directory.tenant_by_id(caller.tenant_id());
    let tenant = tenant.ok_or(Denied::InvalidToken("Invalid tenant."))?;
    let mut apps = directory.apps.iter();
    apps.find(|app| app.object_id() == id && directory.is_installed(app, tenant))
        .ok_or_else(|| Denied::NotFound(id.to_owned()))
}

impl Visit<'_> {
    async fn of_user(&self, whose: Whose<'_>, list: &List<'_>) -> Response {
        self.respond(|state, caller| {
            let user = find(whose, caller, state)?;
            caller.require_memberships(user)?;
            let page = list.asked()?;
            let mut ids = user.all_groups();
            if !page.security_only {
                ids.extend(user.directory_roles.iter().cloned());
            }
            Ok(list.page(self, &page, &ids, state.graph_page_size))
        })
        .await
    }
}

/// A list of ids, as it was asked for.
struct List<'a> {
    path: String,
    query: &'a HashMap<String, String>,
    body: &'a str,
}

/// Which part of the list.
#[derive(Debug, Clone, Copy)]
struct Part {
    security_only: bool,
    skip: usize,
}

impl List<'_> {
    // The link to a page says by itself what the first request's body said.
    fn asked(&self) -> Result<Part, Denied> {
        if let Some(token) = self.query.get("$skiptoken") {
            let part = token.split_once('.').and_then(|(which, skip)| {
                Some(Part {
                    security_only: which == "security",
                    skip: skip.parse().ok()?,
                })
            });
            return part.ok_or(Denied::BadRequest("Invalid skip token."));
        }
        let body: Map<String, Value> = serde_json::from_str(self.body)
            .map_err(|_| Denied::BadRequest("Unable to read JSON request payload."))?;
        let security_only = body.get("securityEnabledOnly").and_then(Value::as_bool);
        Ok(Part {
            security_only: security_only.ok_or(Denied::BadRequest(
                "The parameter 'securityEnabledOnly' is required.",
            ))?,
            skip: 0,
        })
    }

    fn page(&self, visit: &Visit<'_>, part: &Part, ids: &[String], size: Option<usize>) -> Value {
        let size = size.unwrap_or(usize::MAX);
        let shown: Vec<&String> = ids.iter().skip(part.skip).take(size).collect();
        let end = part.skip.saturating_add(shown.len());
        let context = visit.root("$metadata#Collection(Edm.String)");
        let mut body = json!({"@odata.context": context, "value": shown});
        if end < ids.len()
            && let Some(members) = body.as_object_mut()
        {
            let which = if part.security_only {
                "security"
            } else {
                "all"
            };
            let url = visit.root(&self.path);
            let next = format!("{url}?$skiptoken={which}.{end}");
            members.insert("@odata.nextLink".to_owned(), Value::from(next));
        }
        body
    }
}

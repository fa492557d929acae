//! A little Microsoft Graph: profile, mail and memberships, for Graph's own tokens only.

mod access;
mod member_objects;
mod messages;
mod paging;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::calendar::timestamp;
use crate::directory::user::User;
use crate::emulator::{Call, Shared};
use crate::faults::Endpoint;
use crate::graph::access::{Caller, Denied};
use crate::graph::paging::Page;
use crate::state::State as EmulatorState;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/graph/v1.0/me", get(me))
        .route("/graph/v1.0/me/transitiveMemberOf", get(own_memberships))
        .route("/graph/v1.0/users/{user}", get(user))
        .route(
            "/graph/v1.0/users/{user}/transitiveMemberOf",
            get(memberships),
        )
        .route("/graph/oidc/userinfo", get(user_info))
        .merge(member_objects::router())
        .merge(messages::router())
}

type Parameters = Query<HashMap<String, String>>;

async fn me(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
) -> Response {
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    let answer = |_: &EmulatorState, caller: &Caller, user: &User| {
        caller.require_any(&["User.Read", "User.Read.All", "Directory.Read.All"])?;
        Ok(profile(user, &visit.root("$metadata#users/$entity")))
    };
    visit.answer(Whose::Caller, answer).await
}

async fn user(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Response {
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    let answer = |_: &EmulatorState, caller: &Caller, user: &User| {
        caller.require_about(
            user,
            &["User.Read"],
            &["User.Read.All", "Directory.Read.All"],
        )?;
        Ok(profile(user, &visit.root("$metadata#users/$entity")))
    };
    visit.answer(Whose::Named(&user), answer).await
}

async fn own_memberships(
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
    let list = Memberships {
        visit: &visit,
        query: &query,
        path: "me/transitiveMemberOf".to_owned(),
    };
    visit
        .answer(Whose::Caller, |state, caller, user| {
            list.of(state, caller, user)
        })
        .await
}

async fn memberships(
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
    let path = format!("users/{user}/transitiveMemberOf");
    let list = Memberships {
        visit: &visit,
        query: &query,
        path,
    };
    visit
        .answer(Whose::Named(&user), |state, caller, user| {
            list.of(state, caller, user)
        })
        .await
}

async fn user_info(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
) -> Response {
    let visit = Visit {
        shared: &shared,
        call: &call,
        headers: &headers,
    };
    let answer = |_: &EmulatorState, caller: &Caller, user: &User| {
        caller.require_any(&["openid"])?;
        Ok(json!({
            "sub": caller.sub(),
            "name": user.name,
            "family_name": user.family_name,
            "given_name": user.given_name,
            "email": user.email,
        }))
    };
    visit.answer(Whose::Caller, answer).await
}

/// Whose data a path names.
#[derive(Debug, Clone, Copy)]
enum Whose<'a> {
    Caller,
    /// By object id or `userPrincipalName`.
    Named(&'a str),
}

/// One request to Graph.
struct Visit<'a> {
    shared: &'a Shared,
    call: &'a Call,
    headers: &'a HeaderMap,
}

impl Visit<'_> {
    /// Answers about one user.
    async fn answer(
        &self,
        whose: Whose<'_>,
        answer: impl Fn(&EmulatorState, &Caller, &User) -> Result<Value, Denied> + Send + Sync,
    ) -> Response {
        self.respond(|state, caller| answer(state, caller, find(whose, caller, state)?))
            .await
    }

    /// Answers whoever holds a token for Graph.
    async fn respond(
        &self,
        answer: impl Fn(&EmulatorState, &Caller) -> Result<Value, Denied> + Send + Sync,
    ) -> Response {
        if let Some(answer) = self.shared.admit(&[Endpoint::Graph], self.call).await {
            return answer;
        }
        let state = self.shared.state();
        let caller = Caller::of(self.headers, &state, self.call.now);
        match caller.and_then(|caller| answer(&state, &caller)) {
            Ok(body) => Json(body).into_response(),
            Err(denied) => self.refuse(&denied),
        }
    }

    fn root(&self, path: &str) -> String {
        format!(
            "{}/v1.0/{path}",
            self.shared.graph_url(&self.call.place.base)
        )
    }

    fn refuse(&self, denied: &Denied) -> Response {
        let body = json!({"error": {
            "code": denied.code(),
            "message": denied.to_string(),
            "innerError": {
                "date": timestamp(self.call.now).trim_end_matches('Z').replace(' ', "T"),
                "request-id": self.call.ids.trace,
                "client-request-id": self.call.ids.correlation,
            },
        }});
        let mut response = (denied.status(), Json(body)).into_response();
        if denied.status() == StatusCode::UNAUTHORIZED {
            let ended = if let Denied::Ended { challenge } = denied {
                let claims = STANDARD.encode(challenge);
                format!(", error=\"insufficient_claims\", claims=\"{claims}\"")
            } else {
                String::new()
            };
            let challenge = format!(
                "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", \
                 client_id=\"{}\"{ended}",
                self.call.place.base,
                crate::builtin::GRAPH_APP_ID
            );
            if let Ok(value) = challenge.parse() {
                let headers = response.headers_mut();
                headers.insert(http::header::WWW_AUTHENTICATE, value);
            }
        }
        response
    }
}

fn find<'s>(
    whose: Whose<'_>,
    caller: &Caller,
    state: &'s EmulatorState,
) -> Result<&'s User, Denied> {
    let directory = &state.directory;
    let tenant = directory.tenant_by_id(caller.tenant_id());
    let tenant = tenant.ok_or(Denied::InvalidToken("Invalid tenant."))?;
    let found = match whose {
        Whose::Caller => directory.user_by_oid(caller.oid()),
        Whose::Named(name) => directory
            .users
            .iter()
            .filter(|user| directory.belongs(user, tenant))
            .find(|user| user.oid == name || user.username.eq_ignore_ascii_case(name)),
    };
    match (found, whose) {
        (Some(user), _) => Ok(user),
        (None, Whose::Caller) => Err(Denied::MeWithoutUser),
        (None, Whose::Named(name)) => Err(Denied::NotFound(name.to_owned())),
    }
}

/// A list of groups and roles, page by page.
struct Memberships<'a> {
    visit: &'a Visit<'a>,
    query: &'a HashMap<String, String>,
    path: String,
}

impl Memberships<'_> {
    fn of(&self, state: &EmulatorState, caller: &Caller, user: &User) -> Result<Value, Denied> {
        caller.require_memberships(user)?;
        let groups = user.all_groups().into_iter().map(|id| {
            json!({
                "@odata.type": "#microsoft.graph.group",
                "displayName": format!("Group {}", id.get(24..).unwrap_or_default()),
                "securityEnabled": true,
                "id": id,
            })
        });
        let roles = user.directory_roles.iter().map(|template| {
            json!({
                "@odata.type": "#microsoft.graph.directoryRole",
                "id": template,
                "roleTemplateId": template,
            })
        });
        let all: Vec<Value> = groups.chain(roles).collect();
        let context = self.visit.root("$metadata#directoryObjects");
        let url = self.visit.root(&self.path);
        Ok(Page::asked(self.query, state.graph_page_size.unwrap_or(100)).of(&all, &context, &url))
    }
}

fn profile(user: &User, context: &str) -> Value {
    json!({
        "@odata.context": context,
        "businessPhones": [],
        "displayName": user.name,
        "givenName": user.given_name,
        "jobTitle": null,
        "mail": user.email,
        "mobilePhone": null,
        "officeLocation": null,
        "preferredLanguage": null,
        "surname": user.family_name,
        "userPrincipalName": user.username,
        "id": user.oid,
    })
}

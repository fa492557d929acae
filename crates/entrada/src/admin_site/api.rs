//! `/admin/api`: the same for programs, by an access token of Entra's. No cookie counts here, so no other
//! site's page can use it.

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::refusal::Refusal;
use crate::access_token::{PresentedToken, PrincipalKind, VerifyError};
use crate::administration::{GrantFilter, PageToken, Selection};
use crate::grant::GrantId;
use crate::oauth::client::ClientId;

/// How many items there are on a page where nobody says.
const PAGE: usize = 100;

/// How many at most.
const MOST: usize = 1000;

pub(super) fn router() -> Router<Site> {
    Router::new()
        .route("/grants", get(grants))
        .route("/grants/revoke", post(revoke))
        .route("/clients", get(clients).delete(remove_client))
        .route("/keys", get(keys))
        .route("/keys/rotate", post(rotate))
        .route("/summary", get(summary))
        .fallback(async || answer(Err(Refusal::Nowhere)))
}

/// What a list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    user: String,
    client: String,
    tenant: String,
    after: String,
    most: Option<usize>,
}

impl Asked {
    /// Which grants are wanted.
    pub(super) fn filter(&self) -> Result<GrantFilter, Refusal> {
        let mut filter = GrantFilter::default();
        if let Some(user) = said(&self.user) {
            let user = user.parse().map_err(|_| Refusal::Request(USER))?;
            filter.user = Some(user);
        }
        if let Some(client) = said(&self.client) {
            let client = ClientId::parse(client).map_err(|_| Refusal::Request(CLIENT))?;
            filter.client = Some(client);
        }
        filter.tenant = said(&self.tenant).map(str::to_owned);
        Ok(filter)
    }

    pub(super) fn after(&self) -> Result<Option<PageToken>, Refusal> {
        let after = said(&self.after).map(str::parse).transpose();
        after.map_err(|_| Refusal::Request(AFTER))
    }

    fn most(&self) -> usize {
        self.most.unwrap_or(PAGE).clamp(1, MOST)
    }

    /// As it was asked, for the page that shows it again.
    pub(super) fn texts(&self) -> [&str; 3] {
        [&self.user, &self.client, &self.tenant]
    }
}

fn said(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

const USER: &str = "user is object-id@tenant-id, or the name a user signs in as";
const CLIENT: &str = "client is the id of a client";
const AFTER: &str = "after is what next was";
const SELECTION: &str = "say one of grant, user, client, tenant and all: true";

/// What is to be ended: one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    grant: Option<String>,
    user: Option<String>,
    client: Option<String>,
    tenant: Option<String>,
    all: bool,
}

impl Wanted {
    fn selection(self) -> Result<Selection, Refusal> {
        let wrong = || Refusal::Request(SELECTION);
        match (self.grant, self.user, self.client, self.tenant, self.all) {
            (Some(id), None, None, None, false) => GrantId::parse(&id)
                .map(Selection::Grant)
                .map_err(|_| wrong()),
            (None, Some(user), None, None, false) => user
                .parse()
                .map(Selection::User)
                .map_err(|_| Refusal::Request(USER)),
            (None, None, Some(id), None, false) => ClientId::parse(&id)
                .map(Selection::Client)
                .map_err(|_| Refusal::Request(CLIENT)),
            (None, None, None, Some(tenant), false) if !tenant.is_empty() => {
                Ok(Selection::Tenant(tenant))
            }
            (None, None, None, None, true) => Ok(Selection::All),
            _ => Err(wrong()),
        }
    }
}

impl Site {
    /// Which application asks, by its token. A user's token is not enough: clients of theirs have it, too.
    async fn program(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let judge = self.0.verifier.as_ref().ok_or(Refusal::Token)?;
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Refusal::Token);
        };
        let (scheme, token) = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .ok_or(Refusal::Token)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Token);
        }
        let found = judge.verify(PresentedToken::new(token), self.now()).await;
        let found = found.map_err(|error| {
            if matches!(error, VerifyError::Unavailable { .. }) {
                Refusal::Unverifiable
            } else if matches!(error, VerifyError::Forbidden(..)) {
                Refusal::Role
            } else {
                Refusal::Token
            }
        })?;
        let principal = &found.principal;
        if !self.may_enter(principal, PrincipalKind::Application) {
            return Err(Refusal::Role);
        }
        let object_id = principal.object_id.as_deref().unwrap_or_default();
        Ok(format!("{object_id}@{}", principal.tenant_id))
    }
}

fn answer(done: Result<Value, Refusal>) -> Response {
    let mut response = match done {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => refusal.json(),
    };
    let no_store = const { http::HeaderValue::from_static("no-store") };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

type List = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

fn asked(list: List) -> Result<Asked, Refusal> {
    let Query(asked) = list.map_err(|_| Refusal::Request("there is no such parameter"))?;
    Ok(asked)
}

async fn grants(State(site): State<Site>, headers: HeaderMap, list: List) -> Response {
    let told = async || {
        site.program(&headers).await?;
        let asked = asked(list)?;
        let after = asked.after()?;
        let (administration, filter) = (&site.0.administration, asked.filter()?);
        let page = administration.grants(&filter, after.as_ref(), asked.most());
        let page = page.await?;
        let next = page.next.map(|next| next.to_string());
        Ok(json!({ "grants": page.items, "next": next }))
    };
    answer(told().await)
}

async fn clients(State(site): State<Site>, headers: HeaderMap, list: List) -> Response {
    let told = async || {
        site.program(&headers).await?;
        let asked = asked(list)?;
        let after = asked.after()?;
        let page = site.0.administration.clients(after.as_ref(), asked.most());
        let page = page.await?;
        let next = page.next.map(|next| next.to_string());
        Ok(json!({ "clients": page.items, "next": next }))
    };
    answer(told().await)
}

async fn revoke(State(site): State<Site>, headers: HeaderMap, body: axum::body::Bytes) -> Response {
    let done = async || {
        let who = site.program(&headers).await?;
        let wanted = serde_json::from_slice::<Wanted>(&body);
        let wanted = wanted.map_err(|_| Refusal::Request(SELECTION))?;
        let ended = site.revoke(&wanted.selection()?, &who).await?;
        Ok(json!(ended))
    };
    answer(done().await)
}

async fn remove_client(State(site): State<Site>, headers: HeaderMap, list: List) -> Response {
    let done = async || {
        let who = site.program(&headers).await?;
        let asked = asked(list)?;
        let id = ClientId::parse(&asked.client).map_err(|_| Refusal::Request(CLIENT))?;
        let ended = site.remove(&id, &who).await?;
        Ok(json!(ended))
    };
    answer(done().await)
}

async fn keys(State(site): State<Site>, headers: HeaderMap) -> Response {
    let told = async || {
        site.program(&headers).await?;
        Ok(site.keys_as_json())
    };
    answer(told().await)
}

async fn rotate(State(site): State<Site>, headers: HeaderMap) -> Response {
    let done = async || {
        let who = site.program(&headers).await?;
        site.rotate_keys(&who).await?;
        Ok(site.keys_as_json())
    };
    answer(done().await)
}

async fn summary(State(site): State<Site>, headers: HeaderMap) -> Response {
    let told = async || {
        site.program(&headers).await?;
        let counts = site.0.administration.counts().await?;
        let keys = site.0.administration.keys().len();
        Ok(json!({
            "grants": counts.grants,
            "clients": counts.clients,
            "unopened": counts.unopened,
            "keys": keys,
        }))
    };
    answer(told().await)
}

impl Site {
    fn keys_as_json(&self) -> Value {
        let keys = self.0.administration.keys();
        let keys = keys.iter().map(|key| {
            json!({
                "id": key.id,
                "signs_with": key.algorithm.map(crate::jwt::jwks::Algorithm::as_str),
                "used_from": (key.from > crate::platform::Timestamp::default()).then_some(key.from),
                "is_revoked": key.is_revoked,
            })
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

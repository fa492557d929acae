//! What an operator sees.
//!
//! As every page of ours: no script, nothing from elsewhere, one style of our own, named by its digest.

use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::form_urlencoded;

use super::Site;
use super::action::Asks;
use super::api::Asked;
use super::refusal::Refusal;
use super::session::Session;
use crate::administration::{ClientOrigin, GrantFacts, Selection, User};
use crate::authorization_server::pages::headers;
use crate::platform::Timestamp;

/// The style of these pages.
const STYLE: &str = concat!(
    include_str!("../../templates/base.css"),
    include_str!("../../templates/admin.css")
);

/// Its source expression (CSP 3 §2.3.1).
static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| {
    let digest = digest(&SHA256, STYLE.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest))
});

/// How many rows there are on a page.
const ROWS: usize = 50;

/// What stands above every page.
struct Frame {
    server_name: String,
    account: String,
    sign_out: String,
}

#[derive(Template)]
#[template(path = "admin_sign_in.html")]
struct SignInPage<'a> {
    server_name: &'a str,
}

#[derive(Template)]
#[template(path = "admin_signed_in.html")]
struct SignedInPage;

#[derive(Template)]
#[template(path = "admin_refusal.html")]
struct RefusalPage<'a> {
    words: &'a str,
}

#[derive(Template)]
#[template(path = "admin_confirm.html")]
struct ConfirmPage<'a> {
    what: &'a str,
    form: &'a str,
}

#[derive(Template)]
#[template(path = "admin_grants.html")]
struct GrantsPage<'a> {
    frame: Frame,
    user: &'a str,
    client: &'a str,
    tenant: &'a str,
    rows: Vec<GrantRow>,
    next: Option<String>,
    /// Ends all that the search names, if it names one thing, and what that is.
    end_all: Option<(String, &'static str)>,
}

struct GrantRow {
    grant: GrantFacts,
    who: String,
    id: String,
    used: String,
    ends: String,
    end: String,
    end_user: Option<String>,
}

#[derive(Template)]
#[template(path = "admin_clients.html")]
struct ClientsPage {
    frame: Frame,
    rows: Vec<ClientRow>,
    next: Option<String>,
}

struct ClientRow {
    id: String,
    name: String,
    origin: &'static str,
    redirects: Vec<String>,
    used: String,
    end: String,
    remove: Option<String>,
}

#[derive(Template)]
#[template(path = "admin_keys.html")]
struct KeysPage {
    frame: Frame,
    rows: Vec<KeyRow>,
    rotate: String,
}

struct KeyRow {
    id: String,
    does: String,
    from: String,
    is_revoked: bool,
}

#[derive(Template)]
#[template(path = "admin_live.html")]
struct LivePage {
    server_name: String,
    grants: u64,
    clients: u64,
    unopened: u64,
    keys: usize,
    numbers: Vec<(String, String)>,
}

type List = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

pub(super) async fn grants(State(site): State<Site>, headers: HeaderMap, list: List) -> Response {
    let shown = async || {
        let Some(session) = site.session(&headers).await? else {
            return Ok(site.sign_in_page());
        };
        let Query(asked) = list.map_err(|_| Refusal::Request("There is no such search."))?;
        let page = site.grants_page(&session, &asked).await?;
        site.prolonged(session, page)
    };
    shown().await.unwrap_or_else(Refusal::page)
}

pub(super) async fn clients(State(site): State<Site>, headers: HeaderMap, list: List) -> Response {
    let shown = async || {
        let Some(session) = site.session(&headers).await? else {
            return Ok(site.sign_in_page());
        };
        let Query(asked) = list.map_err(|_| Refusal::Request("There is no such search."))?;
        let page = site.clients_page(&session, &asked).await?;
        site.prolonged(session, page)
    };
    shown().await.unwrap_or_else(Refusal::page)
}

pub(super) async fn keys(State(site): State<Site>, headers: HeaderMap) -> Response {
    let shown = async || {
        let Some(session) = site.session(&headers).await? else {
            return Ok(site.sign_in_page());
        };
        let page = site.keys_page(&session)?;
        site.prolonged(session, page)
    };
    shown().await.unwrap_or_else(Refusal::page)
}

/// It asks for itself anew, which is no use of the page: the session is not prolonged.
pub(super) async fn live(State(site): State<Site>, headers: HeaderMap) -> Response {
    let shown = async || {
        if site.session(&headers).await?.is_none() {
            return Ok(site.sign_in_page());
        }
        let counts = site.0.administration.counts().await?;
        Ok::<_, Refusal>(html(
            StatusCode::OK,
            &LivePage {
                server_name: site.0.name.clone(),
                grants: counts.grants,
                clients: counts.clients,
                unopened: counts.unopened,
                keys: site.0.administration.keys().len(),
                numbers: site.0.numbers.as_ref().map_or_else(Vec::new, |it| it.now()),
            },
        ))
    };
    shown().await.unwrap_or_else(Refusal::page)
}

impl Site {
    fn sign_in_page(&self) -> Response {
        let server_name = &self.0.name;
        let mut response = html(StatusCode::OK, &SignInPage { server_name });
        // Chrome holds every redirect after a form against it: Entra, and whoever it sends people to.
        let sources = headers::form_action(None, &self.0.entra.login_origin());
        let policy = policy(&sources);
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }

    fn frame(&self, session: &Session) -> Result<Frame, Refusal> {
        Ok(Frame {
            server_name: self.0.name.clone(),
            account: session
                .account
                .clone()
                .unwrap_or_else(|| session.who.clone()),
            sign_out: self.form(session, Asks::SignOut)?,
        })
    }

    async fn grants_page(&self, session: &Session, asked: &Asked) -> Result<Response, Refusal> {
        let (filter, after, now) = (asked.filter()?, asked.after()?, self.now());
        let page = self.0.administration.grants(&filter, after.as_ref(), ROWS);
        let page = page.await?;
        let mut rows = Vec::with_capacity(page.items.len());
        for grant in page.items {
            rows.push(self.grant_row(session, grant, now)?);
        }
        let named = [
            filter.user.map(Selection::User).map(|it| (it, "this user")),
            filter
                .client
                .map(Selection::Client)
                .map(|it| (it, "this client")),
            filter
                .tenant
                .map(Selection::Tenant)
                .map(|it| (it, "this tenant")),
        ];
        let mut named: Vec<_> = named.into_iter().flatten().collect();
        if named.is_empty() {
            named.push((Selection::All, "everybody"));
        }
        // What meets two conditions is no selection.
        let one = named.pop().filter(|_| named.is_empty());
        let end_all = one.map(|(selection, what)| {
            let form = self.form(session, Asks::Confirm(selection))?;
            Ok::<_, Refusal>((form, what))
        });
        let [user, client, tenant] = asked.texts();
        Ok(html(
            StatusCode::OK,
            &GrantsPage {
                frame: self.frame(session)?,
                user,
                client,
                tenant,
                rows,
                next: page.next.map(|next| {
                    let mut query =
                        form_urlencoded::Serializer::for_suffix("/admin?".to_owned(), 7);
                    let named = ["user", "client", "tenant"].into_iter().zip(asked.texts());
                    query
                        .extend_pairs(named)
                        .append_pair("after", &next.to_string());
                    query.finish()
                }),
                end_all: end_all.transpose()?,
            },
        ))
    }

    fn grant_row(
        &self,
        session: &Session,
        grant: GrantFacts,
        now: Timestamp,
    ) -> Result<GrantRow, Refusal> {
        let holder = &grant.holder;
        let user = match (&holder.object_id, &holder.tenant_id) {
            (Some(object_id), Some(tenant_id)) => Some(User::Id {
                object_id: object_id.clone(),
                tenant_id: tenant_id.clone(),
            }),
            _ => None,
        };
        let known = holder.username.clone().or_else(|| holder.name.clone());
        let id = user.as_ref().map(ToString::to_string);
        let end_user = user.map(|user| self.form(session, Asks::Confirm(Selection::User(user))));
        let last = grant.refreshed_at.unwrap_or(grant.issued_at);
        Ok(GrantRow {
            who: known.or_else(|| holder.subject.clone()).unwrap_or_default(),
            id: id.or_else(|| holder.subject.clone()).unwrap_or_default(),
            used: span(now.since(last)),
            ends: span(grant.expires_at.since(now)),
            end: self.form(session, Asks::End(Selection::Grant(grant.id)))?,
            end_user: end_user.transpose()?,
            grant,
        })
    }

    async fn clients_page(&self, session: &Session, asked: &Asked) -> Result<Response, Refusal> {
        let (after, now) = (asked.after()?, self.now());
        let page = self.0.administration.clients(after.as_ref(), ROWS).await?;
        let mut rows = Vec::with_capacity(page.items.len());
        for client in page.items {
            let ago = |at: Timestamp| format!("{} ago", span(now.since(at)));
            let end = Asks::Confirm(Selection::Client(client.id.clone()));
            let remove = (client.origin != ClientOrigin::Configured)
                .then(|| self.form(session, Asks::ConfirmRemoval(client.id.clone())));
            rows.push(ClientRow {
                id: client.id.to_string(),
                name: client.name.unwrap_or_default(),
                origin: match client.origin {
                    ClientOrigin::Configured => "in the configuration",
                    ClientOrigin::Registered => "registered",
                    ClientOrigin::Document => "by its document",
                },
                redirects: client.redirect_uris,
                used: client.used_at.map(ago).unwrap_or_default(),
                end: self.form(session, end)?,
                remove: remove.transpose()?,
            });
        }
        let next = page.next.map(|next| next.to_string());
        let frame = self.frame(session)?;
        Ok(html(StatusCode::OK, &ClientsPage { frame, rows, next }))
    }

    fn keys_page(&self, session: &Session) -> Result<Response, Refusal> {
        let now = self.now();
        let keys = self.0.administration.keys();
        let rows = keys.into_iter().map(|key| KeyRow {
            does: key.algorithm.map_or_else(
                || "seals".to_owned(),
                |algorithm| format!("signs with {}", algorithm.as_str()),
            ),
            from: if key.from > now {
                format!("in {}", span(key.from.since(now)))
            } else if key.from == Timestamp::default() {
                "not known".to_owned()
            } else {
                format!("{} ago", span(now.since(key.from)))
            },
            id: key.id,
            is_revoked: key.is_revoked,
        });
        Ok(html(
            StatusCode::OK,
            &KeysPage {
                frame: self.frame(session)?,
                rows: rows.collect(),
                rotate: self.form(session, Asks::RotateKeys)?,
            },
        ))
    }
}

/// Leads to the pages.
pub(super) fn signed_in() -> Response {
    html(StatusCode::OK, &SignedInPage)
}

/// Asks whether that is meant.
pub(super) fn confirm(what: &str, form: &str) -> Response {
    html(StatusCode::OK, &ConfirmPage { what, form })
}

/// Says why nothing came of a request.
pub(super) fn refusal(status: StatusCode, words: &str) -> Response {
    html(status, &RefusalPage { words })
}

/// What ending these comes to, as a question.
pub(super) fn in_words(selection: &Selection) -> String {
    match selection {
        Selection::Grant(id) => format!("End the grant {id}?"),
        Selection::User(user) => format!("End all grants of {user}? They must sign in anew."),
        Selection::Client(id) => {
            format!("End all grants of the client {id}? Its users must sign in anew.")
        }
        Selection::Tenant(id) => {
            format!("End all grants of the tenant {id}? Its users must sign in anew.")
        }
        Selection::All => "End all grants? Everybody must sign in anew.".to_owned(),
    }
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    let Ok(body) = page.render() else {
        // Writing to a string does not fail.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut headers = headers::page("'self'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy("'self'"));
    // No window that opened this one holds it.
    let alone = const { HeaderValue::from_static("same-origin") };
    headers.insert("cross-origin-opener-policy", alone);
    (status, headers, body).into_response()
}

fn policy(form_action: &str) -> HeaderValue {
    let style = &*STYLE_SOURCE;
    HeaderValue::try_from(format!(
        "default-src 'none'; style-src {style}; base-uri 'none'; frame-ancestors 'none'; \
         form-action {form_action}"
    ))
    .unwrap_or(const { HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'") })
}

/// A time, in its largest unit.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let largest = units.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = largest.unwrap_or((1, "second"));
    let number = seconds / unit;
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

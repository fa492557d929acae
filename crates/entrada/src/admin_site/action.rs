//! `POST /admin/act`: what an operator does on a page.
//!
//! Each form says what it does in a sealed field, for one session: nobody else can make one, nor post it.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::session::{Session, is_posted_by_us};
use super::{Site, page};
use crate::administration::{Administration, Ended, RemoveClientError, Selection};
use crate::audit::Who;
use crate::authorization_server::pages;
use crate::keys::Purpose;
use crate::oauth::client::ClientId;
use crate::oauth::params::Params;
use crate::platform::Timestamp;

const FORM: Purpose<'static> = Purpose::new("admin-form", b"");

/// How long a form counts.
const FORM_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// A form of a page.
#[derive(Debug, Deserialize, Serialize)]
struct Form {
    session: String,
    shown_at: Timestamp,
    asks: Asks,
}

/// What a form does.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Asks {
    /// Shows what ending these comes to.
    Confirm(Selection),
    End(Selection),
    ConfirmRemoval(ClientId),
    Remove(ClientId),
    RotateKeys,
    SignOut,
}

pub(super) async fn post(State(site): State<Site>, headers: HeaderMap, body: Bytes) -> Response {
    let done = site.act(&body, &headers).await;
    done.unwrap_or_else(Refusal::page)
}

impl Site {
    /// A form that does what `asks` says, for one session.
    pub(super) fn form(&self, session: &Session, asks: Asks) -> Result<String, Refusal> {
        let form = Form {
            session: session.id.clone(),
            shown_at: self.now(),
            asks,
        };
        Ok(self.0.store.seal_for(FORM, &form)?)
    }

    async fn act(&self, body: &[u8], headers: &HeaderMap) -> Result<Response, Refusal> {
        if !is_posted_by_us(headers) {
            return Err(Refusal::OtherSite);
        }
        let params = Params::parse(body).map_err(|_| Refusal::OtherSite)?;
        let sealed = params.get("request").ok_or(Refusal::OtherSite)?;
        let form: Option<Form> = self.0.store.open_for(FORM, sealed).await?;
        let form = form.ok_or(Refusal::OtherSite)?;
        let session = self.session(headers).await?.ok_or(Refusal::SignedOut)?;
        if form.session != session.id || !form.shown_at.is_within(FORM_LIFETIME, self.now()) {
            return Err(Refusal::OtherSite);
        }
        let response = match form.asks {
            Asks::Confirm(selection) => self.confirm(&session, selection)?,
            Asks::End(selection) => {
                self.revoke(&selection, &session.who).await?;
                pages::redirect("/admin")
            }
            Asks::ConfirmRemoval(id) => self.confirm_removal(&session, id)?,
            Asks::Remove(id) => {
                self.remove(&id, &session.who).await?;
                pages::redirect("/admin/clients")
            }
            Asks::RotateKeys => {
                self.rotate_keys(&session.who).await?;
                pages::redirect("/admin/keys")
            }
            Asks::SignOut => return self.end(&session).await,
        };
        self.prolonged(session, response)
    }

    fn confirm(&self, session: &Session, selection: Selection) -> Result<Response, Refusal> {
        let what = page::in_words(&selection);
        let form = self.form(session, Asks::End(selection))?;
        Ok(page::confirm(&what, &form))
    }

    fn confirm_removal(&self, session: &Session, id: ClientId) -> Result<Response, Refusal> {
        let what = format!("Remove the client {id} and end its grants? It may register again.");
        let form = self.form(session, Asks::Remove(id))?;
        Ok(page::confirm(&what, &form))
    }

    /// What is done as an act of `who`, an object id and a tenant; nothing, where it must be written down and
    /// cannot be.
    fn by(&self, who: &str) -> Result<Administration, Refusal> {
        self.0.administration.ready()?;
        let (object_id, tenant_id) = who.split_once('@').unwrap_or((who, ""));
        Ok(self.0.administration.by(Who {
            tenant_id: tenant_id.to_owned(),
            object_id: Some(object_id.to_owned()),
            username: None,
        }))
    }

    /// Ends grants, and says in the log who did.
    pub(super) async fn revoke(&self, selection: &Selection, who: &str) -> Result<Ended, Refusal> {
        let ended = self.by(who)?.revoke(selection, drop).await;
        let ended = ended.inspect_err(|error| {
            let cause = crate::causes::Causes(error);
            let selection = selection.to_string();
            tracing::error!(admin = who, selection, %cause, "grants were to be ended, and not all are");
        })?;
        let Ended { grants, codes, .. } = ended;
        let selection = selection.to_string();
        tracing::info!(admin = who, selection, grants, codes, "grants ended");
        Ok(ended)
    }

    /// Removes a client, and says in the log who did.
    pub(super) async fn remove(&self, id: &ClientId, who: &str) -> Result<Ended, Refusal> {
        let removed = self.by(who)?.remove_client(id, drop).await;
        let ended = removed.map_err(Refusal::Client)?;
        tracing::info!(admin = who, client_id = %id, grants = ended.grants, "a client was removed");
        Ok(ended)
    }

    /// Replaces the keys, and says in the log who did.
    pub(super) async fn rotate_keys(&self, who: &str) -> Result<(), Refusal> {
        self.by(who)?.rotate_keys().await?;
        tracing::info!(admin = who, "new keys were made");
        Ok(())
    }
}

impl From<RemoveClientError> for Refusal {
    fn from(error: RemoveClientError) -> Self {
        Self::Client(error)
    }
}

//! An operator signs in with Entra, and stays for a while.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::{Site, cookie, page};
use crate::access_token::{Principal, PrincipalKind};
use crate::authorization_server::pages;
use crate::grant::{Login, PageLogin, PendingLogin};
use crate::keys::Purpose;
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, CodeVerifier, EntraCode, Nonce, UpstreamState};

const SESSION: Purpose<'static> = Purpose::new("admin-session", b"");
const LOGIN: Purpose<'static> = Purpose::new("admin-login", b"");

/// How long somebody who does nothing stays signed in.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How long anybody does: then Entra says anew whether they have the role.
pub(super) const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How long it is known that a session was ended: for longer than one lasts, where clocks are apart, too.
const ENDED_KEPT: Duration = Duration::from_secs(2 * 60 * 60);

/// An operator who is signed in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Session {
    /// Drawn at each sign-in: forms are for one.
    pub(super) id: String,
    /// Who they are, for the log.
    pub(super) who: String,
    /// What they sign in as, for the page.
    pub(super) account: Option<String>,
    began_at: Timestamp,
    seen_at: Timestamp,
}

impl Session {
    fn of(principal: &Principal, id: String, now: Timestamp) -> Option<Self> {
        let object_id = principal.object_id.as_deref()?;
        Some(Self {
            id,
            who: format!("{object_id}@{}", principal.tenant_id),
            account: principal.preferred_username.clone(),
            began_at: now,
            seen_at: now,
        })
    }

    fn stands(&self, now: Timestamp) -> bool {
        self.seen_at.is_within(IDLE, now) && self.began_at.is_within(LONGEST, now)
    }
}

impl Site {
    /// Who is signed in.
    pub(super) async fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, Refusal> {
        let Some(sealed) = cookie::SESSION.value(headers, self.0.is_https) else {
            return Ok(None);
        };
        let session: Option<Session> = self.0.store.open_for(SESSION, sealed).await?;
        let session = session.filter(|session| session.stands(self.now()));
        // Whoever has a copy of the cookie has it still.
        if let Some(session) = &session
            && self.0.store.has_ended_operator_session(&session.id).await?
        {
            return Ok(None);
        }
        Ok(session)
    }

    /// The same answer, after which `session` has time again.
    pub(super) fn prolonged(
        &self,
        mut session: Session,
        mut response: Response,
    ) -> Result<Response, Refusal> {
        session.seen_at = self.now();
        let sealed = self.0.store.seal_for(SESSION, &session)?;
        let cookie = cookie::SESSION.set(&sealed, self.0.is_https);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(response)
    }

    fn begin(&self, now: Timestamp) -> Result<Response, Refusal> {
        let random = &*self.0.platform.random;
        let login = Login::new(
            CodeVerifier::generate(random),
            Nonce::generate(random),
            BrowserBinding::generate(random),
        );
        let state = UpstreamState::generate(random);
        let login = PageLogin::new(state, login, self.0.scope.clone(), now);
        let pending = PendingLogin::from(login);
        let sealed = self.0.store.seal_for(LOGIN, &pending)?;
        let mut response = pages::redirect(self.0.entra.login_url(pending.login()).as_str());
        let cookie = cookie::LOGIN.set(&sealed, self.0.is_https);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(response)
    }

    async fn come_back(
        &self,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let now = self.now();
        let params = Params::parse(query.unwrap_or_default().as_bytes());
        let params = params.map_err(|_| Refusal::Login)?;
        let sealed = cookie::LOGIN.value(headers, self.0.is_https);
        let pending: Option<PendingLogin> = match sealed {
            Some(sealed) => self.0.store.open_for(LOGIN, sealed).await?,
            None => None,
        };
        let pending = pending.ok_or(Refusal::Login)?;
        let login = pending.login();
        let state = params.get("state").map(UpstreamState::new);
        let is_ours = state.is_some_and(|state| state.hashed() == login.state().hashed());
        if !is_ours || login.has_expired(now) {
            return Err(Refusal::Login);
        }
        let code = params.get("code").map(EntraCode::new);
        let code = code.ok_or(Refusal::Entra)?;
        let signed_in = self.0.entra.redeem(login, &code, now).await;
        let principal = signed_in.map_err(Refusal::Redeem)?.principal;
        if !self.may_enter(&principal, PrincipalKind::User) {
            let (tenant_id, object_id) = (&principal.tenant_id, &principal.object_id);
            tracing::warn!(%tenant_id, object_id, "an operator was refused: the app role is missing");
            return Err(Refusal::Role);
        }
        let mut id = [0; 16];
        self.0.platform.random.fill(&mut id);
        let session = Session::of(&principal, URL_SAFE_NO_PAD.encode(id), now);
        let session = session.ok_or(Refusal::Role)?;
        tracing::info!(admin = %session.who, "an operator signed in");
        // A page of ours leads on: a browser that came from Entra's does not bring the cookie along.
        self.prolonged(session, page::signed_in())
    }

    /// Whether somebody of this kind has the role, by the word of a tenant whose word counts.
    pub(super) fn may_enter(&self, principal: &Principal, kind: PrincipalKind) -> bool {
        let tenant = self.0.tenant.as_deref();
        let is_ours = tenant.is_none_or(|id| principal.tenant_id.eq_ignore_ascii_case(id));
        is_ours && principal.kind == kind && principal.roles.contains(&self.0.role)
    }

    /// Signs out, whoever has the cookie of `session`.
    pub(super) async fn end(&self, session: &Session) -> Result<Response, Refusal> {
        let until = session.began_at + ENDED_KEPT;
        self.0
            .store
            .end_operator_session(&session.id, until)
            .await?;
        tracing::info!(admin = %session.who, "an operator signed out");
        let mut response = pages::redirect("/admin");
        let cookie = cookie::SESSION.clear(self.0.is_https);
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(response)
    }
}

/// Whether a browser says that a page of ours posted a form, if it says anything.
pub(super) fn is_posted_by_us(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_none_or(|site| site == "same-origin")
}

pub(super) async fn sign_in(State(site): State<Site>, headers: HeaderMap) -> Response {
    let begun = if is_posted_by_us(&headers) {
        site.begin(site.now())
    } else {
        Err(Refusal::OtherSite)
    };
    begun.unwrap_or_else(Refusal::page)
}

pub(super) async fn callback(
    State(site): State<Site>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let back = site.come_back(query.as_deref(), &headers).await;
    let mut response = back.unwrap_or_else(Refusal::page);
    let cookie = cookie::LOGIN.clear(site.0.is_https);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

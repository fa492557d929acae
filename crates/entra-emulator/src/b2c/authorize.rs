//! The authorization endpoint of a user flow, and its one page.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Form, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::form_urlencoded;

use crate::authorize::pages::{SignInPage, SignedOutPage, page, problem_page};
use crate::authorize::request::{Parameters, Prompt};
use crate::authorize::response::{ReturnAddress, redirect};
use crate::authorize::session::{browser_cookie, remember_cookie};
use crate::b2c::address::FlowPath;
use crate::b2c::error::Aadb2c;
use crate::b2c::issue::{FlowMint, IdTokenParts, client_info};
use crate::b2c::request::{Interaction, Refusal};
use crate::b2c::state::{Code, Grant, Session};
use crate::directory::user::User;
use crate::emulator::{Call, Shared};
use crate::faults::Endpoint;
use crate::random;
use crate::state::State as EmulatorState;

pub(super) async fn authorize(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    FlowPath(flow): FlowPath,
    request: (RawQuery, HeaderMap, String),
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Authorize], &call).await {
        return answer;
    }
    let (RawQuery(query), headers, body) = request;
    let text = query.unwrap_or_default();
    let from_query = form_urlencoded::parse(text.as_bytes()).into_owned();
    let from_body = form_urlencoded::parse(body.as_bytes()).into_owned();
    let pairs: Vec<(String, String)> = from_query.chain(from_body).collect();
    let visit = Visit {
        shared: &shared,
        call: &call,
        browser: browser_cookie(&headers),
    };
    let mut state = shared.state();
    state.last_authorize_query = Some(pairs.clone());
    let parameters = Parameters::first_of_each(pairs);
    match Interaction::parse(flow, &parameters, &state.directory) {
        Err(refusal) => visit.refuse(&refusal),
        Ok(interaction) => visit.begin(&mut state, interaction),
    }
}

/// The fields of the page's form.
#[derive(Deserialize)]
pub(super) struct Answer {
    ctx: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "answer")]
    chosen: String,
}

pub(super) async fn login(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    Form(answer): Form<Answer>,
) -> Response {
    let mut state = shared.state();
    let visit = Visit {
        shared: &shared,
        call: &call,
        browser: browser_cookie(&headers),
    };
    let Some(mut interaction) = state.b2c.interactions.remove(&answer.ctx) else {
        return visit.refuse(&Refusal::Page(Aadb2c::NoSession));
    };
    match answer.chosen.as_str() {
        "cancel" => return visit.send_back(&interaction.return_address, &Aadb2c::Cancelled),
        "forgot" => {
            return visit.send_back(&interaction.return_address, &Aadb2c::ForgottenPassword);
        }
        _ => {}
    }
    let tenant_id = interaction.flow.tenant_id.clone();
    let session = match signed_in(&state, &tenant_id, &answer) {
        Ok(user) => Session {
            oid: user.oid.clone(),
            auth_time: call.now,
        },
        Err(error) => {
            interaction.login_hint = Some(answer.username);
            return show(&mut state, interaction, Some(&error));
        }
    };
    let browser = visit.browser.clone().unwrap_or_else(|| random::opaque(32));
    let key = (browser.clone(), tenant_id);
    state.b2c.sessions.insert(key, session.clone());
    let response = visit.finish(&mut state, &interaction, &session);
    remember_cookie(response, &browser, &call.place.base)
}

fn signed_in<'s>(
    state: &'s EmulatorState,
    tenant_id: &str,
    answer: &Answer,
) -> Result<&'s User, Aadb2c> {
    let directory = &state.directory;
    let tenant = directory.tenant_by_id(tenant_id);
    let user = tenant.and_then(|tenant| directory.user_in(tenant, &answer.username));
    let user = user.filter(|user| user.password == answer.password);
    let user = user.ok_or(Aadb2c::WrongPassword)?;
    if user.disabled {
        return Err(Aadb2c::AccountLocked);
    }
    Ok(user)
}

/// One request of a browser.
struct Visit<'a> {
    shared: &'a Shared,
    call: &'a Call,
    browser: Option<String>,
}

impl Visit<'_> {
    fn refuse(&self, refusal: &Refusal) -> Response {
        match refusal {
            Refusal::Redirect(redirect) => {
                let (address, error) = redirect.as_ref();
                self.send_back(address, error)
            }
            Refusal::Page(error) => {
                let strict = self.shared.options.quirks.strict_error_pages;
                problem_page(error.label(), error.to_string(), strict, self.call)
            }
        }
    }

    fn send_back(&self, address: &ReturnAddress, error: &Aadb2c) -> Response {
        address.send(vec![
            ("error", error.error().to_owned()),
            ("error_description", error.description(self.call)),
        ])
    }

    // A session is enough, unless the client wants the user to sign in again.
    fn begin(&self, state: &mut EmulatorState, interaction: Interaction) -> Response {
        if let Some(session) = self.session(state, &interaction) {
            return self.finish(state, &interaction, &session);
        }
        if interaction.prompt == Some(Prompt::None) {
            return self.send_back(&interaction.return_address, &Aadb2c::NoSession);
        }
        show(state, interaction, None)
    }

    fn session(&self, state: &EmulatorState, interaction: &Interaction) -> Option<Session> {
        if interaction.prompt == Some(Prompt::Login) {
            return None;
        }
        let tenant_id = &interaction.flow.tenant_id;
        let key = (self.browser.clone().unwrap_or_default(), tenant_id.clone());
        let known = state.b2c.sessions.get(&key).cloned();
        known.or_else(|| {
            // Where the directory says so, a name is enough.
            let directory = &state.directory;
            if !directory.auto_sign_in || interaction.prompt == Some(Prompt::None) {
                return None;
            }
            let tenant = directory.tenant_by_id(tenant_id)?;
            let user = directory.user_in(tenant, interaction.login_hint.as_deref()?)?;
            Some(Session {
                oid: user.oid.clone(),
                auth_time: self.call.now,
            })
        })
    }

    // Issues what was asked for and sends the browser back with it.
    fn finish(
        &self,
        state: &mut EmulatorState,
        interaction: &Interaction,
        session: &Session,
    ) -> Response {
        match self.issue(state, interaction, session) {
            Ok(parameters) => interaction.return_address.send(parameters),
            Err(error) => self.send_back(&interaction.return_address, &error),
        }
    }

    fn issue(
        &self,
        state: &mut EmulatorState,
        interaction: &Interaction,
        session: &Session,
    ) -> Result<Vec<(&'static str, String)>, Aadb2c> {
        let grant = Grant {
            tenant_id: interaction.flow.tenant_id.clone(),
            policy: interaction.flow.policy.name.clone(),
            client_id: interaction.client_id.clone(),
            platform: interaction.platform,
            session: session.clone(),
            asked: interaction.asked.clone(),
            nonce: interaction.nonce.clone(),
            revocations: state.revocations(&session.oid),
            issued_at: self.call.now,
        };
        check_permissions(state, &grant)?;
        let mut parameters = Vec::new();
        let code = interaction.code.then(|| {
            state.b2c.put_code(Code {
                grant: grant.clone(),
                redirect_uri: interaction.return_address.uri.clone(),
                challenge: interaction.challenge.clone(),
                redeemed: false,
            })
        });
        if interaction.id_token {
            let user = state.directory.user_by_oid(&session.oid);
            let mint = FlowMint::new(self.call, &interaction.flow, state);
            let draft = mint.id_token(&IdTokenParts {
                user: user.ok_or(Aadb2c::AccountGone)?,
                client_id: &grant.client_id,
                auth_time: session.auth_time,
                nonce: grant.nonce.as_deref(),
                code: code.as_deref(),
                access_token: None,
            });
            parameters.push(("id_token", mint.sign(&draft)));
        }
        parameters.extend(code.map(|code| ("code", code)));
        if interaction.client_info {
            let info = client_info(&session.oid, &interaction.flow);
            parameters.push(("client_info", info));
        }
        Ok(parameters)
    }
}

fn show(state: &mut EmulatorState, interaction: Interaction, problem: Option<&Aadb2c>) -> Response {
    let context = random::opaque(32);
    let application = state.directory.app(&interaction.client_id);
    let html = SignInPage {
        action: &interaction.flow.path("login"),
        context: &context,
        application: application.map_or("", |app| app.display_name.as_str()),
        hint: interaction.login_hint.as_deref().unwrap_or_default(),
        problem: problem.map(ToString::to_string),
        forgettable: true,
    }
    .render();
    state.b2c.interactions.insert(context, interaction);
    page(StatusCode::OK, html)
}

fn check_permissions(state: &EmulatorState, grant: &Grant) -> Result<(), Aadb2c> {
    let directory = &state.directory;
    let tenant = directory.tenant_by_id(&grant.tenant_id);
    let client = directory.app(&grant.client_id);
    let user = directory.user_by_oid(&grant.session.oid);
    let (Some(tenant), Some(client), Some(user)) = (tenant, client, user) else {
        return Err(Aadb2c::AccountGone);
    };
    let asked = &grant.asked;
    asked.check_permissions((directory, tenant), client, user)
}

/// Signs the browser out, and sends it on when it may go there.
pub(super) async fn logout(
    State(shared): State<Arc<Shared>>,
    FlowPath(flow): FlowPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let mut state = shared.state();
    if let Some(browser) = browser_cookie(&headers) {
        state.b2c.sessions.remove(&(browser, flow.tenant_id));
    }
    let text = query.unwrap_or_default();
    let asked = form_urlencoded::parse(text.as_bytes())
        .find(|(name, _)| name == "post_logout_redirect_uri")
        .map(|(_, value)| value.into_owned());
    // Only a registered redirect URI, so that the page is no open redirector.
    let known = asked.filter(|asked| {
        let mut apps = state.directory.apps.iter();
        apps.any(|app| app.redirect_uris.iter().any(|(uri, _)| uri == asked))
    });
    match known {
        Some(uri) => redirect(&uri),
        None => page(StatusCode::OK, SignedOutPage.render()),
    }
}

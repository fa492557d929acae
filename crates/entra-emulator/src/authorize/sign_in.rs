//! The answers to the pages: password, account, second factor, consent.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Form, Path, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use crate::authorize::Visit;
use crate::authorize::admin_consent;
use crate::authorize::interaction::{Interaction, SignedIn, Step, record_consent};
use crate::authorize::request::{Purpose, Refusal};
use crate::authorize::session::{browser_cookie, remember_cookie};
use crate::builtin::MFA_CODE;
use crate::directory::Directory;
use crate::emulator::{Call, Shared};
use crate::error::Aadsts;
use crate::random;
use crate::state::State as EmulatorState;

/// The fields of every page's form.
#[derive(Deserialize)]
pub(crate) struct Answer {
    ctx: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    otc: String,
    #[serde(default)]
    tenant: String,
    #[serde(default, rename = "answer")]
    chosen: String,
}

impl Answer {
    fn is_cancel(&self) -> bool {
        self.chosen == "cancel"
    }
}

/// Takes up the interaction the form belongs to, once.
fn take_up(state: &mut EmulatorState, answer: &Answer) -> Result<Interaction, Refusal> {
    state
        .interactions
        .remove(&answer.ctx)
        .ok_or(Refusal::Page(Aadsts::LoginRequired))
}

fn cancelled(visit: &Visit<'_>, interaction: &Interaction) -> Response {
    let request = &interaction.request;
    if request.purpose == Purpose::AdminConsent {
        return admin_consent::cancelled(&request.return_address);
    }
    request.return_address.send(vec![
        ("error", "access_denied".to_owned()),
        ("error_subcode", "cancel".to_owned()),
        (
            "error_description",
            crate::error::describe(
                Aadsts::ConsentDeclined.code(),
                "the user canceled the authentication",
                &visit.call.ids,
                visit.call.now,
            ),
        ),
    ])
}

pub(crate) async fn password(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    _: Path<String>,
    headers: HeaderMap,
    Form(answer): Form<Answer>,
) -> Response {
    let mut state = shared.state();
    let visit = visit(&shared, &call, &headers);
    let mut interaction = match take_up(&mut state, &answer) {
        Ok(interaction) => interaction,
        Err(refusal) => return visit.refuse(&refusal, false),
    };
    if answer.is_cancel() {
        return cancelled(&visit, &interaction);
    }
    if let Err(error) = check_password(&state.directory, &answer.username, &answer.password) {
        interaction.request.login_hint = Some(answer.username);
        return visit.go_on(&mut state, interaction, Some(&error));
    }
    let account = SignedIn {
        username: answer.username,
        session_id: random::guid(),
        auth_time: call.now,
        mfa: false,
    };
    interaction.account = Some(account.clone());
    let browser = visit.browser.clone().unwrap_or_else(|| random::opaque(32));
    remember(&mut state, &browser, account);
    let response = visit.go_on(&mut state, interaction, None);
    remember_cookie(response, &browser, &call.place.base)
}

/// Whether `username` may sign in with `password`.
pub(crate) fn check_password(
    directory: &Directory,
    username: &str,
    password: &str,
) -> Result<(), Aadsts> {
    let user = directory.user(username);
    // A guest object has no password of its own; the home account signs in.
    let user = user
        .filter(|user| !user.is_guest())
        .ok_or_else(|| Aadsts::UserNotFound(username.to_owned()))?;
    if user.password != password {
        return Err(Aadsts::WrongPassword);
    }
    if user.disabled {
        return Err(Aadsts::UserDisabled);
    }
    if user.password_expired {
        return Err(Aadsts::PasswordExpired);
    }
    Ok(())
}

fn remember(state: &mut EmulatorState, browser: &str, account: SignedIn) {
    let accounts = state.browsers.entry(browser.to_owned()).or_default();
    accounts.retain(|known| !known.username.eq_ignore_ascii_case(&account.username));
    accounts.push(account);
}

pub(crate) async fn pick_account(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    _: Path<String>,
    headers: HeaderMap,
    Form(answer): Form<Answer>,
) -> Response {
    let mut state = shared.state();
    let visit = visit(&shared, &call, &headers);
    let mut interaction = match take_up(&mut state, &answer) {
        Ok(interaction) => interaction,
        Err(refusal) => return visit.refuse(&refusal, false),
    };
    let mut accounts = visit.accounts(&state).into_iter();
    interaction.account = accounts.find(|known| known.username == answer.account);
    interaction.another = interaction.account.is_none();
    visit.go_on(&mut state, interaction, None)
}

pub(crate) async fn second_factor(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    _: Path<String>,
    headers: HeaderMap,
    Form(answer): Form<Answer>,
) -> Response {
    let mut state = shared.state();
    let visit = visit(&shared, &call, &headers);
    let mut interaction = match take_up(&mut state, &answer) {
        Ok(interaction) => interaction,
        Err(refusal) => return visit.refuse(&refusal, false),
    };
    if answer.is_cancel() {
        return cancelled(&visit, &interaction);
    }
    if answer.otc != MFA_CODE {
        return visit.go_on(&mut state, interaction, Some(&Aadsts::WrongPassword));
    }
    if let Some(account) = &mut interaction.account {
        account.mfa = true;
        if let Some(browser) = &visit.browser {
            let account = account.clone();
            remember(&mut state, browser, account);
        }
    }
    visit.go_on(&mut state, interaction, None)
}

pub(crate) async fn consent(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    _: Path<String>,
    headers: HeaderMap,
    Form(answer): Form<Answer>,
) -> Response {
    let mut state = shared.state();
    let visit = visit(&shared, &call, &headers);
    let mut interaction = match take_up(&mut state, &answer) {
        Ok(interaction) => interaction,
        Err(refusal) => return visit.refuse(&refusal, false),
    };
    if answer.chosen != "accept" {
        let address = &interaction.request.return_address;
        if interaction.request.purpose == Purpose::AdminConsent {
            return admin_consent::cancelled(address);
        }
        return address.refuse(&Aadsts::ConsentDeclined, false, &call);
    }
    let accounts = visit.accounts(&state);
    match interaction.next(&accounts, &state) {
        Err(refusal) => return visit.refuse(&refusal, false),
        Ok(Step::Consent(permissions)) => {
            accept(
                &mut state,
                &interaction,
                permissions,
                answer.tenant == "true" || interaction.request.purpose == Purpose::AdminConsent,
            );
        }
        Ok(Step::SignIn | Step::PickAccount | Step::SecondFactor | Step::Done) => {}
    }
    interaction.consented = true;
    visit.go_on(&mut state, interaction, None)
}

// Only an administrator's consent may count for the whole tenant.
fn accept(
    state: &mut EmulatorState,
    interaction: &Interaction,
    permissions: Vec<(String, String)>,
    for_all: bool,
) {
    let account = interaction.account.as_ref();
    let resident = account.and_then(|account| {
        let found = interaction.resident(account, &state.directory);
        found.ok()
    });
    let Some((user, tenant)) = resident else {
        return;
    };
    let (username, tenant_id) = (user.username.clone(), tenant.id.clone());
    let one = (!(for_all && user.admin)).then_some(username.as_str());
    let client_id = &interaction.request.client_id;
    record_consent(
        &mut state.directory,
        &tenant_id,
        client_id,
        one,
        permissions,
    );
}

fn visit<'a>(shared: &'a Shared, call: &'a Call, headers: &HeaderMap) -> Visit<'a> {
    Visit {
        shared,
        call,
        browser: browser_cookie(headers),
    }
}

//! The authorization endpoint and the pages after it (RFC 6749 §3.1).

mod admin_consent;
pub(crate) mod claims;
pub(crate) mod interaction;
pub(crate) mod pages;
pub(crate) mod pkce;
pub(crate) mod redirect_uri;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod session;
mod show;
pub(crate) mod sign_in;
pub(crate) mod tenant;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{HeaderMap, StatusCode};
use url::form_urlencoded;

use crate::access_token::Mint;
use crate::authorize::admin_consent::admin_consent;
use crate::authorize::interaction::{Interaction, SignedIn, Step};
use crate::authorize::pages::{SignedOutPage, error_page, page};
use crate::authorize::request::{AuthorizeRequest, Parameters, Purpose, Refusal};
use crate::authorize::session::{browser_cookie, forget_cookie};
use crate::authorize::show::Shown;
use crate::directory::Directory;
use crate::emulator::{Call, Shared};
use crate::error::Aadsts;
use crate::faults::Endpoint;
use crate::id_token::{IdTokenRequest, LIFETIME};
use crate::random;
use crate::scope::Party;
use crate::state::{Code, Holder, State as EmulatorState};
use crate::version::Version;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/authorize", get(v2).post(v2))
        .route("/{tenant}/oauth2/authorize", get(v1).post(v1))
        .route("/{tenant}/v2.0/adminconsent", get(admin_consent))
        .route("/{tenant}/oauth2/v2.0/logout", get(logout))
        .route("/{tenant}/oauth2/logout", get(logout))
        .route("/{tenant}/login", post(sign_in::password))
        .route("/{tenant}/account", post(sign_in::pick_account))
        .route("/{tenant}/second-factor", post(sign_in::second_factor))
        .route("/{tenant}/consent", post(sign_in::consent))
}

async fn v2(
    state: State<Arc<Shared>>,
    call: Extension<Call>,
    path: Path<String>,
    request: (RawQuery, HeaderMap, String),
) -> Response {
    authorize(&state, &call, path.0, Version::V2, request).await
}

async fn v1(
    state: State<Arc<Shared>>,
    call: Extension<Call>,
    path: Path<String>,
    request: (RawQuery, HeaderMap, String),
) -> Response {
    authorize(&state, &call, path.0, Version::V1, request).await
}

async fn authorize(
    shared: &Shared,
    call: &Call,
    segment: String,
    version: Version,
    (RawQuery(query), headers, body): (RawQuery, HeaderMap, String),
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Authorize], call).await {
        return answer;
    }
    let text = query.unwrap_or_default();
    let from_query = form_urlencoded::parse(text.as_bytes()).into_owned();
    let from_body = form_urlencoded::parse(body.as_bytes()).into_owned();
    let pairs: Vec<(String, String)> = from_query.chain(from_body).collect();
    let visit = Visit {
        shared,
        call,
        browser: browser_cookie(&headers),
    };
    let mut state = shared.state();
    state.last_authorize_query = Some(pairs.clone());
    let parsed = Parameters::new(pairs)
        .map_err(Refusal::from)
        .and_then(|parameters| {
            let quirks = &shared.options.quirks;
            AuthorizeRequest::parse(&segment, version, &parameters, &state.directory, quirks)
        });
    match parsed {
        Err(refusal) => visit.refuse(&refusal, false),
        Ok(request) => {
            let mut interaction = Interaction::new(segment, request);
            sign_in_headlessly(&mut interaction, &state.directory, call.now);
            visit.go_on(&mut state, interaction, None)
        }
    }
}

// Where the directory says so, a name is enough. A silent request still finds nobody signed in.
fn sign_in_headlessly(interaction: &mut Interaction, directory: &Directory, now: u64) {
    if !directory.auto_sign_in || interaction.is_silent() {
        return;
    }
    let hint = interaction.request.login_hint.as_deref();
    let Some(username) = hint.or(directory.default_login_hint.as_deref()) else {
        return;
    };
    if let Some(user) = directory.user(username) {
        interaction.account = Some(SignedIn {
            username: user.username.clone(),
            session_id: random::guid(),
            auth_time: now,
            mfa: false,
        });
    }
}

/// One request of a browser.
pub(crate) struct Visit<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) call: &'a Call,
    /// The value of its session cookie.
    pub(crate) browser: Option<String>,
}

impl Visit<'_> {
    pub(crate) fn refuse(&self, refusal: &Refusal, silent: bool) -> Response {
        match refusal {
            Refusal::Page(error) => error_page(
                error,
                self.shared.options.quirks.strict_error_pages,
                self.call,
            ),
            Refusal::Redirect(redirect) => {
                let (address, error) = redirect.as_ref();
                address.refuse(error, silent, self.call)
            }
        }
    }

    pub(crate) fn accounts(&self, state: &EmulatorState) -> Vec<SignedIn> {
        let browser = self.browser.as_ref();
        let known = browser.and_then(|browser| state.browsers.get(browser));
        known.cloned().unwrap_or_default()
    }

    /// Shows the page that comes next, or ends the interaction; `problem` stands on the page.
    pub(crate) fn go_on(
        &self,
        state: &mut EmulatorState,
        mut interaction: Interaction,
        problem: Option<&Aadsts>,
    ) -> Response {
        let accounts = self.accounts(state);
        match interaction.next(&accounts, state) {
            Err(refusal) => self.refuse(&refusal, interaction.is_silent()),
            Ok(Step::Done) => match self.finish(state, &interaction) {
                Ok(response) => response,
                Err(error) => self.refuse(&Refusal::Page(error), false),
            },
            Ok(step) => {
                let context = random::opaque(32);
                let shown = Shown {
                    interaction: &interaction,
                    context: &context,
                    problem: problem.map(ToString::to_string),
                };
                let response = shown.render(&step, &accounts, &state.directory);
                state.interactions.insert(context, interaction);
                response
            }
        }
    }

    // Issues what was asked for and sends the browser back with it.
    fn finish(
        &self,
        state: &mut EmulatorState,
        interaction: &Interaction,
    ) -> Result<Response, Aadsts> {
        let request = &interaction.request;
        let account = interaction.account.as_ref().ok_or(Aadsts::LoginRequired)?;
        let (user, tenant) = interaction.resident(account, &state.directory)?;
        if request.purpose == Purpose::AdminConsent {
            return Ok(admin_consent::granted(request, &tenant.id));
        }
        let (oid, tenant_id) = (user.oid.clone(), tenant.id.clone());
        let mut parameters = Vec::new();
        let code = request
            .response_type
            .code
            .then(|| self.issue_code(state, interaction, account, (&oid, &tenant_id)));
        if request.response_type.id_token {
            let token = self.id_token(state, interaction, account, code.as_deref())?;
            parameters.push(("id_token", token));
        }
        if let Some(code) = code {
            parameters.insert(0, ("code", code));
        }
        if request.client_info {
            parameters.push(("client_info", crate::token::client_info(&oid, &tenant_id)));
        }
        if request.instance_aware {
            let names = self.call.place.cloud.names();
            parameters.push(("cloud_instance_name", names.instance.to_owned()));
            parameters.push(("cloud_graph_host_name", names.directory_host.to_owned()));
            parameters.push(("msgraph_host", names.graph_host.to_owned()));
        }
        parameters.push(("session_state", account.session_id.clone()));
        Ok(request.return_address.send(parameters))
    }

    fn issue_code(
        &self,
        state: &mut EmulatorState,
        interaction: &Interaction,
        account: &SignedIn,
        (oid, tenant_id): (&str, &str),
    ) -> String {
        let request = &interaction.request;
        let holder = Holder {
            tenant_id: tenant_id.to_owned(),
            client_id: request.client_id.clone(),
            oid: oid.to_owned(),
            sign_in: interaction.sign_in(account),
            platform: request.redirect.platform,
            revocations: state.revocations(oid),
            issued_at: self.call.now,
        };
        let redirect = &request.redirect;
        state.put_code(Code {
            holder,
            redirect_uri: redirect.named.then(|| redirect.uri.clone()),
            asked: request.asked.clone(),
            nonce: request.nonce.clone(),
            challenge: request.challenge.clone(),
            capabilities: request.claims.capabilities.clone(),
            redeemed: false,
        })
    }

    fn id_token(
        &self,
        state: &EmulatorState,
        interaction: &Interaction,
        account: &SignedIn,
        code: Option<&str>,
    ) -> Result<String, Aadsts> {
        let directory = &state.directory;
        let request = &interaction.request;
        let (user, tenant) = interaction.resident(account, directory)?;
        let client = directory
            .app(&request.client_id)
            .ok_or(Aadsts::MalformedRequest)?;
        let mint = Mint {
            place: &self.call.place,
            keys: state.keys_of(tenant),
            now: self.call.now,
            lifetime: LIFETIME,
        };
        let party = Party {
            directory,
            tenant,
            client,
            user,
        };
        Ok(mint.sign(&mint.id_token(&IdTokenRequest {
            party,
            profile: party.has_oidc(&request.asked, "profile"),
            email: party.has_oidc(&request.asked, "email"),
            sign_in: &interaction.sign_in(account),
            nonce: request.nonce.as_deref(),
            version: request.version,
            front_channel: true,
            code,
        })))
    }
}

/// Signs the browser out, and sends it on when it may go there.
async fn logout(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let mut state = shared.state();
    if let Some(browser) = browser_cookie(&headers) {
        state.browsers.remove(&browser);
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
    let response = match known {
        Some(uri) => response::redirect(&uri),
        None => page(StatusCode::OK, SignedOutPage.render()),
    };
    forget_cookie(response, &call.place.base)
}

//! `GET` and `POST /authorize`: the authorization endpoint (RFC 6749 §3.1).

use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, header};
use url::Url;

use super::correlation::CorrelationId;
use super::pages::{self, ConsentPage};
use super::{AuthorizationServer, Resources, answer, approved_apps};
use crate::access_token::Claimed;
use crate::grant::{AuthorizationRequest, LoginHints};
use crate::jwt::thumbprint::JwkThumbprint;
use crate::keys::Purpose;
use crate::meters;
use crate::oauth::client::{Client, ClientId, GrantType};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::{Params, ParamsError};
use crate::oauth::pkce::CodeChallenge;
use crate::oauth::redirect_uri::TrustedRedirect;
use crate::oauth::resource::ResourceIndicator;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, Hashed, UpstreamState};
use crate::store::StoreError;

mod refusal;

pub use refusal::{AnswerTo, AuthorizeError};

/// What a consent form is sealed for.
pub(super) const CONSENT_FORM: Purpose<'static> = Purpose::new("consent-form", b"");

/// The longest `state` a client may send; it travels through the consent form.
const LONGEST_STATE: usize = 4096;

/// The longest hint passed on to Entra.
const LONGEST_HINT: usize = 320;

pub(super) async fn get(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    server
        .authorize(query.as_bytes(), &headers, &correlation)
        .await
}

pub(super) async fn post(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    server.authorize(&body, &headers, &correlation).await
}

/// What is drawn for a request before it is decided.
struct Drawn {
    upstream_state: UpstreamState,
    browser: Hashed<BrowserBinding>,
}

/// What a request is held against.
struct Policy<'a> {
    resources: &'a Resources,
    /// Whether codes can be bound to a key.
    binds: bool,
}

impl AuthorizationServer {
    async fn authorize(
        &self,
        encoded: &[u8],
        headers: &HeaderMap,
        correlation: &CorrelationId,
    ) -> Response {
        let random = &*self.0.platform.random;
        let cookies = self.cookies();
        let (browser, set_cookie) = cookies.browser_or_new(headers, random);
        let drawn = Drawn {
            upstream_state: UpstreamState::generate(random),
            browser: browser.hashed(),
        };
        let now = self.now();
        let outcome = match self.load(encoded, now).await {
            Ok(loaded) => self.decide(loaded, drawn, now),
            Err(error) => Err(error),
        };
        match outcome {
            Ok((request, insists)) => {
                meters::authorization("ok");
                let consent = if insists {
                    None
                } else {
                    self.consent_without_asking(&request, headers, now).await
                };
                let mut page = match consent {
                    None => self.ask(&request, correlation),
                    Some(consent) => {
                        meters::consent("remembered");
                        self.forward((request, consent), now, correlation).await
                    }
                };
                page.headers_mut().append(header::SET_COOKIE, set_cookie);
                page
            }
            Err(error) => self.refuse_authorization(&error, headers, correlation),
        }
    }

    /// Everything that must hold before an error may be redirected.
    async fn load(
        &self,
        encoded: &[u8],
        now: Timestamp,
    ) -> Result<(Params, Client, TrustedRedirect), AuthorizeError> {
        let params = Params::parse(encoded).map_err(AuthorizeError::Params)?;
        let id = params.get("client_id").ok_or(AuthorizeError::NoClient)?;
        let id = ClientId::parse(id).map_err(|_| AuthorizeError::UnknownClient)?;
        let client = self.client(&id, now).await?;
        let redirect = client
            .trusted_redirect(params.get("redirect_uri"))
            .filter(|redirect| self.0.config.allowed_redirects.allow(redirect.uri()))
            .ok_or(AuthorizeError::UnregisteredRedirectUri)?;
        Ok((params, client, redirect))
    }

    /// The request, and whether its client insists that the user is asked.
    fn decide(
        &self,
        (params, client, redirect): (Params, Client, TrustedRedirect),
        drawn: Drawn,
        now: Timestamp,
    ) -> Result<(AuthorizationRequest, bool), AuthorizeError> {
        let config = &self.0.config;
        let policy = Policy {
            resources: &config.resources,
            binds: config.proofs.is_some(),
        };
        let request = decide(&params, &client, redirect, &policy, (drawn, now))?;
        // The user must be asked, here or which account they use, and may not be.
        if prompts(&params, "none") && !self.answers_for(client.id()) {
            let to = AnswerTo::new(request.redirect, request.state);
            return Err(AuthorizeError::ConsentRequired(to));
        }
        Ok((request, insists_on_consent(&params)))
    }

    pub(super) fn ask(
        &self,
        request: &AuthorizationRequest,
        correlation: &CorrelationId,
    ) -> Response {
        let Ok(sealed) = self.0.store.seal_for(CONSENT_FORM, request) else {
            return pages::trouble(correlation);
        };
        meters::consent("asked");
        ConsentPage {
            server_name: self.name_of(&request.resource),
            client_name: request.client_name.as_deref(),
            client_id: &request.client_id,
            redirect: request.redirect.uri(),
            scopes: &request.scope,
            additional_scopes: self.0.entra.additional_scope(),
            incremental_scopes: self.0.entra.incremental_scope(),
            sealed_request: &sealed,
            remembered_for: self.remembers_of(request.redirect.uri()),
            take_back_at: &self.0.endpoints.url(approved_apps::PATH),
            action: &self.0.endpoints.path("/consent"),
            form_action_sources: &self.0.entra.login_origin(),
        }
        .into_response()
    }

    /// What people call the server that `resource` names.
    pub(super) fn name_of(&self, resource: &ResourceIndicator) -> &str {
        let resources = &self.0.config.resources;
        let named = resources.of(resource);
        &named.unwrap_or_else(|| resources.first()).name
    }

    fn refuse_authorization(
        &self,
        error: &AuthorizeError,
        headers: &HeaderMap,
        correlation: &CorrelationId,
    ) -> Response {
        let answer = ErrorResponse::from(error);
        meters::authorization(answer.error.as_str());
        answer::log(error, answer.error, correlation);
        match error.answer_to() {
            Some(to) => pages::redirect(&self.error_location(to, answer)),
            None if wants_html(headers) => refusal::page(error, correlation),
            None => self.machine_refusal(error, answer),
        }
    }

    /// Where an error goes: with `state`, and with `iss` (RFC 9207 §2).
    pub(super) fn error_location(&self, to: &AnswerTo, answer: ErrorResponse) -> String {
        self.location(
            to,
            &[
                ("error", answer.error.as_str()),
                ("error_description", answer.error_description),
            ],
        )
    }

    /// Where an answer goes: with `state`, and with `iss` (RFC 9207 §2).
    pub(super) fn location(&self, to: &AnswerTo, answer: &[(&str, &str)]) -> String {
        let mut params = answer.to_vec();
        params.extend(to.state.as_deref().map(|state| ("state", state)));
        params.push(("iss", self.0.config.issuer.as_str()));
        to.redirect.location(&params)
    }
}

/// Decides an authorization request whose client and redirect URI are known (RFC 6749 §4.1.1,
/// RFC 7636 §4.3, RFC 8707 §2, RFC 9449 §10).
fn decide(
    params: &Params,
    client: &Client,
    redirect: TrustedRedirect,
    policy: &Policy<'_>,
    (drawn, now): (Drawn, Timestamp),
) -> Result<AuthorizationRequest, AuthorizeError> {
    use AuthorizeError as E;
    let state = params.get("state").map(str::to_owned);
    let to = AnswerTo::new(redirect, state);
    if to
        .state
        .as_ref()
        .is_some_and(|state| state.len() > LONGEST_STATE)
    {
        return Err(E::StateTooLong(AnswerTo { state: None, ..to }));
    }
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(E::UnsupportedResponseType(to)),
        None => return Err(E::NoResponseType(to)),
    }
    if params
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err(E::UnsupportedResponseMode(to));
    }
    let challenge = match challenge(params) {
        Ok(challenge) => challenge,
        Err(error) => return Err(error(to)),
    };
    let dpop_jkt = params.get("dpop_jkt").filter(|_| policy.binds);
    let Ok(dpop_jkt) = dpop_jkt.map(JwkThumbprint::parse).transpose() else {
        return Err(E::Thumbprint(to));
    };
    // First: each resource has scopes of its own.
    let resource = match policy.resources.asked_for(params.resources()) {
        Ok(resource) => resource,
        Err(unknown) => {
            return Err(E::Target {
                to,
                expected: policy.resources.to_string(),
                got: without_secrets(unknown.asked()),
            });
        }
    };
    let Ok(scope) = resource.scopes.effective(params.get("scope")) else {
        return Err(E::Scope(to));
    };
    let hint = |name| {
        params
            .get(name)
            .filter(|hint| hint.len() <= LONGEST_HINT)
            .map(str::to_owned)
    };
    Ok(AuthorizationRequest {
        upstream_state: drawn.upstream_state,
        client_id: client.id().clone(),
        client_name: client.metadata().unverified_name().map(str::to_owned),
        redirect: to.redirect,
        state: to.state,
        challenge,
        dpop_jkt,
        scope,
        resource: resource.indicator.clone(),
        hints: LoginHints {
            login_hint: hint("login_hint"),
            domain_hint: hint("domain_hint"),
            fresh_login: prompts(params, "login"),
        },
        refreshable: client.may_use(GrantType::RefreshToken),
        browser: drawn.browser,
        asked_at: now,
    })
}

/// The code challenge (RFC 7636 §4.3), or the error that whoever asked is told.
fn challenge(params: &Params) -> Result<CodeChallenge, fn(AnswerTo) -> AuthorizeError> {
    use AuthorizeError as E;
    let challenge = params.get("code_challenge");
    let challenge = challenge.ok_or(E::NoChallenge as fn(_) -> _)?;
    // A missing method means `plain`, which OAuth 2.1 §4.1.1 forbids us to take.
    if params.get("code_challenge_method") != Some("S256") {
        return Err(E::ChallengeMethod);
    }
    CodeChallenge::parse(challenge).map_err(|_| E::Challenge as fn(_) -> _)
}

/// A resource that a client asked for, for the log: some write a password into URLs.
fn without_secrets(resource: &str) -> Claimed {
    let Ok(mut url) = Url::parse(resource) else {
        return Claimed::new("no URL");
    };
    url.set_query(None);
    url.set_fragment(None);
    let told = url.set_username("").and_then(|()| url.set_password(None));
    Claimed::new(told.map_or("no URL of a server", |()| url.as_str()))
}

/// Whether `prompt` holds `value` (OpenID Connect Core §3.1.2.1). Entra never sees the
/// parameter: its `consent` asks every user for an administrator.
fn prompts(params: &Params, value: &str) -> bool {
    params
        .get("prompt")
        .is_some_and(|prompt| prompt.split(' ').any(|word| word == value))
}

/// Whether the client wants its user to be asked even where they were before.
///
/// OpenID Connect Core §11 makes clients that ask for `offline_access` send `prompt=consent`, and many
/// do so by rote: a consent that was given before, which includes it, is what that section calls another
/// condition for it.
fn insists_on_consent(params: &Params) -> bool {
    let scope = params.get("scope").unwrap_or_default();
    prompts(params, "consent") && !scope.split(' ').any(|token| token == "offline_access")
}

/// Whether a person looks at the answer.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

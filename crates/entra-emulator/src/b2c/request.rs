//! The authorization request of a user flow (RFC 6749 §4.1.1).

use crate::authorize::pkce::CodeChallenge;
use crate::authorize::redirect_uri::is_registered;
use crate::authorize::request::{Parameters, Prompt};
use crate::authorize::response::{ResponseMode, ReturnAddress};
use crate::b2c::error::Aadb2c;
use crate::b2c::flow::Flow;
use crate::b2c::scope::Asked;
use crate::directory::Directory;
use crate::directory::app::{App, Platform};

/// An authorization request whose user is still being asked.
#[derive(Debug, Clone)]
pub(crate) struct Interaction {
    pub(super) flow: Flow,
    pub(super) client_id: String,
    pub(super) platform: Platform,
    pub(super) return_address: ReturnAddress,
    pub(super) code: bool,
    pub(super) id_token: bool,
    pub(super) asked: Asked,
    pub(super) nonce: Option<String>,
    pub(super) prompt: Option<Prompt>,
    pub(super) login_hint: Option<String>,
    pub(super) challenge: Option<CodeChallenge>,
    pub(super) client_info: bool,
}

/// Where an error at the authorization endpoint goes.
#[derive(Debug)]
pub(super) enum Refusal {
    Page(Aadb2c),
    Redirect(Box<(ReturnAddress, Aadb2c)>),
}

impl From<Aadb2c> for Refusal {
    fn from(error: Aadb2c) -> Self {
        Self::Page(error)
    }
}

impl Interaction {
    /// Checks the client and the redirect URI first: only then is there a way back.
    pub(super) fn parse(
        flow: Flow,
        parameters: &Parameters,
        directory: &Directory,
    ) -> Result<Self, Refusal> {
        let client_id = parameters.get("client_id").ok_or(Aadb2c::NoClientId)?;
        let app = find_client(client_id, &flow, directory)?;
        let (uri, platform) = redirect(parameters.get("redirect_uri"), app)?;
        let (code, id_token) = response_type(parameters).unwrap_or((true, false));
        let mode = ResponseMode::parse(parameters.get("response_mode"), id_token);
        let return_address = ReturnAddress {
            uri,
            mode: mode.unwrap_or_else(|_| ResponseMode::default_for(id_token)),
            state: parameters.owned("state"),
        };
        let rest = Rest {
            parameters,
            app,
            platform,
        };
        match rest.parse(directory) {
            Err(error) => Err(Refusal::Redirect(Box::new((return_address, error)))),
            Ok((asked, prompt, challenge)) => Ok(Self {
                flow,
                client_id: app.client_id.clone(),
                platform,
                return_address,
                code,
                id_token,
                asked,
                nonce: parameters.owned("nonce"),
                prompt,
                login_hint: parameters.owned("login_hint"),
                challenge,
                client_info: parameters.get("client_info") == Some("1"),
            }),
        }
    }
}

/// The client, if it is one of the flow's tenant.
pub(super) fn find_client<'d>(
    client_id: &str,
    flow: &Flow,
    directory: &'d Directory,
) -> Result<&'d App, Aadb2c> {
    let tenant = directory.tenant_by_id(&flow.tenant_id);
    let app = directory.app(client_id).filter(|app| {
        !app.is_graph() && tenant.is_some_and(|tenant| directory.is_installed(app, tenant))
    });
    app.ok_or_else(|| Aadb2c::UnknownClient {
        client_id: client_id.to_owned(),
        tenant: tenant.map_or_else(String::new, |tenant| tenant.domain.clone()),
    })
}

// Exact: unlike Entra, a user flow does not ignore the port of `localhost`.
fn redirect(asked: Option<&str>, app: &App) -> Result<(String, Platform), Aadb2c> {
    let mut registered = app.redirect_uris.iter().peekable();
    if registered.peek().is_none() {
        return Err(Aadb2c::NoRedirectUri(app.client_id.clone()));
    }
    let asked = asked.unwrap_or_default();
    let any_port = app.allow_any_loopback_port;
    let found = registered
        .find(|(uri, _)| *uri == asked || (any_port && is_registered(uri, asked, any_port)));
    match found {
        Some((_, platform)) => Ok((asked.to_owned(), platform)),
        None => Err(Aadb2c::RedirectNotRegistered {
            uri: asked.to_owned(),
            client_id: app.client_id.clone(),
        }),
    }
}

// Whether it asks for a code, and for an id token.
fn response_type(parameters: &Parameters) -> Result<(bool, bool), Aadb2c> {
    let value = parameters
        .get("response_type")
        .ok_or(Aadb2c::MissingParameter("response_type"))?;
    let mut words: Vec<&str> = value.split(' ').collect();
    words.sort_unstable();
    match words.as_slice() {
        ["code"] => Ok((true, false)),
        ["id_token"] => Ok((false, true)),
        ["code", "id_token"] => Ok((true, true)),
        // The implicit flow's access tokens are not issued.
        _ if words.contains(&"token") => Err(Aadb2c::ImplicitNotAllowed),
        _ => Err(Aadb2c::ResponseType(value.to_owned())),
    }
}

/// What is checked once there is a way back to the client.
struct Rest<'a> {
    parameters: &'a Parameters,
    app: &'a App,
    platform: Platform,
}

impl Rest<'_> {
    fn parse(
        &self,
        directory: &Directory,
    ) -> Result<(Asked, Option<Prompt>, Option<CodeChallenge>), Aadb2c> {
        let parameters = self.parameters;
        let (_, id_token) = response_type(parameters)?;
        if id_token && !self.app.enable_id_token_issuance {
            return Err(Aadb2c::ImplicitNotAllowed);
        }
        let mode = parameters.get("response_mode");
        ResponseMode::parse(mode, id_token)
            .map_err(|_| Aadb2c::ResponseMode(mode.unwrap_or_default().to_owned()))?;
        let scope = parameters.get("scope").ok_or(Aadb2c::NoScope)?;
        let asked = Asked::parse(scope, self.app, directory)?;
        if id_token && !asked.openid {
            return Err(Aadb2c::NoOpenid);
        }
        Ok((asked, self.prompt()?, self.challenge()?))
    }

    fn prompt(&self) -> Result<Option<Prompt>, Aadb2c> {
        Ok(Some(match self.parameters.get("prompt") {
            None => return Ok(None),
            Some("none") => Prompt::None,
            Some("login") => Prompt::Login,
            Some("consent") => Prompt::Consent,
            Some("select_account") => Prompt::SelectAccount,
            Some(_) => return Err(Aadb2c::Prompt),
        }))
    }

    fn challenge(&self) -> Result<Option<CodeChallenge>, Aadb2c> {
        CodeChallenge::parse(self.parameters, self.platform).map_err(|error| match error.code() {
            9_002_325 => Aadb2c::ChallengeRequired,
            501_491 => Aadb2c::VerifierInvalid,
            _ => Aadb2c::ChallengeMethod,
        })
    }
}

//! The authorization request: what it may say, and where its errors go (RFC 6749 §4.1.1).

use std::collections::HashSet;

use crate::authorize::claims::ClaimsRequest;
use crate::authorize::pkce::CodeChallenge;
use crate::authorize::redirect_uri::Redirect;
use crate::authorize::response::{ResponseMode, ReturnAddress};
use crate::authorize::tenant::TenantSpecifier;
use crate::directory::Directory;
use crate::directory::app::App;
use crate::error::Aadsts;
use crate::quirks::Quirks;
use crate::scope::{ScopeRequest, check_resource};
use crate::version::Version;

/// The parameters of a request, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn new(pairs: Vec<(String, String)>) -> Result<Self, Aadsts> {
        let mut seen = HashSet::new();
        match pairs.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            Some((twice, _)) => Err(Aadsts::DuplicateParameter(twice.clone())),
            None => Ok(Self(pairs)),
        }
    }

    /// The first value of each: not every endpoint minds a parameter that comes twice.
    pub(crate) fn first_of_each(mut pairs: Vec<(String, String)>) -> Self {
        let mut seen = HashSet::new();
        pairs.retain(|(name, _)| seen.insert(name.clone()));
        Self(pairs)
    }

    /// The value, unless it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn require(&self, name: &'static str) -> Result<&str, Aadsts> {
        self.get(name).ok_or(Aadsts::MissingParameter(name))
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// What the authorization endpoint itself answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResponseType {
    pub(crate) code: bool,
    pub(crate) id_token: bool,
}

impl ResponseType {
    /// Both are false for what is no known combination.
    fn parse(value: &str) -> Result<Self, Aadsts> {
        let mut words: Vec<&str> = value.split(' ').collect();
        words.sort_unstable();
        let (code, id_token) = match words.as_slice() {
            ["code"] => (true, false),
            ["id_token"] => (false, true),
            ["code", "id_token"] => (true, true),
            // The implicit flow's access tokens are not issued.
            ["token"] | ["id_token", "token"] => return Err(Aadsts::ResponseTypeToken),
            _ => (false, false),
        };
        Ok(Self { code, id_token })
    }
}

/// What the user is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompt {
    Login,
    None,
    Consent,
    SelectAccount,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A sign-in, which ends with a code or an id token.
    SignIn,
    /// An administrator's consent for everybody, which ends with neither.
    AdminConsent,
}

/// An authorization request in order.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizeRequest {
    pub(crate) purpose: Purpose,
    pub(crate) specifier: TenantSpecifier,
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) redirect: Redirect,
    pub(crate) return_address: ReturnAddress,
    pub(crate) response_type: ResponseType,
    pub(crate) asked: ScopeRequest,
    pub(crate) nonce: Option<String>,
    pub(crate) prompt: Option<Prompt>,
    pub(crate) login_hint: Option<String>,
    pub(crate) challenge: Option<CodeChallenge>,
    pub(crate) claims: ClaimsRequest,
    pub(crate) client_info: bool,
    pub(crate) instance_aware: bool,
}

/// Where an error at the authorization endpoint goes.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A page of Entra's.
    Page(Aadsts),
    /// Back to the client.
    Redirect(Box<(ReturnAddress, Aadsts)>),
}

impl Refusal {
    pub(crate) fn redirect(address: &ReturnAddress, error: Aadsts) -> Self {
        Self::Redirect(Box::new((address.clone(), error)))
    }
}

impl From<Aadsts> for Refusal {
    fn from(error: Aadsts) -> Self {
        Self::Page(error)
    }
}

impl AuthorizeRequest {
    /// Checks in Entra's order: tenant, client, redirect URI, the rest, the scopes.
    pub(crate) fn parse(
        segment: &str,
        version: Version,
        parameters: &Parameters,
        directory: &Directory,
        quirks: &Quirks,
    ) -> Result<Self, Refusal> {
        let specifier = TenantSpecifier::parse(segment, directory)?;
        let app = find_client(parameters.require("client_id")?, &specifier, directory)?;
        let redirect = Redirect::parse(parameters.get("redirect_uri"), app)?;
        let response_type = ResponseType::parse(parameters.require("response_type")?)?;
        let ResponseType { code, id_token } = response_type;
        let return_address = ReturnAddress {
            uri: redirect.uri.clone(),
            mode: ResponseMode::parse(parameters.get("response_mode"), id_token)
                .unwrap_or_else(|_| ResponseMode::default_for(id_token)),
            state: parameters.owned("state"),
        };
        let back = |error| Refusal::redirect(&return_address, error);
        if !code && !id_token {
            return Err(back(Aadsts::ResponseType));
        }
        if id_token && !app.enable_id_token_issuance {
            return Err(back(Aadsts::IdTokenNotEnabled));
        }
        ResponseMode::parse(parameters.get("response_mode"), id_token).map_err(back)?;
        let prompt = prompt(parameters.get("prompt"))?;
        if id_token && parameters.get("nonce").is_none() {
            return Err(back(Aadsts::NonceMissing));
        }
        let challenge = CodeChallenge::parse(parameters, redirect.platform).map_err(back)?;
        let claims = ClaimsRequest::parse(parameters.get("claims")).map_err(back)?;
        let scope = Scope {
            version,
            quirks,
            specifier: &specifier,
            app,
        };
        let asked = match scope.parse(parameters, directory) {
            Err(missing @ Aadsts::MissingParameter(_)) => return Err(missing.into()),
            asked => asked.map_err(back)?,
        };
        Ok(Self {
            purpose: Purpose::SignIn,
            version,
            client_id: app.client_id.clone(),
            response_type,
            asked,
            nonce: parameters.owned("nonce"),
            prompt,
            login_hint: parameters.owned("login_hint"),
            challenge,
            claims,
            client_info: parameters.get("client_info") == Some("1"),
            instance_aware: parameters.get("instance_aware") == Some("true"),
            specifier,
            redirect,
            return_address,
        })
    }
}

/// The client, if it is one and may be used here.
pub(crate) fn find_client<'a>(
    client_id: &str,
    specifier: &TenantSpecifier,
    directory: &'a Directory,
) -> Result<&'a App, Aadsts> {
    let tenant = specifier.tenant(directory);
    let app = directory.app(client_id).filter(|app| !app.is_graph());
    let app = app.ok_or_else(|| Aadsts::UnknownApplication {
        client_id: client_id.to_owned(),
        tenant: tenant.map_or_else(String::new, |tenant| tenant.display_name.clone()),
    })?;
    specifier.admits(app, directory)?;
    if app.disabled {
        return Err(Aadsts::ApplicationDisabled {
            client_id: app.client_id.clone(),
            name: app.display_name.clone(),
        });
    }
    Ok(app)
}

fn prompt(value: Option<&str>) -> Result<Option<Prompt>, Aadsts> {
    Ok(Some(match value {
        None => return Ok(None),
        Some("login") => Prompt::Login,
        Some("none") => Prompt::None,
        Some("consent") => Prompt::Consent,
        Some("select_account") => Prompt::SelectAccount,
        Some(_) => return Err(Aadsts::UnsupportedValue("prompt")),
    }))
}

/// What decides how `scope` and `resource` are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) version: Version,
    pub(crate) quirks: &'a Quirks,
    pub(crate) specifier: &'a TenantSpecifier,
    pub(crate) app: &'a App,
}

impl Scope<'_> {
    /// Reads both. Version 1 has only `resource`, version 2 must have `scope`.
    pub(crate) fn parse(
        &self,
        parameters: &Parameters,
        directory: &Directory,
    ) -> Result<ScopeRequest, Aadsts> {
        let tenant = self.specifier.tenant(directory);
        let resource = parameters.get("resource");
        if self.version == Version::V1 {
            if let Some(resource) = resource {
                return ScopeRequest::of_v1_resource(resource, tenant, directory);
            }
            let oidc = parameters.get("scope").unwrap_or("openid");
            return ScopeRequest::parse(oidc, self.app, tenant, directory);
        }
        let scope = parameters.require("scope")?;
        if scope.trim().is_empty() {
            return Err(Aadsts::MissingParameter("scope"));
        }
        if let Some(resource) = resource {
            self.check_resource(scope, resource)?;
        }
        ScopeRequest::parse(scope, self.app, tenant, directory)
    }

    /// Refuses a `resource` the scopes do not begin with, or any, as before 2026.
    pub(crate) fn check_resource(&self, scope: &str, resource: &str) -> Result<(), Aadsts> {
        if self.quirks.pre_2026_resource {
            return Err(Aadsts::ResourceUnsupported);
        }
        check_resource(scope, resource)
    }
}

//! One sign-in under way: what is known, and what must be asked next.

use crate::access_token::SignIn;
use crate::authorize::request::{AuthorizeRequest, Prompt, Purpose, Refusal};
use crate::directory::app::App;
use crate::directory::tenant::Tenant;
use crate::directory::user::User;
use crate::directory::{Consent, Directory};
use crate::error::Aadsts;
use crate::refusal::mfa_required;
use crate::scope::Party;
use crate::state::State;

/// An account signed in to a browser.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    /// The name the user typed: that of the home account.
    pub(crate) username: String,
    pub(crate) session_id: String,
    pub(crate) auth_time: u64,
    pub(crate) mfa: bool,
}

/// An authorization request whose user is still being asked.
#[derive(Debug, Clone)]
pub(crate) struct Interaction {
    /// The tenant as the request's path named it.
    pub(crate) segment: String,
    pub(crate) request: AuthorizeRequest,
    pub(crate) account: Option<SignedIn>,
    /// Whether the user asked to sign in as somebody else.
    pub(crate) another: bool,
    /// Whether the consent page was answered.
    pub(crate) consented: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    SignIn,
    PickAccount,
    SecondFactor,
    /// The permissions to ask for: application id of the resource, and scope.
    Consent(Vec<(String, String)>),
    Done,
}

impl Interaction {
    pub(crate) fn new(segment: String, request: AuthorizeRequest) -> Self {
        Self {
            segment,
            request,
            account: None,
            another: false,
            consented: false,
        }
    }

    /// Sends the client an error, or shows it when the user is there to read it.
    fn refuse(&self, error: Aadsts) -> Refusal {
        if self.is_silent() {
            Refusal::redirect(&self.request.return_address, error)
        } else {
            Refusal::Page(error)
        }
    }

    /// Whether the user may not be shown anything.
    pub(crate) fn is_silent(&self) -> bool {
        self.request.prompt == Some(Prompt::None)
    }

    /// Takes an account from the browser's if the request allows it, and says what is missing.
    pub(crate) fn next(&mut self, browser: &[SignedIn], state: &State) -> Result<Step, Refusal> {
        let directory = &state.directory;
        if self.account.is_none() {
            match self.choose(browser, directory)? {
                Ok(account) => self.account = Some(account),
                Err(step) => return Ok(step),
            }
        }
        let Some(account) = &self.account else {
            return Ok(Step::SignIn);
        };
        let app = self.app(directory)?;
        let (user, tenant) = self
            .resident(account, directory)
            .map_err(|error| self.refuse(error))?;
        if user.disabled {
            return Err(self.refuse(Aadsts::UserDisabled));
        }
        if app.assignment_required && user.roles_at(&app.client_id).is_empty() {
            return Err(self.refuse(Aadsts::UserNotAssigned {
                client_id: app.client_id.clone(),
                name: app.display_name.clone(),
            }));
        }
        let policies = &self.request.claims.policies;
        let refusal = state.refused_at_obo.of(&user.oid);
        if let Some(error) = refusal.and_then(|refusal| refusal.at_authorize(policies)) {
            return Err(self.refuse(error));
        }
        if (user.mfa || self.request.claims.demands_mfa()) && !account.mfa {
            return self.unless_silent(Step::SecondFactor, || mfa_required(self.resource_id()));
        }
        let party = Party {
            directory,
            tenant,
            client: app,
            user,
        };
        self.consent(&party)
    }

    fn consent(&self, party: &Party<'_>) -> Result<Step, Refusal> {
        if self.request.purpose == Purpose::AdminConsent {
            return match (party.user.admin, self.consented) {
                (false, _) => Err(self.refuse(Aadsts::AdminConsentRequired)),
                (true, false) => Ok(Step::Consent(party.everything(&self.request.asked))),
                (true, true) => Ok(Step::Done),
            };
        }
        let mut missing = party.missing(&self.request.asked);
        if self.request.prompt == Some(Prompt::Consent) && !self.consented && missing.is_empty() {
            missing = party.everything(&self.request.asked);
        }
        if missing.is_empty() {
            return Ok(Step::Done);
        }
        let admin_only = |(resource, name): &(String, String)| {
            let app = party.directory.app(resource);
            app.and_then(|app| app.scope(name))
                .is_some_and(|scope| scope.admin_only)
        };
        if !party.user.admin && missing.iter().any(admin_only) {
            return Err(self.refuse(Aadsts::AdminConsentRequired));
        }
        self.unless_silent(Step::Consent(missing), || Aadsts::ConsentRequired {
            client_id: party.client.client_id.clone(),
            name: party.client.display_name.clone(),
        })
    }

    fn unless_silent(&self, step: Step, error: impl FnOnce() -> Aadsts) -> Result<Step, Refusal> {
        if self.is_silent() {
            Err(self.refuse(error()))
        } else {
            Ok(step)
        }
    }

    // The account to go on with, or the page that asks for it.
    fn choose(
        &self,
        browser: &[SignedIn],
        directory: &Directory,
    ) -> Result<Result<SignedIn, Step>, Refusal> {
        let app = self.app(directory)?;
        let usable: Vec<&SignedIn> = browser
            .iter()
            .filter(|account| {
                let specifier = &self.request.specifier;
                specifier
                    .resident(&account.username, app, directory)
                    .is_ok()
            })
            .collect();
        let hint = self.request.login_hint.as_deref();
        let hinted = hint.and_then(|hint| {
            let mut known = usable.iter();
            known.find(|account| account.username.eq_ignore_ascii_case(hint))
        });
        if self.is_silent() {
            return match (hint, hinted, usable.as_slice()) {
                (Some(_), Some(account), _) => Ok(Ok((*account).clone())),
                (None, _, [only]) => Ok(Ok((*only).clone())),
                (None, _, [_, _, ..]) => Err(self.refuse(Aadsts::SeveralAccounts)),
                _ => Err(self.refuse(Aadsts::LoginRequired)),
            };
        }
        Ok(match (self.request.prompt, hinted, usable.as_slice()) {
            _ if self.another => Err(Step::SignIn),
            (Some(Prompt::Login), ..) | (_, _, []) => Err(Step::SignIn),
            (Some(Prompt::SelectAccount), ..) => Err(Step::PickAccount),
            (_, Some(account), _) => Ok((*account).clone()),
            (_, None, _) if hint.is_some() => Err(Step::SignIn),
            (_, None, [only]) => Ok((*only).clone()),
            (_, None, _) => Err(Step::PickAccount),
        })
    }

    /// The client, which may have gone since the request came.
    pub(crate) fn app<'a>(&self, directory: &'a Directory) -> Result<&'a App, Refusal> {
        directory.app(&self.request.client_id).ok_or_else(|| {
            Refusal::Page(Aadsts::UnknownApplication {
                client_id: self.request.client_id.clone(),
                tenant: self.segment.clone(),
            })
        })
    }

    /// The object `account` has where this request asks.
    pub(crate) fn resident<'a>(
        &self,
        account: &SignedIn,
        directory: &'a Directory,
    ) -> Result<(&'a User, &'a Tenant), Aadsts> {
        let app = directory.app(&self.request.client_id);
        let app = app.ok_or(Aadsts::MalformedRequest)?;
        self.request
            .specifier
            .resident(&account.username, app, directory)
    }

    fn resource_id(&self) -> String {
        let first = self.request.asked.resources.first();
        first.map_or_else(
            || crate::builtin::GRAPH_APP_ID.to_owned(),
            |asked| asked.client_id.clone(),
        )
    }

    /// How the user signed in, for the tokens.
    pub(crate) fn sign_in(&self, account: &SignedIn) -> SignIn {
        SignIn {
            session_id: account.session_id.clone(),
            auth_time: account.auth_time,
            mfa: account.mfa,
            acrs: self.request.claims.acrs.clone(),
        }
    }
}

/// Writes down what was consented to: for one user, or by an administrator for all.
pub(crate) fn record_consent(
    directory: &mut Directory,
    tenant_id: &str,
    client_id: &str,
    username: Option<&str>,
    permissions: Vec<(String, String)>,
) {
    for (resource, scope) in permissions {
        directory.consents.push(Consent {
            tenant: tenant_id.to_owned(),
            client_id: client_id.to_owned(),
            resource,
            scopes: vec![scope],
            user: username.map(str::to_owned),
        });
    }
    // Consenting is what makes the service principal.
    let tenant = directory.tenant_by_id(tenant_id).cloned();
    let installed = |app: &App| {
        tenant
            .as_ref()
            .is_some_and(|tenant| directory.is_installed(app, tenant))
    };
    if directory.app(client_id).is_some_and(|app| !installed(app))
        && let Some(app) = directory.app_mut(client_id)
    {
        app.installed_in.push(tenant_id.to_owned());
    }
}

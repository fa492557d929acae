//! App registrations.

use serde::Deserialize;

use crate::builtin;
use crate::directory::federated_credential::FederatedCredential;
use crate::directory::user::{AppRoleAssignment, with_made_up};

/// One app registration and its service principal in the home tenant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "Graph's application resource has as many switches"
)]
pub struct App {
    /// The application (client) id.
    pub client_id: String,
    /// The object id of its service principal; made from the application id when empty.
    pub service_principal_id: String,
    /// What consent pages call it.
    pub display_name: String,
    /// The tenant it is registered in, by GUID or domain.
    pub tenant: String,
    /// The other tenants it has a service principal in.
    pub installed_in: Vec<String>,
    /// Who may sign in.
    pub sign_in_audience: SignInAudience,
    /// The Application ID URIs. None may end with a slash.
    pub identifier_uris: Vec<String>,
    /// The version of the access tokens issued *for* this application; `None` means 1.
    pub requested_access_token_version: Option<u8>,
    /// Where the browser may be sent back to, per platform.
    pub redirect_uris: RedirectUris,
    /// Whether the port of an `http://127.0.0.1` redirect URI is ignored, as `localhost`'s is.
    ///
    /// Entra compares `127.0.0.1` exactly; this is for tests, which listen on free ports.
    ///
    /// # Security
    ///
    /// Whoever can listen on any port of the user's machine can then be sent the code.
    pub allow_any_loopback_port: bool,
    /// Whether flows without a redirect URI treat the application as a public client.
    pub is_fallback_public_client: bool,
    /// Whether the authorization endpoint may answer with an `id_token`.
    pub enable_id_token_issuance: bool,
    /// The delegated permissions it defines.
    pub scopes: Vec<AppScope>,
    /// The roles it defines.
    pub app_roles: Vec<AppRole>,
    /// The roles its service principal has at other applications.
    pub app_role_assignments: Vec<AppRoleAssignment>,
    /// The groups its service principal is in, by object id.
    pub groups: Vec<String>,
    /// How many further groups with made-up ids its service principal is in.
    pub filler_groups: u32,
    /// The permissions it asks for statically.
    pub required_resource_access: Vec<RequiredResourceAccess>,
    /// Its client secrets. Public: this is a test directory.
    pub secrets: Vec<Secret>,
    /// Its certificates, PEM.
    pub certificates: Vec<String>,
    /// Whose tokens it may show instead of either.
    pub federated_credentials: Vec<FederatedCredential>,
    /// The clients that need no consent for some of its scopes.
    pub pre_authorized_applications: Vec<PreAuthorizedApplication>,
    /// Which groups its tokens list.
    pub group_membership_claims: GroupMembershipClaims,
    /// The optional claims of its tokens.
    pub optional_claims: OptionalClaims,
    /// Whether only assigned users may sign in.
    pub assignment_required: bool,
    /// Whether its service principal is disabled.
    pub disabled: bool,
    /// Whether it is refused the on-behalf-of flow.
    pub deny_on_behalf_of: bool,
    /// The application id of its blueprint, if it is an agent identity.
    pub agent_blueprint: Option<String>,
}

/// Who may sign in to an application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum SignInAudience {
    /// Users of its own tenant.
    #[default]
    AzureADMyOrg,
    /// Users of every tenant.
    AzureADMultipleOrgs,
    /// Users of every tenant, and personal accounts.
    AzureADandPersonalMicrosoftAccount,
    /// Personal accounts alone.
    PersonalMicrosoftAccount,
}

/// Redirect URIs by platform, which decides how the client authenticates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RedirectUris {
    /// Confidential clients.
    pub web: Vec<String>,
    /// Single-page applications.
    pub spa: Vec<String>,
    /// Mobile and desktop applications.
    pub public_client: Vec<String>,
}

/// The platform a redirect URI is registered under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Platform {
    /// Confidential clients.
    Web,
    /// Single-page applications.
    Spa,
    /// Mobile and desktop applications.
    PublicClient,
}

/// A delegated permission.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AppScope {
    /// Its value, as it stands in `scp`.
    pub value: String,
    /// Whether only an administrator may consent to it.
    pub admin_only: bool,
    /// What the consent page says about it.
    pub description: String,
}

/// An app role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AppRole {
    /// Its value, as it stands in `roles`.
    pub value: String,
    /// `User`, `Application` or both.
    pub allowed_member_types: Vec<String>,
}

/// Permissions of one resource that an application asks for statically.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RequiredResourceAccess {
    /// The application id of the resource.
    pub resource: String,
    /// Scope values.
    pub scopes: Vec<String>,
}

/// A client secret.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Secret {
    /// The secret itself.
    pub value: String,
    /// When it stops working, in seconds since 1970.
    pub expires: Option<u64>,
}

/// A client that needs no consent for some scopes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PreAuthorizedApplication {
    /// The client.
    pub client_id: String,
    /// Scope values.
    pub scopes: Vec<String>,
}

/// Which groups a token lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub enum GroupMembershipClaims {
    /// None.
    #[default]
    None,
    /// The user's security groups.
    SecurityGroup,
    /// The user's directory roles, in `wids`.
    DirectoryRole,
    /// Groups and directory roles.
    All,
}

/// Claims a token has only when its registration lists them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OptionalClaims {
    /// Claims of access tokens issued for this application.
    ///
    /// `aud:use_guid` is the claim `aud` with the property `use_guid`: v1 tokens then have the
    /// application id there, however the application was asked for.
    pub access_token: Vec<String>,
    /// Claims of id tokens issued to this application.
    pub id_token: Vec<String>,
}

impl SignInAudience {
    pub(crate) fn admits_personal(self) -> bool {
        matches!(
            self,
            Self::AzureADandPersonalMicrosoftAccount | Self::PersonalMicrosoftAccount
        )
    }

    pub(crate) fn admits_every_tenant(self) -> bool {
        matches!(
            self,
            Self::AzureADMultipleOrgs | Self::AzureADandPersonalMicrosoftAccount
        )
    }
}

impl GroupMembershipClaims {
    pub(crate) fn lists_groups(self) -> bool {
        matches!(self, Self::SecurityGroup | Self::All)
    }

    pub(crate) fn lists_directory_roles(self) -> bool {
        matches!(self, Self::DirectoryRole | Self::All)
    }
}

impl RedirectUris {
    /// Every registered redirect URI with its platform.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Platform)> {
        self.web
            .iter()
            .map(|uri| (uri.as_str(), Platform::Web))
            .chain(self.spa.iter().map(|uri| (uri.as_str(), Platform::Spa)))
            .chain(
                self.public_client
                    .iter()
                    .map(|uri| (uri.as_str(), Platform::PublicClient)),
            )
    }
}

impl App {
    /// Whether this is Microsoft Graph, whose tokens nobody else can verify.
    pub fn is_graph(&self) -> bool {
        self.client_id == builtin::GRAPH_APP_ID
    }

    /// Whether it can keep a secret: it has a secret, a certificate or somebody's token to show.
    pub(crate) fn has_credentials(&self) -> bool {
        !self.secrets.is_empty()
            || !self.certificates.is_empty()
            || !self.federated_credentials.is_empty()
    }

    /// The scope with this value.
    pub fn scope(&self, value: &str) -> Option<&AppScope> {
        self.scopes.iter().find(|scope| scope.value == value)
    }

    /// Every group of its service principal, made-up ones included.
    pub fn all_groups(&self) -> Vec<String> {
        with_made_up(&self.groups, self.filler_groups)
    }

    /// The object id of its service principal.
    pub fn object_id(&self) -> String {
        if !self.service_principal_id.is_empty() {
            return self.service_principal_id.clone();
        }
        let tail = self.client_id.get(1..).unwrap_or_default();
        format!("6{tail}")
    }

    pub(crate) fn graph() -> Self {
        let scope = |value: &str, admin_only, description: &str| AppScope {
            value: value.to_owned(),
            admin_only,
            description: description.to_owned(),
        };
        Self {
            client_id: builtin::GRAPH_APP_ID.to_owned(),
            display_name: "Microsoft Graph".to_owned(),
            sign_in_audience: SignInAudience::AzureADandPersonalMicrosoftAccount,
            identifier_uris: vec![
                "https://graph.microsoft.com".to_owned(),
                "https://graph.microsoft.com/".to_owned(),
            ],
            scopes: vec![
                scope("User.Read", false, "Sign you in and read your profile"),
                scope(
                    "User.ReadBasic.All",
                    false,
                    "Read all users' basic profiles",
                ),
                scope("User.Read.All", true, "Read all users' full profiles"),
                scope("Mail.Read", false, "Read your mail"),
                scope("GroupMember.Read.All", true, "Read group memberships"),
                scope("Directory.Read.All", true, "Read directory data"),
                scope("openid", false, "Sign you in"),
                scope("profile", false, "View your basic profile"),
                scope("email", false, "View your email address"),
                scope(
                    "offline_access",
                    false,
                    "Maintain access to data you have given it access to",
                ),
            ],
            app_roles: [
                "User.Read.All",
                "User.ReadBasic.All",
                "GroupMember.Read.All",
                "Application.Read.All",
                "Directory.Read.All",
                "Mail.Read",
            ]
            .map(|value| AppRole {
                value: value.to_owned(),
                allowed_member_types: vec!["Application".to_owned()],
            })
            .to_vec(),
            ..Self::default()
        }
    }
}

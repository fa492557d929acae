//! The table of codes.

use crate::error::federated::FederatedError;
use crate::error::policy::PolicyError;

/// One failure, as Entra numbers them.
///
/// The texts are for people. Clients go by `error` and `suberror`, and the tests of this crate by
/// the number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Aadsts {
    // What was asked, and of which tenant.
    #[error("The request body must contain the following parameter: '{0}'.")]
    MissingParameter(&'static str),
    #[error("The request is not properly formatted. The parameter '{0}' is duplicated.")]
    DuplicateParameter(String),
    #[error(
        "Tenant '{0}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
    )]
    TenantNotFound(String),
    #[error(
        "Specified tenant identifier '{0}' is neither a valid DNS name, nor a valid external domain."
    )]
    TenantSpecifier(String),
    #[error("The endpoint only accepts POST requests. Received a {0} request.")]
    Verb(String),
    #[error("Unknown or invalid instance.")]
    UnknownInstance,
    #[error("Unsupported '{0}' value.")]
    UnsupportedValue(&'static str),

    // The client.
    #[error(
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
    )]
    UnknownApplication { client_id: String, tenant: String },
    #[error(
        "Application '{client_id}'({name}) is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the application to be multi-tenant."
    )]
    NotMultiTenant { client_id: String, name: String },
    #[error(
        "Application '{client_id}'({name}) is configured for use by Microsoft Account users only. Please use the /consumers endpoint to serve this request."
    )]
    PersonalOnly { client_id: String, name: String },
    #[error(
        "Application '{client_id}'({name}) is configured for use by Azure Active Directory users only. Please do not use the /consumers endpoint to serve this request."
    )]
    OrganizationsOnly { client_id: String, name: String },
    #[error("Application '{client_id}'({name}) is disabled.")]
    ApplicationDisabled { client_id: String, name: String },
    #[error(
        "The client application {client_id} is missing service principal in the tenant {tenant}. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
    )]
    ServicePrincipalMissing { client_id: String, tenant: String },
    #[error(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{0}'."
    )]
    WrongSecret(String),
    #[error(
        "The provided client secret keys for app '{0}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds."
    )]
    ExpiredSecret(String),
    #[error(
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
    )]
    ClientCredentialsNeedCredential,
    #[error(
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
    )]
    CredentialMissing,
    #[error(
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."
    )]
    PublicClientCredential,
    #[error(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {to}."
    )]
    ClientAssertionTime {
        now: String,
        from: String,
        to: String,
    },
    #[error(
        "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '{thumbprint}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{client_id}'.]"
    )]
    CertificateUnknown {
        thumbprint: String,
        client_id: String,
    },
    #[error(
        "Client assertion failed signature validation. [Reason - The provided signature value did not match the expected signature value.]"
    )]
    ClientAssertionSignature,
    #[error("Client assertion audience claim does not match Realm issuer.")]
    ClientAssertionAudience,
    #[error("Client assertion contains an invalid '{0}' claim.")]
    ClientAssertionClaim(&'static str),
    #[error(transparent)]
    Federated(#[from] FederatedError),

    // Where to send the browser.
    #[error(
        "The redirect URI '{uri}' specified in the request does not match the redirect URIs configured for the application '{client_id}'. Make sure the redirect URI sent in the request matches one added to your application in the Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about how to fix this."
    )]
    RedirectMismatch { uri: String, client_id: String },
    #[error("No reply address is registered for the application.")]
    NoRedirectUri,
    #[error("'redirect_uri' value must be a valid absolute Uri.")]
    MalformedRedirectUri,
    #[error(
        "The reply address '{presented}' does not match the reply address '{asked}' provided when requesting Authorization code."
    )]
    RedirectDiffers { presented: String, asked: String },

    // The authorization request.
    #[error("The response_type 'token' is not supported for the application.")]
    ResponseTypeToken,
    #[error("The response type is not supported.")]
    ResponseType,
    #[error("response_type 'id_token' is not enabled for the application.")]
    IdTokenNotEnabled,
    #[error("'{0}' is not a supported value for 'response_mode' for the given response type.")]
    ResponseMode(String),
    #[error(
        "The required field 'nonce' is missing from the credential. Ensure that you have all the necessary parameters for the login request."
    )]
    NonceMissing,
    #[error("The size of the code challenge parameter is not valid.")]
    ChallengeSize,
    #[error(
        "Proof Key for Code Exchange is required for cross-origin authorization code redemption."
    )]
    ChallengeRequired,
    #[error("The 'resource' request parameter is not supported.")]
    ResourceUnsupported,
    #[error(
        "The resource parameter provided in the request doesn't match with the requested scopes."
    )]
    ResourceMismatch,

    // Scopes and consent.
    #[error(
        "The application '{app}' asked for scope '{scope}' that doesn't exist on the resource '{resource}'. Contact the app vendor."
    )]
    UnknownScope {
        app: String,
        scope: String,
        resource: String,
    },
    #[error(
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {0} is not valid."
    )]
    InvalidScope(String),
    #[error(
        "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {0} is not valid."
    )]
    SeveralResources(String),
    #[error(
        "Provided value for the input parameter scope cannot be empty when requesting an access token using the provided authorization code. Please specify a valid scope."
    )]
    ScopeEmpty,
    #[error(
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
    )]
    UnknownResource { resource: String, tenant: String },
    #[error(
        "Application '{0}'({0}) is requesting a token for itself. This scenario is supported only if resource is specified using the GUID based App Identifier."
    )]
    TokenForItself(String),
    #[error(
        "The user or administrator has not consented to use the application with ID '{client_id}' named '{name}'. Send an interactive authorization request for this user and resource."
    )]
    ConsentRequired { client_id: String, name: String },
    #[error("The user declined to consent to access the app.")]
    ConsentDeclined,
    #[error("Admin consent is required for the permissions requested by this application.")]
    AdminConsentRequired,

    // The user.
    #[error("Session information is not sufficient for single-sign-on.")]
    LoginRequired,
    #[error(
        "Either multiple user identities are available for the current request or selected account is not supported for the scenario."
    )]
    SeveralAccounts,
    #[error(
        "User account '{user}' from identity provider '{idp}' does not exist in tenant '{tenant}' and cannot access the application '{client_id}'({name}) in that tenant. The account needs to be added as an external user in the tenant first. Sign out and sign in again with a different Azure Active Directory user account."
    )]
    UserNotInTenant {
        user: String,
        idp: String,
        tenant: String,
        client_id: String,
        name: String,
    },
    #[error(
        "The user account {0} does not exist in the directory. To sign into this application, the account must be added to the directory."
    )]
    UserNotFound(String),
    #[error("The password is expired.")]
    PasswordExpired,
    #[error("The user account is disabled.")]
    UserDisabled,
    #[error("Error validating credentials due to invalid username or password.")]
    WrongPassword,
    #[error(
        "Your administrator has configured the application {name} ('{client_id}') to block users unless they are specifically granted ('assigned') access to the application."
    )]
    UserNotAssigned { client_id: String, name: String },
    #[error(transparent)]
    Policy(#[from] PolicyError),

    // Grants.
    #[error("The app requested an unsupported grant type '{0}'.")]
    UnsupportedGrantType(String),
    #[error("Provided grant is invalid or malformed.")]
    MalformedGrant,
    #[error("Invalid request. Request is malformed or invalid.")]
    MalformedRequest,
    #[error(
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token."
    )]
    CodeRedeemed,
    #[error(
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource."
    )]
    CodeExpired,
    #[error(
        "The provided authorization code is intended to use against other tenant, thus rejected."
    )]
    CodeOfOtherTenant,
    #[error(
        "The Code_Verifier does not match the code_challenge supplied in the authorization request."
    )]
    VerifierMismatch,
    #[error(
        "The refresh token has expired due to inactivity. The token was issued on {issued} and was inactive for 90.00:00:00."
    )]
    RefreshTokenInactive { issued: String },
    #[error(
        "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of 1.00:00:00, which can't be extended. It is now expired and a new sign in request must be sent by the SPA to the sign in page. The token was issued on {issued}."
    )]
    SpaRefreshTokenExpired { issued: String },
    #[error(
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before which tokens are not valid) for this user is '{valid_from}'."
    )]
    GrantRevoked {
        issued: String,
        valid_from: String,
        claims: Option<String>,
    },
    #[error(
        "Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type. Request origin: '{0}'."
    )]
    CrossOrigin(String),
    #[error(
        "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests."
    )]
    NotCrossOrigin,
    #[error(
        "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint."
    )]
    GrantOverCommon,

    // On-behalf-of.
    #[error(
        "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion was '{audience}' and the expected audience is '{expected}' or one of the Application Uris of this application with App ID '{client_id}'({name}). The downstream client must request a token for the expected audience (the application that made the OBO request) and this application should use that token as the assertion."
    )]
    AssertionAudience {
        audience: String,
        expected: String,
        client_id: String,
        name: String,
    },
    #[error("Assertion failed signature validation. [Reason - {0}]")]
    AssertionSignature(String),
    #[error(
        "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for user assertion, or request a new token. Current time: {now}, expiry time of assertion {to}."
    )]
    AssertionTime { now: String, to: String },
    #[error("The id_token can't be used as 'urn:ietf:params:oauth:grant-type:jwt-bearer' grant.")]
    IdTokenAssertion,
    #[error("Application '{0}' is not allowed to make application on-behalf-of calls.")]
    OnBehalfOfDenied(String),

    // Device code.
    #[error("OAuth 2.0 device flow error. Authorization is pending. Continue polling.")]
    AuthorizationPending,
    #[error("The user declined to sign in with the device code.")]
    AuthorizationDeclined,
    #[error("The verification code is not valid.")]
    BadDeviceCode,
    #[error("The device code has expired.")]
    DeviceCodeExpired,
}

impl Aadsts {
    /// The number.
    pub(crate) fn code(&self) -> u32 {
        self.facts().0
    }

    /// The OAuth error it is reported as (RFC 6749 §5.2, and Microsoft's additions).
    pub(crate) fn error(&self) -> &'static str {
        self.facts().1
    }

    fn facts(&self) -> (u32, &'static str) {
        match self {
            Self::MissingParameter(_) => (900_144, "invalid_request"),
            Self::DuplicateParameter(_) => (9_000_411, "invalid_request"),
            Self::TenantNotFound(_) => (90_002, "invalid_tenant"),
            Self::TenantSpecifier(_) => (900_023, "invalid_request"),
            Self::Verb(_) => (900_561, "invalid_request"),
            Self::UnknownInstance => (50_049, "invalid_instance"),
            Self::UnsupportedValue(_) => (90_023, "invalid_request"),
            Self::UnknownApplication { .. } => (700_016, "unauthorized_client"),
            Self::NotMultiTenant { .. } => (50_194, "invalid_request"),
            Self::PersonalOnly { .. } => (9_002_331, "invalid_request"),
            Self::OrganizationsOnly { .. } => (9_002_332, "invalid_request"),
            Self::ApplicationDisabled { .. } => (7_000_112, "unauthorized_client"),
            Self::ServicePrincipalMissing { .. } => (7_000_229, "invalid_client"),
            Self::WrongSecret(_) => (7_000_215, "invalid_client"),
            Self::ExpiredSecret(_) => (7_000_222, "invalid_client"),
            Self::ClientCredentialsNeedCredential => (7_000_216, "invalid_client"),
            Self::CredentialMissing => (7_000_218, "invalid_client"),
            Self::PublicClientCredential => (700_025, "invalid_client"),
            Self::ClientAssertionTime { .. } => (700_024, "invalid_client"),
            Self::CertificateUnknown { .. } | Self::ClientAssertionSignature => {
                (700_027, "invalid_client")
            }
            Self::ClientAssertionAudience => (700_023, "invalid_client"),
            Self::ClientAssertionClaim(_) => (700_021, "invalid_client"),
            Self::Federated(error) => (error.code(), "invalid_client"),
            Self::RedirectMismatch { .. } => (50_011, "invalid_request"),
            Self::NoRedirectUri => (500_113, "invalid_request"),
            Self::MalformedRedirectUri => (90_102, "invalid_request"),
            Self::RedirectDiffers { .. } => (500_112, "invalid_grant"),
            Self::ResponseTypeToken => (700_038, "unsupported_response_type"),
            Self::ResponseType => (70_005, "unsupported_response_type"),
            Self::IdTokenNotEnabled => (700_054, "unsupported_response_type"),
            Self::ResponseMode(_) => (70_007, "invalid_request"),
            Self::NonceMissing => (90_014, "invalid_request"),
            Self::ChallengeSize => (501_491, "invalid_request"),
            Self::ChallengeRequired => (9_002_325, "invalid_request"),
            Self::ResourceUnsupported => (901_002, "invalid_request"),
            Self::ResourceMismatch => (9_010_010, "invalid_target"),
            Self::UnknownScope { .. } => (650_053, "invalid_client"),
            Self::InvalidScope(_) => (70_011, "invalid_scope"),
            Self::SeveralResources(_) => (28_000, "invalid_request"),
            Self::ScopeEmpty => (28_003, "invalid_request"),
            Self::UnknownResource { .. } => (500_011, "invalid_resource"),
            Self::TokenForItself(_) => (90_009, "invalid_request"),
            Self::ConsentRequired { .. } => (65_001, "invalid_grant"),
            Self::ConsentDeclined => (65_004, "access_denied"),
            Self::AdminConsentRequired => (90_094, "access_denied"),
            Self::LoginRequired => (50_058, "login_required"),
            Self::SeveralAccounts => (16_000, "interaction_required"),
            Self::UserNotInTenant { .. } => (50_020, "invalid_grant"),
            Self::UserNotFound(_) => (50_034, "invalid_grant"),
            Self::PasswordExpired => (50_055, "invalid_grant"),
            Self::UserDisabled => (50_057, "invalid_grant"),
            Self::WrongPassword => (50_126, "invalid_grant"),
            Self::UserNotAssigned { .. } => (50_105, "interaction_required"),
            Self::Policy(error) => error.facts(),
            Self::UnsupportedGrantType(_) => (70_003, "unsupported_grant_type"),
            Self::MalformedGrant => (70_000, "invalid_grant"),
            Self::MalformedRequest => (9_002_313, "invalid_grant"),
            Self::CodeRedeemed => (54_005, "invalid_grant"),
            Self::CodeExpired => (70_008, "invalid_grant"),
            Self::CodeOfOtherTenant => (700_005, "invalid_grant"),
            Self::VerifierMismatch => (501_481, "invalid_grant"),
            Self::RefreshTokenInactive { .. } => (700_082, "invalid_grant"),
            Self::SpaRefreshTokenExpired { .. } => (700_084, "invalid_grant"),
            Self::GrantRevoked { .. } => (50_173, "invalid_grant"),
            Self::CrossOrigin(_) => (9_002_326, "invalid_request"),
            Self::NotCrossOrigin => (9_002_327, "invalid_request"),
            Self::GrantOverCommon => (9_001_023, "invalid_request"),
            Self::AssertionAudience { .. } => (500_131, "invalid_grant"),
            Self::AssertionSignature(_) => (50_013, "invalid_grant"),
            Self::AssertionTime { .. } => (500_133, "invalid_grant"),
            Self::IdTokenAssertion => (240_002, "invalid_grant"),
            Self::OnBehalfOfDenied(_) => (7_000_114, "invalid_grant"),
            Self::AuthorizationPending => (70_016, "authorization_pending"),
            Self::AuthorizationDeclined => (70_020, "authorization_declined"),
            Self::BadDeviceCode => (70_018, "bad_verification_code"),
            Self::DeviceCodeExpired => (70_019, "expired_token"),
        }
    }

    /// What silent requests (`prompt=none`) are told instead of [`error`](Self::error).
    pub(crate) fn silent_error(&self) -> &'static str {
        match self.code() {
            65_001 => "consent_required",
            50_076 | 50_105 | 50_020 | 50_057 | 53_000 | 53_003 => "interaction_required",
            _ => self.error(),
        }
    }

    /// The finer word Microsoft adds to some errors.
    pub(crate) fn suberror(&self) -> Option<&'static str> {
        match self.code() {
            65_001 => Some("consent_required"),
            50_055 => Some("user_password_expired"),
            50_076 | 50_079 => Some("basic_action"),
            53_000 | 53_003 => Some("message_only"),
            70_000 => Some("bad_token"),
            _ => None,
        }
    }

    /// The claims a client must ask for to get past this error.
    pub(crate) fn claims(&self) -> Option<String> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "two of many have claims")]
        match self {
            Self::Policy(error) => Some(error.claims().to_owned()),
            Self::GrantRevoked { claims, .. } => claims.clone(),
            _ => None,
        }
    }
}

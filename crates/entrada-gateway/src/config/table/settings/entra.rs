//! Microsoft Entra ID.

use crate::config::table::{OfRoute, Place, Setting, setting};

const ENTRA: &str = "Microsoft Entra ID";

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        ENTRA,
        "tenant_id",
        "TENANT",
        "The tenant: its id, a domain such as contoso.onmicrosoft.com, or organizations, \
         common, consumers",
    ),
    setting(
        ENTRA,
        "allowed_tenants",
        "IDS",
        "The only tenants whose users may sign in, by id, where the tenant is organizations \
         or common [default: all of them]",
    ),
    setting(
        ENTRA,
        "client_id",
        "ID",
        "The Application (client) ID of the app registration; in a route whose tokens are Entra's, of \
         another that they are for",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "client_secret",
        "SECRET",
        "The client secret of the app registration",
    )
    .only(Place::OnlyInEnvironment),
    setting(
        ENTRA,
        "client_secret_file",
        "FILE",
        "A file that holds the client secret, and nothing else",
    ),
    setting(
        ENTRA,
        "client_certificate",
        "FILE",
        "In place of a client secret: a certificate and its private key, PEM or PFX; a new file \
         there is used at once",
    ),
    setting(
        ENTRA,
        "client_certificate_password",
        "SECRET",
        "The password of the certificate file",
    )
    .only(Place::OnlyInEnvironment),
    setting(
        ENTRA,
        "client_certificate_password_file",
        "FILE",
        "A file that holds the password of the certificate file, and nothing else",
    ),
    setting(
        ENTRA,
        "federated_token_file",
        "FILE",
        "In place of a client secret: a file with a token that a federated credential trusts, read \
         at each use [default: AZURE_FEDERATED_TOKEN_FILE, which AKS sets]",
    ),
    setting(
        ENTRA,
        "managed_identity",
        "ID",
        "In place of a client secret: the client id of a user-assigned managed identity that a \
         federated credential trusts",
    ),
    setting(
        ENTRA,
        "tokens",
        "WHOSE",
        "Whose tokens let users in: ours; entra: clients must get Entra's own, as few can; both",
    )
    .or("ours")
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "required_scopes",
        "SCOPES",
        "Scopes every token must have, such as mcp.access",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "optional_scopes",
        "SCOPES",
        "Further scopes a client gets if it asks for them, such as mcp.write",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "required_app_roles",
        "ROLES",
        "Let applications call as themselves that have these app roles, with tokens they get from \
         Entra (client credentials) [default: users alone may call]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "allowed_applications",
        "IDS",
        "Let applications call as themselves, but these alone, by Application (client) ID",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "additional_scopes",
        "SCOPES",
        "Further scopes to ask the user for, such as \
         https://graph.microsoft.com/User.Read",
    ),
    setting(
        ENTRA,
        "incremental_scopes",
        "SCOPES",
        "Further scopes to ask the user for once something needs them, such as \
         https://graph.microsoft.com/Mail.Read",
    ),
    setting(
        ENTRA,
        "continuous_access_evaluation",
        "BOOL",
        "Tell Entra that a token may be challenged before its end, so that an account that is \
         disabled or moves is out within minutes: for a server that hands on the challenges of the \
         APIs it calls",
    ),
    setting(
        ENTRA,
        "identifier_uri",
        "URI",
        "The Application ID URI [default: api://CLIENT_ID]",
    )
    .of_route(OfRoute::Inherited),
    setting(
        ENTRA,
        "redirect_path",
        "PATH",
        "The path Entra sends people back to, below the base URL",
    )
    .or("/auth/callback"),
    setting(
        ENTRA,
        "groups_from_graph",
        "BOOL",
        "Look up the groups of users who are in more than a token lists, in Microsoft Graph; \
         needs its scope User.Read among the additional scopes",
    ),
    setting(
        ENTRA,
        "cloud",
        "CLOUD",
        "public, us-government, us-government-dod, china, bleu, delos or gov-sg \
         [default: public]",
    ),
    setting(
        ENTRA,
        "authority_host",
        "HOST[:PORT]",
        "Entra's host, where it is not the cloud's",
    ),
    setting(
        ENTRA,
        "insecure_http_authority",
        "BOOL",
        "Speak to Entra's host without TLS: to an emulator on this machine, for whoever \
         listens on the way reads every secret",
    ),
    setting(
        ENTRA,
        "ca_file",
        "FILE",
        "Certificate authorities (PEM) to trust besides the system's",
    ),
];

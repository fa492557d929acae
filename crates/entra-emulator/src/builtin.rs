//! The names in the built-in directory, for tests and demonstrations to use.
//!
//! The directory itself is `directory/contoso.toml`, which doubles as the example of the format.
//! The numbers are made so that a log line can be read: tenants begin with `1`, users with `2`,
//! applications with `3`.

use crate::directory::Directory;

/// The base URL the emulator says it has when it is driven in-process and none was given.
pub const BASE_URL: &str = "https://login.emulator.test";

/// The tenant every other constant belongs to unless it says otherwise.
pub const TENANT_ID: &str = "10000000-0000-4000-8000-000000000001";
/// The domain of [`TENANT_ID`].
pub const TENANT_DOMAIN: &str = "contoso.onmicrosoft.com";
/// A second tenant, of another organisation.
pub const FABRIKAM_TENANT_ID: &str = "10000000-0000-4000-8000-000000000002";
/// The domain of [`FABRIKAM_TENANT_ID`].
pub const FABRIKAM_TENANT_DOMAIN: &str = "fabrikam.onmicrosoft.com";
/// A tenant for customers: Microsoft Entra External ID.
pub const CUSTOMERS_TENANT_ID: &str = "10000000-0000-4000-8000-000000000003";
/// The domain of [`CUSTOMERS_TENANT_ID`].
pub const CUSTOMERS_TENANT_DOMAIN: &str = "contosocustomers.onmicrosoft.com";
/// The login host of [`CUSTOMERS_TENANT_ID`], which answers in-process.
pub const CUSTOMERS_LOGIN_HOST: &str = "contosocustomers.ciamlogin.com";
/// Another, under a name of Contoso's.
pub const CUSTOMERS_CUSTOM_DOMAIN: &str = "login.customers.contoso.example";
/// A tenant for customers of the older kind: Azure AD B2C.
pub const B2C_TENANT_ID: &str = "10000000-0000-4000-8000-000000000004";
/// The domain of [`B2C_TENANT_ID`].
pub const B2C_TENANT_DOMAIN: &str = "contosob2c.onmicrosoft.com";
/// The login host of [`B2C_TENANT_ID`], which answers in-process.
pub const B2C_LOGIN_HOST: &str = "contosob2c.b2clogin.com";
/// Another, under a name of Contoso's.
pub const B2C_CUSTOM_DOMAIN: &str = "login.b2c.contoso.example";
/// A user flow of [`B2C_TENANT_ID`] whose issuer is the default one.
pub const B2C_POLICY: &str = "B2C_1_signin";
/// A user flow of [`B2C_TENANT_ID`] whose issuer names it.
pub const B2C_TFP_POLICY: &str = "B2C_1_strict";
/// A policy of [`B2C_TENANT_ID`] that the claim `acr` names.
pub const B2C_ACR_POLICY: &str = "B2C_1A_custom";
/// The tenant Microsoft keeps personal accounts in.
pub const CONSUMERS_TENANT_ID: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// The application id of Microsoft Graph, the same in every tenant.
pub const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

/// The password of every user in the directory.
pub const PASSWORD: &str = "password";
/// The code every second factor accepts.
pub const MFA_CODE: &str = "123456";

/// An ordinary user.
pub const ALICE: &str = "alice@contoso.onmicrosoft.com";
/// The object id of [`ALICE`].
pub const ALICE_OID: &str = "20000000-0000-4000-8000-000000000001";
/// Another ordinary user.
pub const BOB: &str = "bob@contoso.onmicrosoft.com";
/// The object id of [`BOB`].
pub const BOB_OID: &str = "20000000-0000-4000-8000-000000000002";
/// A user in more groups than a token can list.
pub const GRACE_MANY_GROUPS: &str = "grace@contoso.onmicrosoft.com";
/// A user who needs a second factor at every sign-in.
pub const MALLORY_MFA: &str = "mfa@contoso.onmicrosoft.com";
/// A user whose account is disabled.
pub const DISABLED: &str = "disabled@contoso.onmicrosoft.com";
/// An administrator, who may consent for the whole tenant.
pub const ADMIN: &str = "admin@contoso.onmicrosoft.com";
/// A user of [`FABRIKAM_TENANT_ID`] who is also a guest in [`TENANT_ID`].
pub const DANA_GUEST: &str = "dana@fabrikam.onmicrosoft.com";
/// The object id [`DANA_GUEST`] has in [`TENANT_ID`].
pub const DANA_GUEST_OID: &str = "20000000-0000-4000-8000-000000000007";
/// A user of [`FABRIKAM_TENANT_ID`] and of nothing else.
pub const FRANK: &str = "frank@fabrikam.onmicrosoft.com";
/// A personal account.
pub const PAT_PERSONAL: &str = "pat@outlook.example";

/// A customer, of [`CUSTOMERS_TENANT_ID`].
pub const CAROL_CUSTOMER: &str = "carol@customer.example";
/// The object id of [`CAROL_CUSTOMER`].
pub const CAROL_CUSTOMER_OID: &str = "20000000-0000-4000-8000-000000000010";
/// A customer, of [`B2C_TENANT_ID`].
pub const BELLA_B2C: &str = "bella@customer.example";
/// The object id of [`BELLA_B2C`].
pub const BELLA_B2C_OID: &str = "20000000-0000-4000-8000-000000000011";
/// The account of an agent, of [`TENANT_ID`].
pub const AGENT_USER: &str = "agent@contoso.onmicrosoft.com";

/// The single-tenant MCP server application: confidential, v2 tokens.
pub const CLIENT_ID: &str = "30000000-0000-4000-8000-000000000001";
/// The client secret of [`CLIENT_ID`].
pub const CLIENT_SECRET: &str = "mcp~8Q.a-public_test-secret_0123456789ab";
/// The Application ID URI of [`CLIENT_ID`].
pub const IDENTIFIER_URI: &str = "api://30000000-0000-4000-8000-000000000001";
/// An application of [`TENANT_ID`] that users of every tenant may sign in to.
pub const MULTI_TENANT_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000002";
/// The client secret of [`MULTI_TENANT_CLIENT_ID`].
pub const MULTI_TENANT_CLIENT_SECRET: &str = "multi~7W.a-public_test-secret_0123456789";
/// An application whose access tokens are v1.
pub const V1_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000003";
/// The client secret of [`V1_CLIENT_ID`].
pub const V1_CLIENT_SECRET: &str = "v1~6E.a-public_test-secret_0123456789abc";
/// A daemon, which signs in as itself.
pub const DAEMON_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000004";
/// The client secret of [`DAEMON_CLIENT_ID`].
pub const DAEMON_CLIENT_SECRET: &str = "daemon~5R.a-public_test-secret_012345678";
/// The certificate of [`DAEMON_CLIENT_ID`] and of [`CLIENT_ID`], PEM.
pub const DAEMON_CERTIFICATE: &str = include_str!("../fixtures/daemon.crt.pem");
/// The private key of [`DAEMON_CERTIFICATE`], PKCS#8 PEM. Public: it is a test key.
pub const DAEMON_PRIVATE_KEY: &str = include_str!("../fixtures/daemon.key.pem");
/// An API that the MCP server calls on behalf of its users.
pub const DOWNSTREAM_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000005";
/// The Application ID URI of [`DOWNSTREAM_CLIENT_ID`].
pub const DOWNSTREAM_IDENTIFIER_URI: &str = "api://downstream.contoso.onmicrosoft.com";
/// An MCP server whose Application ID URI is its own URL.
pub const URL_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000006";
/// The Application ID URI of [`URL_CLIENT_ID`].
pub const URL_IDENTIFIER_URI: &str = "https://mcp.contoso.onmicrosoft.com/mcp";
/// The client secret of [`URL_CLIENT_ID`].
pub const URL_CLIENT_SECRET: &str = "url~4T.a-public_test-secret_0123456789ab";
/// A public client: desktop, command line.
pub const PUBLIC_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000007";
/// A single-page application.
pub const SPA_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000008";
/// An API for which nobody has consented to anything.
pub const UNCONSENTED_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000009";
/// The Application ID URI of [`UNCONSENTED_CLIENT_ID`].
pub const UNCONSENTED_IDENTIFIER_URI: &str = "api://unconsented.contoso.onmicrosoft.com";
/// An MCP server of [`CUSTOMERS_TENANT_ID`].
pub const CUSTOMERS_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000010";
/// The client secret of [`CUSTOMERS_CLIENT_ID`].
pub const CUSTOMERS_CLIENT_SECRET: &str = "cust~3Y.a-public_test-secret_0123456789a";
/// The Application ID URI of [`CUSTOMERS_CLIENT_ID`].
pub const CUSTOMERS_IDENTIFIER_URI: &str = "api://30000000-0000-4000-8000-000000000010";
/// An MCP server of [`B2C_TENANT_ID`].
pub const B2C_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000011";
/// The client secret of [`B2C_CLIENT_ID`].
pub const B2C_CLIENT_SECRET: &str = "b2c~2X.a-public_test-secret_0123456789ab";
/// The Application ID URI of [`B2C_CLIENT_ID`].
pub const B2C_IDENTIFIER_URI: &str = "https://contosob2c.onmicrosoft.com/mcp";
/// An agent identity, made from [`AGENT_BLUEPRINT_CLIENT_ID`].
pub const AGENT_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000012";
/// The blueprint of [`AGENT_CLIENT_ID`].
pub const AGENT_BLUEPRINT_CLIENT_ID: &str = "30000000-0000-4000-8000-000000000013";
/// The client secret of [`AGENT_BLUEPRINT_CLIENT_ID`].
pub const AGENT_BLUEPRINT_CLIENT_SECRET: &str = "agent~1W.a-public_test-secret_0123456789";

/// The issuer of workload identities the emulator pretends to be, wherever it is.
///
/// Its metadata stands under `/workload-issuer`; [`Control`](crate::Control) mints its tokens.
pub const WORKLOAD_ISSUER: &str = "https://login.emulator.test/workload-issuer";
/// The subject of [`WORKLOAD_ISSUER`] that [`CLIENT_ID`] trusts to be itself.
pub const WORKLOAD_SUBJECT: &str = "system:serviceaccount:mcp:entrada";
/// The audience of federated credentials in the public cloud.
pub const TOKEN_EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";
/// The application id of a managed identity of [`TENANT_ID`], which [`CLIENT_ID`] trusts too.
pub const MANAGED_IDENTITY_CLIENT_ID: &str = "40000000-0000-4000-8000-000000000001";
/// The principal id of [`MANAGED_IDENTITY_CLIENT_ID`].
pub const MANAGED_IDENTITY_PRINCIPAL_ID: &str = "41000000-0000-4000-8000-000000000001";
/// The resource id of [`MANAGED_IDENTITY_CLIENT_ID`].
pub const MANAGED_IDENTITY_RESOURCE_ID: &str = "/subscriptions/42000000-0000-4000-8000-000000000001/resourceGroups/mcp/providers/Microsoft.ManagedIdentity/userAssignedIdentities/entrada";
/// What `X-IDENTITY-HEADER` must say at `/msi/token`.
pub const IDENTITY_HEADER: &str = "identity~9Z.a-public_test-secret_01234567";

/// The redirect URI of the MCP server application on `localhost`, where the port is ignored.
pub const LOCALHOST_REDIRECT_URI: &str = "http://localhost/auth/callback";
/// The redirect URI of the MCP server application in production.
pub const REDIRECT_URI: &str = "https://mcp.example.com/auth/callback";

/// The built-in directory as TOML: the example of the format.
pub const DIRECTORY_TOML: &str = include_str!("../directory/contoso.toml");

pub(crate) fn directory() -> Directory {
    Directory::from_toml(DIRECTORY_TOML).expect("a test parses the built-in directory")
}

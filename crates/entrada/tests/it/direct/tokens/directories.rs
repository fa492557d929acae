//! Tokens of customers: Entra External ID and Azure AD B2C.

use entra_emulator::{Signer, TokenOrder, builtin};
use entrada::AzureJwtConfig;

use super::*;

#[tokio::test]
async fn tokens_of_customers_in_an_external_id_tenant() {
    let order = || {
        TokenOrder::delegated(
            builtin::CAROL_CUSTOMER,
            builtin::CUSTOMERS_CLIENT_ID,
            builtin::CUSTOMERS_CLIENT_ID,
        )
    };
    let config = |tenant: &str| {
        AzureJwtConfig::external_id(tenant, builtin::CUSTOMERS_CLIENT_ID)
            .required_scopes(["mcp.read"])
    };
    let rows = || {
        let outside = format!(
            "https://login.microsoftonline.com/{}/v2.0",
            builtin::CUSTOMERS_TENANT_ID
        );
        rows! {
            "as it is": order() => GOOD;
            "from an issuer by name": order().claim("iss", "https://contosocustomers.ciamlogin.com/x/v2.0") => "the token is from another issuer";
            "from an issuer of employees": order().claim("iss", outside) => "the token is from another issuer";
            "of another tenant": order().claim("tid", builtin::TENANT_ID) => TENANT;
            "of version 1.0": order().claim("ver", "1.0") => VERSION;
        }
    };
    judge(config("contosocustomers"), rows()).await;
    let custom =
        config(builtin::CUSTOMERS_TENANT_ID).authority_host("login.customers.contoso.example");
    judge(custom, rows()).await;
}

#[tokio::test]
async fn tokens_of_a_b2c_user_flow() {
    let of = |policy: &str| {
        TokenOrder::delegated(
            builtin::BELLA_B2C,
            builtin::B2C_CLIENT_ID,
            builtin::B2C_CLIENT_ID,
        )
        .policy(policy)
    };
    let config = |policy: &str| {
        AzureJwtConfig::b2c("contosob2c", policy, builtin::B2C_CLIENT_ID)
            .identifier_uris([builtin::B2C_IDENTIFIER_URI])
            .required_scopes(["mcp.read"])
    };
    let rows = |policy: &str| {
        rows! {
            "as it is": of(policy) => GOOD;
            "of another flow": of(policy).claim("tfp", "B2C_1_reset").claim("acr", "B2C_1_reset") => FLOW;
            "of no flow": of(policy).without_claim("tfp").without_claim("acr") => FLOW;
            "of version 2.0": of(policy).claim("ver", "2.0") => VERSION;
            "from an issuer without its slash": of(policy).claim("iss", "https://contosob2c.b2clogin.com/x/v2.0") => "the token is from another issuer";
            "of another tenant": of(policy).claim("tid", builtin::TENANT_ID) => TENANT;
            "by a key of Entra's": of(policy).signed_by(Signer::Personal) => UNKNOWN_KEY;
        }
    };
    for policy in [
        builtin::B2C_POLICY,
        builtin::B2C_TFP_POLICY,
        builtin::B2C_ACR_POLICY,
    ] {
        judge(config(policy), rows(policy)).await;
        judge(
            config(&policy.to_lowercase()),
            rows! {
                "in lower case": of(policy) => GOOD;
            },
        )
        .await;
    }
    let custom = config(builtin::B2C_POLICY).authority_host(builtin::B2C_CUSTOM_DOMAIN);
    let own_host =
        of(builtin::B2C_POLICY).base_url(&format!("https://{}", builtin::B2C_CUSTOM_DOMAIN));
    judge(
        custom,
        rows! {
            "under a domain of its own": own_host => GOOD;
        },
    )
    .await;
}

//! Tokens of several tenants, of version 1.0, and of other clouds.

use entra_emulator::{Signer, TokenOrder, builtin};
use entrada::AzureJwtConfig;
use entrada::entra::cloud::Cloud;

use super::*;
use crate::direct::world::good;

/// A server of the app that every tenant may use.
pub(super) fn multi(tenant: &str) -> AzureJwtConfig {
    AzureJwtConfig::new(tenant, builtin::MULTI_TENANT_CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"])
}

#[tokio::test]
async fn tokens_of_version_one() {
    let v1 = || {
        TokenOrder::delegated(
            builtin::ALICE,
            builtin::PUBLIC_CLIENT_ID,
            builtin::V1_CLIENT_ID,
        )
    };
    let uri = format!("api://{}", builtin::V1_CLIENT_ID);
    let config = AzureJwtConfig::new(builtin::TENANT_ID, builtin::V1_CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"]);
    let rows = rows! {
        "as it is": v1() => GOOD;
        "for the URI": v1().audience(&uri) => GOOD;
        "for the URI with a slash": v1().audience(&format!("{uri}/")) => GOOD;
        "for the id": v1().audience(builtin::V1_CLIENT_ID) => GOOD;
        "for another": v1().claim("aud", "api://other") => AUDIENCE;
        "another cloud's issuer": v1().claim("iss", format!("https://sts.chinacloudapi.cn/{}/", builtin::TENANT_ID)) => ISSUER_V1;
        "another tenant's issuer": v1().claim("iss", format!("https://sts.windows.net/{}/", builtin::FABRIKAM_TENANT_ID)) => ISSUER_V1;
        "the issuer without its slash": v1().claim("iss", format!("https://sts.windows.net/{}", builtin::TENANT_ID)) => ISSUER_V1;
        "the issuer of v2.0": v1().claim("iss", format!("https://login.emulator.test/{}/v2.0", builtin::TENANT_ID)) => ISSUER_V1;
        "a key of personal accounts": v1().signed_by(Signer::Personal) => UNKNOWN_KEY;
        "the client under the name of v2.0": v1().without_claim("appid").claim("azp", "c") => GOOD;
        "no client": v1().without_claim("appid") => CLAIMS;
    };
    judge(config, rows).await;
}

#[tokio::test]
async fn tokens_of_several_tenants() {
    let of = |user| {
        TokenOrder::delegated(
            user,
            builtin::PUBLIC_CLIENT_ID,
            builtin::MULTI_TENANT_CLIENT_ID,
        )
    };
    let everybody = |alice, frank, pat, by_personal_key| {
        rows! {
            "of one organisation": of(builtin::ALICE) => alice;
            "of another": of(builtin::FRANK) => frank;
            "of a personal account": of(builtin::PAT_PERSONAL) => pat;
            "of an organisation, by a key of personal accounts": of(builtin::ALICE).signed_by(Signer::Personal) => by_personal_key;
            "of another tenant than its issuer": of(builtin::ALICE).claim("tid", builtin::FABRIKAM_TENANT_ID) => ISSUER;
        }
    };
    let tenants = [builtin::FABRIKAM_TENANT_ID, builtin::CONSUMERS_TENANT_ID];
    judge(multi("common"), everybody(GOOD, GOOD, GOOD, KEY_ISSUER)).await;
    judge(
        multi("organizations"),
        everybody(GOOD, GOOD, UNKNOWN_KEY, UNKNOWN_KEY),
    )
    .await;
    judge(
        multi("common").allowed_tenants(tenants),
        everybody(TENANT, GOOD, GOOD, TENANT),
    )
    .await;
    let rows = rows! {
        "of a personal account": of(builtin::PAT_PERSONAL) => GOOD;
        "of an organisation": of(builtin::ALICE) => UNKNOWN_KEY;
    };
    judge(multi("consumers"), rows).await;
    let rows = rows! {
        "of the domain's tenant": of(builtin::ALICE) => GOOD;
        "of another": of(builtin::FRANK) => TENANT;
    };
    judge(multi(builtin::TENANT_DOMAIN), rows).await;
}

#[tokio::test]
async fn tokens_of_other_clouds() {
    for cloud in [
        Cloud::UsGovernment,
        Cloud::China,
        Cloud::Bleu,
        Cloud::Delos,
        Cloud::GovSg,
    ] {
        let base = format!("https://{}", cloud.login_host());
        let own = || good().base_url(&base);
        let config = AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID)
            .cloud(cloud)
            .required_scopes(["mcp.read"]);
        let rows = rows! {
            "of the cloud": own() => GOOD;
            "of another cloud": good().base_url("https://login.microsoftonline.com") => "the token is from another issuer";
        };
        judge(config, rows).await;
    }
}

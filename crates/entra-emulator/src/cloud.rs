//! The clouds, which are Entras of their own: their hosts and their names for themselves.

use std::str::FromStr;

/// Which of Microsoft's clouds to pretend to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cloud {
    /// The worldwide one.
    #[default]
    Public,
    /// That of the government of the United States.
    UsGovernment,
    /// That of China, operated by 21Vianet.
    China,
    /// That of France, operated by Bleu.
    Bleu,
    /// That of Germany, operated by Delos.
    Delos,
    /// That of the government of Singapore.
    GovSg,
}

/// No cloud has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the clouds are public, us-government, china, bleu, delos and gov-sg")]
#[non_exhaustive]
pub struct UnknownCloud;

/// What a cloud calls itself and its parts.
#[derive(Debug)]
pub(crate) struct Names {
    /// The hosts clients sign in at; issuers have the first.
    pub(crate) login_hosts: &'static [&'static str],
    /// `cloud_instance_name`.
    pub(crate) instance: &'static str,
    /// `cloud_graph_host_name`: the retired directory API.
    pub(crate) directory_host: &'static str,
    /// `msgraph_host`.
    pub(crate) graph_host: &'static str,
    /// `rbac_url`.
    pub(crate) rbac_url: &'static str,
    /// The audience of federated credentials.
    pub(crate) token_exchange: &'static str,
    /// The host of v1 issuers.
    v1_host: &'static str,
}

impl Cloud {
    const ALL: [Self; 6] = [
        Self::Public,
        Self::UsGovernment,
        Self::China,
        Self::Bleu,
        Self::Delos,
        Self::GovSg,
    ];

    /// The cloud that `host` is a login host of.
    pub(crate) fn of_login_host(host: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|cloud| cloud.names().login_hosts.contains(&host))
    }

    /// Whether this is what federated credentials have for an audience in some cloud.
    pub(crate) fn is_token_exchange(audience: &str) -> bool {
        let mut all = Self::ALL.into_iter();
        all.any(|cloud| cloud.names().token_exchange == audience)
    }

    /// The host its issuers have.
    pub(crate) fn login_host(self) -> &'static str {
        let first = self.names().login_hosts.first();
        first.copied().unwrap_or_default()
    }

    /// The issuer of v1 tokens of a tenant, whatever host was asked.
    pub(crate) fn v1_issuer(self, tenant_id: &str) -> String {
        format!("https://{}/{tenant_id}/", self.names().v1_host)
    }

    pub(crate) fn names(self) -> &'static Names {
        match self {
            Self::Public => &PUBLIC,
            Self::UsGovernment => &US_GOVERNMENT,
            Self::China => &CHINA,
            Self::Bleu => &BLEU,
            Self::Delos => &DELOS,
            Self::GovSg => &GOV_SG,
        }
    }
}

impl FromStr for Cloud {
    type Err = UnknownCloud;

    fn from_str(text: &str) -> Result<Self, UnknownCloud> {
        Ok(match text {
            "public" => Self::Public,
            "us-government" => Self::UsGovernment,
            "china" => Self::China,
            "bleu" => Self::Bleu,
            "delos" => Self::Delos,
            "gov-sg" => Self::GovSg,
            _ => return Err(UnknownCloud),
        })
    }
}

const PUBLIC: Names = Names {
    login_hosts: &[
        "login.microsoftonline.com",
        "login.windows.net",
        "login.microsoft.com",
        "sts.windows.net",
    ],
    instance: "microsoftonline.com",
    directory_host: "graph.windows.net",
    graph_host: "graph.microsoft.com",
    rbac_url: "https://pas.windows.net",
    token_exchange: "api://AzureADTokenExchange",
    v1_host: "sts.windows.net",
};

const US_GOVERNMENT: Names = Names {
    login_hosts: &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    instance: "microsoftonline.us",
    directory_host: "graph.windows.net",
    graph_host: "graph.microsoft.us",
    rbac_url: "https://pasff.usgovcloudapi.net",
    token_exchange: "api://AzureADTokenExchangeUSGov",
    v1_host: "sts.windows.net",
};

const CHINA: Names = Names {
    login_hosts: &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    instance: "partner.microsoftonline.cn",
    directory_host: "graph.chinacloudapi.cn",
    graph_host: "microsoftgraph.chinacloudapi.cn",
    rbac_url: "https://pas.chinacloudapi.cn",
    token_exchange: "api://AzureADTokenExchangeChina",
    v1_host: "sts.chinacloudapi.cn",
};

const BLEU: Names = Names {
    login_hosts: &["login.sovcloud-identity.fr"],
    instance: "sovcloud-identity.fr",
    directory_host: "graph.svc.sovcloud.fr",
    graph_host: "graph.svc.sovcloud.fr",
    rbac_url: "https://pas.sovcloud-identity.fr",
    token_exchange: "api://AzureADTokenExchange",
    v1_host: "sts.sovcloud-identity.fr",
};

const DELOS: Names = Names {
    login_hosts: &["login.sovcloud-identity.de"],
    instance: "sovcloud-identity.de",
    directory_host: "graph.svc.sovcloud.de",
    graph_host: "graph.svc.sovcloud.de",
    rbac_url: "https://pas.sovcloud-identity.de",
    token_exchange: "api://AzureADTokenExchange",
    v1_host: "sts.sovcloud-identity.de",
};

const GOV_SG: Names = Names {
    login_hosts: &["login.sovcloud-identity.sg"],
    instance: "sovcloud-identity.sg",
    directory_host: "graph.svc.sovcloud.sg",
    graph_host: "graph.svc.sovcloud.sg",
    rbac_url: "https://pas.sovcloud-identity.sg",
    token_exchange: "api://AzureADTokenExchange",
    v1_host: "sts.sovcloud-identity.sg",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_login_host_belongs_to_one_cloud() {
        for (host, cloud) in [
            ("login.microsoftonline.com", Some(Cloud::Public)),
            ("login.windows.net", Some(Cloud::Public)),
            ("login.usgovcloudapi.net", Some(Cloud::UsGovernment)),
            ("login.chinacloudapi.cn", Some(Cloud::China)),
            ("login.sovcloud-identity.fr", Some(Cloud::Bleu)),
            ("login.sovcloud-identity.de", Some(Cloud::Delos)),
            ("login.sovcloud-identity.sg", Some(Cloud::GovSg)),
            ("login.emulator.test", None),
            ("", None),
        ] {
            assert_eq!(Cloud::of_login_host(host), cloud, "{host}");
        }
    }

    #[test]
    fn v1_issuers_follow_the_cloud() {
        for (name, issuer) in [
            ("public", "https://sts.windows.net/t/"),
            ("us-government", "https://sts.windows.net/t/"),
            ("china", "https://sts.chinacloudapi.cn/t/"),
        ] {
            let cloud: Cloud = name.parse().unwrap();
            assert_eq!(cloud.v1_issuer("t"), issuer);
        }
        assert_eq!("mars".parse::<Cloud>(), Err(UnknownCloud));
    }
}

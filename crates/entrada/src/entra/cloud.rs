//! The clouds Entra runs in.

/// A cloud: who runs it decides where people sign in, where Microsoft Graph is, and how tokens
/// are named.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Cloud {
    /// Everybody's.
    #[default]
    Public,
    /// Azure for US Government (GCC High).
    UsGovernment,
    /// The same with the Graph of the Department of Defense.
    UsGovernmentDod,
    /// Azure operated by 21Vianet in China.
    China,
    /// Bleu, in France.
    Bleu,
    /// Delos, in Germany.
    Delos,
    /// The Government of Singapore's.
    GovSg,
}

/// What is different in each cloud.
struct Facts {
    name: &'static str,
    login_host: &'static str,
    /// Other names of the same host: tokens never bear them.
    aliases: &'static [&'static str],
    graph_host: &'static str,
    /// The host in the issuer of v1.0 tokens, where it is known.
    v1_issuer_host: Option<&'static str>,
    federation_audience: Option<&'static str>,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Public,
        Self::UsGovernment,
        Self::UsGovernmentDod,
        Self::China,
        Self::Bleu,
        Self::Delos,
        Self::GovSg,
    ];

    const fn facts(self) -> Facts {
        match self {
            Self::Public => Facts {
                name: "public",
                login_host: "login.microsoftonline.com",
                aliases: &[
                    "login.windows.net",
                    "login.microsoft.com",
                    "sts.windows.net",
                ],
                graph_host: "graph.microsoft.com",
                v1_issuer_host: Some("sts.windows.net"),
                federation_audience: Some("api://AzureADTokenExchange"),
            },
            Self::UsGovernment => Facts {
                name: "us-government",
                login_host: "login.microsoftonline.us",
                aliases: &["login.usgovcloudapi.net"],
                graph_host: "graph.microsoft.us",
                v1_issuer_host: Some("sts.windows.net"),
                federation_audience: Some("api://AzureADTokenExchangeUSGov"),
            },
            Self::UsGovernmentDod => Facts {
                name: "us-government-dod",
                aliases: &[],
                graph_host: "dod-graph.microsoft.us",
                ..Self::UsGovernment.facts()
            },
            Self::China => Facts {
                name: "china",
                login_host: "login.partner.microsoftonline.cn",
                aliases: &["login.chinacloudapi.cn"],
                graph_host: "microsoftgraph.chinacloudapi.cn",
                v1_issuer_host: Some("sts.chinacloudapi.cn"),
                federation_audience: Some("api://AzureADTokenExchangeChina"),
            },
            Self::Bleu => Facts {
                name: "bleu",
                login_host: "login.sovcloud-identity.fr",
                graph_host: "graph.svc.sovcloud.fr",
                ..SOVEREIGN
            },
            Self::Delos => Facts {
                name: "delos",
                login_host: "login.sovcloud-identity.de",
                graph_host: "graph.svc.sovcloud.de",
                ..SOVEREIGN
            },
            Self::GovSg => Facts {
                name: "gov-sg",
                login_host: "login.sovcloud-identity.sg",
                graph_host: "graph.svc.sovcloud.sg",
                ..SOVEREIGN
            },
        }
    }

    /// Its name in configurations: `public`, `us-government`, `us-government-dod`, `china`,
    /// `bleu`, `delos`, `gov-sg`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The cloud with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.name() == name)
    }

    /// Where people sign in.
    pub const fn login_host(self) -> &'static str {
        self.facts().login_host
    }

    /// Where Microsoft Graph is.
    pub const fn graph_host(self) -> &'static str {
        self.facts().graph_host
    }

    /// The audience of assertions that federated credentials are exchanged with; `None` where
    /// Microsoft has not said.
    pub const fn federation_audience(self) -> Option<&'static str> {
        self.facts().federation_audience
    }

    /// The host in the issuer of its v1.0 tokens; `None` where Microsoft has not said.
    pub(crate) const fn v1_issuer_host(self) -> Option<&'static str> {
        self.facts().v1_issuer_host
    }

    /// The cloud whose login host this is, by any of its names.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| {
            let facts = cloud.facts();
            facts.login_host == host || facts.aliases.contains(&host)
        })
    }
}

/// What is not known of the newest clouds.
const SOVEREIGN: Facts = Facts {
    name: "",
    login_host: "",
    aliases: &[],
    graph_host: "",
    v1_issuer_host: None,
    federation_audience: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_is_known_by_its_name_and_by_every_name_of_its_host() {
        for (name, host, cloud) in [
            ("public", "login.microsoftonline.com", Cloud::Public),
            ("public", "login.windows.net", Cloud::Public),
            (
                "us-government",
                "login.microsoftonline.us",
                Cloud::UsGovernment,
            ),
            ("china", "login.chinacloudapi.cn", Cloud::China),
            ("bleu", "login.sovcloud-identity.fr", Cloud::Bleu),
            ("delos", "login.sovcloud-identity.de", Cloud::Delos),
            ("gov-sg", "login.sovcloud-identity.sg", Cloud::GovSg),
        ] {
            assert_eq!(Cloud::named(name), Some(cloud));
            assert_eq!(Cloud::of_host(host), Some(cloud), "{host}");
        }
        assert_eq!(Cloud::named("moon"), None);
        assert_eq!(Cloud::of_host("login.example"), None);
        let dod = Cloud::UsGovernmentDod;
        assert_eq!(dod.login_host(), Cloud::UsGovernment.login_host());
        assert_ne!(dod.graph_host(), Cloud::UsGovernment.graph_host());
    }
}

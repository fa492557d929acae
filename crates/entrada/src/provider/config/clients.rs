//! The clients a configuration names, and what any client may ask for.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::AzureConfig;
use super::check::Findings;
use super::error::ConfigError;
use crate::authorization_server::{
    ConsentMode, PreregisteredClient, PreregisteredClients, Resources, TrustedIssuer,
};
use crate::oauth::client::ClientId;
use crate::oauth::client_document::{DocumentHost, DocumentHosts};
use crate::oauth::redirect_pattern::RedirectPattern;
use crate::oauth::redirect_uri::AllowedRedirects;

/// How long consent may be remembered: for less nobody would notice, and browsers keep no cookie for
/// longer (RFC 6265bis §4.1.2.2).
const CONSENT_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_secs(60 * 60)..=Duration::from_secs(400 * 24 * 60 * 60);

impl AzureConfig {
    pub(super) fn allowed_redirects(&self, found: &mut Findings) -> AllowedRedirects {
        let Some(uris) = &self.allowed_client_redirect_uris else {
            return AllowedRedirects::Registered;
        };
        let parse = |uri: &String| {
            RedirectPattern::parse(uri).map_err(|source| ConfigError::AllowedRedirect {
                uri: uri.clone(),
                source,
            })
        };
        let parsed = uris.iter().filter_map(|uri| found.note(parse(uri)));
        AllowedRedirects::Only(parsed.collect())
    }

    pub(super) fn document_hosts(&self, found: &mut Findings) -> DocumentHosts {
        let Some(hosts) = &self.client_document_hosts else {
            return DocumentHosts::Any;
        };
        if hosts.is_empty() {
            return DocumentHosts::None;
        }
        let parse = |host: &String| {
            DocumentHost::parse(host).map_err(|source| ConfigError::ClientDocumentHost {
                host: host.clone(),
                source,
            })
        };
        let parsed = hosts.iter().filter_map(|host| found.note(parse(host)));
        DocumentHosts::Only(parsed.collect())
    }

    pub(super) fn clients(
        &self,
        allowed: &AllowedRedirects,
        resources: Option<&Resources>,
        found: &mut Findings,
    ) -> PreregisteredClients {
        let mut clients = PreregisteredClients::default();
        for client in &self.clients {
            let added = clients.add(client.clone(), allowed, resources);
            found.note(added.map_err(|source| ConfigError::Client {
                client_id: client.client_id().to_owned(),
                source,
            }));
        }
        clients
    }

    fn takes_assertions(&self) -> bool {
        let mut clients = self.clients.iter();
        clients.any(PreregisteredClient::takes_identity_assertions)
    }

    pub(super) fn trusted_issuers(&self, found: &mut Findings) -> Vec<TrustedIssuer> {
        let mut named = HashSet::new();
        for (issuer, _) in &self.trusted_issuers {
            if !named.insert(issuer) {
                found.add(ConfigError::TrustedIssuerTwice(issuer.clone()));
            }
        }
        let parse = |(issuer, jwks_uri): &(String, String)| {
            TrustedIssuer::parse(issuer, jwks_uri).map_err(|source| ConfigError::TrustedIssuer {
                issuer: issuer.clone(),
                source,
            })
        };
        match (self.takes_assertions(), self.trusted_issuers.is_empty()) {
            (true, true) => found.add(ConfigError::NoTrustedIssuer),
            (false, false) => found.add(ConfigError::NoIdentityAssertions),
            (true, false) | (false, true) => {}
        }
        let issuers = self.trusted_issuers.iter().map(parse);
        issuers.filter_map(|issuer| found.note(issuer)).collect()
    }

    pub(super) fn pre_approved(&self, found: &mut Findings) -> HashSet<ClientId> {
        if let ConsentMode::Remember(policy) = self.consent
            && !CONSENT_LIFETIMES.contains(&policy.lifetime)
        {
            found.add(ConfigError::ConsentLifetime);
        }
        let parse = |id: &String| {
            ClientId::parse(id).map_err(|_| ConfigError::PreApprovedClient(id.clone()))
        };
        let ids = self.pre_approved_clients.iter().map(parse);
        ids.filter_map(|id| found.note(id)).collect()
    }
}

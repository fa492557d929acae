//! What a refusal of Entra's comes to, and what is asked of the user.

use super::exchange::NoToken;
use super::{AskAdmin, Inner, InteractionRequired, Key, OboError, Subject};
use crate::access_token::Interaction;
use crate::authorization_server::RenewalError;
use crate::entra::error::{EntraError, Remedy};
use crate::grant::{Grant, NeededInteraction};
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;

impl Inner {
    /// What it comes to that there is no token, and whom to tell.
    pub(super) async fn tell(&self, key: &Key, no_token: NoToken, now: Timestamp) -> OboError {
        match no_token {
            NoToken::Other(error) => error,
            NoToken::Entra(error, _) if matches!(key.subject, Subject::App(_)) => {
                refused(key, error)
            }
            NoToken::Entra(error, grant) => self.tell_user(key, grant.as_deref(), error, now).await,
        }
    }

    async fn tell_user(
        &self,
        key: &Key,
        grant: Option<&Grant>,
        error: EntraError,
        now: Timestamp,
    ) -> OboError {
        match error.remedy() {
            Remedy::Retry(_) => OboError::Exchange(error),
            // A refresh would bring a token that is refused again, and what an API demands is to be
            // brought, too.
            Remedy::SignInAgain if grant.is_some() || key.claims.is_some() => {
                self.interaction(key, grant, error, now).await
            }
            Remedy::SignInAgain | Remedy::FixConfiguration => refused(key, error),
            Remedy::StepUp => self.interaction(key, grant, error, now).await,
            Remedy::Consent if self.can_ask_consent(key, grant) => {
                self.interaction(key, grant, error, now).await
            }
            Remedy::Consent | Remedy::AskAdmin => {
                let admin_consent_url = self.admin_consent_url(key, grant);
                let (scope, advice) = (key.scope.as_str(), error.advice());
                tracing::warn!(scope, advice, admin_consent_url, cause = %error, "exchange refused");
                OboError::AskAdmin(Box::new(AskAdmin {
                    error,
                    admin_consent_url,
                }))
            }
        }
    }

    /// Whether there is somebody to ask, and a scope they can be asked for: without a grant nobody
    /// can send the user to where they consent.
    fn can_ask_consent(&self, key: &Key, grant: Option<&Grant>) -> bool {
        let server = self.server.as_ref().filter(|_| grant.is_some());
        server.is_some_and(|server| !server.entra().consentable(&key.scope).is_empty())
    }

    async fn interaction(
        &self,
        key: &Key,
        grant: Option<&Grant>,
        error: EntraError,
        now: Timestamp,
    ) -> OboError {
        // What the API wants, and what Entra wants for that.
        let asked = match (error.claims(), &key.claims) {
            (Some(entra), Some(api)) => Some(entra.and(api)),
            (entra, api) => entra.or(api.as_ref()).cloned(),
        };
        let consent = error.remedy() == Remedy::Consent;
        let mut interaction = Interaction::default();
        if let (Some(server), Some(grant)) = (&self.server, grant) {
            let scope = if consent {
                server.entra().consentable(&key.scope)
            } else {
                Scope::default()
            };
            let needed = NeededInteraction::new(grant.id(), asked, scope, now);
            match server.remember_interaction(grant, needed).await {
                Ok(told) => interaction = told,
                Err(error) => return OboError::Renewal(RenewalError::Store(error)),
            }
        } else {
            // Clients who ask Entra themselves take it there.
            interaction.claims = Some(asked.unwrap_or_default());
        }
        let admin_consent_url = consent.then(|| self.admin_consent_url(key, grant));
        let (scope, advice) = (key.scope.as_str(), error.advice());
        tracing::info!(scope, advice, admin_consent_url, cause = %error, "the user is asked to sign in again");
        OboError::InteractionRequired(Box::new(InteractionRequired {
            error,
            interaction,
            admin_consent_url,
        }))
    }

    fn admin_consent_url(&self, key: &Key, grant: Option<&Grant>) -> String {
        let redirect_uri = self
            .server
            .as_ref()
            .map(|server| server.entra().redirect_uri());
        let tenant_id = grant.map(|grant| grant.principal().tenant_id.as_str());
        self.app
            .admin_consent_url(tenant_id, &key.scope, redirect_uri)
    }
}

/// There is nobody to ask but those who run the server.
fn refused(key: &Key, error: EntraError) -> OboError {
    let (scope, advice) = (key.scope.as_str(), error.advice());
    tracing::warn!(scope, advice, cause = %error, "exchange refused");
    OboError::Exchange(error)
}

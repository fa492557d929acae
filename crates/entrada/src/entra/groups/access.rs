//! In whose name Microsoft Graph is asked.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::Cache;

use super::{GroupsError, path_by_id};
use crate::access_token::{PresentedToken, PrincipalKind, TokenFacts};
use crate::entra::app::EntraApp;
use crate::platform::Timestamp;
use crate::secret::EntraAccessToken;
use crate::single_flight::Turns;

/// How long before its end a token for Graph is replaced.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// How many tenants' tokens are kept.
const MOST_TENANTS: usize = 1_000;

/// Gets tokens for Microsoft Graph.
#[async_trait]
pub(crate) trait GraphAccess: Debug + Send + Sync {
    /// Where Graph has the groups of whoever `facts` name.
    fn path(&self, facts: &TokenFacts) -> Result<String, GroupsError>;

    /// A token that may read them.
    async fn token(
        &self,
        facts: &TokenFacts,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<EntraAccessToken, GroupsError>;

    /// Graph refuses the token for `facts`: if it is kept, it is of no use.
    fn forget_token(&self, facts: &TokenFacts) {
        let _ = facts;
    }
}

/// The path of somebody who asks about themselves.
pub(crate) fn own_path(facts: &TokenFacts) -> Result<String, GroupsError> {
    match facts.principal.kind {
        PrincipalKind::User => Ok("me".to_owned()),
        PrincipalKind::Application => Err(GroupsError::NoUser),
    }
}

/// Our own app registration asks: in the caller's name, with the caller's token as the assertion,
/// or in its own.
#[derive(Debug)]
pub(crate) struct AppAccess {
    app: EntraApp,
    /// Everything that was consented to at Graph.
    scope: String,
    mode: Mode,
}

enum Mode {
    OnBehalfOf,
    AppOnly {
        /// By tenant.
        tokens: Cache<String, (EntraAccessToken, Timestamp)>,
        turns: Turns<String>,
    },
}

impl AppAccess {
    /// Asks in the caller's name.
    pub(crate) fn on_behalf_of(app: EntraApp, scope: String) -> Self {
        Self {
            app,
            scope,
            mode: Mode::OnBehalfOf,
        }
    }

    /// The same, asking in our own name.
    pub(crate) fn in_own_name(self) -> Self {
        let mode = Mode::AppOnly {
            tokens: Cache::new(MOST_TENANTS),
            turns: Turns::default(),
        };
        Self { mode, ..self }
    }
}

#[async_trait]
impl GraphAccess for AppAccess {
    fn path(&self, facts: &TokenFacts) -> Result<String, GroupsError> {
        match self.mode {
            Mode::OnBehalfOf => own_path(facts),
            Mode::AppOnly { .. } => path_by_id(facts),
        }
    }

    async fn token(
        &self,
        facts: &TokenFacts,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<EntraAccessToken, GroupsError> {
        let tenant_id = &facts.principal.tenant_id;
        match &self.mode {
            Mode::OnBehalfOf => {
                let assertion = EntraAccessToken::new(presented.expose());
                let exchange = self
                    .app
                    .on_behalf_of(&assertion, tenant_id, &self.scope, None);
                Ok(exchange.await?.access_token)
            }
            Mode::AppOnly { tokens, turns } => {
                let lives = |(token, ends): (EntraAccessToken, Timestamp)| {
                    (now + EARLY < ends).then_some(token)
                };
                if let Some(token) = tokens.get(tenant_id).and_then(lives) {
                    return Ok(token);
                }
                let _turn = turns.wait(tenant_id).await;
                if let Some(token) = tokens.get(tenant_id).and_then(lives) {
                    return Ok(token);
                }
                let got = self
                    .app
                    .client_credentials(tenant_id, &self.scope, None)
                    .await?;
                let kept = (got.access_token.clone(), now + got.expires_in);
                tokens.insert(tenant_id.clone(), kept);
                Ok(got.access_token)
            }
        }
    }

    fn forget_token(&self, facts: &TokenFacts) {
        if let Mode::AppOnly { tokens, .. } = &self.mode {
            tokens.remove(&facts.principal.tenant_id);
        }
    }
}

impl Debug for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OnBehalfOf => "OnBehalfOf",
            Self::AppOnly { .. } => "AppOnly",
        })
    }
}

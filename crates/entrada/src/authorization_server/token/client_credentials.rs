//! `grant_type=client_credentials` (RFC 6749 §4.4; MCP, *OAuth Client Credentials*).

use super::{Issued, TokenError, granted};
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::correlation::CorrelationId;
use crate::grant::{AuthenticatedClient, OwnPrincipal};
use crate::oauth::client::Client;
use crate::oauth::params::Params;
use crate::platform::Timestamp;

impl AuthorizationServer {
    /// A token for a client that acts for itself: one the operator knows, and let do so.
    pub(super) async fn issue_to_client(
        &self,
        params: &Params,
        (client, registered): (&AuthenticatedClient, &Client),
        now: Timestamp,
        correlation: &CorrelationId,
    ) -> Result<Issued, TokenError> {
        let access = self.0.config.clients.access(client.id());
        let access = access.ok_or(TokenError::UnauthorizedClient)?;
        let resource = self.resource(params)?;
        let scope = granted(params, &resource.scopes, &access.scope)?;
        let name = registered.metadata().unverified_name();
        let who = OwnPrincipal::client(client, name, &access.roles);
        self.issue_without_login(client, (who, resource, scope), now, correlation)
            .await
    }
}

//! What makes the emulator misbehave, and tells what it saw.

pub(crate) mod http;
pub(crate) mod mint;
pub(crate) mod order;

use std::sync::Arc;
use std::time::Duration;

use crate::control::mint::MintError;
use crate::control::order::TokenOrder;
use crate::directory::Directory;
use crate::emulator::Shared;
use crate::faults::{Endpoint, Failure};
use crate::keys::SigningKey;
use crate::refusal::GrantRefusal;
use crate::workload_issuer;

/// The emulator's steering wheel. Clones steer the same emulator.
///
/// Over HTTP the same stands under `/control/`: `POST /control/{action}` with the arguments as a
/// JSON object, for instance `POST /control/fail-next` with
/// `{"endpoint": "token", "calls": 1, "failure": {"status": 500}}`.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Publishes a new signing key beside the old ones, signs with it, and says its `kid`.
    #[expect(
        clippy::must_use_candidate,
        reason = "the rotation matters more often than the id"
    )]
    pub fn rotate_keys(&self) -> String {
        self.shared.state().keys.rotate()
    }

    /// Stops publishing a key, and says whether it was published.
    #[expect(
        clippy::must_use_candidate,
        reason = "the caller mostly knows the key is there"
    )]
    pub fn retire_key(&self, kid: &str) -> bool {
        self.shared.state().keys.retire(kid)
    }

    /// Leaves a key out of the next `calls` key documents, whoever's they are.
    ///
    /// Entra's edges answer differently: a key can be missing from one answer and be back in the
    /// next.
    pub fn omit_key_next(&self, kid: &str, calls: u64) {
        let mut state = self.shared.state();
        state.faults.omit_key_next(kid.to_owned(), calls);
    }

    /// The `kid` of every published key, the signing one first.
    pub fn keys(&self) -> Vec<String> {
        let state = self.shared.state();
        let active = state.keys.active().kid();
        let others = state.keys.published().map(SigningKey::kid);
        std::iter::once(active)
            .chain(others.filter(|kid| *kid != active))
            .map(str::to_owned)
            .collect()
    }

    /// Issues, without any login, the token Entra would issue, with the order's edits.
    ///
    /// # Panics
    ///
    /// If the order names what the directory does not have; [`try_mint`](Self::try_mint) says so.
    pub fn mint(&self, order: &TokenOrder) -> String {
        #[expect(
            clippy::panic,
            reason = "only a test writes orders, and a wrong one should fail it"
        )]
        self.try_mint(order)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same for orders that come from elsewhere.
    ///
    /// # Errors
    ///
    /// [`MintError`] says what the order names and the directory does not have.
    pub fn try_mint(&self, order: &TokenOrder) -> Result<String, MintError> {
        mint::mint(&self.shared, order)
    }

    /// The token of a workload of [`builtin::WORKLOAD_ISSUER`], such as a pod of Kubernetes.
    ///
    /// An application with a federated credential for `subject` and `audience` may show it instead
    /// of a secret.
    ///
    /// [`builtin::WORKLOAD_ISSUER`]: crate::builtin::WORKLOAD_ISSUER
    pub fn mint_workload_token(&self, subject: &str, audience: &str, lifetime: Duration) -> String {
        let valid = (self.shared.now(), lifetime.as_secs());
        let state = self.shared.state();
        workload_issuer::token(state.workload_keys.active(), subject, audience, valid)
    }

    /// Moves the emulator's clock forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.shared.state();
        state.clock_offset = state.clock_offset.saturating_add(by.as_secs());
    }

    /// The emulator's time, in seconds since 1970.
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Fixes the lifetime of access tokens; `None` lets it vary between 60 and 90 minutes again.
    pub fn set_token_lifetime(&self, lifetime: impl Into<Option<Duration>>) {
        let lifetime: Option<Duration> = lifetime.into();
        self.shared.state().token_lifetime = lifetime.map(|lifetime| lifetime.as_secs());
    }

    /// Makes Graph show so much of a list at once, `getMemberObjects` included.
    ///
    /// `None` has it do as Graph does: all ids at once, other lists in pages.
    pub fn set_graph_page_size(&self, size: impl Into<Option<usize>>) {
        let size: Option<usize> = size.into();
        self.shared.state().graph_page_size = size.map(|size| size.max(1));
    }

    /// Makes the next `calls` of `endpoint` fail.
    pub fn fail_next(&self, endpoint: Endpoint, calls: u64, failure: Failure) {
        let mut state = self.shared.state();
        state.faults.fail_next(endpoint, calls, failure);
    }

    /// Makes the next `calls` of `endpoint` wait before they are answered.
    pub fn delay_next(&self, endpoint: Endpoint, calls: u64, delay: Duration) {
        let mut state = self.shared.state();
        state.faults.delay_next(endpoint, calls, delay);
    }

    /// Answers the next `calls` of `endpoint` with 429 and `Retry-After`.
    pub fn throttle_next(&self, endpoint: Endpoint, calls: u64, retry_after_secs: u64) {
        let retry_after = retry_after_secs;
        self.fail_next(endpoint, calls, Failure::Throttle { retry_after });
    }

    /// Disables an account: sign-ins fail from now on, and so does what was granted.
    pub fn disable_user(&self, username: &str) {
        self.change_directory(|directory| {
            if let Some(user) = directory.user_mut(username) {
                user.disabled = true;
            }
        });
    }

    /// Enables an account again.
    pub fn enable_user(&self, username: &str) {
        self.change_directory(|directory| {
            if let Some(user) = directory.user_mut(username) {
                user.disabled = false;
            }
        });
    }

    /// Revokes every refresh token and code of a user, guest objects included.
    pub fn revoke_refresh_tokens(&self, username: &str) {
        let now = self.shared.now();
        let mut state = self.shared.state();
        for oid in oids(&state.directory, username) {
            state.revoke(&oid, now);
        }
    }

    /// Ends a user's sessions, and has Microsoft Graph hear of it (continuous access evaluation).
    ///
    /// What was granted before is revoked, and every browser must sign in again. Graph answers a
    /// token of before with a claims challenge, if its client declared the capability `cp1`; without
    /// it the token stays good to its end. As an assertion no token of before is.
    pub fn revoke_sessions(&self, username: &str) {
        let now = self.shared.now();
        let mut state = self.shared.state();
        for oid in oids(&state.directory, username) {
            state.end_sessions(&oid, now);
        }
        for accounts in state.browsers.values_mut() {
            accounts.retain(|account| !account.username.eq_ignore_ascii_case(username));
        }
    }

    /// Makes every token response say `refresh_in`; `None` leaves it to long-lived tokens.
    pub fn set_refresh_in(&self, after: impl Into<Option<Duration>>) {
        let after: Option<Duration> = after.into();
        self.shared.state().refresh_in = after.map(|after| after.as_secs());
    }

    /// Demands, or no longer demands, a second factor of a user before on-behalf-of calls succeed.
    ///
    /// The same as [`refuse_obo`](Self::refuse_obo) with [`GrantRefusal::MfaRequired`].
    pub fn demand_mfa_at_obo(&self, username: &str, demanded: bool) {
        self.refuse_obo(username, demanded.then_some(GrantRefusal::MfaRequired));
    }

    /// Holds something against every on-behalf-of call for a user, or no longer anything.
    ///
    /// One thing at a time: the last one said counts.
    pub fn refuse_obo(&self, username: &str, refusal: impl Into<Option<GrantRefusal>>) {
        let refusal = refusal.into();
        let mut state = self.shared.state();
        for oid in oids(&state.directory, username) {
            state.refused_at_obo.set(oid, refusal);
        }
    }

    /// Holds something against every refresh of a user's tokens, or no longer anything.
    pub fn refuse_refresh(&self, username: &str, refusal: impl Into<Option<GrantRefusal>>) {
        let refusal = refusal.into();
        let mut state = self.shared.state();
        for oid in oids(&state.directory, username) {
            state.refused_at_refresh.set(oid, refusal);
        }
    }

    /// Takes back every consent given to a client.
    pub fn revoke_consent(&self, client_id: &str) {
        self.change_directory(|directory| {
            directory
                .consents
                .retain(|given| given.client_id != client_id);
        });
    }

    /// Takes back what was consented of one resource to a client.
    pub fn revoke_consent_to(&self, client_id: &str, resource: &str) {
        self.change_directory(|directory| {
            directory
                .consents
                .retain(|given| given.client_id != client_id || given.resource != resource);
        });
    }

    /// Changes the directory while the emulator runs.
    pub fn change_directory(&self, change: impl FnOnce(&mut Directory)) {
        change(&mut self.shared.state().directory);
    }

    /// Forgets who is signed in, in every browser.
    pub fn sign_everybody_out(&self) {
        self.shared.state().browsers.clear();
    }

    /// How often `endpoint` was called since the start or the last reset.
    pub fn calls(&self, endpoint: Endpoint) -> u64 {
        self.shared.state().faults.calls(endpoint)
    }

    /// Counts from zero again.
    pub fn reset_calls(&self) {
        self.shared.state().faults.reset_calls();
    }

    /// The parameters of the last authorization request, in order, as they came.
    pub fn last_authorize_query(&self) -> Option<Vec<(String, String)>> {
        self.shared.state().last_authorize_query.clone()
    }

    /// The parameters of the last token request, in order, as they came: secrets included.
    pub fn last_token_form(&self) -> Option<Vec<(String, String)>> {
        self.shared.state().token_forms().next_back().cloned()
    }

    /// The same of the last hundred token requests, oldest first.
    ///
    /// Those that were made to fail before they were read are not among them.
    pub fn token_forms(&self) -> Vec<Vec<(String, String)>> {
        self.shared.state().token_forms().cloned().collect()
    }
}

// One account can have an object in several tenants.
fn oids(directory: &Directory, username: &str) -> Vec<String> {
    directory
        .users
        .iter()
        .filter(|user| {
            user.username.eq_ignore_ascii_case(username)
                || user.sign_in_name().eq_ignore_ascii_case(username)
        })
        .map(|user| user.oid.clone())
        .collect()
}

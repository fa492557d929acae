//! What changes while the emulator runs.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::json;

use crate::access_token::SignIn;
use crate::authorize::interaction::{Interaction, SignedIn};
use crate::authorize::pkce::CodeChallenge;
use crate::b2c::state::B2cState;
use crate::builtin;
use crate::device::Device;
use crate::directory::Directory;
use crate::directory::app::{App, Platform};
use crate::directory::tenant::Tenant;
use crate::faults::Faults;
use crate::keys::{KeyRing, SigningKey};
use crate::random;
use crate::refusal::Refusals;
use crate::scope::ScopeRequest;

/// How long a code can be redeemed.
pub(crate) const CODE_LIFETIME: u64 = 600;
/// How long Microsoft's own resources accept an application's token.
const FIRST_PARTY_LIFETIME: u64 = 86_399;
/// How long spent and expired records are remembered, to tell them from unknown ones.
const MEMORY: u64 = 24 * 3600;

/// How many token requests are kept.
const KEPT_FORMS: usize = 100;

/// The parameters of a request, in order, as they came.
pub(crate) type Form = Vec<(String, String)>;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) directory: Directory,
    pub(crate) keys: KeyRing,
    pub(crate) personal_keys: KeyRing,
    /// What the public cloud shows of another one's keys. Nothing is signed with it.
    pub(crate) us_government_keys: KeyRing,
    /// The keys of user flows, which are no Entra keys.
    pub(crate) b2c_keys: KeyRing,
    /// The key of the pretend workload issuer.
    pub(crate) workload_keys: KeyRing,
    /// Where managed identities found the emulator, as their tokens' issuers have it.
    pub(crate) identity_bases: BTreeSet<String>,
    pub(crate) b2c: B2cState,
    pub(crate) clock_offset: u64,
    /// The fixed lifetime of access tokens, when there is one.
    pub(crate) token_lifetime: Option<u64>,
    /// When every answer says to ask again, when it is told.
    pub(crate) refresh_in: Option<u64>,
    /// How much of a list Graph shows at once, when it is told.
    pub(crate) graph_page_size: Option<usize>,
    seed: u64,
    lifetimes_drawn: u64,
    pub(crate) codes: HashMap<String, Code>,
    pub(crate) refresh_tokens: HashMap<String, RefreshToken>,
    /// The devices that wait for their users, by device code.
    pub(crate) devices: HashMap<String, Device>,
    pub(crate) interactions: HashMap<String, Interaction>,
    /// Who is signed in, by the value of the session cookie.
    pub(crate) browsers: HashMap<String, Vec<SignedIn>>,
    /// When, and how many times, the refresh tokens of an object id were revoked.
    revocations: HashMap<String, Revocation>,
    /// What is held against on-behalf-of calls.
    pub(crate) refused_at_obo: Refusals,
    /// What is held against refreshing.
    pub(crate) refused_at_refresh: Refusals,
    pub(crate) faults: Faults,
    pub(crate) last_authorize_query: Option<Vec<(String, String)>>,
    /// The last token requests, oldest first.
    token_forms: VecDeque<Form>,
}

/// What a grant belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) tenant_id: String,
    pub(crate) client_id: String,
    pub(crate) oid: String,
    pub(crate) sign_in: SignIn,
    pub(crate) platform: Platform,
    /// How often the user's grants had been revoked when this one was made.
    pub(crate) revocations: u64,
    pub(crate) issued_at: u64,
}

/// An authorization code (RFC 6749 §4.1.2).
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) holder: Holder,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) asked: ScopeRequest,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Option<CodeChallenge>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) redeemed: bool,
}

/// A refresh token. It belongs to a user and a client, not to a resource.
#[derive(Debug, Clone)]
pub(crate) struct RefreshToken {
    pub(crate) holder: Holder,
    pub(crate) asked: ScopeRequest,
    /// When it ends whatever happens: single-page applications have a day.
    pub(crate) ends_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Revocation {
    count: u64,
    at: u64,
    event: Option<SessionEvent>,
}

/// A revocation that Microsoft Graph hears of: continuous access evaluation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionEvent {
    /// How often the user's grants have been revoked with it.
    count: u64,
    pub(crate) at: u64,
}

impl SessionEvent {
    /// Whether it ended what was granted after so many revocations.
    pub(crate) fn ended(&self, revocations: u64) -> bool {
        revocations < self.count
    }

    /// The claims challenge that asks for a newer sign-in.
    pub(crate) fn challenge(&self) -> String {
        let value = self.at.to_string();
        json!({"access_token": {"nbf": {"essential": true, "value": value}}}).to_string()
    }
}

impl State {
    pub(crate) fn new(directory: Directory, seed: u64) -> Self {
        Self {
            directory,
            keys: KeyRing::new(),
            personal_keys: KeyRing::personal(),
            us_government_keys: KeyRing::us_government(),
            b2c_keys: KeyRing::user_flows(),
            workload_keys: KeyRing::workloads(),
            identity_bases: BTreeSet::new(),
            b2c: B2cState::default(),
            clock_offset: 0,
            token_lifetime: None,
            refresh_in: None,
            graph_page_size: None,
            seed,
            lifetimes_drawn: 0,
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            devices: HashMap::new(),
            interactions: HashMap::new(),
            browsers: HashMap::new(),
            revocations: HashMap::new(),
            refused_at_obo: Refusals::default(),
            refused_at_refresh: Refusals::default(),
            faults: Faults::default(),
            last_authorize_query: None,
            token_forms: VecDeque::new(),
        }
    }

    /// The keys that sign for `tenant`: personal accounts have their own.
    pub(crate) fn keys_of(&self, tenant: &Tenant) -> &KeyRing {
        if tenant.id == builtin::CONSUMERS_TENANT_ID {
            &self.personal_keys
        } else {
            &self.keys
        }
    }

    /// The published key with this id, of whichever ring.
    pub(crate) fn published_key(&self, kid: &str) -> Option<&SigningKey> {
        let rings = [
            &self.keys,
            &self.personal_keys,
            &self.us_government_keys,
            &self.b2c_keys,
        ];
        rings.into_iter().find_map(|ring| ring.by_kid(kid))
    }

    /// How long an application's own token lives when others live for `lifetime`.
    pub(crate) fn app_only_lifetime(&self, resource: &App, lifetime: u64) -> u64 {
        if resource.is_graph() && self.token_lifetime.is_none() {
            FIRST_PARTY_LIFETIME
        } else {
            lifetime
        }
    }

    /// The lifetime of the next token that Graph may end before.
    pub(crate) fn next_evaluated_lifetime(&mut self) -> u64 {
        self.lifetimes_drawn += 1;
        self.token_lifetime
            .unwrap_or_else(|| random::evaluated_lifetime(self.seed, self.lifetimes_drawn))
    }

    /// The lifetime of the next access token.
    pub(crate) fn next_lifetime(&mut self) -> u64 {
        self.lifetimes_drawn += 1;
        self.token_lifetime
            .unwrap_or_else(|| random::token_lifetime(self.seed, self.lifetimes_drawn))
    }

    pub(crate) fn keep_token_form(&mut self, form: Form) {
        if self.token_forms.len() == KEPT_FORMS {
            self.token_forms.pop_front();
        }
        self.token_forms.push_back(form);
    }

    /// The token requests that are kept, oldest first.
    pub(crate) fn token_forms(&self) -> impl DoubleEndedIterator<Item = &Form> {
        self.token_forms.iter()
    }

    pub(crate) fn put_code(&mut self, code: Code) -> String {
        let now = code.holder.issued_at;
        self.codes
            .retain(|_, kept| kept.holder.issued_at + MEMORY > now);
        let name = random::artifact();
        self.codes.insert(name.clone(), code);
        name
    }

    pub(crate) fn put_refresh_token(&mut self, token: RefreshToken) -> String {
        let name = random::artifact();
        self.refresh_tokens.insert(name.clone(), token);
        name
    }

    /// How often the grants of `oid` have been revoked.
    pub(crate) fn revocations(&self, oid: &str) -> u64 {
        self.revocations.get(oid).map_or(0, |known| known.count)
    }

    /// When the grants of `oid` were last revoked.
    pub(crate) fn tokens_valid_from(&self, oid: &str) -> u64 {
        self.revocations.get(oid).map_or(0, |known| known.at)
    }

    pub(crate) fn revoke(&mut self, oid: &str, now: u64) {
        let known = self.revocations.entry(oid.to_owned()).or_default();
        known.count += 1;
        known.at = now;
    }

    /// The same, and Graph hears of it.
    pub(crate) fn end_sessions(&mut self, oid: &str, now: u64) {
        self.revoke(oid, now);
        let known = self.revocations.entry(oid.to_owned()).or_default();
        known.event = Some(SessionEvent {
            count: known.count,
            at: now,
        });
    }

    /// The last of those.
    pub(crate) fn session_event(&self, oid: &str) -> Option<SessionEvent> {
        self.revocations.get(oid)?.event
    }
}

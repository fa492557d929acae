//! Groups that a token had no room for.
//!
//! Entra lists up to 200 groups in a token and none at all of a user who is in more. Microsoft
//! Graph tells them then (Microsoft, *configure group claims*, groups overage claim).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use quick_cache::sync::Cache;
use serde::Deserialize;

use super::error::EntraError;
use crate::access_token::{PresentedToken, PrincipalKind, TokenFacts};
use crate::platform::{Platform, Timestamp, TransportError};
use crate::secret::EntraAccessToken;
use crate::single_flight::Turns;

mod access;
mod completed;

pub(crate) use access::{AppAccess, GraphAccess, own_path};
pub(crate) use completed::WithGroups;

/// How long memberships are believed: somebody who leaves a group is out of it here within this
/// time, and that for which a verdict is remembered.
const GROUPS_TTL: Duration = Duration::from_secs(5 * 60);

/// How soon Graph is asked again about somebody whom it gave no answer about.
const RETRY: Duration = Duration::from_secs(5);

/// How many callers' groups are kept.
const MOST_CALLERS: usize = 10_000;

/// How many groups a caller may be in: as many as Graph gives at a time.
const MOST_GROUPS: usize = 11_000;

/// How many pages are read about one caller.
const MOST_PAGES: usize = 100;

/// Why a caller's groups are not known. None of it lets anybody in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupsError {
    /// Entra gives no token for Graph.
    #[error("entra gives no token for microsoft graph")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is nobody to ask in the name of.
    #[error("an application's groups are looked up in our own name alone")]
    NoUser,
    /// Graph could not be asked.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Graph refuses, or is not available.
    #[error(
        "microsoft graph answered with http status {0}: if it refuses, the app registration lacks \
         a permission that GraphGroups names, or consent to it"
    )]
    Refused(StatusCode),
    /// Its answer is not one we understand.
    #[error("microsoft graph's answer is not understood")]
    Malformed,
    /// There are more than can be looked at.
    #[error("the caller is in more than {MOST_GROUPS} groups")]
    TooMany,
    /// It was asked a moment ago, in vain.
    #[error("microsoft graph gave no answer a moment ago")]
    FailedBefore,
}

impl From<EntraError> for GroupsError {
    fn from(error: EntraError) -> Self {
        Self::Token(Box::new(error))
    }
}

/// Looks groups up, one caller at a time, and remembers them.
pub(crate) struct GroupResolver {
    /// `https://graph.microsoft.com`, or where an emulator is.
    graph: String,
    access: Arc<dyn GraphAccess>,
    platform: Platform,
    known: Arc<Cache<CallerKey, Known>>,
    turns: Turns<CallerKey>,
}

/// Tenant and object id.
type CallerKey = (String, String);

#[derive(Clone)]
enum Known {
    Groups(Arc<[String]>, Timestamp),
    Failed(Timestamp),
}

impl GroupResolver {
    pub(crate) fn new(graph: String, access: Arc<dyn GraphAccess>, platform: Platform) -> Self {
        Self {
            graph,
            access,
            platform,
            known: Arc::new(Cache::new(MOST_CALLERS)),
            turns: Turns::default(),
        }
    }

    /// Keeps what `before` was told by the same Graph.
    pub(crate) fn keeping(self, before: &Self) -> Self {
        if self.graph != before.graph {
            return self;
        }
        let known = Arc::clone(&before.known);
        Self { known, ..self }
    }

    /// Puts the groups of `facts` in their place, if the token had no room for them.
    ///
    /// # Errors
    ///
    /// [`GroupsError`]: they are not known, and nobody may go by that.
    pub(crate) async fn complete(
        &self,
        facts: &mut TokenFacts,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<(), GroupsError> {
        if !facts.principal.groups_overage {
            return Ok(());
        }
        let groups = self.groups(facts, presented, now).await?;
        facts.principal.groups = groups.to_vec();
        facts.principal.groups_overage = false;
        Ok(())
    }

    async fn groups(
        &self,
        facts: &TokenFacts,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<Arc<[String]>, GroupsError> {
        let object_id = facts.principal.object_id.clone();
        let object_id = object_id.ok_or(GroupsError::Malformed)?;
        let key = (facts.principal.tenant_id.clone(), object_id);
        if let Some(known) = self.recall(&key, now) {
            return known;
        }
        let _turn = self.turns.wait(&key).await;
        if let Some(known) = self.recall(&key, now) {
            return known;
        }
        let asked = self.ask(facts, presented, now).await;
        let known = match &asked {
            Ok(groups) => Known::Groups(Arc::clone(groups), now),
            Err(_) => Known::Failed(now),
        };
        self.known.insert(key, known);
        asked
    }

    fn recall(
        &self,
        key: &CallerKey,
        now: Timestamp,
    ) -> Option<Result<Arc<[String]>, GroupsError>> {
        match self.known.get(key)? {
            Known::Groups(groups, at) if at.is_within(GROUPS_TTL, now) => Some(Ok(groups)),
            Known::Failed(at) if at.is_within(RETRY, now) => Some(Err(GroupsError::FailedBefore)),
            Known::Groups(..) | Known::Failed(_) => None,
        }
    }

    async fn ask(
        &self,
        facts: &TokenFacts,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<Arc<[String]>, GroupsError> {
        let path = self.access.path(facts)?;
        let token = self.access.token(facts, presented, now).await?;
        let mut groups = Vec::new();
        let mut next = Some(format!("{}/v1.0/{path}/getMemberObjects", self.graph));
        let mut first = true;
        for _ in 0..MOST_PAGES {
            let Some(url) = next else {
                return Ok(groups.into());
            };
            let page = self.page(&url, &token, first).await;
            if let Err(GroupsError::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) =
                page
            {
                // A permission that is granted now is in the next token alone.
                self.access.forget_token(facts);
            }
            let page = page?;
            groups.extend(page.value);
            if groups.len() > MOST_GROUPS {
                return Err(GroupsError::TooMany);
            }
            next = page.next;
            first = false;
        }
        Err(GroupsError::TooMany)
    }

    /// One page: the first is the answer to a question, the others are read where Graph says.
    async fn page(
        &self,
        url: &str,
        token: &EntraAccessToken,
        first: bool,
    ) -> Result<Page, GroupsError> {
        // Our token goes to Graph and to nobody else, whatever an answer says.
        let own = url
            .strip_prefix(&self.graph)
            .is_some_and(|rest| rest.starts_with('/'));
        let uri: Uri = url.parse().map_err(|_| GroupsError::Malformed)?;
        if !own {
            return Err(GroupsError::Malformed);
        }
        let response = self
            .platform
            .http
            .send(question(uri, token, first)?)
            .await?;
        if !response.status().is_success() {
            return Err(GroupsError::Refused(response.status()));
        }
        serde_json::from_slice(response.body()).map_err(|_| GroupsError::Malformed)
    }
}

/// A request for a page of groups (Microsoft Graph, *getMemberObjects*).
fn question(
    uri: Uri,
    token: &EntraAccessToken,
    first: bool,
) -> Result<Request<Bytes>, GroupsError> {
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut bearer = bearer.map_err(|_| GroupsError::Malformed)?;
    bearer.set_sensitive(true);
    let mut request = Request::new(Bytes::new());
    if first {
        *request.method_mut() = Method::POST;
        *request.body_mut() = Bytes::from_static(br#"{"securityEnabledOnly":false}"#);
    }
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, bearer);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json.clone());
    headers.insert(header::ACCEPT, json);
    Ok(request)
}

#[derive(Deserialize)]
struct Page {
    value: Vec<String>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// Where the groups of a principal are found by its object id.
pub(crate) fn path_by_id(facts: &TokenFacts) -> Result<String, GroupsError> {
    let object_id = facts.principal.object_id.as_deref();
    let object_id = object_id.filter(|id| crate::jwt::verify::is_guid(id));
    let object_id = object_id.ok_or(GroupsError::Malformed)?;
    Ok(match facts.principal.kind {
        PrincipalKind::User => format!("users/{object_id}"),
        PrincipalKind::Application => format!("servicePrincipals/{object_id}"),
    })
}

impl fmt::Debug for GroupResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupResolver")
            .field("graph", &self.graph)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

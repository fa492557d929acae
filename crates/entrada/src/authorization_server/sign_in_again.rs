//! `GET` and `POST /sign-in-again`: a user brings what a grant of theirs lacks, without their
//! client.

use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::callback::{UNAVAILABLE, UpstreamError, UpstreamRefusal, unredeemed};
use super::consent::ConsentError;
use super::correlation::CorrelationId;
use super::pages::{self, SignInAgainPage, Words};
use super::{AuthorizationServer, MOST_ROUNDS, RenewalError, answer};
use crate::access_token::Interaction;
use crate::entra::error::EntraError;
use crate::grant::{
    Grant, NeededInteraction, Renewal, SignInAgain, SignInAgainLink, SignInAgainRequest, SignedIn,
};
use crate::keys::Purpose;
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::Params;
use crate::platform::Timestamp;
use crate::secret::{BrowserBinding, UpstreamState};
use crate::store::{StoreError, Written};

/// What a link is sealed for.
const LINK: Purpose<'static> = Purpose::new("sign-in-again-link", b"");

/// What the form behind it is sealed for.
const FORM: Purpose<'static> = Purpose::new("sign-in-again-form", b"");

/// Why a user could not bring what their grant lacks. All of them end on a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInAgainError {
    /// The link or the form is not one of ours.
    #[error("the link is not one we made")]
    Link,
    /// Nothing lacks any more, or the link is too old.
    #[error("there is nothing to sign in again for")]
    NothingNeeded,
    /// The form was posted by another site, or shown to another browser.
    #[error("the form was not posted by the browser it was shown to")]
    OtherBrowser,
    /// The page stood open for too long, or was answered before.
    #[error("the form has expired or was answered before")]
    Expired,
    /// The grant was revoked, or has ended.
    #[error("the grant has ended")]
    GrantEnded,
    /// Somebody else signed in than the one who gave the grant.
    #[error("another user signed in than the one who gave the grant")]
    OtherUser,
    /// Entra's own error, sent through the browser.
    #[error("entra sent the user back with an error")]
    Entra(#[source] UpstreamRefusal),
    /// Entra did not take its own code, or gave nothing that holds.
    #[error("the login could not be completed")]
    Redeem(#[source] EntraError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<&SignInAgainError> for ErrorResponse {
    fn from(error: &SignInAgainError) -> Self {
        use SignInAgainError as E;
        let (code, description) = match error {
            E::Link => (ErrorCode::InvalidRequest, "the link is not one we made"),
            E::NothingNeeded => (
                ErrorCode::InvalidRequest,
                "there is nothing to sign in again for",
            ),
            E::OtherBrowser => (
                ErrorCode::AccessDenied,
                "the form belongs to another browser",
            ),
            E::Expired => (ErrorCode::InvalidRequest, "the page has expired"),
            E::GrantEnded => (ErrorCode::InvalidRequest, "the grant has ended"),
            E::OtherUser => (ErrorCode::AccessDenied, "somebody else gave the grant"),
            E::Entra(refusal) => refusal.on_page(),
            E::Redeem(error) => unredeemed(error),
            E::Store(_) => UNAVAILABLE,
        };
        Self::new(code, description)
    }
}

impl From<ConsentError> for SignInAgainError {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Store(error) => Self::Store(error),
            ConsentError::OtherBrowser => Self::OtherBrowser,
            ConsentError::Form | ConsentError::Expired | ConsentError::Answered => Self::Expired,
        }
    }
}

pub(super) async fn get(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let shown = server.ask_again(query.as_bytes(), &headers).await;
    shown.unwrap_or_else(|error| page(&error, &correlation))
}

pub(super) async fn post(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let sent = server.go_again(&body, &headers).await;
    sent.unwrap_or_else(|error| page(&error, &correlation))
}

impl AuthorizationServer {
    /// Remembers what the user of `grant` must bring to their next login; answers with what the client
    /// is told, and a link on which they can without it.
    pub(crate) async fn remember_interaction(
        &self,
        grant: &Grant,
        needed: NeededInteraction,
    ) -> Result<Interaction, StoreError> {
        let needed = self.0.renewer.remember(grant, needed).await?;
        let link = SignInAgainLink::new(grant.id(), self.now());
        let sealed = self.0.store.seal_for(LINK, &link);
        let sealed = sealed.map_err(StoreError::new)?;
        let path = format!("/sign-in-again?request={sealed}");
        Ok(Interaction {
            claims: None,
            link: Some(self.0.endpoints.url(&path)),
            asked_in_vain: needed.was_asked_in_vain(self.now()),
        })
    }

    /// Shows the user what they are asked for.
    async fn ask_again(
        &self,
        query: &[u8],
        headers: &HeaderMap,
    ) -> Result<Response, SignInAgainError> {
        use SignInAgainError as E;
        let now = self.now();
        let link: SignInAgainLink = self.opened(LINK, query).await?;
        let grant = link.grant(now).ok_or(E::NothingNeeded)?;
        let grant = self.0.store.grant(&grant, now).await?;
        let grant = grant.ok_or(E::GrantEnded)?;
        let key = grant.interaction_key().ok_or(E::NothingNeeded)?;
        let needed = self.0.store.interaction(&key, now).await?;
        let needed = needed.ok_or(E::NothingNeeded)?;
        let client = self.client(grant.client_id(), now).await.ok();
        let random = &*self.0.platform.random;
        let cookies = self.cookies();
        let (browser, set_cookie) = cookies.browser_or_new(headers, random);
        let consents = needed.scope().clone();
        let user = grant.principal().preferred_username.as_deref().map(masked);
        let state = UpstreamState::generate(random);
        let request = SignInAgainRequest::new(&grant, needed, state, browser.hashed(), now);
        let sealed = self.0.store.seal_for(FORM, &request);
        let mut response = SignInAgainPage {
            server_name: self.name_of(grant.resource()),
            client_name: client
                .as_ref()
                .and_then(|client| client.metadata().unverified_name()),
            client_id: grant.client_id(),
            user: user.as_deref(),
            consents: &consents,
            sealed_request: &sealed.map_err(StoreError::new)?,
            action: &self.0.endpoints.path("/sign-in-again"),
            form_action_sources: &self.0.entra.login_origin(),
        }
        .into_response();
        let response_headers = response.headers_mut();
        response_headers.append(header::SET_COOKIE, set_cookie);
        Ok(response)
    }

    /// Sends the user to Entra.
    async fn go_again(
        &self,
        body: &[u8],
        headers: &HeaderMap,
    ) -> Result<Response, SignInAgainError> {
        use SignInAgainError as E;
        let now = self.now();
        let request: SignInAgainRequest = self.opened(FORM, body).await?;
        if !self.is_posted_by(request.browser(), headers) {
            return Err(E::OtherBrowser);
        }
        if request.has_expired(now) {
            return Err(E::Expired);
        }
        let binding = BrowserBinding::generate(&*self.0.platform.random);
        let again = request.proceed(self.login(binding.clone()), now);
        Ok(self.send_to_entra(&again.into(), &binding, now).await?)
    }

    /// The parameter `request`, if we sealed it for `purpose`.
    async fn opened<T: DeserializeOwned>(
        &self,
        purpose: Purpose<'_>,
        parameters: &[u8],
    ) -> Result<T, SignInAgainError> {
        let params = Params::parse(parameters).ok();
        let sealed = params.as_ref().and_then(|params| params.get("request"));
        let sealed = sealed.ok_or(SignInAgainError::Link)?;
        let opened = self.0.store.open_for(purpose, sealed).await?;
        opened.ok_or(SignInAgainError::Link)
    }

    /// Puts what Entra gave now under the grant, if it is the same user's.
    pub(super) async fn signed_in_again(
        &self,
        again: &SignInAgain,
        signed_in: SignedIn,
        now: Timestamp,
    ) -> Result<(), SignInAgainError> {
        let SignedIn {
            principal,
            held,
            scope,
        } = signed_in;
        let renewal = Renewal::new(held, Some(principal), scope);
        for _ in 0..MOST_ROUNDS {
            let grant = self.0.renewer.standing(&again.grant(), now).await;
            let grant = grant.map_err(|error| {
                if let RenewalError::Store(error) = error {
                    SignInAgainError::Store(error)
                } else {
                    SignInAgainError::GrantEnded
                }
            })?;
            if !grant.is_of(&renewal) {
                return Err(SignInAgainError::OtherUser);
            }
            let next = grant.refreshed(renewal.clone());
            match self.0.store.put_grant(&next).await? {
                Written::Yes => {
                    if let Some(key) = grant.interaction_key() {
                        self.0.store.take_interaction(&key, now).await?;
                    }
                    return Ok(());
                }
                Written::Conflict => {}
                Written::Revoked => return Err(SignInAgainError::GrantEnded),
            }
        }
        Err(StoreError::new("too many writers of one grant at once").into())
    }
}

/// What the user reads once all is well.
pub(super) const DONE: Words = Words {
    title: "You can go back to your app",
    message: "Microsoft has seen you, and what your app tried before works now.",
    advice: "Close this window, and ask your app for the same thing once more.",
};

/// What an administrator reads who consented.
pub(super) const CONSENTED: Words = Words {
    title: "Consent was given",
    message: "Microsoft has noted it for everybody in your organisation. It can take some minutes \
              to have effect.",
    advice: "Close this window.",
};

pub(super) fn page(error: &SignInAgainError, correlation: &CorrelationId) -> Response {
    use SignInAgainError as E;
    let answer = ErrorResponse::from(error);
    answer::log(error, answer.error, correlation);
    let words = match error {
        E::Link => Words {
            title: pages::NOT_COMPLETE,
            message: "It is not one this server made, or a part of it is missing.",
            advice: "Copy the whole link, or ask your app for the same thing once more.",
        },
        E::NothingNeeded => Words {
            title: "There is nothing to do here",
            message: "You have signed in since, or the link is more than an hour old.",
            advice: "Ask your app for the same thing once more.",
        },
        E::OtherBrowser => Words {
            title: "This form belongs to another browser",
            message: "Your answer did not come from the page this server showed to this browser. \
                      Cookies must be allowed for this site.",
            advice: "Open the link from your app again.",
        },
        E::Expired => Words {
            title: "This page was answered, or stood open for too long",
            message: "For your safety an answer counts once, and for ten minutes.",
            advice: "Open the link from your app again.",
        },
        E::GrantEnded => Words {
            title: "Your app is signed out",
            message: "Its permission has ended since the link was made.",
            advice: "Sign in from your app.",
        },
        E::OtherUser => Words {
            title: "That was another account",
            message: "The app works for somebody else than who signed in just now. Nothing was \
                      changed.",
            advice: "Open the link again and choose the account you use in your app. If somebody \
                     sent you the link, do not use it.",
        },
        E::Entra(refusal) if refusal.error() == UpstreamError::AccessDenied => Words {
            title: "Microsoft did not sign you in",
            message: "You said no, or a policy of your organisation did. Nothing was changed.",
            advice: "Open the link again, or ask an administrator of your organisation.",
        },
        E::Entra(_) | E::Redeem(_) => Words {
            title: "Signing in did not work",
            message: "Microsoft sent you back without what was needed. Nothing was changed.",
            advice: "Open the link again in a minute.",
        },
        E::Store(_) => pages::UNAVAILABLE,
    };
    pages::error(answer.error, words, correlation)
}

/// An account, for those who know it: whoever holds the link sees the page.
fn masked(account: &str) -> String {
    let (name, rest) = account.split_at(account.find('@').unwrap_or(account.len()));
    let first = name.chars().next();
    first.into_iter().chain(['…']).chain(rest.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_by_those_who_know_it() {
        for (account, shown) in [
            ("alice@contoso.com", "a…@contoso.com"),
            ("élise@contoso.com", "é…@contoso.com"),
            ("alice", "a…"),
            ("@contoso.com", "…@contoso.com"),
            ("", "…"),
        ] {
            assert_eq!(masked(account), shown);
        }
    }
}

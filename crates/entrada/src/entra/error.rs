//! What Entra's refusals mean.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::credential::CredentialError;
use crate::access_token::VerifyError;
use crate::oauth::claims_request::ClaimsRequest;
use crate::platform::TransportError;
use crate::published::PublishedError;

mod aadsts;

use aadsts::Meaning;

/// How long to wait where Entra does not say.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long to wait where Entra takes us for a loop: it forgets within five minutes.
const LOOP_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// The longest wait we pass on.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Why Entra gave no tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntraError {
    /// No response came.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// We have nothing to prove our app registration with.
    #[error("the credential of the app registration cannot be had")]
    Credential(#[from] CredentialError),
    /// Entra is overloaded, or we ask too often.
    #[error("entra is not available now (http status {status})")]
    Unavailable {
        /// The status it answered with.
        status: StatusCode,
        /// How long it asked us to wait.
        retry_after: Duration,
    },
    /// Entra said no.
    #[error("entra refused: {0}")]
    Refused(Box<Refusal>),
    /// The response is not one we understand.
    #[error("entra's answer is not understood")]
    Malformed,
    /// Its keys or its metadata cannot be had.
    #[error("entra's keys or metadata cannot be had")]
    Published(#[from] PublishedError),
    /// The ID token does not hold.
    #[error("entra's id token does not hold")]
    IdToken(#[source] Box<VerifyError>),
    /// The ID token is for another login, or lacks the claims that name a user.
    #[error("entra's id token is not for this login")]
    WrongLogin,
}

/// What Entra said when it refused. Its description is left out: it can name people.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// `error`
    pub error: String,
    /// `suberror`
    pub suberror: Option<String>,
    /// `error_codes`: the numbers after `AADSTS`
    pub codes: Vec<u32>,
    /// `claims`: what the next sign-in must bring
    pub claims: Option<ClaimsRequest>,
    /// `correlation_id`, for Microsoft's support
    pub correlation_id: Option<String>,
    /// `trace_id`, for Microsoft's support
    pub trace_id: Option<String>,
    /// The scope that was asked for, where it is known
    pub scope: Option<String>,
}

// As one looks it up: `"invalid_client", AADSTS7000215 (…)`. Entra's words are quoted, so that they
// stay on one line.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.error)?;
        self.codes
            .iter()
            .try_for_each(|code| write!(f, ", AADSTS{code}"))?;
        let name = |id: &Option<String>| id.clone().unwrap_or_default();
        let (correlation, trace) = (name(&self.correlation_id), name(&self.trace_id));
        write!(f, " (correlation id {correlation:?}, trace id {trace:?})")
    }
}

/// What helps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Remedy {
    /// Ask again, after so long.
    Retry(Duration),
    /// The user must sign in again: the authorization behind the request is over.
    SignInAgain,
    /// The user must sign in again with more than before, a second factor perhaps: the
    /// [`claims`](EntraError::claims) say with what. The authorization stands.
    StepUp,
    /// The user must consent to what was asked for. The authorization stands.
    Consent,
    /// An administrator must allow it, or the user.
    AskAdmin,
    /// The operator must mend the app registration or our configuration of it.
    FixConfiguration,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    suberror: Option<String>,
    #[serde(default)]
    error_codes: Vec<u32>,
    claims: Option<String>,
    correlation_id: Option<String>,
    trace_id: Option<String>,
}

impl From<VerifyError> for EntraError {
    fn from(error: VerifyError) -> Self {
        Self::IdToken(Box::new(error))
    }
}

impl EntraError {
    /// A label for it.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Transport(_) => "no_answer",
            Self::Credential(_) => "credential",
            Self::Unavailable { .. } => "unavailable",
            Self::Refused(_) => "refused",
            Self::Malformed | Self::Published(_) | Self::IdToken(_) | Self::WrongLogin => {
                "not_understood"
            }
        }
    }

    /// Reads a response that is not a success.
    ///
    /// Microsoft says to act on `error`, never on the numbers; a throttled answer is plain text.
    pub(super) fn from_http(response: &Response<Bytes>) -> Self {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let retry_after = retry_after(response.headers());
            return Self::Unavailable {
                status,
                retry_after,
            };
        }
        match serde_json::from_slice(response.body()) {
            Ok(ErrorBody {
                error,
                suberror,
                error_codes,
                claims,
                correlation_id,
                trace_id,
            }) => Self::Refused(Box::new(Refusal {
                error,
                suberror,
                codes: error_codes,
                claims: claims.and_then(|claims| ClaimsRequest::parse(&claims).ok()),
                correlation_id,
                trace_id,
                scope: None,
            })),
            Err(_) => Self::Malformed,
        }
    }

    /// With the scope that was asked for, where Entra refused.
    pub(super) fn asked_for(mut self, scope: &str) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.scope = Some(scope.to_owned());
        }
        self
    }

    /// The scope that was asked for, where Entra refused.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.refusal()?.scope.as_deref()
    }

    /// Whether somebody signed in whose tenant is not let in.
    pub(crate) fn is_of_another_tenant(&self) -> bool {
        matches!(self, Self::IdToken(error) if matches!(**error, VerifyError::Tenant { .. }))
    }

    /// What the next sign-in must bring, where Entra said so.
    pub fn claims(&self) -> Option<&ClaimsRequest> {
        self.refusal()?.claims.as_ref()
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Transport(_)
            | Self::Unavailable { .. }
            | Self::Malformed
            | Self::Published(_)
            | Self::Credential(_)
            | Self::IdToken(_)
            | Self::WrongLogin => None,
        }
    }

    /// What helps.
    ///
    /// Only Entra saying so ends a grant: everything else leaves it as it is.
    pub fn remedy(&self) -> Remedy {
        self.meaning().remedy
    }

    /// What helps, in a sentence for whoever runs the server.
    pub fn advice(&self) -> &'static str {
        self.meaning().advice
    }

    fn meaning(&self) -> Meaning {
        let (remedy, advice) = match self {
            Self::Transport(_) => (
                Remedy::Retry(DEFAULT_RETRY_AFTER),
                "entra cannot be reached: check the network, proxies and certificates",
            ),
            Self::Malformed | Self::Published(_) => (
                Remedy::Retry(DEFAULT_RETRY_AFTER),
                "something else than entra answers, or entra is in trouble",
            ),
            Self::Unavailable { retry_after, .. } => (
                Remedy::Retry(*retry_after),
                "entra is overloaded, or throttles us",
            ),
            Self::Credential(error) => (
                error
                    .retry_after()
                    .map_or(Remedy::FixConfiguration, Remedy::Retry),
                "our own credential cannot be had: see why, and mend the file, the identity or the \
                 provider it comes from",
            ),
            Self::Refused(refusal) => return refusal.meaning(),
            // We let users of other tenants in; or did, when they signed in.
            Self::IdToken(_) if self.is_of_another_tenant() => {
                (Remedy::SignInAgain, "users of that tenant are not let in")
            }
            // Keys we lack or clocks that differ: no word of Entra about the user.
            Self::IdToken(_) | Self::WrongLogin => (
                Remedy::FixConfiguration,
                "entra's id token does not hold: check the clock, tenant_id and the cloud",
            ),
        };
        Meaning { remedy, advice }
    }
}

impl Refusal {
    fn meaning(&self) -> Meaning {
        let meaning = aadsts::meaning(&self.codes);
        let mut meaning = meaning.unwrap_or_else(|| self.meaning_of_words());
        // Without claims signing in anew brings what it brought before.
        let hopeless = self.suberror.as_deref() == Some("message_only") && self.claims.is_none();
        if meaning.remedy == Remedy::StepUp && hopeless {
            meaning.remedy = Remedy::AskAdmin;
        }
        meaning
    }

    /// What `error` and `suberror` say, where no number is known.
    fn meaning_of_words(&self) -> Meaning {
        let more = self.claims.is_some()
            || matches!(
                self.suberror.as_deref(),
                Some("basic_action" | "additional_action" | "message_only")
            );
        let (remedy, advice) = match self.error.as_str() {
            "consent_required" => (Remedy::Consent, CONSENT),
            "invalid_grant" if self.suberror.as_deref() == Some("consent_required") => {
                (Remedy::Consent, CONSENT)
            }
            "interaction_required" | "login_required" | "insufficient_claims" => {
                (Remedy::StepUp, STEP_UP)
            }
            "invalid_grant" if more => (Remedy::StepUp, STEP_UP),
            "invalid_grant" | "access_denied" => {
                (Remedy::SignInAgain, "entra wants the user to sign in again")
            }
            "temporarily_unavailable" | "server_error" => {
                (Remedy::Retry(DEFAULT_RETRY_AFTER), "entra is in trouble")
            }
            _ => (Remedy::FixConfiguration, LOOK_UP),
        };
        Meaning { remedy, advice }
    }
}

/// What helps against the error with this number after `AADSTS`, in a sentence for whoever runs the
/// server.
pub fn advice_on(aadsts: u32) -> &'static str {
    aadsts::meaning(&[aadsts]).map_or(LOOK_UP, |meaning| meaning.advice)
}

/// The first number after `AADSTS` in what Entra said.
pub(crate) fn aadsts_in(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("AADSTS")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit());
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}

const LOOK_UP: &str = "look the number up at https://login.microsoftonline.com/error";

const CONSENT: &str = "nobody consented to this permission for our app registration";

const STEP_UP: &str =
    "entra wants to see the user: a policy asks for more than they signed in with";

/// `Retry-After` in seconds (RFC 9110 §10.2.3), within reason.
pub(super) fn retry_after(headers: &HeaderMap) -> Duration {
    let value = headers
        .get(http::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let seconds = value
        .and_then(|text| text.trim().parse().ok())
        .map(Duration::from_secs);
    seconds
        .unwrap_or(DEFAULT_RETRY_AFTER)
        .min(LONGEST_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entra_saying_so_ends_a_grant() {
        let remedy = |status: u16, body: &'static str| {
            let response = Response::builder().status(status);
            EntraError::from_http(&response.body(Bytes::from(body)).unwrap()).remedy()
        };
        let retry = Remedy::Retry(DEFAULT_RETRY_AFTER);
        for (status, body, expected) in [
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[70008]}"#,
                Remedy::SignInAgain,
            ),
            (400, r#"{"error":"interaction_required"}"#, Remedy::StepUp),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[99],"suberror":"basic_action"}"#,
                Remedy::StepUp,
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[99],"claims":"{\"access_token\":{}}"}"#,
                Remedy::StepUp,
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[50076]}"#,
                Remedy::StepUp,
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[53003],"suberror":"message_only"}"#,
                Remedy::AskAdmin,
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[53003],"suberror":"message_only","claims":"{}"}"#,
                Remedy::StepUp,
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[65001]}"#,
                Remedy::Consent,
            ),
            (
                400,
                r#"{"error":"invalid_grant","suberror":"consent_required"}"#,
                Remedy::Consent,
            ),
            (
                400,
                r#"{"error":"access_denied","error_codes":[90094]}"#,
                Remedy::AskAdmin,
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_codes":[50196]}"#,
                Remedy::Retry(LOOP_RETRY_AFTER),
            ),
            (400, r#"{"error":"server_error"}"#, retry),
            (
                401,
                r#"{"error":"invalid_client","error_codes":[7000222]}"#,
                Remedy::FixConfiguration,
            ),
            (
                400,
                r#"{"error":"invalid_tenant"}"#,
                Remedy::FixConfiguration,
            ),
            (429, "Too Many Requests", retry),
            (503, r#"{"error":"invalid_grant"}"#, retry),
            (502, "<html>", retry),
            (400, "<html>", retry),
            (400, r#"{"error":"x\u0027\r\n"}"#, Remedy::FixConfiguration),
        ] {
            assert_eq!(remedy(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_whatever_it_says() {
        let body = r#"{"error":"x\r\ny","error_codes":[70008],"trace_id":"t"}"#;
        let response = Response::builder().status(400);
        let error = EntraError::from_http(&response.body(Bytes::from(body)).unwrap());
        assert_eq!(
            error.to_string(),
            r#"entra refused: "x\r\ny", AADSTS70008 (correlation id "", trace id "t")"#
        );
    }

    #[test]
    fn waiting_is_bounded() {
        let wait = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            retry_after(&headers).as_secs()
        };
        assert_eq!(
            (wait("60"), wait("0"), wait("999999"), wait("soon")),
            (60, 0, 3600, 5)
        );
    }
}

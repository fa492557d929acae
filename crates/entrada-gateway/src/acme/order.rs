//! One order: what the authority wants to see is shown, and what it issues taken (RFC 8555 §7.4).

use std::io;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeHandle, ChallengeType,
    Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::telemetry::WithCauses;
use crate::tls::{Answer, Challenges, TlsError};

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority says no.
    #[error("the authority refuses ({kind}): {said}")]
    Refused {
        /// The kind of problem (RFC 8555 §6.7).
        kind: String,
        /// What it says, on one line and not at any length.
        said: String,
    },
    /// There is no answer that can be used.
    #[error("the authority gives no answer that can be used")]
    Authority(#[source] instant_acme::Error),
    /// A name cannot be shown to lead here that way.
    #[error("the authority does not offer tls-alpn-01 for {0}")]
    NoChallenge(String),
    /// The authority wants something shown that nobody ordered.
    #[error("the authority asks about other names than were ordered")]
    OtherNames,
    /// A name does not lead here, for all the authority sees.
    #[error("the authority does not see that {name} leads here at port 443: {said}")]
    Unproven {
        /// The name.
        name: String,
        /// What it says.
        said: String,
    },
    /// The key of the external account is none.
    #[error("the key of the external account is not base64url")]
    ExternalKey,
    /// A certificate cannot be made, to show or to ask for.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// A certificate cannot be shown.
    #[error("a certificate cannot be shown")]
    Show(#[from] rustls::Error),
    /// It is not what was ordered.
    #[error("what was issued is {0}")]
    Unfit(&'static str),
    /// It cannot be taken over.
    #[error("what was issued cannot be used")]
    Unusable(#[from] TlsError),
    /// It cannot be kept.
    #[error("the folder for account and certificate cannot be written")]
    Files(#[from] io::Error),
    /// It takes too long.
    #[error("the authority does not come to an end")]
    TooLong,
}

impl OrderError {
    /// Whether the authority says so, by the last part of the kind of problem.
    pub(super) fn is(&self, problem: &str) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == problem)
    }

    /// It with its causes, for a log: not at any length, for those may have what the authority wrote in them.
    pub(super) fn told(&self) -> String {
        let told = WithCauses::of(self).to_string();
        told.chars().take(3 * MOST_SAID).collect()
    }
}

impl From<instant_acme::Error> for OrderError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are no answers")]
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::Refused {
                kind: kind(&problem),
                said: said(&problem),
            },
            other => Self::Authority(other),
        }
    }
}

/// The kind of a problem, without what all begin with.
fn kind(problem: &instant_acme::Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("about:blank");
    shortened(kind.rsplit(':').next().unwrap_or(kind))
}

/// What an authority says about a problem, of the whole and of each name.
fn said(problem: &instant_acme::Problem) -> String {
    let details = problem.subproblems.iter().map(|part| &part.detail);
    let details = std::iter::once(&problem.detail).chain(details).flatten();
    shortened(&details.map(String::as_str).collect::<Vec<_>>().join("; "))
}

/// A peer's text, not at any length.
fn shortened(text: &str) -> String {
    text.chars().take(MOST_SAID).collect()
}

/// What was issued, in PEM. It has no `Debug`, for it has the key.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// What is ordered, and where the authority looks whether it may be.
#[derive(Clone, Copy)]
pub(super) struct Ordering<'a> {
    pub(super) account: &'a Account,
    pub(super) domains: &'a [String],
    pub(super) challenges: &'a Challenges,
}

impl Ordering<'_> {
    /// Orders a certificate, where the authority knows which one it `replaces` (RFC 9773 §5).
    pub(super) async fn run(
        self,
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<Issued, OrderError> {
        let names: Vec<_> = self.domains.iter().cloned().map(Identifier::Dns).collect();
        let plain = NewOrder::new(&names);
        let ordered = match replaces {
            Some(before) => {
                let renewal = NewOrder::new(&names).replaces(before);
                let ordered = self.account.new_order(&renewal);
                match ordered.await.map_err(OrderError::from) {
                    // Where the answer to such an order was lost.
                    Err(error) if error.is("alreadyReplaced") => {
                        self.account.new_order(&plain).await?
                    }
                    ordered => ordered?,
                }
            }
            None => self.account.new_order(&plain).await?,
        };
        self.follow(ordered).await
    }

    async fn follow(self, mut order: Order) -> Result<Issued, OrderError> {
        if order.state().authorizations.len() > self.domains.len() {
            return Err(OrderError::OtherNames);
        }
        let answers = self.answer(&mut order).await?;
        let ready = order.poll_ready(&PATIENCE).await;
        drop(answers);
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            return Err(match (unproven(&mut order).await, ready) {
                (Some(unproven), _) => unproven,
                (None, Err(error)) => error.into(),
                (None, Ok(_)) => OrderError::Unfit("nothing: the order is not ready"),
            });
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(Issued { chain, key })
    }

    /// Has the authority look at each name it does not know to lead here yet.
    async fn answer(self, order: &mut Order) -> Result<Vec<Answer>, OrderError> {
        let mut answers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            if !self.domains.contains(&name) {
                return Err(OrderError::OtherNames);
            }
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or_else(|| OrderError::NoChallenge(name.clone()))?;
            answers.push(self.show(&name, &challenge)?);
            challenge.set_ready().await?;
        }
        Ok(answers)
    }

    /// Shows what proves that `name` leads here (RFC 8737 §3).
    fn show(self, name: &str, challenge: &ChallengeHandle<'_>) -> Result<Answer, OrderError> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        let digest = challenge.key_authorization().digest();
        let proof = CustomExtension::new_acme_identifier(digest.as_ref());
        params.custom_extensions.push(proof);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(self.challenges.answer(name, certificate, key.into())?)
    }
}

/// Which name the authority does not see to lead here, and what it says of that.
async fn unproven(order: &mut Order) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let mut challenges = state.challenges.iter();
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.as_ref()) {
            return Some(OrderError::Unproven {
                name: shortened(&state.identifier().to_string()),
                said: format!("{} ({})", said(problem), kind(problem)),
            });
        }
    }
    None
}

/// How often and how long an order is looked at while the authority makes up its mind.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// How many characters of what an authority says are told.
const MOST_SAID: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authority_says_is_told_on_one_line_and_not_at_any_length() {
        let problem = |detail: &str| {
            let body = serde_json::json!({
                "type": "urn:ietf:params:acme:error:dns\u{1b}[2J",
                "detail": detail,
                "subproblems": [{ "detail": "and\nthat" }],
            });
            let problem: instant_acme::Problem = serde_json::from_value(body).unwrap();
            OrderError::from(instant_acme::Error::Api(problem)).told()
        };
        assert_eq!(
            problem("no\r\nsuch name"),
            "the authority refuses (dns\\u{1b}[2J): no\\r\\nsuch name; and\\nthat"
        );
        assert!(problem(&"a".repeat(100_000)).len() < 600);
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_told_on_one_line_and_not_at_any_length() {
        let told = |status: &str| {
            let state = serde_json::json!({ "status": status });
            let error =
                serde_json::from_value::<instant_acme::AuthorizationState>(state).unwrap_err();
            OrderError::from(instant_acme::Error::Json(error)).told()
        };
        let forged = told("x\n2026-12-01T00:00:00Z  INFO an operator signed in\u{1b}[2J");
        assert!(forged.contains("an operator signed in"), "{forged}");
        assert!(!forged.contains(char::is_control), "{forged:?}");
        assert!(told(&"a".repeat(100_000)).len() <= 3 * MOST_SAID);
    }
}

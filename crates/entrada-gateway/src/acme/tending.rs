//! Getting a certificate whenever one is needed, for as long as the gateway runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use entrada::platform::{Clock, Platform, Timestamp};
use instant_acme::CertificateIdentifier;
use rustls::pki_types::Der;

use crate::acme::account::{Opening, Which};
use crate::acme::kept::{Kept, KeptCertificate};
use crate::acme::order::{Issued, OrderError, Ordering};
use crate::acme::schedule::{Attempts, Dice, Facts, Next, Window};
use crate::acme::transport::Transport;
use crate::acme::{AcmeError, AcmeSettings};
use crate::metrics;
use crate::signals::Hangups;
use crate::telemetry::WithCauses;
use crate::tls::{Certificates, Expiry, Leaf, Renewal, Validity};

/// Gets certificates, and has clients shown them.
pub struct Acme {
    settings: AcmeSettings,
    kept: Kept,
    certificates: Certificates,
    /// What is shown, where it can be.
    held: Option<KeptCertificate>,
    attempts: Attempts,
    suggestion: Suggestion,
    transport: Transport,
    clock: Arc<dyn Clock>,
    dice: Dice,
}

/// When the authority would have the certificate renewed (RFC 9773).
#[derive(Debug, Default)]
struct Suggestion {
    window: Option<Window>,
    /// When it is asked again.
    ask_at: Timestamp,
}

impl Acme {
    /// Goes by `settings`, with what was kept when the gateway ran before.
    ///
    /// # Errors
    ///
    /// [`AcmeError`] if nothing can be kept, or nobody asked.
    pub fn open(settings: AcmeSettings) -> Result<Self, AcmeError> {
        let platform = Platform::system_trusting(&settings.authorities)?;
        Self::on(settings, &platform)
    }

    /// The same with the clock, the dice and the wire of `platform`.
    ///
    /// # Errors
    ///
    /// [`AcmeError`] if nothing can be kept.
    pub fn on(settings: AcmeSettings, platform: &Platform) -> Result<Self, AcmeError> {
        let kept = Kept::open(&settings.folder)?;
        let files = kept.files();
        let was_kept = files.certificate.exists();
        let certificates = match Certificates::open(files.clone()) {
            Ok(certificates) => certificates,
            Err(error) => {
                if was_kept {
                    let cause = WithCauses::of(&error);
                    tracing::error!(%cause, "the certificate that was kept cannot be used");
                }
                Certificates::awaiting(files)?
            }
        };
        let held = kept.certificate().filter(|_| certificates.are_there());
        let attempts = kept.attempts(settings.directory.as_str(), &settings.domains);
        let mut dice = [0; 2];
        platform.random.fill(&mut dice);
        Ok(Self {
            held,
            certificates,
            attempts,
            suggestion: Suggestion::default(),
            transport: Transport::new(Arc::clone(&platform.http), &settings.directory),
            clock: Arc::clone(&platform.clock),
            dice: Dice(u16::from_le_bytes(dice)),
            kept,
            settings,
        })
    }

    /// The certificate that clients are shown.
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Gets one whenever one is needed, until it is dropped. A hangup has it try again at once, where
    /// the authority did not say when to come again.
    pub async fn tend(mut self, mut hangups: Hangups) {
        let (mut expiry, mut asked) = (Expiry::default(), false);
        if !self.certificates.are_there() {
            tracing::warn!(
                "there is no certificate yet: every connection is refused until there is one"
            );
        }
        loop {
            self.ask_when().await;
            let pause = self.step(asked).await;
            expiry.look(self.certificates.validity(), self.clock.now());
            asked = tokio::select! {
                () = tokio::time::sleep(pause) => false,
                () = hangups.next() => true,
            };
        }
    }

    /// Does what is to be done now; how long nothing is.
    async fn step(&mut self, asked: bool) -> Duration {
        let now = self.clock.now();
        match self.facts(asked).next(now) {
            Next::Order => {
                self.renew(now).await;
                Duration::ZERO
            }
            Next::Wait(at) => at.since(now).min(LOOK_EVERY),
        }
    }

    fn facts(&self, asked: bool) -> Facts {
        let wanted = self.held.as_ref().filter(|held| self.is_wanted(held));
        Facts {
            certificate: wanted.map(|held| held.leaf.validity),
            suggested: self.suggestion.window,
            attempts: self.attempts,
            dice: self.dice,
            asked,
        }
    }

    /// Whether a certificate is one of the authority's for all that is served.
    fn is_wanted(&self, held: &KeptCertificate) -> bool {
        held.directory == self.settings.directory.as_str() && self.is_for_all(&held.leaf)
    }

    fn is_for_all(&self, leaf: &Leaf) -> bool {
        let mut domains = self.settings.domains.iter();
        domains.all(|domain| leaf.names.contains(domain))
    }

    /// Orders a certificate and takes it over, and says what came of it.
    async fn renew(&mut self, now: Timestamp) {
        let domains = self.settings.domains.join(" ");
        let directory = self.settings.directory.as_str();
        tracing::info!(directory, domains, "a certificate is ordered");
        let before = self.attempts;
        // Noted before it is made: whoever is ended in the middle, over and over, must not order anew each time.
        let noted = self.note(before.and_failed(None, now));
        let ordered = match noted {
            Ok(()) => tokio::time::timeout(ORDER_TIMEOUT, self.order()).await,
            Err(error) => Ok(Err(error)),
        };
        let ordered = ordered.unwrap_or(Err(OrderError::TooLong));
        let now = self.clock.now();
        let taken = ordered.and_then(|issued| self.take(&issued, now));
        let failed = match taken {
            Ok(()) => self.taken(now).err(),
            Err(error) => {
                let pause = self.transport.take_pause().map(|pause| pause.after(now));
                let noted = self.note(before.and_failed(pause, now));
                Some(noted.err().unwrap_or(error))
            }
        };
        metrics::ordered(if failed.is_some() { "failed" } else { "issued" });
        if let Some(error) = failed {
            self.tell_failure(&error, now);
        }
    }

    fn tell_failure(&self, error: &OrderError, now: Timestamp) {
        let cause = error.told();
        let next_try_in_seconds = match self.facts(false).next(now) {
            Next::Order => 0,
            Next::Wait(at) => at.since(now).as_secs(),
        };
        let validity = self.certificates.validity();
        if validity.is_some_and(|validity| now <= validity.not_after) {
            tracing::warn!(%cause, next_try_in_seconds, "there is no new certificate: the one in use stays");
        } else {
            tracing::error!(%cause, next_try_in_seconds, "there is no certificate, and nobody can connect");
        }
    }

    async fn order(&self) -> Result<Issued, OrderError> {
        match self.order_by(Which::Kept).await {
            // RFC 8555 §7.3.1: the authority has forgotten it, or begun anew.
            Err(error) if error.is("accountDoesNotExist") => self.order_by(Which::New).await,
            ordered => ordered,
        }
    }

    async fn order_by(&self, which: Which) -> Result<Issued, OrderError> {
        let account = self.opening().open(which).await?;
        let ordering = Ordering {
            account: &account,
            domains: &self.settings.domains,
            challenges: self.certificates.challenges(),
        };
        // Only an authority that was heard about it knows what is meant.
        let replaces = self.suggestion.window.and_then(|_| self.identifier());
        ordering.run(replaces).await
    }

    const fn opening(&self) -> Opening<'_> {
        Opening {
            settings: &self.settings,
            kept: &self.kept,
            transport: &self.transport,
        }
    }

    /// Keeps what was issued, and has it shown from now on, if it is what was ordered.
    fn take(&mut self, issued: &Issued, now: Timestamp) -> Result<(), OrderError> {
        let leaf = Certificates::leaf_of(&issued.chain, &issued.key);
        let leaf = leaf.ok_or(OrderError::Unfit(
            "no certificate for the key it was ordered with",
        ))?;
        if !self.is_for_all(&leaf) {
            return Err(OrderError::Unfit(
                "not for all the names it was ordered for",
            ));
        }
        // Where both are over, somebody's clock is wrong, and it may be ours.
        let shown = self.certificates.validity();
        if let Some(shown) = shown.filter(|shown| is_good(*shown, now)) {
            if !is_good(leaf.validity, now) {
                return Err(OrderError::Unfit(
                    "not good now, and the one in use is: is the clock right?",
                ));
            }
            if leaf.validity.not_after < shown.not_after && self.would_be_due(leaf.validity, now) {
                return Err(OrderError::Unfit(AT_ITS_END));
            }
        }
        let directory = self.settings.directory.as_str();
        self.kept
            .keep_certificate(directory, (&issued.chain, &issued.key))?;
        if let Renewal::Refused(error) = self.certificates.renew() {
            return Err(error.into());
        }
        self.held = self.kept.certificate();
        self.suggestion = Suggestion::default();
        Ok(())
    }

    /// Whether another would be ordered at once in the place of such a certificate.
    fn would_be_due(&self, validity: Validity, now: Timestamp) -> bool {
        let facts = Facts {
            certificate: Some(validity),
            suggested: None,
            ..self.facts(false)
        };
        facts.is_due(now)
    }

    /// What is left to do once a new certificate is shown.
    fn taken(&mut self, now: Timestamp) -> Result<(), OrderError> {
        let seconds = self.certificates.validity();
        let seconds = seconds.map(|validity| validity.not_after.since(now).as_secs());
        tracing::info!(
            good_for_seconds = seconds,
            "new connections get the new certificate"
        );
        let failed = self.attempts;
        self.note(Attempts::succeeded(now))?;
        if self.facts(false).is_due(now) {
            // Or one after the other would be ordered.
            self.note(failed)?;
            return Err(OrderError::Unfit(AT_ITS_END));
        }
        Ok(())
    }

    fn note(&mut self, attempts: Attempts) -> Result<(), OrderError> {
        self.attempts = attempts;
        let AcmeSettings {
            directory, domains, ..
        } = &self.settings;
        Ok(self
            .kept
            .keep_attempts(directory.as_str(), domains, attempts)?)
    }

    /// Asks the authority when it would have the certificate renewed, if it is time to.
    async fn ask_when(&mut self) {
        let now = self.clock.now();
        let is_wanted = self.held.as_ref().is_some_and(|held| self.is_wanted(held));
        if !is_wanted || now < self.suggestion.ask_at {
            return;
        }
        let pause = match tokio::time::timeout(ASK_TIMEOUT, self.window()).await {
            Ok(Ok(Some((window, pause)))) => {
                self.suggestion.window = Some(window);
                pause.clamp(SHORTEST_ASK, LONGEST_ASK)
            }
            // What was heard before holds on (RFC 9773 §4.3.3).
            Ok(Ok(None) | Err(_)) | Err(_) => ASK_AGAIN,
        };
        self.suggestion.ask_at = now + pause;
    }

    async fn window(&self) -> Result<Option<(Window, Duration)>, OrderError> {
        let Some(id) = self.identifier() else {
            return Ok(None);
        };
        let account = self.opening().open(Which::Kept).await?;
        let (said, pause) = account.renewal_info(&id).await?;
        let at = |seconds: i64| Timestamp::from_unix(u64::try_from(seconds).unwrap_or(0));
        let window = Window {
            start: at(said.suggested_window.start.unix_timestamp()),
            end: at(said.suggested_window.end.unix_timestamp()),
        };
        Ok(Some((window, pause)))
    }

    /// By what the authority knows the certificate that is shown (RFC 9773 §4.1).
    fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let leaf = &self.held.as_ref()?.leaf;
        let key = Der::from_slice(leaf.authority_key.as_deref()?);
        Some(CertificateIdentifier::new(key, Der::from_slice(&leaf.serial)).into_owned())
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme")
            .field("settings", &self.settings)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// Whether clients take a certificate that is good so long at `now`, whose clocks may be a little ahead of ours.
fn is_good(validity: Validity, now: Timestamp) -> bool {
    validity.not_before <= now + SKEW && now < validity.not_after
}

const AT_ITS_END: &str = "at its end already: is the clock right?";

/// How much clocks may differ.
const SKEW: Duration = Duration::from_secs(60);
/// How long an order may take as a whole.
const ORDER_TIMEOUT: Duration = Duration::from_secs(600);
/// How often it is looked whether there is something to do: clocks are set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long an authority may take to say when to renew.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked, whatever it says (RFC 9773 §4.3.2).
const SHORTEST_ASK: Duration = Duration::from_secs(60);
const LONGEST_ASK: Duration = Duration::from_secs(86_400);
/// How soon it is asked again where it does not say (RFC 9773 §4.3.3).
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests;

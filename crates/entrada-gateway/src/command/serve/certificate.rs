//! The certificate of the listener, whoever brings it.

use std::time::Duration;

use entrada::platform::{Clock as _, SystemClock};

use crate::acme::Acme;
use crate::command::CommandError;
use crate::config::Settings;
use crate::signals::Hangups;
use crate::telemetry::WithCauses;
use crate::tls::{Certificates, Expiry, Renewal};

/// Where the certificate comes from.
pub(super) enum Certificate {
    /// Files that somebody else renews.
    Files(Certificates),
    /// An authority.
    Acme(Box<Acme>),
}

impl Certificate {
    /// By `settings`, if TLS is spoken.
    pub(super) fn open(settings: &Settings) -> Result<Option<Self>, CommandError> {
        if let Some(files) = settings.tls.clone() {
            return Ok(Some(Self::Files(Certificates::open(files)?)));
        }
        let acme = settings.acme.clone().map(Acme::open).transpose()?;
        Ok(acme.map(|acme| Self::Acme(Box::new(acme))))
    }

    /// What clients are shown.
    pub(super) fn shown(&self) -> &Certificates {
        match self {
            Self::Files(certificates) => certificates,
            Self::Acme(acme) => acme.certificates(),
        }
    }

    /// Sees that a new one is shown once there is one.
    pub(super) async fn tend(self, hangups: Hangups) {
        match self {
            Self::Files(certificates) => tend_files(certificates, hangups).await,
            Self::Acme(acme) => acme.tend(hangups).await,
        }
    }
}

/// Takes a new certificate over, soon after its files changed, or on a signal at once.
async fn tend_files(certificates: Certificates, mut hangups: Hangups) {
    let (clock, mut expiry) = (SystemClock::default(), Expiry::default());
    loop {
        expiry.look(certificates.validity(), clock.now());
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = hangups.next() => {}
        }
        let renewing = certificates.clone();
        match tokio::task::spawn_blocking(move || renewing.renew()).await {
            Ok(Renewal::Renewed) => {
                tracing::info!("new connections get the new certificate");
            }
            Ok(Renewal::Refused(error)) => {
                let (setting, cause) = (error.setting(), WithCauses::of(&error));
                tracing::error!(setting, %cause, "the certificate in use stays");
            }
            Ok(Renewal::Unchanged) | Err(_) => {}
        }
    }
}

/// How soon a change of the files is taken over.
const LOOK_EVERY: Duration = Duration::from_secs(5);

//! The account with the authority: made once, then kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{Account, ExternalAccountKey, NewAccount};

use crate::acme::kept::{Kept, KeptAccount};
use crate::acme::order::OrderError;
use crate::acme::transport::Transport;
use crate::acme::{AcmeSettings, ExternalAccount};

/// What opens the account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    pub(super) settings: &'a AcmeSettings,
    pub(super) kept: &'a Kept,
    pub(super) transport: &'a Transport,
}

/// Which account is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Which {
    /// The one that was kept, if there is one.
    Kept,
    /// A new one: the authority does not know the other any more.
    New,
}

impl Opening<'_> {
    /// The account, which is made where there is none of the authority's yet.
    pub(super) async fn open(self, which: Which) -> Result<Account, OrderError> {
        let kept = self.kept.account().filter(|kept| self.is_ours(kept));
        match kept.filter(|_| which == Which::Kept) {
            Some(kept) => self.reopen(kept).await,
            None => self.make().await,
        }
    }

    /// Whether an account is of the authority and of the external account that are meant.
    fn is_ours(self, kept: &KeptAccount) -> bool {
        kept.directory == self.settings.directory.as_str()
            && kept.external_key_id.as_ref() == self.external_key_id()
    }

    fn external_key_id(&self) -> Option<&String> {
        let external = self.settings.external_account.as_ref();
        external.map(|external| &external.key_id)
    }

    async fn reopen(self, kept: KeptAccount) -> Result<Account, OrderError> {
        let told = kept.contact == self.settings.contact;
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        let account = builder.from_credentials(kept.credentials).await?;
        if !told {
            let contact = self.contact();
            let contact: Vec<_> = contact.iter().map(String::as_str).collect();
            account.update_contacts(&contact).await?;
            if let Some(mut kept) = self.kept.account() {
                kept.contact.clone_from(&self.settings.contact);
                self.kept.keep_account(&kept)?;
            }
        }
        Ok(account)
    }

    async fn make(self) -> Result<Account, OrderError> {
        let external = self.settings.external_account.as_ref();
        let external = external.map(external_key).transpose()?;
        let contact = self.contact();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            // Whoever does not agree to them has no settings of this kind.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        let directory = self.settings.directory.to_string();
        let created = builder.create(&new, directory.clone(), external.as_ref());
        let (account, credentials) = created.await?;
        self.kept.keep_account(&KeptAccount {
            directory,
            contact: self.settings.contact.clone(),
            external_key_id: self.external_key_id().cloned(),
            credentials,
        })?;
        tracing::info!(account = account.id(), "an ACME account was made");
        Ok(account)
    }

    fn contact(self) -> Option<String> {
        let contact = self.settings.contact.as_ref();
        contact.map(|address| format!("mailto:{address}"))
    }
}

fn external_key(external: &ExternalAccount) -> Result<ExternalAccountKey, OrderError> {
    let key = URL_SAFE_NO_PAD.decode(external.key().trim_end_matches('='));
    let key = key.map_err(|_| OrderError::ExternalKey)?;
    Ok(ExternalAccountKey::new(external.key_id.clone(), &key))
}

//! Answers to an authority that asks whether a name leads here, in a handshake (RFC 8737).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

/// The protocol an authority offers, and nothing else beside it (RFC 8737 §6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The answers there are while challenges are under way. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<RwLock<BTreeMap<String, Arc<ServerConfig>>>>);

/// An answer, for as long as this is kept.
#[derive(Debug)]
#[must_use]
pub struct Answer {
    name: String,
    challenges: Challenges,
}

impl Challenges {
    /// Has whoever asks for `name` in that protocol shown `certificate`, until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`rustls::Error`] if the key cannot be used.
    pub fn answer(
        &self,
        name: &str,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Answer, rustls::Error> {
        let provider = Arc::new(default_provider());
        let key = provider.key_provider.load_private_key(key)?;
        // It says of itself that whoever does not know what it proves must not take it (RFC 8737 §3), so it is
        // not held against the key as others are.
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        settings.alpn_protocols = vec![ACME_TLS.to_vec()];
        // Nothing outlives the handshake.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        let name = name.to_ascii_lowercase();
        self.write().insert(name.clone(), Arc::new(settings));
        Ok(Answer {
            name,
            challenges: self.clone(),
        })
    }

    /// The answer to a handshake that begins with `hello`, where it is an authority's and asks for what is
    /// under way. An authority offers that protocol alone, and says the name (RFC 8737 §3).
    pub(super) fn to(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ACME_TLS) || offered.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        let answers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(&name).map(Arc::clone)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<ServerConfig>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.challenges.write().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    #[test]
    fn a_certificate_with_a_proof_that_must_be_known_can_be_shown() {
        let mut params = CertificateParams::new(["mcp.example.com".to_owned()]).unwrap();
        let proof = CustomExtension::new_acme_identifier(&[7; 32]);
        params.custom_extensions.push(proof);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let challenges = Challenges::default();
        let answer = challenges.answer("mcp.example.com", certificate, key.into());
        assert!(answer.is_ok());
    }
}

//! Probes on a listener of their own: the gateway's may have no certificate yet, and then nobody can connect.

use axum::Router;
use entrada::store::StoreError;
use tokio::sync::watch;

use crate::gateway::is_ready;
use crate::health;
use crate::reload::InUse;
use crate::tls::Certificates;

/// Why requests cannot be served.
#[derive(Debug, thiserror::Error)]
enum NotReady {
    /// None can come.
    #[error("there is no certificate yet")]
    Certificate,
    /// None can be answered.
    #[error(transparent)]
    Gateway(#[from] StoreError),
}

/// The two probes, of the gateway by the settings in use, whose clients are shown `certificates` if there are any.
pub(super) fn probes(in_use: watch::Receiver<InUse>, certificates: Option<Certificates>) -> Router {
    health::router(move || {
        let in_use = in_use.borrow().clone();
        let can_come = certificates.as_ref().is_none_or(Certificates::are_there);
        async move {
            if !can_come {
                return Err(NotReady::Certificate);
            }
            Ok(is_ready(&in_use.provider, in_use.audit.as_ref()).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use entrada::platform::Platform;
    use entrada::{AzureConfig, AzureProvider};
    use http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::Prints;
    use crate::route::Routes;
    use crate::tls::{CertificateFiles, Renewal};

    async fn asked(probes: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        probes.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test(start_paused = true)]
    async fn it_lives_and_is_ready_once_there_is_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let config = AzureConfig::new(
            "11111111-1111-1111-1111-111111111111",
            "22222222-2222-2222-2222-222222222222",
            "https://mcp.example.com",
        );
        let config = config
            .client_secret("secret")
            .required_scopes(["mcp.access"])
            .data_dir(folder.path());
        let provider = AzureProvider::new(config, Platform::system().unwrap()).unwrap();
        let in_use = watch::Sender::new(InUse {
            provider,
            routes: Routes::of_all([]),
            audit: None,
            numbers: None,
            prints: Prints::default(),
            key_rotation: None,
        });
        let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
        let files = CertificateFiles::new(certificate.clone(), key.clone());
        let certificates = Certificates::awaiting(files).unwrap();
        let of_plain = probes(in_use.subscribe(), None);
        let of_tls = probes(in_use.subscribe(), Some(certificates.clone()));
        assert_eq!(asked(&of_plain, "/readyz").await, StatusCode::OK);
        for path in ["/healthz", "/readyz"] {
            let lives = asked(&of_tls, path).await == StatusCode::OK;
            assert_eq!(lives, path == "/healthz");
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(certificate, made.cert.pem()).unwrap();
        std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
        assert!(matches!(certificates.renew(), Renewal::Renewed));
        // An answer holds for a second.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asked(&of_tls, "/readyz").await, StatusCode::OK);
    }
}

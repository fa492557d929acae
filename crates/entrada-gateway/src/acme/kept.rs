//! What outlives the process: account, certificate with its key, and orders that failed.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::acme::AcmeError;
use crate::acme::schedule::Attempts;
use crate::tls::{CertificateFiles, Leaf};

/// The folder it is in, which nobody else may look into.
#[derive(Clone, Debug)]
pub(super) struct Kept(PathBuf);

/// An account, with what it was made by. It has no `Debug`, for it has the key.
#[derive(Deserialize, Serialize)]
pub(super) struct KeptAccount {
    pub(super) directory: String,
    pub(super) contact: Option<String>,
    /// The id of the key of the external account it is tied to.
    pub(super) external_key_id: Option<String>,
    pub(super) credentials: AccountCredentials,
}

/// A certificate, and which directory it came through.
#[derive(Debug)]
pub(super) struct KeptCertificate {
    pub(super) directory: String,
    pub(super) leaf: Leaf,
}

/// Orders that failed, and of what.
#[derive(Debug, Deserialize, Serialize)]
struct KeptAttempts {
    directory: String,
    domains: Vec<String>,
    attempts: Attempts,
}

impl Kept {
    /// In `folder`, which is made if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, AcmeError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let made = builder.create(folder).map_err(|source| AcmeError::Folder {
            path: folder.to_owned(),
            source,
        });
        made.map(|()| Self(folder.to_owned()))
    }

    /// The certificate and its key, in one file, so that there is never the one without the other.
    pub(super) fn files(&self) -> CertificateFiles {
        let path = self.0.join("certificate.pem");
        CertificateFiles::new(&path, &path)
    }

    /// The account, where there is one that can be read.
    pub(super) fn account(&self) -> Option<KeptAccount> {
        let text = fs::read(self.0.join(ACCOUNT)).ok()?;
        let read = serde_json::from_slice(&text);
        // What is wrong with it would be told with what is in it.
        read.inspect_err(|_| tracing::warn!("the ACME account that was kept cannot be read"))
            .ok()
    }

    pub(super) fn keep_account(&self, account: &KeptAccount) -> io::Result<()> {
        self.write(ACCOUNT, &serde_json::to_vec(account)?)
    }

    /// The certificate, where there is one that can be read.
    pub(super) fn certificate(&self) -> Option<KeptCertificate> {
        let text = fs::read(self.files().certificate).ok()?;
        let first = CertificateDer::from_pem_slice(&text).ok()?;
        let said = String::from_utf8_lossy(&text);
        let directory = said.lines().next()?.strip_prefix(FROM)?.to_owned();
        let leaf = Leaf::read(&first)?;
        Some(KeptCertificate { directory, leaf })
    }

    /// Keeps a certificate that came through `directory`, with its key. RFC 7468 §2 lets text stand before it.
    pub(super) fn keep_certificate(
        &self,
        directory: &str,
        (chain, key): (&str, &str),
    ) -> io::Result<()> {
        let text = format!("{FROM}{directory}\n{key}{chain}");
        self.write("certificate.pem", text.as_bytes())
    }

    /// What became of the orders for `domains` of `directory`: whoever orders something else begins anew.
    pub(super) fn attempts(&self, directory: &str, domains: &[String]) -> Attempts {
        let text = fs::read(self.0.join(ATTEMPTS)).unwrap_or_default();
        match serde_json::from_slice::<KeptAttempts>(&text) {
            Ok(kept) if kept.directory == directory && kept.domains == domains => kept.attempts,
            Ok(_) | Err(_) => Attempts::default(),
        }
    }

    pub(super) fn keep_attempts(
        &self,
        directory: &str,
        domains: &[String],
        attempts: Attempts,
    ) -> io::Result<()> {
        let kept = KeptAttempts {
            directory: directory.to_owned(),
            domains: domains.to_vec(),
            attempts,
        };
        self.write(ATTEMPTS, &serde_json::to_vec(&kept)?)
    }

    /// There as a whole or not at all, and its owner's alone, as temporary files are.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.0)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(self.0.join(name))?;
        sync_folder(&self.0)
    }
}

const ACCOUNT: &str = "account.json";
const ATTEMPTS: &str = "attempts.json";
/// How the line begins that says where a certificate came from.
const FROM: &str = "From ";

/// Makes a name that was just given last.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows keeps names by itself, and has no such call.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use entrada::platform::Timestamp;

    use super::*;
    use crate::tls::Certificates;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["mcp.example.com".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_kept_with_its_key_and_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(&folder.path().join("acme")).unwrap();
        assert!(kept.certificate().is_none());
        for _ in 0..2 {
            let (chain, key) = pair();
            kept.keep_certificate("https://a.example/dir", (&chain, &key))
                .unwrap();
            let found = kept.certificate().unwrap();
            assert_eq!(found.directory, "https://a.example/dir");
            assert_eq!(found.leaf.names, ["mcp.example.com"]);
            assert!(Certificates::open(kept.files()).unwrap().are_there());
        }
        fs::write(kept.files().certificate, "half a certif").unwrap();
        assert!(kept.certificate().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_kept_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("acme");
        let kept = Kept::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        let (chain, key) = pair();
        // A file that everybody could read does not stay so.
        fs::write(kept.files().certificate, "").unwrap();
        kept.keep_certificate("https://a.example/dir", (&chain, &key))
            .unwrap();
        kept.keep_attempts("", &[], Attempts::default()).unwrap();
        for entry in fs::read_dir(&path).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    }

    #[test]
    fn failures_are_remembered_of_the_same_order_alone() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path()).unwrap();
        let now = Timestamp::from_unix(5);
        let failed = Attempts::default().and_failed(Some(Duration::from_secs(9)), now);
        let (one, other) = (["a".to_owned()], ["b".to_owned()]);
        kept.keep_attempts("x", &one, failed).unwrap();
        assert_eq!(kept.attempts("x", &one), failed);
        assert_eq!(kept.attempts("y", &one), Attempts::default());
        assert_eq!(kept.attempts("x", &other), Attempts::default());
    }
}

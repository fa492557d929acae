//! Workload identity: a token that somebody else puts into a file and keeps fresh (Microsoft,
//! *workload identity federation*).

use std::path::PathBuf;

use super::error::CredentialError;
use super::file;
use crate::secret::ClientAssertion;

/// A file whose content is the assertion, and is another one tomorrow.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile(PathBuf);

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The token in the file now. Nothing is kept: whoever replaces it need not tell us.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: the file cannot be read, or holds no token.
    pub(super) fn read(&self) -> Result<ClientAssertion, CredentialError> {
        let bytes = file::read(&self.0)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
        // A JWT has three parts (RFC 7515 §3.1); what it says is between its issuer and Entra.
        if text.split('.').count() != 3 || !text.bytes().all(plain) {
            return Err(CredentialError::NoToken(self.0.clone()));
        }
        Ok(ClientAssertion::new(text))
    }

    /// The same, where waiting for a disk stops nobody.
    pub(super) async fn assertion(&self) -> Result<ClientAssertion, CredentialError> {
        let this = self.clone();
        let read = file::off_the_runtime(move || this.read()).await;
        read.unwrap_or_else(|source| Err(CredentialError::unreadable(&self.0, source)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_read_anew_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tokens = TokenFile::new(file.path().to_owned());
        for token in ["a.b.c", "d.e.f"] {
            std::fs::write(file.path(), format!(" {token}\n")).unwrap();
            assert_eq!(tokens.assertion().await.unwrap().expose(), token);
        }
        file.close().unwrap();
        let error = tokens.assertion().await.unwrap_err();
        assert!(error.retry_after().is_some(), "{error}");
    }

    #[test]
    fn what_is_no_token_is_not_sent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tokens = TokenFile::new(file.path().to_owned());
        let many = "a".repeat(300 << 10);
        for text in [
            "",
            "\n",
            "s3cret",
            "a.b",
            "a.b.c.d",
            "a.b.c\nd.e.f",
            "\u{e9}.b.c",
            &many,
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = tokens.read().unwrap_err();
            assert_eq!(error.retry_after(), None, "{error}");
            let shown = format!("{error} {error:?} {tokens:?}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}

//! The variables by which Azure and its SDKs say how to sign in.

use super::{CertificateFile, ClientCredential, ManagedIdentity};

impl ClientCredential {
    /// The credential that variables name which Azure sets, or Azure's SDKs read; `None` if none
    /// does. `variable` gives the value of a variable: `|name| std::env::var(name).ok()`.
    ///
    /// The first of these that is set and not empty:
    ///
    /// 1. `AZURE_CLIENT_SECRET`
    /// 2. `AZURE_CLIENT_CERTIFICATE_PATH`, with `AZURE_CLIENT_CERTIFICATE_PASSWORD` and
    ///    `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN` (`1` or `true`)
    /// 3. `AZURE_FEDERATED_TOKEN_FILE`, which AKS sets
    /// 4. `OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID`: the client id of a managed identity, which App
    ///    Service gives tokens of if there are `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`, and else
    ///    IMDS, at `AZURE_POD_IDENTITY_AUTHORITY_HOST` if there is that
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let secret = || variable("AZURE_CLIENT_SECRET").map(Self::secret);
        let certificate = || {
            let mut file = CertificateFile::new(variable("AZURE_CLIENT_CERTIFICATE_PATH")?);
            if let Some(password) = variable("AZURE_CLIENT_CERTIFICATE_PASSWORD") {
                file = file.password(password);
            }
            let chain = variable("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
            let sent =
                chain.is_some_and(|chain| chain == "1" || chain.eq_ignore_ascii_case("true"));
            let file = if sent {
                file.send_certificate_chain()
            } else {
                file
            };
            Some(Self::certificate(file))
        };
        let federated = || variable("AZURE_FEDERATED_TOKEN_FILE").map(Self::federated_token_file);
        let identity = || {
            let client_id = variable("OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID")?;
            let identity = ManagedIdentity::from_variables(variable).client_id(client_id);
            Some(Self::managed_identity(identity))
        };
        secret()
            .or_else(certificate)
            .or_else(federated)
            .or_else(identity)
    }
}

impl ManagedIdentity {
    /// Where variables say that tokens are to be had: `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`, or
    /// else IMDS, at `AZURE_POD_IDENTITY_AUTHORITY_HOST` if there is that. `variable` gives the
    /// value of a variable.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let endpoint = variable("IDENTITY_ENDPOINT");
        match endpoint.zip(variable("IDENTITY_HEADER")) {
            Some((endpoint, header)) => Self::app_service(endpoint, header),
            None => {
                variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").map_or_else(Self::imds, Self::imds_at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_set_is_taken() {
        let all = [
            ("AZURE_CLIENT_SECRET", "Secret(ClientSecret(…))"),
            ("AZURE_CLIENT_CERTIFICATE_PATH", "Certificate("),
            ("AZURE_FEDERATED_TOKEN_FILE", "FederatedTokenFile("),
            (
                "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID",
                "ManagedIdentity(ManagedIdentity { host: AppService",
            ),
        ];
        for (set, (_, expected)) in all.iter().enumerate() {
            let variable = |name: &str| {
                let nth = all.iter().position(|(known, _)| *known == name);
                match nth {
                    Some(nth) if nth < set => Some(String::new()),
                    _ => Some("s3cret".to_owned()),
                }
            };
            let credential = ClientCredential::from_variables(variable).unwrap();
            let shown = format!("{credential:?}");
            assert!(shown.contains(expected), "{shown}");
        }
        assert!(ClientCredential::from_variables(|_| None).is_none());
    }

    #[test]
    fn a_virtual_machine_needs_no_more_than_the_name_of_the_identity() {
        let credential = ClientCredential::from_variables(|name| {
            (name == "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID").then(|| "id".to_owned())
        });
        let shown = format!("{:?}", credential.unwrap());
        assert!(shown.contains("http://169.254.169.254"), "{shown}");
    }
}

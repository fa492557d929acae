//! Tokens of somebody else's as client assertions: federated identity credentials.
//!
//! Entra fetches the issuer's keys. The emulator knows whose tokens there can be: those of the
//! workload issuer it pretends to be, and those of its own tenants.

use serde_json::Value;

use crate::builtin::WORKLOAD_ISSUER;
use crate::directory::app::App;
use crate::directory::federated_credential::FederatedCredential;
use crate::error::Aadsts;
use crate::error::federated::FederatedError;
use crate::jwt::Unverified;
use crate::keys::SigningKey;
use crate::state::State;
use crate::token::Exchange;

/// Whose signature a token must have.
struct Issuer<'s> {
    key: &'s SigningKey,
    /// Whether it is a tenant of the emulator's.
    entra: bool,
}

impl Exchange<'_> {
    /// Checks that one of the client's federated credentials is about `parsed`, and its signature.
    pub(super) fn check_federated(
        &self,
        client: &App,
        parsed: &Unverified<'_>,
        state: &State,
    ) -> Result<(), Aadsts> {
        let bases = self.bases(state);
        self.check_match(client, parsed, &bases)?;
        let issuer = issuer(parsed, &bases, state);
        let issuer = issuer.ok_or(Aadsts::ClientAssertionSignature)?;
        // Issuers that sign with anything else are not supported.
        let rs256 = parsed.header_text("alg") == Some("RS256");
        if !rs256 || !parsed.is_signed_by(issuer.key.public_key()) {
            return Err(Aadsts::ClientAssertionSignature);
        }
        if issuer.entra && parsed.text("scp").is_some() {
            return Err(FederatedError::NotAppOnly.into());
        }
        self.check_assertion_time(parsed)
    }

    // Where the emulator is for the client, and for managed identities.
    fn bases<'s>(&'s self, state: &'s State) -> Vec<&'s str> {
        let known = state.identity_bases.iter().map(String::as_str);
        std::iter::once(self.call.place.issuer_base())
            .chain(known)
            .collect()
    }

    // Issuer before subject before audience, as the numbers of the errors are told apart.
    fn check_match(
        &self,
        client: &App,
        parsed: &Unverified<'_>,
        bases: &[&str],
    ) -> Result<(), FederatedError> {
        let issuer = parsed.text("iss").unwrap_or_default();
        let subject = parsed.text("sub").unwrap_or_default();
        let audiences = audiences(parsed);
        let credentials = &client.federated_credentials;
        if credentials.is_empty() {
            return Err(FederatedError::NoRecord {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
                audience: audiences.join(","),
            });
        }
        let of_issuer: Vec<&FederatedCredential> = credentials
            .iter()
            .filter(|known| known.is_issued_by(issuer, bases))
            .collect();
        if of_issuer.is_empty() {
            return Err(FederatedError::Issuer(issuer.to_owned()));
        }
        let mut of_subject = of_issuer.iter().filter(|known| known.subject == subject);
        let Some(known) = of_subject.next() else {
            let mut similar = of_issuer.iter();
            return Err(
                if similar.any(|known| known.subject.eq_ignore_ascii_case(subject)) {
                    FederatedError::SubjectCapitals(subject.to_owned())
                } else {
                    FederatedError::Subject(subject.to_owned())
                },
            );
        };
        let wanted = match known.audience.as_str() {
            "" => self.call.place.cloud.names().token_exchange,
            named => named,
        };
        if audiences.contains(&wanted) {
            Ok(())
        } else {
            Err(FederatedError::Audience(audiences.join(",")))
        }
    }
}

// A text or a list of them (RFC 7519 §4.1.3): Kubernetes writes lists.
fn audiences<'p>(parsed: &'p Unverified<'_>) -> Vec<&'p str> {
    match parsed.claims.get("aud") {
        Some(Value::String(only)) => vec![only],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            Vec::new()
        }
    }
}

fn issuer<'s>(parsed: &Unverified<'_>, bases: &[&str], state: &'s State) -> Option<Issuer<'s>> {
    let named = parsed.text("iss")?;
    let kid = parsed.header_text("kid")?;
    if named == WORKLOAD_ISSUER {
        let key = state.workload_keys.by_kid(kid)?;
        return Some(Issuer { key, entra: false });
    }
    let mut paths = bases.iter().filter_map(|base| named.strip_prefix(base));
    let tenant_id = paths.find_map(|path| path.strip_prefix('/')?.strip_suffix("/v2.0"))?;
    let tenant = state.directory.tenant_by_id(tenant_id)?;
    let key = state.keys_of(tenant).by_kid(kid)?;
    Some(Issuer { key, entra: true })
}

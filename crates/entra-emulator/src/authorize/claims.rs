//! The `claims` parameter: capabilities, and what must be shown before a token is issued.

use serde_json::Value;

use crate::error::Aadsts;
use crate::refusal::wants_mfa;

/// What a claims request asks of the access token.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClaimsRequest {
    /// The client capabilities, `xms_cc`.
    pub(crate) capabilities: Vec<String>,
    /// Whether it answers a challenge that came of a revocation, with `nbf`.
    pub(crate) newer_sign_in: bool,
    /// The authentication contexts, `acrs`.
    pub(crate) acrs: Vec<String>,
    /// The policies of Conditional Access to be met, by id.
    pub(crate) policies: Vec<String>,
    /// Whether one of them says that a second factor must be shown.
    policy: bool,
}

impl ClaimsRequest {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Aadsts> {
        let Some(text) = text else {
            return Ok(Self::default());
        };
        let invalid = Aadsts::UnsupportedValue("claims");
        let value: Value = serde_json::from_str(text).map_err(|_| invalid.clone())?;
        let members = value.as_object().ok_or(invalid)?;
        let Some(asked) = members.get("access_token") else {
            return Ok(Self::default());
        };
        let named = ["capolids", "polids"].map(|name| asked.get(name));
        let named: Vec<&Value> = named.into_iter().flatten().collect();
        let policies: Vec<String> = named.iter().flat_map(|claim| values(Some(claim))).collect();
        let unnamed = !named.is_empty() && policies.is_empty();
        Ok(Self {
            capabilities: values(asked.get("xms_cc")),
            newer_sign_in: asked.get("nbf").is_some(),
            acrs: values(asked.get("acrs")),
            policy: unnamed || policies.iter().any(|policy| wants_mfa(policy)),
            policies,
        })
    }

    /// Whether the client understands the challenges of continuous access evaluation.
    pub(crate) fn is_challenged(&self) -> bool {
        self.newer_sign_in || can_be_challenged(&self.capabilities)
    }

    /// Whether a second factor must be shown.
    pub(crate) fn demands_mfa(&self) -> bool {
        self.policy || !self.acrs.is_empty()
    }
}

/// Whether a client with these capabilities understands claims challenges.
pub(crate) fn can_be_challenged(capabilities: &[String]) -> bool {
    let mut named = capabilities.iter();
    named.any(|name| name.eq_ignore_ascii_case("cp1"))
}

// `value` for one, `values` for several (OpenID Connect Core §5.5.1).
fn values(claim: Option<&Value>) -> Vec<String> {
    let Some(claim) = claim else {
        return Vec::new();
    };
    let one = claim.get("value").into_iter();
    let several = claim.get("values").and_then(Value::as_array);
    one.chain(several.into_iter().flatten())
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claims_request_names_capabilities_contexts_and_policies() {
        for (text, capabilities, acrs, mfa) in [
            ("{}", 0, 0, false),
            (
                r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#,
                1,
                0,
                false,
            ),
            (
                r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#,
                0,
                1,
                true,
            ),
            (
                r#"{"access_token":{"capolids":{"essential":true,"values":["x"]}}}"#,
                0,
                0,
                true,
            ),
            (
                r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#,
                0,
                0,
                false,
            ),
        ] {
            let claims = ClaimsRequest::parse(Some(text)).unwrap();
            assert_eq!(claims.capabilities.len(), capabilities, "{text}");
            assert_eq!(claims.acrs.len(), acrs, "{text}");
            assert_eq!(claims.demands_mfa(), mfa, "{text}");
        }
        assert!(ClaimsRequest::parse(Some("nonsense")).is_err());
        assert!(ClaimsRequest::parse(Some("[]")).is_err());
    }
}

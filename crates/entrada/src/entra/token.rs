//! Entra's token endpoint: what we ask of it and what it answers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Uri, header};
use serde::{Deserialize, Deserializer};
use tracing::Instrument as _;
use url::form_urlencoded;

use super::credential::{AssertionRequest, ClientProof, ClientProver};
use super::error::EntraError;
use crate::meters::Timed;
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::scope::Scope;
use crate::platform::Platform;
use crate::secret::{CodeVerifier, EntraAccessToken, EntraCode, EntraIdToken, EntraRefreshToken};

/// The grants we send Entra.
#[derive(Clone, Copy, Debug)]
pub(super) enum EntraGrant<'a> {
    /// `authorization_code` (RFC 6749 §4.1.3) with our own PKCE verifier.
    AuthorizationCode {
        /// The code from the callback.
        code: &'a EntraCode,
        /// The verifier of the challenge we sent (RFC 7636 §4.5).
        code_verifier: &'a CodeVerifier,
        /// Our callback.
        redirect_uri: &'a str,
    },
    /// `refresh_token` (RFC 6749 §6).
    RefreshToken(&'a EntraRefreshToken),
    /// `client_credentials` (RFC 6749 §4.4).
    ClientCredentials,
    /// On-behalf-of: `jwt-bearer` (RFC 7523 §2.1) with `requested_token_use=on_behalf_of`.
    OnBehalfOf(&'a EntraAccessToken),
}

impl EntraGrant<'_> {
    /// A label for it.
    const fn kind(&self) -> &'static str {
        match self {
            Self::AuthorizationCode { .. } => "code",
            Self::RefreshToken(_) => "refresh",
            Self::ClientCredentials => "client_credentials",
            Self::OnBehalfOf(_) => "on_behalf_of",
        }
    }
}

/// One request to Entra's token endpoint.
#[derive(Clone, Debug)]
pub(super) struct TokenRequest<'a> {
    pub(super) endpoint: &'a Uri,
    pub(super) client_id: &'a str,
    pub(super) credential: &'a ClientProver,
    pub(super) grant: EntraGrant<'a>,
    pub(super) scope: &'a str,
    /// What the tokens must say besides.
    pub(super) claims: Option<ClaimsRequest>,
}

/// What Entra gave (RFC 6749 §5.1).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntraTokens {
    /// The access token.
    pub access_token: EntraAccessToken,
    /// How long it lives.
    pub expires_in: Duration,
    /// When to replace it, where Entra says so: it lives on, for the time of an outage.
    pub refresh_in: Option<Duration>,
    /// Present if `offline_access` was granted.
    pub refresh_token: Option<EntraRefreshToken>,
    /// Present if `openid` was granted.
    pub id_token: Option<EntraIdToken>,
    /// What was granted, in Entra's spelling.
    pub scope: Option<Scope>,
}

impl TokenRequest<'_> {
    /// Writes the request. Pure: see [`TokenRequest::send`] for the I/O.
    fn to_http(&self, proof: &ClientProof) -> http::Request<Bytes> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", self.client_id);
        proof.append_to(&mut form);
        match self.grant {
            EntraGrant::AuthorizationCode {
                code,
                code_verifier,
                redirect_uri,
            } => form
                .append_pair("grant_type", "authorization_code")
                .append_pair("code", code.expose())
                .append_pair("redirect_uri", redirect_uri)
                .append_pair("code_verifier", code_verifier.expose()),
            EntraGrant::RefreshToken(token) => form
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token.expose()),
            EntraGrant::ClientCredentials => form.append_pair("grant_type", "client_credentials"),
            EntraGrant::OnBehalfOf(assertion) => form
                .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
                .append_pair("assertion", assertion.expose())
                .append_pair("requested_token_use", "on_behalf_of"),
        };
        form.append_pair("scope", self.scope);
        if let Some(claims) = &self.claims {
            form.append_pair("claims", claims.as_str());
        }
        let mut request = http::Request::new(Bytes::from(form.finish()));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(self.endpoint);
        let headers = request.headers_mut();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form_type);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        request
    }

    /// Sends the request.
    ///
    /// # Errors
    ///
    /// [`EntraError`], whose [`remedy`](EntraError::remedy) says what helps.
    pub(super) async fn send(&self, platform: &Platform) -> Result<EntraTokens, EntraError> {
        let now = platform.clock.now();
        let asked = AssertionRequest::new(self.client_id, self.endpoint, now);
        let proof = self.credential.proof(asked, platform).await?;
        let kind = self.grant.kind();
        let timed = Timed::begin(kind);
        let span = tracing::debug_span!("entra", otel.kind = "client", entra.request = kind);
        let answer = platform.http.send(self.to_http(&proof));
        let answer = answer.instrument(span).await;
        let tokens = answer.map_err(EntraError::from);
        let tokens = tokens.and_then(|answer| EntraTokens::from_http(&answer));
        timed.entra(tokens.as_ref().map_or_else(EntraError::label, |_| "ok"));
        tokens.map_err(|error| error.asked_for(self.scope))
    }
}

#[derive(Deserialize)]
struct TokenBody {
    access_token: String,
    token_type: String,
    #[serde(deserialize_with = "seconds")]
    expires_in: u64,
    #[serde(default, deserialize_with = "some_seconds")]
    refresh_in: Option<u64>,
    refresh_token: Option<String>,
    id_token: Option<String>,
    scope: Option<String>,
}

/// Entra's v1.0 endpoint writes numbers as strings.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    match Seconds::deserialize(deserializer)? {
        Seconds::Number(number) => Ok(number),
        Seconds::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    seconds(deserializer).map(Some)
}

impl EntraTokens {
    /// Reads a response.
    ///
    /// # Errors
    ///
    /// [`EntraError`]: Entra refused, is not available, or the body is not a token response.
    pub fn from_http(response: &http::Response<Bytes>) -> Result<Self, EntraError> {
        if !response.status().is_success() {
            return Err(EntraError::from_http(response));
        }
        let body: TokenBody =
            serde_json::from_slice(response.body()).map_err(|_| EntraError::Malformed)?;
        if !body.token_type.eq_ignore_ascii_case("bearer") {
            return Err(EntraError::Malformed);
        }
        let scope = body.scope.map(|scope| Scope::parse(&scope)).transpose();
        Ok(Self {
            access_token: EntraAccessToken::new(body.access_token),
            expires_in: Duration::from_secs(body.expires_in),
            refresh_in: body.refresh_in.map(Duration::from_secs),
            refresh_token: body.refresh_token.map(EntraRefreshToken::new),
            id_token: body.id_token.map(EntraIdToken::new),
            scope: scope.map_err(|_| EntraError::Malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{ClientAssertion, ClientSecret};

    fn body(grant: EntraGrant<'_>) -> String {
        body_with(grant, &ClientProof::Secret(ClientSecret::new("s~e+c")))
    }

    fn body_with(grant: EntraGrant<'_>, proof: &ClientProof) -> String {
        let request = TokenRequest {
            endpoint: &Uri::from_static("https://login.example/t/oauth2/v2.0/token"),
            client_id: "app",
            credential: &ClientProver::Secret(ClientSecret::new("s~e+c")),
            grant,
            scope: "api://app/read openid",
            claims: None,
        };
        String::from_utf8(request.to_http(proof).into_body().to_vec()).unwrap()
    }

    #[test]
    fn requests_on_the_wire() {
        let head = "client_id=app&client_secret=s%7Ee%2Bc&grant_type=";
        let tail = "&scope=api%3A%2F%2Fapp%2Fread+openid";
        let code = EntraGrant::AuthorizationCode {
            code: &EntraCode::new("1.A"),
            code_verifier: &CodeVerifier::new("v"),
            redirect_uri: "https://h/cb",
        };
        assert_eq!(
            body(code),
            format!(
                "{head}authorization_code&code=1.A&redirect_uri=https%3A%2F%2Fh%2Fcb&code_verifier=v{tail}"
            )
        );
        let refresh = EntraRefreshToken::new("1.B");
        assert_eq!(
            body(EntraGrant::RefreshToken(&refresh)),
            format!("{head}refresh_token&refresh_token=1.B{tail}")
        );
        assert_eq!(
            body(EntraGrant::ClientCredentials),
            format!("{head}client_credentials{tail}")
        );
        let assertion = ClientProof::Assertion(ClientAssertion::new("a.b.c"));
        assert_eq!(
            body_with(EntraGrant::ClientCredentials, &assertion),
            format!(
                "client_id=app&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
                 client-assertion-type%3Ajwt-bearer&client_assertion=a.b.c\
                 &grant_type=client_credentials{tail}"
            )
        );
    }

    #[test]
    fn answers_off_the_wire() {
        let read = |json: &'static str| {
            EntraTokens::from_http(&http::Response::new(Bytes::from_static(json.as_bytes())))
        };
        let tokens = read(r#"{"token_type":"Bearer","scope":"a b","expires_in":3599,"ext_expires_in":3599,"access_token":"x"}"#).unwrap();
        assert_eq!(tokens.expires_in.as_secs(), 3599);
        assert_eq!(tokens.refresh_in, None);
        let long = read(
            r#"{"token_type":"Bearer","expires_in":86400,"refresh_in":43200,"access_token":"x"}"#,
        )
        .unwrap();
        assert_eq!(long.refresh_in, Some(Duration::from_secs(43200)));
        assert!(tokens.refresh_token.is_none());
        assert!(read(r#"{"token_type":"bearer","expires_in":"3599","access_token":"x"}"#).is_ok());
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"token_type":"pop","expires_in":1,"access_token":"x"}"#,
            r#"{"token_type":"Bearer","access_token":"x"}"#,
            r#"{"token_type":"Bearer","expires_in":-1,"access_token":"x"}"#,
            r#"{"token_type":"Bearer","expires_in":1,"access_token":"x","scope":"\u0007"}"#,
        ] {
            assert!(matches!(read(bad), Err(EntraError::Malformed)), "{bad}");
        }
    }
}

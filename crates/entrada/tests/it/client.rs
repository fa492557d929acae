//! An MCP client that has never heard of us.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::browser::{Browser, Page};
use crate::mcp_server::DOWNSTREAM;
use crate::world::{BASE_URL, Hosts, RESOURCE, World};

/// The verifier of RFC 7636 appendix B, and its challenge.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A registered client.
#[derive(Clone)]
pub(crate) struct Client {
    hosts: Hosts,
    pub(crate) id: String,
    pub(crate) redirect_uri: String,
}

/// A client whose user signed in.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) tokens: Value,
}

/// What an endpoint answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self {
            status: parts.status,
            headers: parts.headers,
            json,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.json);
        self.json
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, error: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.json["error"]),
            (status, &json!(error))
        );
    }

    #[track_caller]
    pub(crate) fn assert_unauthorized(&self, error: &str) {
        let challenge = self.header("www-authenticate").expect("a challenge");
        assert_eq!(self.status, StatusCode::UNAUTHORIZED);
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(
            challenge.contains(&format!("error=\"{error}\"")),
            "{challenge}"
        );
    }
}

impl Client {
    pub(crate) async fn register(hosts: Hosts, redirect_uri: &str) -> Self {
        let metadata = json!({
            "client_name": "Test client",
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        });
        let registered = Self::register_as(&hosts, &metadata).await.ok();
        Self::registered(hosts, &registered)
    }

    /// The client a registration response is about, at the first of its redirect URIs.
    pub(crate) fn registered(hosts: Hosts, registered: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            hosts,
            id: text(&registered["client_id"]),
            redirect_uri: text(&registered["redirect_uris"][0]),
        }
    }

    /// The same client, talking to another replica of the server.
    pub(crate) fn at(&self, replica: &World) -> Self {
        Self {
            hosts: replica.hosts.clone(),
            ..self.clone()
        }
    }

    pub(crate) async fn register_as(hosts: &Hosts, metadata: &Value) -> Answer {
        let request = Request::post(format!("{BASE_URL}/register"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(metadata.to_string()))
            .unwrap();
        Answer::read(hosts.send(request).await.unwrap()).await
    }

    /// The parameters of a plain authorization request.
    pub(crate) fn parameters(&self) -> Vec<(&str, String)> {
        vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.id.clone()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("state", "a+b c&d".to_owned()),
            ("code_challenge", CHALLENGE.to_owned()),
            ("code_challenge_method", "S256".to_owned()),
            ("scope", "mcp.read".to_owned()),
            ("resource", RESOURCE.to_owned()),
        ]
    }

    /// An authorization URL with some parameters changed, or left out if empty.
    pub(crate) fn authorize_url(&self, changes: &[(&str, &str)]) -> String {
        let mut parameters = self.parameters();
        for (name, value) in changes {
            parameters.retain(|(known, _)| known != name);
            if !value.is_empty() {
                parameters.push((name, (*value).to_owned()));
            }
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        format!("{BASE_URL}/authorize?{query}")
    }

    /// The consent page, in this browser.
    pub(crate) async fn ask(&self, browser: &mut Browser) -> Page {
        browser.get(&self.authorize_url(&[])).await.page()
    }

    /// Where the browser is sent when `name` consents and signs in.
    pub(crate) async fn authorize(&self, browser: &mut Browser, name: &str) -> Url {
        let consent = self.ask(browser).await;
        browser.approve(&consent, name).await.left()
    }

    /// The code that is in such a URL.
    pub(crate) async fn code(&self, browser: &mut Browser, name: &str) -> String {
        let location = self.authorize(browser, name).await;
        parameter(&location, "code").unwrap_or_else(|| panic!("no code in {location}"))
    }

    pub(crate) async fn log_in(&self, browser: &mut Browser, name: &str) -> Session {
        let code = self.code(browser, name).await;
        self.session(self.redeem(&code).await.ok())
    }

    pub(crate) fn session(&self, tokens: Value) -> Session {
        let text = |name: &str| tokens[name].as_str().unwrap_or_default().to_owned();
        Session {
            client: self.clone(),
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            tokens,
        }
    }

    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        self.redeem_with(code, &[]).await
    }

    /// The same with these headers.
    pub(crate) async fn redeem_with(&self, code: &str, headers: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.id),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", &self.redirect_uri),
            ("resource", RESOURCE),
        ];
        self.post_with("/token", &form, headers).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.refresh_with(token, &[]).await
    }

    /// The same with these headers.
    pub(crate) async fn refresh_with(&self, token: &str, headers: &[(&str, &str)]) -> Answer {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.id),
            ("refresh_token", token),
        ];
        self.post_with("/token", &form, headers).await
    }

    pub(crate) async fn revoke(&self, token: &str) -> Answer {
        self.post("/revoke", &[("client_id", &self.id), ("token", token)])
            .await
    }

    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.post("/token", form).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_with(path, form, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = Request::post(format!("{BASE_URL}{path}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        Answer::read(self.hosts.send(request).await.unwrap()).await
    }

    /// Calls the protected server with the headers given.
    pub(crate) async fn call(&self, method: Method, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(RESOURCE);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from("{}")).unwrap();
        Answer::read(self.hosts.send(request).await.unwrap()).await
    }

    /// Calls the one tool there is, with this token.
    pub(crate) async fn call_with(&self, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call(Method::POST, &[("authorization", &bearer)]).await
    }
}

impl Session {
    /// Calls the one tool there is.
    pub(crate) async fn call_tool(&self) -> Answer {
        self.client.call_with(&self.access_token).await
    }

    /// Makes the one tool call an API as the user.
    pub(crate) async fn call_downstream(&self, scope: &str) -> Answer {
        self.call_downstream_with(&[(DOWNSTREAM, scope)]).await
    }

    pub(crate) async fn call_downstream_with(&self, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {}", self.access_token);
        let mut all = vec![("authorization", &*bearer)];
        all.extend(headers);
        self.client.call(Method::POST, &all).await
    }

    /// The same session, at another replica of the server.
    pub(crate) fn at(&self, replica: &World) -> Self {
        Self {
            client: self.client.at(replica),
            ..self.clone()
        }
    }

    /// Uses the refresh token.
    pub(crate) async fn refresh(&self) -> Answer {
        self.client.refresh(&self.refresh_token).await
    }

    /// Uses the refresh token and asks for more than the token.
    pub(crate) async fn refresh_with(&self, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", &*self.client.id),
            ("refresh_token", &*self.refresh_token),
        ];
        form.extend(more);
        self.client.token(&form).await
    }

    /// The claims of the access token, unverified.
    pub(crate) fn claims(&self) -> Value {
        self.part(1)
    }

    /// The key that signed the access token.
    pub(crate) fn kid(&self) -> String {
        self.part(0)["kid"].as_str().unwrap().to_owned()
    }

    fn part(&self, at: usize) -> Value {
        let part = self.access_token.split('.').nth(at).expect("a JWT");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// The session after its refresh token was used.
    pub(crate) async fn refreshed(&self) -> Self {
        let tokens = self.client.refresh(&self.refresh_token).await.ok();
        self.client.session(tokens)
    }
}

/// A parameter of a URL's query.
pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

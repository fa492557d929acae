//! A world of its own for each test: an emulator with a still clock, and a browser.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use axum::Router;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entra_emulator::quirks::Quirks;
use entra_emulator::{Cloud, Control, Directory, Emulator, Options, builtin};
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use url::Url;
use url::form_urlencoded::{self, Serializer};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const REDIRECT: &str = "http://localhost:8123/auth/callback";
/// RFC 7636 Appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) type Pairs<'a> = &'a [(&'a str, &'a str)];

pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) control: Control,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// `(status, error, AADSTS number)` of a failure.
    #[track_caller]
    pub(crate) fn failure(&self) -> (u16, String, u64) {
        let body = self.json();
        let error = body["error"].as_str().unwrap_or_else(|| panic!("{body}"));
        let code = body["error_codes"][0].as_u64().unwrap();
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
        (self.status.as_u16(), error.to_owned(), code)
    }

    pub(crate) fn location(&self) -> Option<Url> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        Url::parse(location).ok()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with_quirks(quirks: Quirks) -> Self {
        Self::of(Directory::default(), quirks)
    }

    pub(crate) fn with(change: impl FnOnce(&mut Directory)) -> Self {
        let mut directory = Directory::default();
        change(&mut directory);
        Self::of(directory, Quirks::default())
    }

    pub(crate) fn in_cloud(cloud: Cloud) -> Self {
        Self::with_options(Options {
            cloud,
            ..Options::default()
        })
    }

    fn of(directory: Directory, quirks: Quirks) -> Self {
        Self::with_options(Options {
            directory,
            quirks,
            ..Options::default()
        })
    }

    fn with_options(options: Options) -> Self {
        let emulator = Emulator::new(Options {
            clock: Arc::new(|| NOW),
            ..options
        });
        Self {
            router: emulator.router(),
            control: emulator.control(),
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.send(request).await
    }

    pub(crate) async fn post(&self, path: &str, form: Pairs<'_>, headers: Pairs<'_>) -> Answer {
        let mut request =
            Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(encode(form))).unwrap())
            .await
    }

    /// A token request at the contoso tenant.
    pub(crate) async fn token(&self, form: Pairs<'_>) -> Answer {
        self.token_at(builtin::TENANT_ID, form).await
    }

    pub(crate) async fn token_at(&self, tenant: &str, form: Pairs<'_>) -> Answer {
        self.post(&format!("/{tenant}/oauth2/v2.0/token"), form, &[])
            .await
    }

    /// A token request of the MCP application, with its secret.
    pub(crate) async fn mcp_token(&self, form: Pairs<'_>) -> Answer {
        self.token(&[mcp(), form].concat()).await
    }

    /// Signs `user` in to the MCP application for `scope`, and redeems the code.
    pub(crate) async fn tokens(&self, user: &str, scope: &str) -> Value {
        let code = self.code(user, scope).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
        ];
        self.mcp_token(&form).await.ok()
    }

    /// A code of the MCP application.
    pub(crate) async fn code(&self, user: &str, scope: &str) -> String {
        let query = [
            ("client_id", builtin::CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", scope),
        ];
        let mut browser = Browser::default();
        let end = browser.authorize(self, builtin::TENANT_ID, &query).await;
        let end = browser.sign_in(self, end, user).await;
        callback(&end)["code"].clone()
    }

    /// Checks a token's signature against the published keys, and shows its claims.
    pub(crate) async fn verified(&self, tenant: &str, token: &str) -> Option<Value> {
        let keys = self
            .get(&format!("/{tenant}/discovery/v2.0/keys"))
            .await
            .ok();
        let (header, claims) = peek(token);
        let keys = keys["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == header["kid"])?;
        let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        RsaPublicKeyComponents {
            n: part("n"),
            e: part("e"),
        }
        .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
        .ok()?;
        Some(claims)
    }
}

/// The MCP application's credentials.
pub(crate) fn mcp() -> Pairs<'static> {
    &[
        ("client_id", builtin::CLIENT_ID),
        ("client_secret", builtin::CLIENT_SECRET),
    ]
}

/// A scope of the MCP application.
pub(crate) fn own(names: &str) -> String {
    names
        .split(' ')
        .map(|name| format!("{}/{name}", builtin::IDENTIFIER_URI))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Header and claims of a token, unchecked.
pub(crate) fn peek(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

pub(crate) fn encode(pairs: Pairs<'_>) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The parameters a browser was sent back with.
#[track_caller]
pub(crate) fn callback(answer: &Answer) -> BTreeMap<String, String> {
    let location = answer.location();
    let location = location.unwrap_or_else(|| panic!("{} {}", answer.status, answer.text));
    let sent = location
        .query()
        .or_else(|| location.fragment())
        .unwrap_or_default();
    form_urlencoded::parse(sent.as_bytes())
        .into_owned()
        .collect()
}

/// A browser: it keeps cookies and fills in forms.
#[derive(Debug, Default)]
pub(crate) struct Browser {
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) async fn authorize(
        &mut self,
        world: &World,
        tenant: &str,
        query: Pairs<'_>,
    ) -> Answer {
        let path = format!("/{tenant}/oauth2/v2.0/authorize?{}", encode(query));
        self.go(world, Method::GET, &path, "").await
    }

    pub(crate) async fn go(
        &mut self,
        world: &World,
        method: Method,
        path: &str,
        body: &str,
    ) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(COOKIE, cookies.join("; "))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = world.send(request).await;
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// Submits the form on `page` with these fields.
    #[track_caller]
    pub(crate) fn submit<'a>(
        &'a mut self,
        world: &'a World,
        page: &Answer,
        fields: Pairs<'_>,
    ) -> impl Future<Output = Answer> + 'a {
        let action = attribute(&page.text, "action=\"");
        let context = attribute(&page.text, "name=\"ctx\" value=\"");
        let body = encode(&[&[("ctx", context.as_str())], fields].concat());
        async move { self.go(world, Method::POST, &action, &body).await }
    }

    /// Fills in the sign-in page.
    pub(crate) async fn sign_in(&mut self, world: &World, page: Answer, user: &str) -> Answer {
        let fields = [("username", user), ("password", builtin::PASSWORD)];
        self.submit(world, &page, &fields).await
    }
}

#[track_caller]
fn attribute(html: &str, before: &str) -> String {
    let (_, rest) = html
        .split_once(before)
        .unwrap_or_else(|| panic!("no form: {html}"));
    rest.split('"').next().unwrap().to_owned()
}

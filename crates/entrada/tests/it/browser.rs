//! A browser that keeps cookies, follows redirects and fills in forms.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use entra_emulator::builtin;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use url::{Url, form_urlencoded};

use crate::world::{Hosts, World, is_entra};

/// How many redirects are followed.
const MOST_HOPS: usize = 20;

/// One browser, with the cookies of one person.
#[derive(Clone)]
pub(crate) struct Browser {
    /// A path at which the walk ends before it is asked for.
    pub(crate) stop_before: Option<&'static str>,
    /// Where a page it opens was opened from, by `Sec-Fetch-Site`; nothing where it does not say.
    pub(crate) opened_from: Option<&'static str>,
    /// Whether the person has their phone with them.
    pub(crate) has_second_factor: bool,
    hosts: Hosts,
    cookies: BTreeMap<(String, String), String>,
}

/// Where a walk through the web ended.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// On a page.
    Page(Page),
    /// At a host there is no browser for: a client's redirect URI.
    Left(Url),
}

/// A page, and what it answered with.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
}

impl Stop {
    pub(crate) fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Left(url) => panic!("left for {url}"),
        }
    }

    pub(crate) fn left(self) -> Url {
        match self {
            Self::Left(url) => url,
            Self::Page(page) => panic!("stopped at {}: {}", page.url, page.html),
        }
    }
}

impl Page {
    /// The first form: where it goes, and its hidden fields.
    pub(crate) fn form(&self) -> (Url, Vec<(String, String)>) {
        self.forms().next().expect("a form")
    }

    /// All forms.
    pub(crate) fn forms(&self) -> impl Iterator<Item = (Url, Vec<(String, String)>)> {
        let forms = self.html.split("<form").skip(1);
        forms.map(|form| self.read_form(form.split("</form>").next().unwrap()))
    }

    fn read_form(&self, form: &str) -> (Url, Vec<(String, String)>) {
        let action = attribute(form, "action").unwrap_or_default();
        let inputs = form.split("<input").skip(1);
        let fields = inputs
            .filter_map(|input| {
                let tag = input.split('>').next()?;
                Some((
                    attribute(tag, "name")?,
                    attribute(tag, "value").unwrap_or_default(),
                ))
            })
            .collect();
        (self.url.join(&action).unwrap(), fields)
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(inside, _)| inside)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = between(tag, &format!(" {name}=\""), "\"")?;
    Some(value.replace("&#38;", "&").replace("&amp;", "&"))
}

impl Browser {
    pub(crate) fn new(hosts: Hosts) -> Self {
        Self {
            stop_before: None,
            opened_from: None,
            has_second_factor: true,
            hosts,
            cookies: BTreeMap::new(),
        }
    }

    /// The same browser, sent to another replica of the server.
    pub(crate) fn at(self, replica: &World) -> Self {
        Self {
            hosts: replica.hosts.clone(),
            ..self
        }
    }

    pub(crate) async fn get(&mut self, url: &str) -> Stop {
        self.walk(Method::GET, url.parse().unwrap(), String::new())
            .await
    }

    /// Fills in the form of `page` and presses a button that is a field, too.
    pub(crate) async fn submit(&mut self, page: &Page, values: &[(&str, &str)]) -> Stop {
        let (action, mut fields) = page.form();
        for (name, value) in values {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.post(&action, &fields).await
    }

    pub(crate) async fn post(&mut self, url: &Url, fields: &[(String, String)]) -> Stop {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.walk(Method::POST, url.clone(), body).await
    }

    /// Answers the consent page, and signs in at Entra if it asks.
    pub(crate) async fn approve(&mut self, consent: &Page, name: &str) -> Stop {
        let stop = self.submit(consent, &[("answer", "allow")]).await;
        self.sign_in(stop, name).await
    }

    /// Signs in at Entra, as long as it shows pages.
    pub(crate) async fn sign_in(&mut self, mut stop: Stop, name: &str) -> Stop {
        let username = if name.contains('@') {
            name.to_owned()
        } else {
            format!("{name}@contoso.onmicrosoft.com")
        };
        for _ in 0..MOST_HOPS {
            let Stop::Page(page) = &stop else { return stop };
            let at_entra = page.url.host_str().is_some_and(is_entra);
            if !at_entra || !page.html.contains("<form") {
                return stop;
            }
            let page = page.clone();
            stop = if page.html.contains("name=\"password\"") {
                let typed = [
                    ("username", &*username),
                    ("password", "password"),
                    ("answer", "sign_in"),
                ];
                self.submit(&page, &typed).await
            } else if page.html.contains("name=\"otc\"") {
                let answer = if self.has_second_factor {
                    "verify"
                } else {
                    "cancel"
                };
                let typed = [("otc", builtin::MFA_CODE), ("answer", answer)];
                self.submit(&page, &typed).await
            } else if page.html.contains("name=\"account\"") {
                self.submit(&page, &[("account", &username)]).await
            } else {
                self.submit(&page, &[("answer", "accept")]).await
            };
        }
        stop
    }

    /// The names of the cookies held for a host.
    pub(crate) fn cookies(&self, host: &str) -> Vec<String> {
        let held = self.cookies.keys().filter(|(known, _)| known == host);
        held.map(|(_, name)| name.clone()).collect()
    }

    /// Their values.
    pub(crate) fn cookie_values(&self, host: &str) -> Vec<String> {
        let held = self.cookies.iter().filter(|((known, _), _)| known == host);
        held.map(|(_, value)| value.clone()).collect()
    }

    /// What the browser sends a host as its cookies.
    pub(crate) fn cookie_header(&self, host: &str) -> String {
        let held = self.cookies.iter().filter(|((known, _), _)| known == host);
        let pairs: Vec<_> = held
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    pub(crate) fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    async fn walk(&mut self, method: Method, url: Url, body: String) -> Stop {
        let (mut method, mut url, mut body) = (method, url, body);
        for _ in 0..MOST_HOPS {
            let Some(page) = self.exchange(&method, &url, &body).await else {
                return Stop::Left(url);
            };
            let location = page
                .headers
                .get(header::LOCATION)
                .filter(|_| page.status.is_redirection());
            let Some(location) = location else {
                return Stop::Page(page);
            };
            url = url.join(location.to_str().unwrap()).unwrap();
            if self.stop_before == Some(url.path()) {
                return Stop::Left(url);
            }
            (method, body) = (Method::GET, String::new());
        }
        panic!("too many redirects, at {url}");
    }

    /// One request and its answer; redirects are not followed.
    pub(crate) async fn exchange(
        &mut self,
        method: &Method,
        url: &Url,
        body: &str,
    ) -> Option<Page> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str().split('#').next().unwrap())
            .header(header::ACCEPT, "text/html,*/*");
        let cookies = self.cookie_header(&host);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies);
        }
        if method == Method::POST {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header("origin", "null")
                .header("sec-fetch-site", "same-origin");
        }
        if let Some(site) = self.opened_from.filter(|_| method == Method::GET) {
            request = request
                .header("sec-fetch-site", site)
                .header("sec-fetch-mode", "navigate")
                .header("sec-fetch-dest", "document");
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.hosts.send(request).await?.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            self.keep(&host, cookie.to_str().unwrap());
        }
        let html = body.collect().await.unwrap().to_bytes();
        Some(Page {
            url: url.clone(),
            status: parts.status,
            headers: parts.headers,
            html: String::from_utf8_lossy(&html).into_owned(),
        })
    }

    fn keep(&mut self, host: &str, cookie: &str) {
        let pair = cookie.split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        let key = (host.to_owned(), name.to_owned());
        if cookie.contains("Max-Age=0") {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}

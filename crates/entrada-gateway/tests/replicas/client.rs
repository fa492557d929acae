//! A client as clients are: it tries again when nobody answers, and its user signs in again when they must.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::header;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::{Url, form_urlencoded};

use crate::browser::{Browser, Page, Stop};
use crate::cluster::{Cluster, username};
use crate::dice::Dice;
use crate::ledger::{Ledger, PATIENCE};
use crate::world::{Answer, BASE_URL, RESOURCE, Reply};

/// The verifier of RFC 7636 appendix B, and its challenge.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const CALLBACK: &str = "https://client.example/callback";

/// How many access tokens are kept and used on.
const KEPT: usize = 4;

/// A registered client, whose user mostly is signed in.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) id: String,
    cluster: Arc<Cluster>,
    ledger: Arc<Ledger>,
}

/// What a client got.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: Vec<String>,
    pub(crate) refresh: String,
}

/// Tries again, and after a while no more.
struct Tries<'a> {
    client: &'a Client,
    what: &'static str,
    begun: Instant,
    unanswered: u32,
}

impl Client {
    pub(crate) async fn register(
        number: usize,
        cluster: Arc<Cluster>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let metadata = json!({
            "client_name": format!("Client {number}"),
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        });
        let mut client = Self {
            number,
            id: String::new(),
            cluster,
            ledger,
        };
        let mut tries = client.tries("register");
        let registered = loop {
            let request = Request::post(format!("{BASE_URL}/register"))
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(metadata.to_string()));
            if let Some(answer) = tries
                .answer(client.cluster.hosts.ask(request.unwrap()).await)
                .await
            {
                break answer;
            }
        };
        assert_eq!(registered.status, 201, "{registered:?}");
        client.id = text(&registered.json, "client_id");
        client
    }

    fn tries(&self, what: &'static str) -> Tries<'_> {
        Tries {
            client: self,
            what,
            begun: Instant::now(),
            unanswered: 0,
        }
    }

    /// Signs its user in, as often as it takes.
    pub(crate) async fn log_in(&self) -> Tokens {
        let mut tries = self.tries("login");
        loop {
            let code = self.code(&mut tries).await;
            if let Some(tokens) = self.redeem(&code).await {
                self.ledger.operation("logins");
                return tokens;
            }
            self.ledger.code_is_spent();
        }
    }

    async fn code(&self, tries: &mut Tries<'_>) -> String {
        loop {
            if let Some(code) = self.ask_for_code().await {
                return code;
            }
            self.ledger.login_begun_anew();
            tries.pause("a login that did not end", None).await;
        }
    }

    /// Walks through a login in a new browser; `None` if it does not get through.
    async fn ask_for_code(&self) -> Option<String> {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &self.id),
                ("redirect_uri", CALLBACK),
                ("state", "a+b c&d"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
                ("scope", "mcp.read"),
                ("resource", RESOURCE),
            ])
            .finish();
        let mut browser = Browser::new(self.cluster.hosts.clone());
        let stop = browser.get(&format!("{BASE_URL}/authorize?{query}")).await;
        let consent = page_with_form(stop)?;
        let stop = browser.approve(&consent, &username(self.number)).await;
        let Stop::Left(url) = stop else { return None };
        // It is left wherever nobody answers, too.
        if url.host_str() != Some("client.example") {
            return None;
        }
        let mut query = url.query_pairs();
        query.find_map(|(name, value)| (name == "code").then(|| value.into_owned()))
    }

    /// Redeems a code; `None` if that got no answer, and the code is spent.
    async fn redeem(&self, code: &str) -> Option<Tokens> {
        let mut tries = self.tries("redemption");
        loop {
            let reply = self.cluster.hosts.ask(self.redemption(code)).await;
            let Some(answer) = tries.answer(reply).await else {
                continue;
            };
            if answer.status == 200 {
                let tokens = tokens(&answer);
                self.ledger.redeemed(code, &tokens.refresh, self.number);
                return Some(tokens);
            }
            if tries.unanswered == 0 || answer.json["error"] != "invalid_grant" {
                self.unexpected("rule 1", &tries, &answer);
            }
            return None;
        }
    }

    /// Signs its user in and redeems the code at two replicas at once; answers what is left of that.
    pub(crate) async fn redeem_twice(&self) {
        let mut tries = self.tries("login");
        let code = self.code(&mut tries).await;
        let hosts = &self.cluster.hosts;
        let (one, other) = (hosts.pick(), hosts.pick());
        let (one, other) = tokio::join!(
            hosts.ask_at(one, self.redemption(&code)),
            hosts.ask_at(other, self.redemption(&code)),
        );
        let (mut won, mut refused) = (None, false);
        for reply in [one, other] {
            match reply {
                Reply::Answer(answer) if answer.status == 200 => {
                    let tokens = tokens(&answer);
                    self.ledger.redeemed(&code, &tokens.refresh, self.number);
                    won = Some(tokens);
                }
                Reply::Answer(answer) if answer.status == 503 => {}
                Reply::Answer(answer) => {
                    refused = true;
                    if answer.json["error"] != "invalid_grant" {
                        self.unexpected("rule 4", &tries, &answer);
                    }
                }
                Reply::Unsent | Reply::Broken => {}
            }
        }
        self.ledger.operation("codes given twice");
        if let (Some(tokens), true) = (won, refused) {
            let answer = self.use_refresh_token(&tokens.refresh).await;
            if answer.json["error"] != "invalid_grant" {
                self.unexpected("rule 4", &tries, &answer);
            }
        }
    }

    fn redemption(&self, code: &str) -> Request {
        form(
            "/token",
            &[
                ("grant_type", "authorization_code"),
                ("client_id", &self.id),
                ("code", code),
                ("code_verifier", VERIFIER),
                ("redirect_uri", CALLBACK),
                ("resource", RESOURCE),
            ],
        )
    }

    /// Uses the refresh token; whether the grant stands.
    pub(crate) async fn refresh(&self, tokens: &mut Tokens) -> bool {
        let answer = self.use_refresh_token(&tokens.refresh).await;
        self.ledger.operation("refreshes");
        self.take_over(tokens, &[answer])
    }

    /// Uses the refresh token at one replica; whether the grant stands.
    pub(crate) async fn refresh_at(&self, replica: usize, tokens: &mut Tokens) -> bool {
        let answer = self.use_patiently(replica, &tokens.refresh).await;
        self.take_over(tokens, &[answer])
    }

    /// Uses the refresh token at two replicas at once; whether the grant stands.
    pub(crate) async fn refresh_twice(&self, tokens: &mut Tokens) -> bool {
        let token = &tokens.refresh;
        let (one, other) =
            tokio::join!(self.use_refresh_token(token), self.use_refresh_token(token),);
        self.ledger.operation("refreshes at two replicas at once");
        self.take_over(tokens, &[one, other])
    }

    pub(crate) fn take_over(&self, held: &mut Tokens, answers: &[Answer]) -> bool {
        let used = held.refresh.clone();
        for answer in answers {
            if answer.status != 200 {
                self.unexpected("rule 1", &self.tries("refresh"), answer);
                return false;
            }
            let new = tokens(answer);
            self.ledger.rotated(&used, &new.refresh, self.number);
            held.refresh = new.refresh;
            held.access.extend(new.access);
        }
        let old = held.access.len().saturating_sub(KEPT);
        held.access.drain(..old);
        true
    }

    /// Uses a refresh token until somebody answers.
    pub(crate) async fn use_refresh_token(&self, token: &str) -> Answer {
        let mut tries = self.tries("refresh");
        loop {
            let reply = self.cluster.hosts.ask(self.refreshing(token)).await;
            if !matches!(reply, Reply::Unsent) && !is_answer(&reply) {
                self.ledger.unanswered_refresh();
            }
            if let Some(answer) = tries.answer(reply).await {
                return answer;
            }
        }
    }

    /// Uses a refresh token at one replica, and waits for the answer as long as that takes.
    pub(crate) async fn use_patiently(&self, replica: usize, token: &str) -> Answer {
        self.ask_patiently(replica, self.refreshing(token)).await
    }

    /// Calls one replica, and waits for the answer as long as that takes.
    pub(crate) async fn call_patiently(&self, replica: usize, token: &str) -> Answer {
        self.ask_patiently(replica, call(token)).await
    }

    /// For when nothing breaks.
    async fn ask_patiently(&self, replica: usize, request: Request) -> Answer {
        match self.cluster.hosts.ask_patiently(replica, request).await {
            Reply::Answer(answer) => answer,
            reply @ (Reply::Unsent | Reply::Broken) => panic!("replica {replica}: {reply:?}"),
        }
    }

    fn refreshing(&self, token: &str) -> Request {
        form(
            "/token",
            &[
                ("grant_type", "refresh_token"),
                ("client_id", &self.id),
                ("refresh_token", token),
            ],
        )
    }

    /// Calls the MCP server with one of the access tokens.
    pub(crate) async fn call(&self, tokens: &Tokens, dice: &mut Dice) -> bool {
        let token = &tokens.access[dice.below(tokens.access.len())];
        let mut tries = self.tries("call");
        let answer = loop {
            let reply = self.cluster.hosts.ask(call(token)).await;
            if let Some(answer) = tries.answer(reply).await {
                break answer;
            }
        };
        self.ledger.operation("calls");
        if answer.status != 200 {
            self.unexpected("rule 2", &tries, &answer);
        }
        answer.status == 200
    }

    /// Revokes the grant; answers when that was acknowledged.
    pub(crate) async fn revoke(&self, tokens: &Tokens, dice: &mut Dice) -> Instant {
        let token = match dice.below(2) {
            0 => &tokens.refresh,
            _ => tokens.access.last().unwrap(),
        };
        let mut tries = self.tries("revocation");
        loop {
            let request = form("/revoke", &[("client_id", &self.id), ("token", token)]);
            let reply = self.cluster.hosts.ask(request).await;
            let acknowledged = Instant::now();
            if let Some(answer) = tries.answer(reply).await {
                if answer.status != 200 {
                    self.unexpected("rule 3", &tries, &answer);
                }
                self.ledger.operation("revocations");
                return acknowledged;
            }
        }
    }

    /// Removes itself on the page of approved apps, as its user; answers when that was acknowledged.
    pub(crate) async fn remove(&self) -> Instant {
        let page_url = format!("{BASE_URL}/approved-apps");
        let mut browser = Browser::new(self.cluster.hosts.clone());
        let page = browser.get(&page_url).await.page();
        let stop = browser.submit(&page, &[]).await;
        let page = browser.sign_in(stop, &username(self.number)).await.page();
        let (action, fields) = removal(&page, &self.id);
        browser.post(&action, &fields).await.page();
        self.ledger.operation("removals");
        Instant::now()
    }

    /// Calls one replica with one token, once.
    pub(crate) async fn call_at(&self, replica: usize, token: &str) -> Reply {
        self.cluster.hosts.ask_at(replica, call(token)).await
    }

    fn unexpected(&self, rule: &str, tries: &Tries<'_>, answer: &Answer) {
        self.ledger.broken(format!(
            "{rule}: client {} was answered {} {} by replica {} to a {} after {} unanswered",
            self.number, answer.status, answer.json, answer.by, tries.what, tries.unanswered
        ));
    }
}

impl Tries<'_> {
    /// What was answered; waits if nothing was.
    async fn answer(&mut self, reply: Reply) -> Option<Answer> {
        let (how, wait) = match reply {
            Reply::Answer(answer) if answer.status == 503 => ("503", answer.retry_after),
            Reply::Answer(answer) => {
                if self.unanswered > 0 {
                    let time = self.begun.elapsed();
                    self.client.ledger.waited(time, self.what, self.unanswered);
                }
                return Some(answer);
            }
            Reply::Unsent => ("connection refused", None),
            Reply::Broken => ("connection broken", None),
        };
        self.pause(how, wait).await;
        None
    }

    async fn pause(&mut self, how: &str, wait: Option<Duration>) {
        self.unanswered += 1;
        let ledger = &self.client.ledger;
        ledger.unanswered(how);
        if self.begun.elapsed() > PATIENCE {
            let (number, what) = (self.client.number, self.what);
            ledger.broken(format!(
                "rule 6: client {number} cannot get an answer to a {what}"
            ));
            panic!("client {number} has lost its patience");
        }
        // As clients do: what they are told, but not for ever.
        let wait = wait.unwrap_or(Duration::from_millis(200));
        sleep(wait.min(Duration::from_secs(5))).await;
    }
}

fn is_answer(reply: &Reply) -> bool {
    matches!(reply, Reply::Answer(answer) if answer.status != 503)
}

fn form(path: &str, pairs: &[(&str, &str)]) -> Request {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    Request::post(format!("{BASE_URL}{path}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap()
}

fn call(token: &str) -> Request {
    Request::post(RESOURCE)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"))
        .unwrap()
}

fn tokens(answer: &Answer) -> Tokens {
    Tokens {
        access: vec![text(&answer.json, "access_token")],
        refresh: text(&answer.json, "refresh_token"),
    }
}

fn text(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap().to_owned()
}

fn page_with_form(stop: Stop) -> Option<Page> {
    match stop {
        Stop::Page(page) => page.html.contains("<form").then_some(page),
        Stop::Left(_) => None,
    }
}

/// The form that removes the client with this id.
fn removal(page: &Page, id: &str) -> (Url, Vec<(String, String)>) {
    let ids = page.html.split("App id").skip(1);
    let mut ids = ids.map(|after| after.split("</bdi>").next().unwrap());
    let at = ids.position(|text| text.ends_with(&format!(">{id}")));
    page.forms().nth(at.unwrap()).unwrap()
}

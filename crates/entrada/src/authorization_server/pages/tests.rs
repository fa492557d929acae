use super::*;
use crate::grant::ApprovedClient;
use crate::platform::Timestamp;

/// What a test says of a client; the rest of the page is the same in all of them.
struct Case {
    client_name: Option<&'static str>,
    client_id: &'static str,
    redirect: &'static str,
    scopes: &'static str,
    additional_scopes: &'static str,
    incremental_scopes: &'static str,
}

const USUAL: Case = Case {
    client_name: Some("Claude Code"),
    client_id: "N1xGhCk0TWu5sYkq",
    redirect: "https://claude.ai/api/mcp/auth_callback",
    scopes: "mcp.read mcp.write",
    additional_scopes: "offline_access https://graph.microsoft.com/Mail.Read api://x/Odd",
    incremental_scopes: "https://graph.microsoft.com/Mail.Send",
};

impl Case {
    fn response(&self) -> Response {
        ConsentPage {
            server_name: "Contoso <Tools>",
            client_name: self.client_name,
            client_id: &ClientId::parse(self.client_id).unwrap(),
            redirect: &RedirectUri::parse(self.redirect).unwrap(),
            scopes: &Scope::parse(self.scopes).unwrap(),
            additional_scopes: &Scope::parse(self.additional_scopes).unwrap(),
            incremental_scopes: &Scope::parse(self.incremental_scopes).unwrap(),
            remembered_for: None,
            take_back_at: "https://mcp.contoso.example/approved-apps",
            sealed_request: "c2VhbGVk",
            action: "/consent",
            form_action_sources: "https://login.microsoftonline.com",
        }
        .into_response()
    }

    async fn html(&self) -> String {
        body(self.response()).await
    }
}

async fn body(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

/// The page without its style, which has a test of its own, and without empty lines.
fn unstyled(html: &str) -> String {
    let html = html.replace(headers::STYLE, "…");
    let lines: Vec<_> = html.lines().filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

fn listed(headers: &HeaderMap) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines.join("\n")
}

fn error_page() -> Response {
    ErrorPage {
        status: StatusCode::BAD_REQUEST,
        words: Words {
            title: "This app is not known here",
            message: "The app that sent you here is not registered with this server, or no longer.",
            advice: "Go back to the app, remove the connection and add it again.",
        },
        correlation_id: "01JD<&>",
    }
    .into_response()
}

#[tokio::test]
async fn the_consent_page_says_how_long_the_answer_counts() {
    let page = |remembered_for| {
        let id = ClientId::parse("c").unwrap();
        let redirect = RedirectUri::parse("https://client.example/cb").unwrap();
        let page = ConsentPage {
            server_name: "Contoso tools",
            client_name: None,
            client_id: &id,
            redirect: &redirect,
            scopes: &Scope::default(),
            additional_scopes: &Scope::default(),
            incremental_scopes: &Scope::default(),
            remembered_for,
            take_back_at: "https://mcp.example/approved-apps",
            sealed_request: "c2VhbGVk",
            action: "/consent",
            form_action_sources: "https://login.example",
        };
        page.into_response()
    };
    assert!(!body(page(None)).await.contains("this page again"));
    for (hours, words) in [
        (1, "For an hour you"),
        (23, "For 23 hours you"),
        (36, "For a day you"),
        (90 * 24, "For 90 days you"),
    ] {
        let page = page(Some(Duration::from_secs(hours * 60 * 60)));
        assert!(body(page).await.contains(words), "{words}");
    }
}

#[tokio::test]
async fn the_page_of_apps_says_which_there_are() {
    let client = |id: &str, name: Option<&str>, redirects: &[&str]| {
        let redirects = redirects.iter().map(|it| RedirectUri::parse(it).unwrap());
        ApprovedApp {
            client: ApprovedClient {
                id: ClientId::parse(id).unwrap(),
                name: name.map(str::to_owned),
                redirects: redirects.collect(),
                scope: Scope::parse("mcp.read openid").unwrap(),
                used_at: Timestamp::default(),
            },
            used: "2 days ago".to_owned(),
            removal: format!("remove-{}", id.len()),
        }
    };
    let document = "https://vscode.dev/oauth/client-metadata.json";
    let loopback = ["http://127.0.0.1:1/", "http://127.0.0.1:1/callback"];
    let page = ApprovedAppsPage {
        server_name: "Contoso <Tools>",
        account: Some("alice@contoso.com"),
        apps: vec![
            client("c", Some("<i>Claude"), &["https://claude.ai/callback"]),
            client(document, None, &loopback),
        ],
        sign_out: "c2VhbGVk",
        action: "/approved-apps",
    };
    let response = page.into_response();
    let policy = response.headers()["content-security-policy"].clone();
    assert!(policy.to_str().unwrap().ends_with("form-action 'self'"));
    insta::assert_snapshot!(unstyled(&body(response).await));
}

#[tokio::test]
async fn the_consent_page_says_who_asks_for_what_and_where_it_goes() {
    insta::assert_snapshot!(unstyled(&USUAL.html().await));
}

#[tokio::test]
async fn the_error_page_says_what_to_do_and_what_to_quote() {
    let response = error_page();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    insta::assert_snapshot!(unstyled(&body(response).await));
}

#[test]
fn every_answer_to_a_browser_carries_the_security_headers() {
    let answers = [
        ("consent page", USUAL.response()),
        ("error page", error_page()),
        ("redirect", redirect("https://client.example/cb?code=1")),
    ];
    let listing = answers.map(|(name, response)| {
        format!(
            "{name}: {}\n{}",
            response.status(),
            listed(response.headers())
        )
    });
    insta::assert_snapshot!(listing.join("\n\n"));
}

#[tokio::test]
async fn what_a_client_says_stays_text() {
    let tame = elements(&hostile_page("n", "c", "https://h/", "a b").await);
    for (name, id, redirect, scopes) in [
        ("<script>alert(1)</script>", "c", "https://h/", "a b"),
        (
            "</style><img src=x onerror=alert(1)>",
            "c",
            "https://h/",
            "a b",
        ),
        (
            "\"><form action=https://evil.example>",
            "c",
            "https://h/",
            "a b",
        ),
        ("' onmouseover='alert(1)", "c", "https://h/", "a b"),
        ("&lt;b&gt;", "c", "https://h/", "a b"),
        ("{{ 7 * 7 }}{% include x %}", "c", "https://h/", "a b"),
        ("n", "\"><script>alert(1)</script>", "https://h/", "a b"),
        ("n", "c", "https://h/?'onmouseover='alert(1)&lt;b", "a b"),
        ("n", "c", "https://h/", "<script>alert(1)</script> '><b>"),
    ] {
        let page = hostile_page(name, id, redirect, scopes).await;
        assert_eq!(elements(&page), tame, "{name} {id} {redirect} {scopes}");
        assert!(!page.contains(name) || name == "n" || name.starts_with("{{"));
    }
}

/// A page with `name` wherever text without a grammar of its own can stand.
async fn hostile_page(name: &str, id: &str, redirect: &str, scopes: &str) -> String {
    let scopes = Scope::parse(scopes).unwrap();
    let page = ConsentPage {
        server_name: name,
        client_name: Some(name),
        client_id: &ClientId::parse(id).unwrap(),
        redirect: &RedirectUri::parse(redirect).unwrap(),
        scopes: &scopes,
        additional_scopes: &scopes,
        incremental_scopes: &scopes,
        remembered_for: None,
        take_back_at: name,
        sealed_request: name,
        action: name,
        form_action_sources: "https://login.example",
    };
    body(page.into_response()).await
}

/// The names of all elements and attributes.
fn elements(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        // Text between quotes is a value; what is left are names.
        let names = tag.split('"').step_by(2).collect::<String>();
        found.push(names);
    }
    found
}

#[tokio::test]
async fn words_of_the_client_cannot_reorder_ours() {
    let case = Case {
        client_name: Some("\u{202e}edualC"),
        ..USUAL
    };
    let html = case.html().await;
    assert!(html.contains("<bdi>\u{202e}edualC</bdi>"));
    assert_eq!(html.matches("<bdi").count(), html.matches("</bdi>").count());
}

#[tokio::test]
async fn an_app_on_this_device_comes_with_a_warning() {
    for (redirect, shown, warned) in [
        ("https://claude.ai/cb", "claude.ai", false),
        ("HTTPS://claude.ai:8443/cb", "claude.ai:8443", false),
        ("https://xn--pple-43d.com/cb", "xn--pple-43d.com", false),
        ("http://localhost:53124/cb", "localhost:53124", true),
        ("http://127.0.0.1/cb", "127.0.0.1", true),
        ("http://[::1]:80/cb", "[::1]", true),
        ("https://localhost:8443/cb", "localhost:8443", true),
        ("cursor://anysphere.cursor-mcp/cb", "cursor:", true),
        ("com.example.app:/cb", "com.example.app:", true),
    ] {
        let html = Case { redirect, ..USUAL }.html().await;
        let fact = format!("<dd class=\"fact\"><bdi dir=\"ltr\">{shown}</bdi></dd>");
        assert!(html.contains(&fact), "{redirect}");
        assert_eq!(html.contains("class=\"warning\""), warned, "{redirect}");
        assert!(html.contains(&format!(">{redirect}<")), "{redirect}");
    }
}

#[test]
fn the_form_may_end_at_entra_and_at_the_client() {
    let entra = "https://login.microsoftonline.com";
    for (redirect, entra, expected) in [
        ("https://claude.ai/cb", entra, "'self' https:"),
        ("cursor://x/cb", entra, "'self' https: cursor:"),
        (
            "http://localhost:1234/cb",
            "http://127.0.0.1:9",
            "'self' https: http://127.0.0.1:9 http://localhost:1234",
        ),
        ("http://[::1]:1/cb", entra, "'self' https: http:"),
        ("http://127.0.0.9:1/cb", entra, "'self' https: http:"),
    ] {
        let redirect = RedirectUri::parse(redirect).unwrap();
        assert_eq!(headers::form_action(Some(&redirect), entra), expected);
    }
}

#[test]
fn a_redirect_has_one_location_or_none() {
    let response = redirect("https://h/cb?code=a+b");
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], "https://h/cb?code=a+b");
    let split = redirect("https://h/\r\nSet-Cookie: a=b");
    assert_eq!(split.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(split.headers().get("location").is_none());
}

#[test]
fn text_stands_out_in_both_colour_schemes() {
    // WCAG 2.2 §1.4.3 for text, §1.4.11 for the edges of controls and the focus ring.
    let pairs = [
        ("text", "card", 4.5),
        ("text", "ground", 4.5),
        ("quiet", "card", 4.5),
        ("on-accent", "accent", 4.5),
        ("on-accent", "accent-hover", 4.5),
        ("caution-text", "caution", 4.5),
        ("control", "card", 3.0),
        ("control", "ground", 3.0),
        ("accent", "card", 3.0),
        ("caution-line", "card", 3.0),
    ];
    let (light, dark) = headers::STYLE
        .split_once("prefers-color-scheme: dark")
        .unwrap();
    for (scheme, css) in [("light", light), ("dark", dark)] {
        for (front, back, least) in pairs {
            let contrast = contrast(luminance(css, front), luminance(css, back));
            assert!(contrast >= least, "{scheme}: {front} on {back}: {contrast}");
        }
    }
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(css: &str, name: &str) -> f64 {
    let (_, rest) = css.split_once(&format!("--{name}: #")).unwrap();
    [(0, 0.2126), (2, 0.7152), (4, 0.0722)]
        .iter()
        .map(|&(at, weight)| {
            let channel = f64::from(u8::from_str_radix(&rest[at..at + 2], 16).unwrap()) / 255.0;
            let linear = if channel <= 0.04045 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            };
            weight * linear
        })
        .sum()
}

#[test]
fn known_scopes_have_words() {
    let scope = Scope::parse("openid Mail.Read mcp.read x").unwrap();
    let words = |permissions: Vec<Permission<'_>>| {
        permissions
            .iter()
            .map(|permission| permission.words.map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        words(permission::of_server(&scope)),
        [some("know who you are"), None, None, None]
    );
    assert_eq!(
        words(permission::of_microsoft(&scope)),
        [some("know who you are"), some("read your mail"), None, None]
    );
}

use axum::body::Body;
use entra_emulator::builtin::*;
use http::{Method, Request};

use crate::world::{REDIRECT, World, encode};

/// What strangers send where something else belongs.
fn values() -> Vec<String> {
    let max = u64::MAX;
    vec![
        String::new(),
        " ".to_owned(),
        "/".to_owned(),
        "//.default".to_owned(),
        "\0\r\n<script>".to_owned(),
        "é\u{202e}🦀".to_owned(),
        "a".repeat(20_000),
        "..".to_owned(),
        "1.A.0.A".to_owned(),
        "e30.e30.".to_owned(),
        format!(
            "{}.{}.AA",
            b64("{\"alg\":\"RS256\"}"),
            b64(&format!("{{\"tid\":\"{TENANT_ID}\",\"exp\":{max}}}"))
        ),
        format!("[{}", "[".repeat(5_000)),
        "{\"access_token\":{\"acrs\":{\"values\":[null,[],1e999]}}}".to_owned(),
        "http://localhost:99999999/x".to_owned(),
        "http://[::1".to_owned(),
        max.to_string(),
    ]
}

fn b64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// Every form, by its path, and its fields.
fn forms() -> Vec<(String, Vec<&'static str>)> {
    let token = format!("/{TENANT_ID}/oauth2/v2.0/token");
    let forms = vec![
        (
            format!("/{TENANT_ID}/oauth2/v2.0/authorize"),
            vec![
                "client_id",
                "redirect_uri",
                "response_type",
                "response_mode",
                "scope",
                "state",
                "prompt",
                "login_hint",
                "code_challenge",
                "claims",
                "resource",
                "nonce",
            ],
        ),
        (
            token,
            vec![
                "client_id",
                "client_secret",
                "client_assertion",
                "grant_type",
                "code",
                "scope",
                "refresh_token",
                "assertion",
                "requested_token_use",
                "claims",
                "username",
                "device_code",
            ],
        ),
        (
            format!("/{TENANT_ID}/oauth2/v2.0/devicecode"),
            vec!["client_id", "scope"],
        ),
        ("/devicelogin".to_owned(), vec!["user_code"]),
        (
            format!("/{TENANT_ID}/login"),
            vec!["ctx", "username", "password"],
        ),
        (format!("/{TENANT_ID}/second-factor"), vec!["ctx", "otc"]),
        (format!("/{TENANT_ID}/account"), vec!["ctx", "account"]),
        (format!("/{TENANT_ID}/consent"), vec!["ctx", "answer"]),
    ];
    let user_flow = format!("/{B2C_TENANT_ID}/{B2C_POLICY}");
    let of_user_flows = vec![
        (
            format!("{user_flow}/oauth2/v2.0/authorize"),
            forms[0].1.clone(),
        ),
        (format!("{user_flow}/oauth2/v2.0/token"), forms[1].1.clone()),
        (format!("{user_flow}/login"), forms[4].1.clone()),
    ];
    [forms, of_user_flows].concat()
}

#[tokio::test]
async fn no_parameter_of_any_endpoint_brings_it_down() {
    let world = World::new();
    let good = [
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid"),
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("ctx", "x"),
    ];
    for (path, names) in forms() {
        for name in names {
            for value in values() {
                let mut form: Vec<_> = good
                    .iter()
                    .filter(|(known, _)| *known != name)
                    .copied()
                    .collect();
                form.push((name, &value));
                let answer = world.post(&path, &form, &[]).await;
                assert!(answer.status.as_u16() < 500, "{path} {name}={value:.40}");
            }
        }
    }
}

#[tokio::test]
async fn no_path_header_or_body_does_either() {
    let world = World::new();
    for value in values() {
        let encoded = encode(&[("x", &value)]);
        let segment = encoded.trim_start_matches("x=");
        for path in [
            format!("/{segment}/v2.0/.well-known/openid-configuration"),
            format!("/{segment}/discovery/v2.0/keys"),
            format!("/{segment}/oauth2/v2.0/authorize?{encoded}"),
            format!("/{segment}/v2.0/adminconsent?{encoded}"),
            format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={segment}"),
            format!("/msi/token?api-version=2019-08-01&resource={segment}&client_id={segment}"),
            format!(
                "/{TENANT_ID}/v2.0/adminconsent?client_id={CLIENT_ID}&redirect_uri={segment}\
                 &scope={segment}&state={segment}"
            ),
            format!("/common/discovery/instance?authorization_endpoint={segment}"),
            format!("/common/userrealm/{segment}"),
            format!("/{B2C_TENANT_ID}/{segment}/discovery/v2.0/keys"),
            format!("/tfp/{B2C_TENANT_ID}/{segment}/oauth2/v2.0/authorize"),
            format!("/{B2C_TENANT_ID}/oauth2/v2.0/authorize?p={segment}&{encoded}"),
            format!("/graph/v1.0/me/messages?$top={segment}&$skiptoken={segment}"),
            format!("/devicelogin/done?code={segment}&state={segment}"),
        ] {
            let Ok(request) = Request::get(&path).body(Body::empty()) else {
                continue;
            };
            let answer = world.send(request).await;
            assert!(answer.status.as_u16() < 500, "{path:.60}");
        }
        for path in [
            "/control/fail-next",
            "/control/advance",
            "/control/mint-token",
            "/graph/v1.0/me/getMemberObjects",
        ] {
            let request = Request::builder()
                .method(Method::POST)
                .uri(path)
                .header("authorization", format!("Bearer {segment}"))
                .header("client-request-id", segment)
                .body(Body::from(value.clone()))
                .unwrap();
            let answer = world.send(request).await;
            assert!(answer.status.as_u16() < 500, "{path} {value:.40}");
        }
    }
    let bytes = Request::post(format!("/{TENANT_ID}/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(vec![0xff, 0xfe]))
        .unwrap();
    assert_eq!(world.send(bytes).await.status, 400);
}

#[tokio::test]
async fn the_end_of_time_is_not_the_end_of_the_emulator() {
    let world = World::new();
    let code = world.code(ALICE, "openid offline_access").await;
    let lifetime = std::time::Duration::from_secs(u64::MAX);
    world.control.set_token_lifetime(lifetime);
    world.tokens(ALICE, "openid offline_access").await;
    world.control.advance(lifetime);
    world.control.advance(lifetime);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    assert_eq!(world.mcp_token(&form).await.failure().2, 70_008);
    world.tokens(ALICE, "openid offline_access").await;
}

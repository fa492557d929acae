//! The challenge before a tool runs.

use axum::body::Body;
use entrada::policy::Requirement;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::client::{LEGACY, MODERN, Sent, call, message, open};
use crate::vault::{ERAS, Stack};

/// The scopes in a challenge that a client can step up by, if the answer is one.
fn challenged(answer: &Response<Body>) -> Option<String> {
    let challenge = answer.headers().get("www-authenticate")?.to_str().unwrap();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert!(
        challenge.contains("error=\"insufficient_scope\""),
        "{challenge}"
    );
    assert!(
        challenge.contains("resource_metadata=\"http"),
        "{challenge}"
    );
    let (_, scope) = challenge.split_once("scope=\"").unwrap();
    Some(scope.split('"').next().unwrap().to_owned())
}

#[tokio::test]
async fn what_a_caller_lacks_is_said_before_the_tool_runs() {
    let stack = Stack::new(|requirements| requirements);
    let ok = (200, None);
    let never = (403, None);
    for (token, tool, expected) in [
        ("alice", "look", ok),
        ("alice", "no-such-tool", ok),
        // Scopes: what a client is told is enough, all at once, and names what it has already.
        ("alice", "read", (403, Some("files.read"))),
        ("alice+files.read", "read", ok),
        ("alice+Files.Read", "read", (403, Some("files.read"))),
        ("alice", "write", (403, Some("files.read files.write"))),
        (
            "alice+files.read",
            "write",
            (403, Some("files.read files.write")),
        ),
        (
            "alice+files.write",
            "write",
            (403, Some("files.read files.write")),
        ),
        ("alice+files.write+files.read", "write", ok),
        ("alice", "search", (403, Some("files.read"))),
        ("alice+files.all", "search", ok),
        ("alice+files.read", "search", ok),
        // What no scope makes up for.
        ("alice+files.read+files.write", "administer", never),
        ("administrator", "administer", ok),
        ("alice", "erase", never),
        ("alice+files.all", "erase", never),
        ("administrator", "erase", (403, Some("files.all"))),
        ("administrator+files.all", "erase", ok),
        ("alice", "for_staff", never),
        ("member", "for_staff", ok),
        ("alice", "at_home", ok),
        ("guest", "at_home", never),
        ("alice", "through_trusted", never),
        ("carol", "through_trusted", ok),
        // An application has roles, and can ask for no scope.
        ("alice", "sync", (403, Some("files.write"))),
        ("alice+files.write", "sync", ok),
        ("program", "sync", ok),
        ("program", "read", never),
    ] {
        for version in ERAS {
            let answer = stack.call(token, version, tool).await;
            let got = (answer.status().as_u16(), challenged(&answer));
            let expected = (expected.0, expected.1.map(str::to_owned));
            assert_eq!(got, expected, "{token} {tool} {version}");
            let runs = usize::from(expected.0 == 200 && tool != "no-such-tool");
            let answer = message(answer).await;
            assert_eq!(stack.runs(), runs, "{token} {tool} {version} {answer}");
        }
    }
}

#[tokio::test]
async fn the_whole_challenge_is_as_the_standard_has_it() {
    let stack = Stack::new(|requirements| requirements);
    let answer = stack.call("alice", MODERN, "write").await;
    assert_eq!(
        answer.headers()["www-authenticate"],
        "Bearer error=\"insufficient_scope\", \
         error_description=\"the access token does not allow this: \
         authorize again with the scopes named\", \
         scope=\"files.read files.write\", \
         resource_metadata=\"http://localhost/.well-known/oauth-protected-resource/mcp\""
    );
    assert_eq!(message(answer).await["error"], "insufficient_scope");
    let answer = stack.call("alice", MODERN, "administer").await;
    let answer = message(answer).await;
    assert_eq!(answer["error"], "access_denied");
    // Which role it takes is for the operator.
    assert!(!answer.to_string().contains("Files.Admin"), "{answer}");
}

#[tokio::test]
async fn who_comes_back_with_the_scopes_of_the_challenge_gets_in() {
    let stack = Stack::new(|requirements| requirements);
    for (version, session) in [
        (LEGACY, Some(open(&stack.app, "alice").await)),
        (MODERN, None),
    ] {
        let write = call("tools/call", json!({ "name": "write" }), version);
        let sent = |user| Sent {
            user,
            session: session.as_deref(),
            version,
        };
        let refused = sent("alice+mcp").post(&stack.app, &write).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert_eq!(stack.runs(), 0);
        let scope = challenged(&refused).unwrap();
        let again = format!("alice+{}", scope.replace(' ', "+"));
        let answer = message(sent(&again).post(&stack.app, &write).await).await;
        assert_eq!(answer["result"]["content"][0]["text"], "ran", "{answer}");
        assert_eq!(stack.runs(), 1);
        // A session is no permission: the next message may come with fewer scopes.
        let refused = sent("alice").post(&stack.app, &write).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert_eq!(stack.runs(), 0);
    }
}

#[tokio::test]
async fn what_declares_nothing_requires_what_is_required_otherwise() {
    let stack = Stack::new(|requirements| {
        let otherwise = Requirement::scopes(["mcp.use"]);
        requirements.otherwise(otherwise).unwrap()
    });
    for (token, tool, expected) in [
        ("alice", "look", Some("mcp.use")),
        ("alice+mcp.use", "look", None),
        ("alice", "no-such-tool", Some("mcp.use")),
        ("alice", "Read", Some("mcp.use")),
        // Its own requirement stands instead.
        ("alice+files.read", "read", None),
        ("alice+mcp.use", "read", Some("files.read")),
    ] {
        let answer = stack.call(token, MODERN, tool).await;
        assert_eq!(challenged(&answer).as_deref(), expected, "{token} {tool}");
        message(answer).await;
        assert_eq!(
            stack.runs(),
            usize::from(expected.is_none()),
            "{token} {tool}"
        );
    }
}

#[tokio::test]
async fn nothing_but_calls_is_challenged() {
    let stack = Stack::new(|requirements| {
        let otherwise = Requirement::roles(["Nobody"]);
        requirements.otherwise(otherwise).unwrap()
    });
    for version in ERAS {
        for method in ["tools/list", "resources/list", "com.example/custom"] {
            let answer = stack.ask("alice", version, method, json!({})).await;
            let status = answer.status();
            let answer = message(answer).await;
            assert!(
                status != StatusCode::FORBIDDEN,
                "{method} {version} {answer}"
            );
            let custom = method == "com.example/custom";
            assert_eq!(
                stack.runs(),
                usize::from(custom),
                "{method} {version} {answer}"
            );
        }
    }
    let info = stack.ask("alice", MODERN, "server/discover", json!({}));
    let info = message(info.await).await;
    assert_eq!(info["result"]["instructions"], "put it back", "{info}");
}

#[tokio::test]
async fn a_tool_can_require_more_of_some_arguments() {
    let stack = Stack::new(|requirements| requirements);
    for (token, path, expected) in [
        ("alice", "notes", Value::Null),
        (
            "alice",
            "drafts",
            json!({ "error": "insufficient_scope", "scope": "files.write" }),
        ),
        ("alice+files.write", "drafts", Value::Null),
        (
            "alice+files.write",
            "payroll",
            json!({ "error": "access_denied" }),
        ),
    ] {
        let params = json!({ "name": "open", "arguments": { "path": path } });
        let answer = stack.ask(token, MODERN, "tools/call", params).await;
        let answer = message(answer).await;
        assert_eq!(answer["error"]["data"], expected, "{token} {path} {answer}");
        assert_eq!(
            stack.runs(),
            usize::from(expected.is_null()),
            "{token} {path}"
        );
    }
}

use http::HeaderMap;
use proptest::prelude::*;

use super::*;

/// What a body is found to say, in words.
fn read(body: &str) -> String {
    match Messages::read(body.as_bytes()) {
        Ok(messages) => {
            let all = messages.messages.iter().map(|message| {
                let items = message.items.iter();
                let items = items.map(|item| format!(" {} {}", item.kind, item.name));
                let method = message.method.as_deref().unwrap_or("response");
                format!("{method}{}", items.collect::<String>())
            });
            all.collect::<Vec<_>>().join("; ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_called_is_read_from_the_body() {
    for (body, expected) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":"b","name":"c"}}}"#,
            "tools/call tool a",
        ),
        (
            r#" { "params" : {"name":"\u0061"} , "method":"tools\/call" } "#,
            "tools/call tool a",
        ),
        (
            r#"{"method":"prompts/get","params":{"name":"a"}}"#,
            "prompts/get prompt a",
        ),
        (
            r#"{"method":"resources/read","params":{"uri":"file:///a"}}"#,
            "resources/read resource file:///a",
        ),
        (
            r#"{"method":"resources/subscribe","params":{"uri":"x:y","name":"z"}}"#,
            "resources/subscribe resource x:y",
        ),
        (
            r#"{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"a"}}}"#,
            "completion/complete prompt a",
        ),
        (
            r#"{"method":"completion/complete","params":{"ref":{"type":"ref/resource","uri":"a:{b}"}}}"#,
            "completion/complete resource a:{b}",
        ),
        (
            r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a:1","a:2"]}}}"#,
            "subscriptions/listen resource a:1 resource a:2",
        ),
        (
            r#"{"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":null}}}"#,
            "subscriptions/listen",
        ),
        (
            r#"{"method":"tasks/get","params":{"taskId":"t"}}"#,
            "tasks/get",
        ),
        (
            r#"{"method":"notifications/initialized"}"#,
            "notifications/initialized",
        ),
        (
            r#"{"method":"com.example/x","params":[1]}"#,
            "com.example/x",
        ),
        (r#"{"id":1,"result":{}}"#, "response"),
        (r#"{"id":1,"error":{"code":1,"message":"x"}}"#, "response"),
        (
            r#"[{"method":"ping","id":1},{"method":"tools/call","params":{"name":"a"}}]"#,
            "ping; tools/call tool a",
        ),
        // What nobody decides by may be as it likes.
        (
            r#"{"method":"ping","x":1,"x":2,"id":"\ud83d\ude00"}"#,
            "ping",
        ),
    ] {
        assert_eq!(read(body), expected, "{body}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn what_can_be_read_in_two_ways_is_not_read() {
    let not_json = "the body is no JSON";
    let no_message = "the body is no JSON-RPC message";
    let nameless = "a message does not say which tool, prompt or resource it means";
    let ambiguous = "a message has a name or a method that can be read in two ways";
    let twice = |key: &str| format!("a message has {key} twice");
    let alike =
        |key: &str| format!("a message has a key that differs from {key} in its letters alone");
    let meta = |rest: &str| {
        format!(r#"{{"method":"ping","params":{{"_meta":{{"{VERSION}":"a"{rest}}}}}}}"#)
    };
    for (body, expected) in [
        ("", not_json.to_owned()),
        ("{", not_json.to_owned()),
        (r#"{"method":"ping"} x"#, not_json.to_owned()),
        (r#"{"method":"ping"}{"method":"ping"}"#, not_json.to_owned()),
        ("\u{feff}{\"method\":\"ping\"}", not_json.to_owned()),
        (r#"{"method":"ping",}"#, not_json.to_owned()),
        (r#"{"method":"ping"/**/}"#, not_json.to_owned()),
        (r"{'method':'ping'}", not_json.to_owned()),
        (r#"{"method":"\ud800"}"#, not_json.to_owned()),
        (r#"{"\ud800":1,"method":"ping"}"#, not_json.to_owned()),
        ("1", no_message.to_owned()),
        ("null", no_message.to_owned()),
        ("[]", no_message.to_owned()),
        ("{}", no_message.to_owned()),
        (r#"{"method":1}"#, no_message.to_owned()),
        (r#"{"id":1}"#, no_message.to_owned()),
        (r#"[[{"method":"ping"}]]"#, no_message.to_owned()),
        (r#"[{"method":"ping"},1]"#, no_message.to_owned()),
        (
            r#"{"method":"ping","result":{}}"#,
            "a message is a request and a response at once".to_owned(),
        ),
        (
            r#"{"method":"tools/call","method":"ping"}"#,
            twice("method"),
        ),
        (
            r#"{"method":"ping","\u006dethod":"tools/call"}"#,
            twice("method"),
        ),
        (r#"{"id":1,"id":2,"method":"ping"}"#, twice("id")),
        (
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","method":"ping"}"#,
            twice("jsonrpc"),
        ),
        (
            r#"{"method":"ping","params":{},"params":{}}"#,
            twice("params"),
        ),
        (
            r#"{"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            twice("name"),
        ),
        (
            r#"{"method":"resources/read","params":{"uri":"a:b","ur\u0069":"a:c"}}"#,
            twice("uri"),
        ),
        (
            r#"{"method":"ping","params":{"_meta":{},"_meta":{}}}"#,
            twice("_meta"),
        ),
        (&*meta(&format!(r#","{VERSION}":"b""#)), twice(VERSION)),
        (
            r#"{"method":"ping","Method":"tools/call"}"#,
            alike("method"),
        ),
        (r#"{"method":"ping","METHOD":1}"#, alike("method")),
        ("{\"method\":\"ping\",\"param\u{17f}\":{}}", alike("params")),
        ("{\"method\":\"ping\",\"\u{130}d\":{}}", alike("id")),
        ("{\"method\":\"ping\",\"\u{131}d\":{}}", alike("id")),
        (
            "{\"method\":\"tasks/get\",\"params\":{\"tas\u{212a}Id\":\"x\"}}",
            alike("taskId"),
        ),
        (
            r#"{"method":"ping","method\u0000x":"tools/call"}"#,
            alike("method"),
        ),
        (
            r#"{"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            alike("name"),
        ),
        (r#"{"method":"ping","params":{"_META":{}}}"#, alike("_meta")),
        (
            &*meta(r#","io.modelcontextprotocol/ProtocolVersion":"b""#),
            alike(VERSION),
        ),
        (r#"{"method":"tools/call"}"#, nameless.to_owned()),
        (
            r#"{"method":"tools/call","params":["a"]}"#,
            nameless.to_owned(),
        ),
        (
            r#"{"method":"tools/call","params":{"name":1}}"#,
            nameless.to_owned(),
        ),
        (
            r#"{"method":"prompts/get","params":{"uri":"a"}}"#,
            nameless.to_owned(),
        ),
        (
            r#"{"method":"completion/complete","params":{}}"#,
            nameless.to_owned(),
        ),
        (
            r#"{"method":"completion/complete","params":{"ref":{"type":"ref/x","name":"a"}}}"#,
            nameless.to_owned(),
        ),
        (
            r#"{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[1]}}}"#,
            nameless.to_owned(),
        ),
        (
            r#"{"method":"Tools/Call","params":{"name":"a"}}"#,
            ambiguous.to_owned(),
        ),
        (
            r#"{"method":"tools/call ","params":{"name":"a"}}"#,
            ambiguous.to_owned(),
        ),
        (
            r#"{"method":"tools/call","params":{"name":"a\u0000"}}"#,
            ambiguous.to_owned(),
        ),
        (
            r#"{"method":"tools/call","params":{"name":" a"}}"#,
            ambiguous.to_owned(),
        ),
        // What JavaScript trims besides.
        (
            "{\"method\":\"tools/call\",\"params\":{\"name\":\"\u{feff}a\"}}",
            ambiguous.to_owned(),
        ),
        (r#"{"method":"Tools/List"}"#, ambiguous.to_owned()),
        (
            r#"{"method":"resources/Templates/list"}"#,
            ambiguous.to_owned(),
        ),
    ] {
        assert_eq!(read(body), expected, "{body}");
    }
    assert_eq!(
        Messages::read(b"{\"method\":\"\xff\"}")
            .unwrap_err()
            .to_string(),
        not_json
    );
    let utf_16: Vec<u8> =
        r#"{"method":"ping"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Messages::read(&utf_16).is_err());
    let many = vec![r#"{"method":"ping"}"#; MOST_MESSAGES + 1].join(",");
    assert_eq!(
        read(&format!("[{many}]")),
        "the batch has more than 256 messages"
    );
    let deep = format!(
        r#"{{"method":"ping","x":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    assert_eq!(read(&deep), "the body is nested too deeply");
    let long = format!(r#"{{"method":"{}"}}"#, "x".repeat(LONGEST_NAME + 1));
    assert_eq!(read(&long), ambiguous);
}

#[test]
fn a_body_calls_no_more_than_a_batch_may() {
    let listen = |count: usize| {
        let uris = vec![r#""a:b""#; count].join(",");
        format!(
            r#"{{"method":"subscriptions/listen","params":{{"notifications":{{"resourceSubscriptions":[{uris}]}}}}}}"#
        )
    };
    for (body, expected) in [
        (listen(MOST_MESSAGES), None),
        (
            listen(MOST_MESSAGES + 1),
            Some("the body calls more than 256 things"),
        ),
        (format!("[{},{}]", listen(128), listen(128)), None),
        (
            format!("[{},{}]", listen(128), listen(129)),
            Some("the body calls more than 256 things"),
        ),
    ] {
        let error = Messages::read(body.as_bytes()).err();
        assert_eq!(error.map(|it| it.to_string()).as_deref(), expected);
    }
}

const MODERN: &str = "2026-07-28";

fn agrees(body: &str, lines: &[(&'static str, &str)]) -> Result<(), Mismatch> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    Messages::read(body.as_bytes())
        .unwrap()
        .agree_with(&headers)
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn headers_say_what_the_body_says() {
    use Mismatch as M;
    let call = format!(
        r#"{{"id":1,"method":"tools/call","params":{{"name":"caf\u00e9","_meta":{{"{VERSION}":"{MODERN}"}}}}}}"#
    );
    let legacy = r#"{"id":1,"method":"tools/call","params":{"name":"a"}}"#;
    let version = ("mcp-protocol-version", MODERN);
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "=?base64?Y2Fmw6k=?=");
    for (body, lines, expected) in [
        (&*call, &[version, method, name][..], Ok(())),
        (&call, &[version, method], Err(M::Name)),
        (
            &call,
            &[version, method, ("mcp-name", "cafe")],
            Err(M::Name),
        ),
        (
            &call,
            &[version, method, ("mcp-name", "=?base64?!!?=")],
            Err(M::Name),
        ),
        (&call, &[version, method, name, name], Err(M::Name)),
        (&call, &[version, name], Err(M::Method)),
        (
            &call,
            &[version, ("mcp-method", "Tools/Call"), name],
            Err(M::Method),
        ),
        (&call, &[version, method, method, name], Err(M::Method)),
        (&call, &[method, name], Err(M::Version)),
        (
            &call,
            &[("mcp-protocol-version", "2025-11-25"), method, name],
            Err(M::Version),
        ),
        (&call, &[version, version, method, name], Err(M::Version)),
        // A version we do not know is a newer one.
        (
            legacy,
            &[("mcp-protocol-version", "2027-01-01")],
            Err(M::Version),
        ),
        (
            legacy,
            &[version, method, ("mcp-name", "a")],
            Err(M::Version),
        ),
        // Older ones need none; what there is must be right.
        (legacy, &[], Ok(())),
        (legacy, &[("mcp-protocol-version", "2025-11-25")], Ok(())),
        (legacy, &[method, ("mcp-name", "a")], Ok(())),
        (legacy, &[method, ("mcp-name", "b")], Err(M::Name)),
        (legacy, &[("mcp-method", "ping")], Err(M::Method)),
        (
            r#"{"method":"ping","id":1}"#,
            &[("mcp-name", "a")],
            Err(M::Name),
        ),
        (r#"{"method":"initialize","id":1}"#, &[version], Ok(())),
        (
            r#"{"method":"notifications/x"}"#,
            &[version],
            Err(M::Method),
        ),
        (
            r#"{"method":"notifications/x"}"#,
            &[version, ("mcp-method", "notifications/x")],
            Ok(()),
        ),
        (
            r#"{"result":{},"id":1}"#,
            &[("mcp-protocol-version", "2025-11-25")],
            Ok(()),
        ),
        (r#"{"result":{},"id":1}"#, &[method], Err(M::Method)),
        (r#"[{"method":"ping","id":1}]"#, &[], Ok(())),
        (
            r#"[{"method":"ping","id":1}]"#,
            &[("mcp-method", "ping")],
            Err(M::Method),
        ),
        (
            r#"[{"method":"ping","id":1}]"#,
            &[("mcp-name", "a")],
            Err(M::Name),
        ),
        (r#"[{"method":"ping","id":1}]"#, &[version], Err(M::Method)),
    ] {
        assert_eq!(agrees(body, lines), expected, "{body} {lines:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(body: Vec<u8>) {
        let _ = Messages::read(&body);
    }

    /// A reader that takes the last of several keys, as most do, reads what we read.
    #[test]
    fn whoever_takes_the_last_key_reads_the_same(
        keys in proptest::collection::vec(
            proptest::sample::select(vec!["method", "params", "Method", "id", "x", "m\\u0065thod"]),
            0..5,
        ),
        names in proptest::collection::vec(
            proptest::sample::select(vec!["name", "uri", "NAME", "n\\u0061me", "_meta", "x"]),
            0..4,
        ),
        method in proptest::sample::select(vec!["tools/call", "resources/read", "ping"]),
    ) {
        let params: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| format!("\"{name}\":\"v{at}\""))
            .collect();
        let params = format!("{{{}}}", params.join(","));
        let members: Vec<String> = keys
            .iter()
            .map(|key| match *key {
                "params" => format!("\"params\":{params}"),
                "id" => "\"id\":1".to_owned(),
                key => format!("\"{key}\":\"{method}\""),
            })
            .collect();
        let body = format!("{{{}}}", members.join(","));
        let Ok(read) = Messages::read(body.as_bytes()) else {
            return Ok(());
        };
        let other: serde_json::Value = serde_json::from_str(&body).unwrap();
        let [message] = &*read.messages else { panic!("{body}") };
        prop_assert_eq!(message.method.as_deref(), other["method"].as_str());
        for item in &message.items {
            let key = if item.kind == ItemKind::Resource { "uri" } else { "name" };
            prop_assert_eq!(Some(&*item.name), other["params"][key].as_str());
        }
        let disguised = body.contains("NAME") && body.contains("params");
        prop_assert!(!disguised && !body.contains("Method"));
    }
}

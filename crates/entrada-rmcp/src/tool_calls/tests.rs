use proptest::prelude::*;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest};
use serde_json::json;

use super::*;

/// The tool that rmcp would run.
fn as_rmcp_reads_it(body: &[u8]) -> Option<String> {
    let message = serde_json::from_slice(body).ok()?;
    let ClientJsonRpcMessage::Request(request) = message else {
        return None;
    };
    let ClientRequest::CallToolRequest(call) = request.request else {
        return None;
    };
    Some(call.params.name.into_owned())
}

fn found(body: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    let tools = tools_called(body.as_ref()).map_err(|error| error.to_string())?;
    Ok(tools.into_iter().collect())
}

/// A message, from the text of its members.
fn message(members: &[&str]) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,{}}}"#, members.join(","))
}

#[test]
fn a_call_is_found_however_it_is_written() {
    let named = r#""params":{"name":"erase"}"#;
    let call = r#""method":"tools/call""#;
    for members in [
        [call, named],
        [named, call],
        [r#""method":"tools\u002fcall""#, named],
        [r#""method":"tools\/call""#, named],
        [r#""\u006dethod":"tools/call""#, named],
        [call, r#""par\u0061ms":{"name":"erase"}"#],
        [call, r#""params":{"n\u0061me":"\u0065rase"}"#],
        [
            call,
            r#""params":{"arguments":{"name":"read"},"name":"erase","_meta":{"name":"read"}}"#,
        ],
        [
            call,
            r#""x":{"params":{"name":"read"}},"params":{"name":"erase"}"#,
        ],
        [
            call,
            r#""x":1e9,"y":[[[{"method":"ping"}]]],"params":{"name":"erase"}"#,
        ],
    ] {
        let body = message(&members);
        assert_eq!(
            as_rmcp_reads_it(body.as_bytes()).as_deref(),
            Some("erase"),
            "{body}"
        );
        assert_eq!(found(&body), Ok(vec!["erase".to_owned()]), "{body}");
    }
}

#[test]
fn a_call_that_rmcp_does_not_take_for_one_is_found_as_well() {
    for body in [
        // A notification, which has no id.
        json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "erase" } }),
        json!({ "method": "tools/call", "params": { "name": "erase" } }),
        json!([{ "id": 1, "method": "tools/call", "params": { "name": "erase" } }]),
    ] {
        let body = body.to_string();
        assert_eq!(as_rmcp_reads_it(body.as_bytes()), None, "{body}");
        assert_eq!(found(&body), Ok(vec!["erase".to_owned()]), "{body}");
    }
}

#[test]
fn every_call_of_a_batch_is_found() {
    let call = |name| json!({ "id": 1, "method": "tools/call", "params": { "name": name } });
    let ping = json!({ "id": 1, "method": "ping" });
    for (batch, expected) in [
        (json!([]), Ok(vec![])),
        (
            json!([ping, 1, "tools/call", null, true, -1, 0.5, []]),
            Ok(vec![]),
        ),
        (
            json!([call("b"), ping, call("a"), call("b")]),
            Ok(vec!["a", "b"]),
        ),
        (
            json!([call("a"), { "method": "tools/call" }, ping]),
            Err("a tool is called and not named"),
        ),
    ] {
        let expected = expected
            .map(|tools| tools.into_iter().map(str::to_owned).collect())
            .map_err(str::to_owned);
        assert_eq!(found(batch.to_string()), expected, "{batch}");
    }
}

#[test]
fn what_calls_no_tool_calls_none() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"erase"}}"#,
        // Neither is what rmcp would call a tool for.
        r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"erase"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"METHOD":"tools/call","params":{"name":"erase"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["tools/call"],"params":{"name":"erase"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call","params":{"name":"erase"}}}"#,
        "{}",
        "0",
        "-1",
        "1.5",
        "null",
        "false",
        r#""tools/call""#,
    ] {
        assert_eq!(as_rmcp_reads_it(body.as_bytes()), None, "{body}");
        assert_eq!(found(body), Ok(vec![]), "{body}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_no_call() {
    let call = r#""method":"tools/call""#;
    let named = r#""params":{"name":"read"}"#;
    let twice = "a message says twice what it asks for";
    let nameless = "a tool is called and not named";
    let broken = "the body is no JSON";
    let bytes = |bytes: &[u8]| bytes.to_vec();
    let text = |members: &[&str]| message(members).into_bytes();
    for (body, expected) in [
        (text(&[r#""method":"ping""#, call, named]), twice),
        (text(&[call, r#""m\u0065thod":"ping""#, named]), twice),
        (text(&[call, r#""method":null"#, named]), twice),
        (text(&[call, named, r#""params":{"name":"erase"}"#]), twice),
        (text(&[call, named, r#""params":null"#]), twice),
        (
            text(&[call, r#""params":{"name":"read","name":"erase"}"#]),
            twice,
        ),
        (
            text(&[call, r#""params":{"name":"read","n\u0061me":1}"#]),
            twice,
        ),
        (text(&[call]), nameless),
        (text(&[call, r#""params":null"#]), nameless),
        (text(&[call, r#""params":{}"#]), nameless),
        (text(&[call, r#""params":{"Name":"erase"}"#]), nameless),
        (text(&[call, r#""params":{"name":7}"#]), nameless),
        (text(&[call, r#""params":{"name":["erase"]}"#]), nameless),
        (text(&[call, r#""params":[null,"erase"]"#]), nameless),
        (text(&[call, r#""params":"erase""#]), nameless),
        (text(&[call, r#""params":{"name":"\ud800"}"#]), broken),
        (bytes(b""), broken),
        (bytes(b"method=tools/call"), broken),
        (
            [b"\xef\xbb\xbf", message(&[call, named]).as_bytes()].concat(),
            broken,
        ),
        ([message(&[call, named]).as_bytes(), b"\0"].concat(), broken),
        (message(&[call, named]).repeat(2).into_bytes(), broken),
        (
            bytes(b"{\"method\":\"tools/call\",\"params\":{\"name\":\"\xff\"}}"),
            broken,
        ),
        (
            bytes(b"{\"method\":\"tools/call\",\"params\":{\"name\":\"a\""),
            broken,
        ),
        ("[".repeat(1_000_000).into_bytes(), broken),
        (r#"{"params":"#.repeat(500_000).into_bytes(), broken),
    ] {
        let shown = String::from_utf8_lossy(&body)
            .chars()
            .take(120)
            .collect::<String>();
        assert_eq!(as_rmcp_reads_it(&body), None, "{shown}");
        assert_eq!(found(&body), Err(expected.to_owned()), "{shown}");
    }
}

/// Whatever rmcp would call a tool for, this is found to call that tool and no other.
fn agrees_with_rmcp(body: &[u8]) -> Result<(), TestCaseError> {
    let tools = tools_called(body);
    if let Some(tool) = as_rmcp_reads_it(body) {
        prop_assert_eq!(tools.ok(), Some(BTreeSet::from([tool])));
    }
    Ok(())
}

/// Text that stands for a string, or for something else.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just(r#""erase""#),
        Just(r#""\u0065rase""#),
        Just(r#""read""#),
        Just(r#""tools/call""#),
        Just(r#""tools\u002fcall""#),
        Just(r#""tools\/call""#),
        Just(r#""ping""#),
        Just("null"),
        Just("1e999"),
        Just("-0"),
        Just("true"),
    ];
    scalar
        .prop_map(str::to_owned)
        .prop_recursive(3, 12, 3, |value| {
            let key = prop_oneof![Just("method"), Just("params"), Just("name"), Just("x")];
            let object = prop::collection::vec((key, value.clone()), 0..3).prop_map(|members| {
                let members = members
                    .iter()
                    .map(|(key, value)| format!(r#""{key}":{value}"#));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            });
            let array = prop::collection::vec(value, 0..3)
                .prop_map(|values| format!("[{}]", values.join(" ,")));
            prop_oneof![object, array]
        })
}

/// One of `likely`, or any member of the name.
fn member(name: &'static str, likely: &'static [&'static str]) -> impl Strategy<Value = String> {
    let likely = prop::sample::select(likely).prop_map(str::to_owned);
    let other = value().prop_map(move |value| format!(r#""{name}":{value}"#));
    prop_oneof![20 => likely, 1 => other]
}

/// The text of an object that has each of `members`, or lacks it, or has it twice.
fn object(members: Vec<BoxedStrategy<String>>) -> impl Strategy<Value = String> {
    let times = |member: BoxedStrategy<String>| {
        prop_oneof![
            1 => prop::collection::vec(member.clone(), 0..=2),
            20 => prop::collection::vec(member, 1),
        ]
    };
    let members: Vec<_> = members.into_iter().map(times).collect();
    let members = members.prop_map(|members| members.concat()).prop_shuffle();
    members.prop_map(|members| format!("{{ {}\n}}", members.join(" ,\t")))
}

fn params() -> impl Strategy<Value = String> {
    let params = object(vec![
        member(
            "name",
            &[
                r#""name":"erase""#,
                r#""n\u0061me":"erase""#,
                r#""name":"read""#,
            ],
        )
        .boxed(),
        member(
            "arguments",
            &[r#""arguments":{"name":"read"}"#, r#""arguments":null"#],
        )
        .boxed(),
        member(
            "_meta",
            &[r#""_meta":{"name":"read"}"#, r#""x":[{"name":"read"}]"#],
        )
        .boxed(),
    ]);
    params.prop_map(|params| format!(r#""params":{params}"#))
}

const CALL: [&str; 3] = [
    r#""method":"tools/call""#,
    r#""method":"tools\u002fcall""#,
    r#""\u006dethod":"tools\/call""#,
];

fn body() -> impl Strategy<Value = String> {
    object(vec![
        member("jsonrpc", &[r#""jsonrpc":"2.0""#]).boxed(),
        member("id", &[r#""id":1"#, r#""id":"1""#]).boxed(),
        member("method", &CALL).boxed(),
        prop_oneof![20 => params(), 1 => member("params", &[r#""params":null"#])].boxed(),
        member("x", &[r#""x":{"method":"ping"}"#]).boxed(),
    ])
}

proptest! {
    #[test]
    fn what_rmcp_would_run_is_found(body in body()) {
        agrees_with_rmcp(body.as_bytes())?;
    }

    #[test]
    fn what_rmcp_would_run_is_found_in_spoilt_bodies(
        body in body(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[],: 0".as_slice())],
        insert in any::<bool>(),
    ) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        if insert {
            body.insert(at, byte);
        } else {
            body[at] = byte;
        }
        agrees_with_rmcp(&body)?;
    }

    #[test]
    fn any_bytes_can_be_looked_into(body in prop::collection::vec(any::<u8>(), 0..64)) {
        agrees_with_rmcp(&body)?;
    }
}

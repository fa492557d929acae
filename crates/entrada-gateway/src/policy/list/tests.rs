use bytes::Bytes;
use proptest::prelude::*;

use super::events::{Events, MOST_HELD};
use super::*;

/// Shows what does not begin with an x.
fn shows(item: &Item) -> bool {
    !item.name.starts_with('x')
}

fn edit(text: &str) -> String {
    match edited(text, &shows) {
        Ok(Some(new)) => new,
        Ok(None) => "as it was".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_not_shown_is_cut_out_and_the_rest_stays() {
    let same = "as it was";
    for (text, expected) in [
        (
            r#" {"jsonrpc":"2.0","id":1.0,"result":{"tools":[{"name":"a", "new":[1 ]}, {"name":"xb"},{"n":"\u0061","name":"c"}],"nextCursor":"7","y":{}}} "#,
            r#" {"jsonrpc":"2.0","id":1.0,"result":{"tools":[{"name":"a", "new":[1 ]},{"n":"\u0061","name":"c"}],"nextCursor":"7","y":{}}} "#,
        ),
        (
            r#"{"id":1,"result":{"tools":[{"name":"xa"}]}}"#,
            r#"{"id":1,"result":{"tools":[]}}"#,
        ),
        (
            r#"{"id":1,"result":{"tools":[{"name":"\u0078a"}]}}"#,
            r#"{"id":1,"result":{"tools":[]}}"#,
        ),
        (
            r#"{"result":{"prompts":[{"name":"xa"}]}}"#,
            r#"{"result":{"prompts":[]}}"#,
        ),
        (
            r#"{"result":{"resources":[{"uri":"x:a"}]}}"#,
            r#"{"result":{"resources":[]}}"#,
        ),
        (
            r#"{"result":{"resourceTemplates":[{"uriTemplate":"x:{a}","name":"a"},{"uriTemplate":"a:{x}"}]}}"#,
            r#"{"result":{"resourceTemplates":[{"uriTemplate":"a:{x}"}]}}"#,
        ),
        (r#"{"id":1,"result":{"tools":[{"name":"a"}] }}"#, same),
        (r#"{"id":1,"result":{"content":[{"name":"xa"}]}}"#, same),
        (r#"{"method":"notifications/tools/list_changed"}"#, same),
        (r#"{"id":1,"error":{"code":1,"message":"x"}}"#, same),
        (r#"{"id":1,"result":[]}"#, same),
        // What is one caller's is for nobody else's cache.
        (
            r#"{"result":{"cacheScope":"public","tools":[],"ttlMs":5}}"#,
            r#"{"result":{"cacheScope":"private","tools":[],"ttlMs":5}}"#,
        ),
        (
            r#"{"result":{"ttlMs":5,"tools":[{"name":"xa"}] } }"#,
            r#"{"result":{"ttlMs":5,"tools":[] ,"cacheScope":"private"} }"#,
        ),
        (
            r#"{"result":{"cacheScope":"private","tools":[],"ttlMs":5}}"#,
            same,
        ),
        (r#"{"result":{"cacheScope":"public","contents":[]}}"#, same),
        (
            r#"[{"id":1,"result":{}},{"id":2,"result":{"tools":[{"name":"xa"},{"name":"b"}]}}]"#,
            r#"[{"id":1,"result":{}},{"id":2,"result":{"tools":[{"name":"b"}]}}]"#,
        ),
    ] {
        assert_eq!(edit(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_told_is_not_shown() {
    let unreadable = "the answer cannot be read";
    let nameless = "the answer lists something without a name";
    for (text, expected) in [
        ("{", "the answer is no JSON"),
        ("", "the answer is no JSON"),
        (r#"{"result":{"tools":{}}}"#, nameless),
        (r#"{"result":{"tools":[1]}}"#, nameless),
        (r#"{"result":{"tools":[{}]}}"#, nameless),
        (r#"{"result":{"tools":[{"name":1}]}}"#, nameless),
        (
            r#"{"result":{"tools":[{"name":"a","name":"b"}]}}"#,
            unreadable,
        ),
        (r#"{"result":{"tools":[],"tools":[]}}"#, unreadable),
        (r#"{"result":{},"result":{}}"#, unreadable),
        (r#"{"result":{"Tools":[]}}"#, unreadable),
        (r#"[1,{"result":{"tools":[{"name":2}]}}]"#, nameless),
    ] {
        assert_eq!(edit(text), expected, "{text}");
    }
}

/// The events of a stream that comes in `parts`, filtered.
fn streamed(parts: &[&[u8]]) -> Result<String, ListError> {
    let (mut events, mut out) = (Events::default(), Vec::new());
    for part in parts {
        events.push(part)?;
        while let Some(event) = events.next(false, &shows)? {
            out.extend_from_slice(&event);
        }
    }
    while let Some(event) = events.next(true, &shows)? {
        out.extend_from_slice(&event);
    }
    Ok(String::from_utf8(out).unwrap())
}

const LIST: &str = r#"{"id":1,"result":{"tools":[{"name":"xa"},{"name":"b"}]}}"#;
const LESS: &str = r#"{"id":1,"result":{"tools":[{"name":"b"}]}}"#;

#[test]
fn events_are_filtered_one_by_one() {
    for (stream, expected) in [
        (format!("data: {LIST}\n\n"), format!("data: {LESS}\n\n")),
        (
            format!(": ping\n\nid: 7\nevent: message\nretry: 5\ndata:{LIST}\r\n\r\n: pong\r\n\r\n"),
            format!(
                ": ping\n\nid: 7\nevent: message\nretry: 5\ndata: {LESS}\r\n\r\n: pong\r\n\r\n"
            ),
        ),
        (
            format!("data: {LIST}\r\rdata: {{}}\r\r"),
            format!("data: {LESS}\r\rdata: {{}}\r\r"),
        ),
        (
            format!("\u{feff}data: {LIST}\n\n"),
            format!("\u{feff}data: {LESS}\n\n"),
        ),
        // Data on several lines is one message.
        (
            "data: {\"result\":\ndata: {\"tools\":[{\"name\":\"xa\"}]}}\nid: 1\n\n".to_owned(),
            "data: {\"result\":\ndata: {\"tools\":[]}}\nid: 1\n\n".to_owned(),
        ),
        // A client may not wait for the end of the last one.
        (format!("data: {LIST}\n"), format!("data: {LESS}\n")),
        (format!("data: {LIST}"), format!("data: {LESS}\n")),
        ("id: 1\ndata:\n\n".to_owned(), "id: 1\ndata:\n\n".to_owned()),
        (
            "event: endpoint\ndata: /messages?x=1\n\n".to_owned(),
            "event: endpoint\ndata: /messages?x=1\n\n".to_owned(),
        ),
        (
            "data: {\"method\":\"notifications/tools/list_changed\" }\n\n".to_owned(),
            "data: {\"method\":\"notifications/tools/list_changed\" }\n\n".to_owned(),
        ),
        (
            format!("event: other\ndata: {LIST}\n\n"),
            format!("event: other\ndata: {LESS}\n\n"),
        ),
    ] {
        assert_eq!(
            streamed(&[stream.as_bytes()]).unwrap(),
            expected,
            "{stream}"
        );
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(streamed(&bytes).unwrap(), expected, "{stream}");
    }
    assert!(streamed(&[b"data: no json\n\n"]).is_err());
    assert!(streamed(&[b"data: \xff\n\n"]).is_err());
    let mut events = Events::default();
    let large = Bytes::from(vec![b'x'; MOST_HELD + 1]);
    assert!(matches!(events.push(&large), Err(ListError::TooLarge)));
}

#[test]
fn an_event_goes_on_as_soon_as_it_has_ended() {
    let mut events = Events::default();
    events.push(b"data: {}\n\ndata").unwrap();
    let event = events.next(false, &shows).unwrap().unwrap();
    assert_eq!(event, "data: {}\n\n");
    assert_eq!(events.next(false, &shows).unwrap(), None);
}

proptest! {
    #[test]
    fn whatever_a_server_answers_is_edited_or_refused(text in ".*") {
        let _ = edited(&text, &shows);
        let _ = streamed(&[text.as_bytes()]);
    }

    /// What is shown is what a reader of the whole finds that leaves out the rest.
    #[test]
    fn a_list_loses_what_is_not_shown_and_nothing_else(
        names in proptest::collection::vec("[xy][a-z\"\\\\]{0,3}", 0..6),
        cut in 1..40_usize,
    ) {
        let tools: Vec<_> = names
            .iter()
            .map(|name| serde_json::json!({ "name": name, "meta": { "name": "x" } }))
            .collect();
        let mut message = serde_json::json!({ "id": 1, "result": { "tools": tools, "nextCursor": "x" } });
        let text = message.to_string();
        let new = edited(&text, &shows).unwrap().unwrap_or_else(|| text.clone());
        let stream = format!("data: {text}\n\n");
        let parts: Vec<&[u8]> = stream.as_bytes().chunks(cut).collect();
        let left = message["result"]["tools"].as_array_mut().unwrap();
        left.retain(|tool| !tool["name"].as_str().unwrap().starts_with('x'));
        let read: serde_json::Value = serde_json::from_str(&new).unwrap();
        prop_assert_eq!(read, message);
        prop_assert_eq!(streamed(&parts).unwrap(), format!("data: {new}\n\n"));
    }
}

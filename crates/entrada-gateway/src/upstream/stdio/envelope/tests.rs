use proptest::prelude::*;

use super::*;

fn kind(text: &str) -> Result<Kind<'_>, EnvelopeError> {
    Envelope::read(text).map(|envelope| envelope.kind().clone())
}

#[test]
fn a_message_is_a_request_a_notification_or_a_response() {
    let request = |id| Kind::Request {
        id,
        method: "a".into(),
    };
    let response = |id, error| Kind::Response { id, error };
    let (json, message) = (EnvelopeError::Json, EnvelopeError::Message);
    for (text, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#, Ok(request("1"))),
        (
            r#"{"id":1.0,"method":"a","jsonrpc":"2.0"}"#,
            Ok(request("1.0")),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"x\"","method":"\u0061"}"#,
            Ok(request(r#""x\"""#)),
        ),
        (
            r#" {"jsonrpc":"2.0","id":-1e2,"method":"a","params":[1]} "#,
            Ok(request("-1e2")),
        ),
        (
            r#"{"jsonrpc":"2.0","method":"a"}"#,
            Ok(Kind::Notification { method: "a".into() }),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
            Ok(response("1", None)),
        ),
        (
            r#"{"result":{},"jsonrpc":"2.0","id":"1"}"#,
            Ok(response("\"1\"", None)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}"#,
            Ok(response("null", Some(-32700))),
        ),
        (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, Err(message)),
        (r#"{"jsonrpc":"2.0","id":true,"method":"a"}"#, Err(message)),
        (r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#, Err(message)),
        (r#"{"jsonrpc":"2.0","id":null,"result":1}"#, Err(message)),
        (r#"{"jsonrpc":"2.0","id":1}"#, Err(message)),
        (r#"{"jsonrpc":"2.0","result":1}"#, Err(message)),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#,
            Err(message),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}"#,
            Err(message),
        ),
        (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, Err(message)),
        (r#"{"id":1,"method":"a"}"#, Err(message)),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Err(json)),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}"#,
            Err(json),
        ),
        (r#"["2.0",1,"a",null,null,null]"#, Err(json)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a"} {}"#, Err(json)),
        ("", Err(json)),
        ("null", Err(json)),
        ("{", Err(json)),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","\u006dethod":"b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{},"_meta":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"requestId":2}}"#,
    ] {
        assert_eq!(kind(text), Err(EnvelopeError::Json), "{text}");
    }
}

#[test]
fn values_are_replaced_where_they_stand() {
    let text = "{ \"id\" : 1,\r\n\"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"x\":1.0,\n\
                \"params\":{\"n\":1,\"_meta\":{\"progressToken\":1,\"y\":\"1\"},\"name\":\"\\n\"}}";
    let envelope = Envelope::read(text).unwrap();
    let Kind::Request { id, .. } = *envelope.kind() else {
        panic!("{envelope:?}");
    };
    let token = envelope.params().asked_progress_token.unwrap();
    let written = envelope.with(&[(token, "77"), (id, "1234")]);
    assert_eq!(
        written,
        "{ \"id\" : 1234,  \"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"x\":1.0, \
         \"params\":{\"n\":1,\"_meta\":{\"progressToken\":77,\"y\":\"1\"},\"name\":\"\\n\"}}"
    );
    assert_eq!(envelope.with(&[]).len(), text.len());
}

#[test]
fn a_value_of_another_text_replaces_nothing() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#;
    let other = "1".to_owned();
    assert_eq!(Envelope::read(text).unwrap().with(&[(&other, "2")]), text);
}

#[test]
fn a_batch_is_taken_apart() {
    assert_eq!(messages(" [ {\"a\":1} ,2]"), Ok(vec!["{\"a\":1}", "2"]));
    assert_eq!(messages("[]"), Ok(vec![]));
    assert_eq!(messages("{}"), Ok(vec!["{}"]));
    assert_eq!(messages("[1,"), Err(EnvelopeError::Json));
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4)
            .prop_map(|items| format!("[{}]", items.join(" ,\n")));
        let object = prop::collection::vec(("[a-z_]{1,6}", inner), 0..4).prop_map(|fields| {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("\"{name}\": {value}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        });
        prop_oneof![list, object]
    })
}

proptest! {
    #[test]
    fn bytes_of_strangers_are_read_or_refused(text in ".{0,64}") {
        let _ = messages(&text);
        let _ = Envelope::read(&text);
    }

    #[test]
    fn all_but_the_id_stays_as_it_was(before in json(), after in json(), number in any::<u64>()) {
        let text = format!(
            "{{\"x1\":{before},\"id\":\"mine\",\"jsonrpc\":\"2.0\",\n\"result\":{after}}}"
        );
        let envelope = Envelope::read(&text).unwrap();
        let Kind::Response { id, .. } = *envelope.kind() else {
            panic!("{envelope:?}");
        };
        let written = envelope.with(&[(id, &number.to_string())]);
        prop_assert!(!written.contains(['\n', '\r']));
        let read = Envelope::read(&written).unwrap();
        let Kind::Response { id: ours, .. } = *read.kind() else {
            panic!("{read:?}");
        };
        prop_assert_eq!(ours, number.to_string());
        let restored = read.with(&[(ours, "\"mine\"")]);
        prop_assert_eq!(restored, text.replace(['\n', '\r'], " "));
    }
}

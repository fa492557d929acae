use std::sync::Mutex;

use tokio::sync::mpsc;

use super::*;
use crate::upstream::stdio::events::{Cursor, EventLimits};
use crate::upstream::stdio::outbox::Reader;

fn outbox() -> Arc<Outbox> {
    Outbox::new(EventLimits::new(1000, 1000))
}

fn channel(audience: Audience) -> (Arc<Channel>, mpsc::UnboundedReceiver<Written>) {
    Channel::new(Arc::new(audience), 1000)
}

/// Asks `method` for a client with this outbox, and opens a stream for the answer.
async fn ask(channel: &Channel, outbox: &Arc<Outbox>, id: &str, method: &str) -> Reader {
    let stream = outbox.open(1);
    let listens = method == "subscriptions/listen";
    let to = Destination::Client {
        outbox: Arc::clone(outbox),
        stream,
        user: Arc::default(),
        listens,
    };
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"_meta":{{"progressToken":{id}}}}}}}"#
    );
    let envelope = Envelope::read(&message).unwrap();
    channel.ask(&envelope, to).await.unwrap();
    outbox.read(stream)
}

/// What a stream has so far.
fn so_far(reader: &mut Reader) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(Ok((_, event))) = futures_util::FutureExt::now_or_never(reader.next()) {
        found.push(String::from_utf8(event.data.to_vec()).unwrap());
    }
    found
}

fn standalone(outbox: &Arc<Outbox>) -> Vec<String> {
    so_far(&mut outbox.resume(Some(Cursor::start_of(STANDALONE))))
}

const SHOUT: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"of alice"}}"#;
const CHANGED: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"x":"of alice"}}"#;
const SAMPLE: &str = r#"{"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{}}"#;

#[tokio::test]
async fn answers_go_to_whoever_asked_with_their_own_ids() {
    let (channel, mut written) = channel(Audience::Callers);
    let (alice, bob) = (outbox(), outbox());
    let mut for_alice = ask(&channel, &alice, "1", "a").await;
    let mut for_bob = ask(&channel, &bob, "1", "b").await;
    let seen = [
        written.recv().await.unwrap().line,
        written.recv().await.unwrap().line,
    ];
    assert!(seen[0].contains(r#""id":1,"method":"a","params":{"_meta":{"progressToken":1}"#));
    assert!(seen[1].contains(r#""id":2,"method":"b","params":{"_meta":{"progressToken":2}"#));
    for said in [
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1.0}}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":"bob's"}"#,
        r#"{"result":"alice's","id":1.0,"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":"again"}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":"nobody's"}"#,
    ] {
        channel.deliver(said).unwrap();
    }
    assert_eq!(
        so_far(&mut for_bob),
        [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1.0}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":"bob's"}"#
        ]
    );
    assert_eq!(
        so_far(&mut for_alice),
        [r#"{"result":"alice's","id":1,"jsonrpc":"2.0"}"#]
    );
}

#[tokio::test]
async fn what_is_nobodys_reaches_none_of_many_callers() {
    let (channel, mut written) = channel(Audience::Callers);
    let alice = outbox();
    let mut for_alice = ask(&channel, &alice, "7", "a").await;
    written.recv().await.unwrap();
    for said in [SHOUT, CHANGED, SAMPLE] {
        channel.deliver(said).unwrap();
    }
    assert_eq!(so_far(&mut for_alice), [""; 0]);
    let refusal = written.recv().await.unwrap().line;
    assert!(
        refusal.starts_with(r#"{"jsonrpc":"2.0","id":"s1","error""#),
        "{refusal}"
    );
    channel
        .deliver(r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#)
        .unwrap();
    assert_eq!(
        written.recv().await.unwrap().line,
        r#"{"jsonrpc":"2.0","id":5,"result":{}}"#
    );
}

#[tokio::test]
async fn sessions_that_share_a_child_hear_what_concerns_them_all_in_our_words() {
    let outboxes = [outbox(), outbox()];
    let all = outboxes.iter().map(|outbox| {
        let name = format!("{outbox:p}");
        (name, Arc::downgrade(outbox))
    });
    let (channel, _written) = channel(Audience::Sessions(Mutex::new(all.collect())));
    for said in [SHOUT, CHANGED, SAMPLE] {
        channel.deliver(said).unwrap();
    }
    for outbox in &outboxes {
        let told = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        assert_eq!(standalone(outbox), [told]);
    }
}

#[tokio::test]
async fn one_callers_log_goes_to_the_only_request_at_work() {
    let (channel, _written) = channel(Audience::Caller);
    let alice = outbox();
    let mut listening = ask(&channel, &alice, "1", "subscriptions/listen").await;
    let mut working = ask(&channel, &alice, "2", "a").await;
    channel.deliver(SHOUT).unwrap();
    assert_eq!(so_far(&mut working), [SHOUT]);
    let mut other = ask(&channel, &alice, "3", "b").await;
    channel.deliver(SHOUT).unwrap();
    for reader in [&mut listening, &mut working, &mut other] {
        assert_eq!(so_far(reader), [""; 0]);
    }
}

#[tokio::test]
async fn in_a_session_nothing_is_lost() {
    let session = outbox();
    let (channel, _written) = channel(Audience::Session(Arc::clone(&session)));
    channel.deliver(SAMPLE).unwrap();
    assert_eq!(standalone(&session), [SAMPLE]);
    let mut one = ask(&channel, &session, "1", "a").await;
    for said in [SHOUT, CHANGED, SAMPLE] {
        channel.deliver(said).unwrap();
    }
    assert_eq!(so_far(&mut one), [SHOUT, SAMPLE]);
    assert_eq!(standalone(&session), [SAMPLE, CHANGED]);
    // Which of two it is about is not said.
    let mut two = ask(&channel, &session, "2", "b").await;
    channel.deliver(SHOUT).unwrap();
    assert_eq!(so_far(&mut two), [SHOUT]);
    let mut listener = session.resume(None);
    channel.deliver(SAMPLE).unwrap();
    assert_eq!(so_far(&mut listener), [CHANGED, SAMPLE].split_at(1).1);
    assert_eq!((so_far(&mut one), so_far(&mut two)), (vec![], vec![]));
    // A task goes on after its call was answered.
    channel
        .deliver(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#)
        .unwrap();
    let progress = |token| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token}}}}}"#
        )
    };
    channel.deliver(&progress(2)).unwrap();
    assert_eq!(so_far(&mut listener), [progress(2)]);
}

#[tokio::test]
async fn a_subscription_is_known_by_the_id_it_was_opened_with() {
    let (channel, _written) = channel(Audience::Callers);
    let (alice, bob) = (outbox(), outbox());
    let mut for_alice = ask(&channel, &alice, "\"x\"", "subscriptions/listen").await;
    let mut for_bob = ask(&channel, &bob, "\"x\"", "subscriptions/listen").await;
    let event = |id| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
        )
    };
    channel.deliver(&event("2")).unwrap();
    channel.deliver(&event("3")).unwrap();
    channel.deliver(&event("\"x\"")).unwrap();
    assert_eq!(so_far(&mut for_alice), [""; 0]);
    assert_eq!(so_far(&mut for_bob), [event("\"x\"")]);
    let end = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    channel.deliver(end).unwrap();
    assert!(for_alice.next().await.is_err());
    channel.deliver(&event("2")).unwrap();
    assert_eq!(so_far(&mut for_bob), [event("\"x\"")]);
}

#[tokio::test]
async fn of_an_answer_that_is_too_long_its_asker_is_told() {
    for (head, tail) in [
        (r#"{"jsonrpc": "2.0", "id": 1, "result": "xx"#, r#"xxxx"}"#),
        (r#"{"result":"xxx"#, r#"xx","jsonrpc":"2.0","id":1}"#),
        (r#"{"result":"xxx"#, r#"xx","jsonrpc":"2.0","id": 1}  "#),
    ] {
        let (channel, _written) = channel(Audience::Callers);
        let (alice, bob) = (outbox(), outbox());
        let mut for_alice = ask(&channel, &alice, "1", "a").await;
        let mut for_bob = ask(&channel, &bob, "1", "b").await;
        channel.give_up(head.as_bytes(), tail.as_bytes());
        assert!(for_alice.next().await.is_err(), "{head}");
        assert_eq!(so_far(&mut for_bob), [""; 0]);
        // Where one cannot tell, nobody is cut off for another's answer, but where there is no other.
        let mut third = ask(&channel, &bob, "2", "c").await;
        channel.give_up(b"{\"result\":1", b"}}");
        assert_eq!(so_far(&mut for_bob), [""; 0]);
        assert_eq!(so_far(&mut third), [""; 0]);
    }
}

//! What rules cost a call: reading the body, holding it against the headers, deciding.

use divan::{AllocProfiler, Bencher, black_box};
use entrada::access_token::TokenFacts;
use entrada::oauth::client::ClientId;
use entrada::oauth::scope::Scope;
use entrada::platform::Timestamp;
use entrada::policy::Requirement;
use entrada_gateway::message::Messages;
use entrada_gateway::policy::{Outcome, Pattern, Policy, Rule};
use http::{HeaderMap, HeaderValue};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn caller() -> TokenFacts {
    let client = ClientId::parse("client").expect("an id");
    let never = Timestamp::from_unix(u64::MAX);
    let mut facts = TokenFacts::new("https://i".to_owned(), "s".to_owned(), client, never);
    facts.scope = Scope::parse("mcp.access orders.write").expect("scopes");
    facts
}

/// So many rules, of which the last two name the tool.
fn policy(rules: usize) -> Policy {
    let mut policy = Policy::default();
    for at in 0..rules {
        let mut rule = Rule::new(format!("rules:{at}"));
        let name = if at + 2 < rules {
            format!("tool_{at}_*")
        } else {
            "delete_*".to_owned()
        };
        rule.tools = vec![Pattern::parse(&name).expect("a pattern")];
        rule.requirement = Requirement::scopes(["orders.write"]);
        policy.rules.push(rule);
    }
    policy
}

/// A call whose arguments have so many bytes.
fn body(bytes: usize) -> Vec<u8> {
    let text = "x".repeat(bytes);
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"delete_order","arguments":{{"text":"{text}"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
    )
    .into_bytes()
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        "mcp-protocol-version",
        HeaderValue::from_static("2026-07-28"),
    );
    headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
    headers.insert("mcp-name", HeaderValue::from_static("delete_order"));
    headers
}

/// All of it, with twenty rules.
#[divan::bench(args = [100, 4_096, 65_536])]
fn call(bencher: Bencher<'_, '_>, bytes: usize) {
    let (policy, body, headers, caller) = (policy(20), body(bytes), headers(), caller());
    bencher.bench_local(|| {
        let messages = Messages::read(black_box(&body)).expect("a message");
        messages.agree_with(&headers).expect("the headers agree");
        let decision = policy.decide(&messages, &caller);
        assert_eq!(decision.outcome, Outcome::Allowed);
        decision
    });
}

/// The decision alone.
#[divan::bench(args = [2, 20, 200])]
fn decision(bencher: Bencher<'_, '_>, rules: usize) {
    let (policy, caller) = (policy(rules), caller());
    let messages = Messages::read(&body(100)).expect("a message");
    bencher.bench_local(|| policy.decide(black_box(&messages), &caller));
}

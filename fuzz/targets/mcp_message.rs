//! Whatever a client sends, what the gateway reads of it is what any other reader does, or it is refused.
#![no_main]

use gateway::message::{ItemKind, Messages};
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

// Of the gateway these files alone, so that the rest of it need not be built.
#[path = "../../crates/entrada-gateway/src"]
mod gateway {
    #[expect(dead_code, unused_imports, reason = "the gateway uses all of it")]
    pub mod message;
}

fuzz_target!(|body: &[u8]| {
    let Ok(read) = Messages::read(body) else {
        return;
    };
    let _ = read.agree_with(&HeaderMap::new());
    // One that takes the last of several keys, as most do.
    // It may refuse what is left unread here: half of a surrogate pair in an argument (RFC 8259 §8.2).
    let Ok(other) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let others = match &other {
        Value::Array(messages) => messages.clone(),
        message => vec![message.clone()],
    };
    assert_eq!(read.messages.len(), others.len());
    for (message, other) in read.messages.iter().zip(&others) {
        assert_eq!(message.method.as_deref(), other["method"].as_str());
        if message.method.as_deref() != Some("tools/call") {
            continue;
        }
        let [item] = &*message.items else {
            panic!("a call without a tool");
        };
        assert_eq!(item.kind, ItemKind::Tool);
        assert_eq!(Some(&*item.name), other["params"]["name"].as_str());
    }
});
